"""Options that several verbs share, and how their words are read."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

if TYPE_CHECKING:
    from aioqueue.server import Server

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
LogFormat = Literal["plain", "json", "short"]

_NUMBER: Final = re.compile(r"-\d")


def option(
    *names: str, variable: str | None = None, setting: str | None = None, **how: Any
) -> Callable[[F], F]:
    """click.option that tells in its help by which variable it is set too, if by any.

    variable: one of its own. setting: it goes before that setting, whose variable counts also without a
    command. What is asked once has none: a variable that says yes, or --all, would be forgotten there.
    """
    if setting is not None:
        how["help"] = f"{how['help']}  [setting: {setting}]"
    return click.option(*names, envvar=variable, show_envvar=True, **how)


class Seconds(click.FloatRange):
    """A finite number of seconds from 0 on."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it. Raises BadParameter."""
        seconds: float = super().convert(value, param, ctx)
        if not isfinite(seconds):
            self.fail(f"{value} is no finite number", param, ctx)
        return seconds


json_option: Decorator = option("--json", is_flag=True, help="Print JSON, for programs.")
exclude_queue_option: Decorator = option(
    "--exclude-queue",
    variable="AIOQUEUE_WORKER_EXCLUDE_QUEUE",
    multiple=True,
    metavar="NAME",
    help="Serve all known queues but this; likewise.",
)
reload_dir_option: Decorator = option(
    "--reload-dir",
    variable="AIOQUEUE_WORKER_RELOAD_DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder to watch; repeatable.  [default: the current one]",
)
log_level_option: Decorator = option(
    "--log-level",
    variable="AIOQUEUE_WORKER_LOG_LEVEL",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    default="info",
)
log_format_option: Decorator = option(
    "--log-format",
    variable="AIOQUEUE_WORKER_LOG_FORMAT",
    type=click.Choice(["plain", "json", "short"]),
    default="plain",
)
json_logs_option: Decorator = option("--json", is_flag=True, help="Log JSON, an object a line, for programs.")


class CallCommand(click.Command):
    """Takes a negative number for an argument of a task, and anything after ``--``."""

    ignore_unknown_options = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        try:
            rest = super().parse_args(ctx, args[:cut])
        except click.MissingParameter:
            if cut == len(args):
                raise
            # what it wants first stands behind it too
            return super().parse_args(ctx, args)
        told: tuple[str, ...] = ctx.params.get("args") or ()
        named = [
            ctx.params.get(param.name or "") for param in self.params if isinstance(param, click.Argument)
        ]
        for word in (*(word for word in named if isinstance(word, str)), *told):
            if word.startswith("-") and not _NUMBER.match(word):
                self._no_such_option(ctx, word)
        ctx.params["args"] = (*told, *args[cut + 1 :])
        return rest

    def _no_such_option(self, ctx: click.Context, word: str) -> None:
        from difflib import get_close_matches

        known = [name for param in self.params for name in param.opts if name.startswith("--")]
        raise click.NoSuchOption(word, possibilities=get_close_matches(word, known), ctx=ctx)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose store a command asks: that of an app, or of URLs, else that of the settings."""

    app: str | None
    broker: str | None
    backend: str | None

    def server(self) -> Server:
        """Return its Server. Raises ConfigurationError, and UnavailableError where a file is missing."""
        from aioqueue.cli.apps import server_of

        return server_of(self.app, self.broker, self.backend)

    def named(self) -> Server:
        """Return its Server, whatever its stores are. Raises ConfigurationError."""
        from aioqueue.cli.apps import named

        return named(self.app, self.broker, self.backend)


def store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say whose store is asked, which is handed over as *store*.

    A URL that is typed goes before an app of a variable.
    """

    @wraps(function)
    def of_store(*args: Any, **given: Any) -> Any:
        app, broker, backend = (given.pop(name) for name in ("app", "broker", "backend"))
        if (broker, backend) != (None, None) and by_variable("app"):
            app = click.get_current_context().params["app"] = None
        return function(*args, store=Asked(app, broker, backend), **given)

    asked: Callable[..., Any] = of_store
    for decorate in (
        option(
            "--backend",
            metavar="URL",
            setting="backend",
            help="Where results are kept, if it is another store.",
        ),
        option(
            "--broker", metavar="URL", setting="broker", help="The store, instead of that of the settings."
        ),
        option(
            "--app",
            metavar="APP",
            variable="AIOQUEUE_APP",
            help="Ask the store of this app, module:attribute.",
        ),
    ):
        asked = decorate(asked)
    return asked


def check_timeout(wait: bool, timeout: float | None) -> None:
    """Raise UsageError for a --timeout of which nothing would be made."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout says how long --wait waits; give both, or leave it out")


def advised(*words: str) -> str:
    """Return a command that asks the same store, as it can be typed; for a URL with a password stands URL."""
    from aioqueue.urls import redacted

    params = click.get_current_context().params
    said = {f"--{name}": params.get(name) for name in ("app", "broker", "backend")}
    store = [
        word
        for name, text in said.items()
        if text is not None
        for word in (name, text if redacted(text) == text else "URL")
    ]
    return shlex.join(["aioqueue", *words, *store])


def by_variable(name: str) -> bool:
    """Return whether a parameter of the command was said by its variable, and not typed."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.ENVIRONMENT


def split(words: Iterable[str]) -> tuple[str, ...]:
    """Return the names in *words*, each of which may be a list with commas; each name once."""
    parts = (part.strip() for word in words for part in word.split(","))
    return tuple(dict.fromkeys(filter(None, parts)))


def value(text: str) -> Any:
    """Return the JSON value that *text* is, else *text* itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def pair(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``name=value``. Raises click.BadParameter."""
    name, equals, rest = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.BadParameter(f"{text!r} is not of the form name=value", param_hint="--kw")
    return name, value(rest)


def shown(url: str) -> str:
    """Return a store's URL for people: without credentials, and a file's path in full."""
    from aioqueue.urls import anchored, redacted

    return anchored(redacted(url), os.getcwd())


def _no_constant(name: str) -> None:
    # NaN and Infinity are no JSON
    raise ValueError(name)

"""The command ``aioqueue``: finds its verbs, and tells their errors in one line each.

Exit codes: 0 done, 1 failed, 2 wrong use or set-up, 3 a store cannot be reached, 4 not found.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Final, cast

import click

from aioqueue.errors import (
    AioqueueError,
    ConfigurationError,
    ResultNotFoundError,
    ScheduleNotFoundError,
    SignatureError,
    UnavailableError,
    UnknownTaskError,
)

FAILED: Final = 1
MISUSED: Final = 2
UNREACHABLE: Final = 3
NOT_FOUND: Final = 4

VERBS: Final = (
    "worker",
    "dev",
    "send",
    "result",
    "show",
    "cancel",
    "workflow",
    "tasks",
    "schedule",
    "status",
    "check",
    "queue",
    "dead",
    "config",
    "completion",
    "version",
)

_CODES: Final[tuple[tuple[type[AioqueueError], int], ...]] = (
    (UnavailableError, UNREACHABLE),
    (ResultNotFoundError, NOT_FOUND),
    (ScheduleNotFoundError, NOT_FOUND),
    (ConfigurationError, MISUSED),
    (SignatureError, MISUSED),
    (UnknownTaskError, MISUSED),
)


def code_of(error: AioqueueError) -> int:
    """Return the exit code that says what kind of error it was."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


class Group(click.Group):
    """A group that tells of a misspelled verb which ones are like it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near, known = get_close_matches(name, self.list_commands(ctx)), ", ".join(self.list_commands(ctx))
            advice = f"did you mean {' or '.join(near)}?" if near else f"there are {known}"
            ctx.fail(f"there is no command {name!r}; {advice}")
        return super().resolve_command(ctx, args)


class Verbs(Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return cast(click.Command, import_module(f"aioqueue.cli.{cmd_name}").command)

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except AioqueueError as exc:
            # what is wrong with settings is told one a line
            lines = str(exc).splitlines() if isinstance(exc, ConfigurationError) else [str(exc)]
            for line in lines:
                tell(" ".join(line.split()))
            ctx.exit(code_of(exc))


def tell(fault: str, exc: BaseException | None = None) -> None:
    """Tell what ends the command, as a log record where those are JSON. exc: what is shown with it then."""
    logs = sys.modules.get("aioqueue.cli.logs")
    if logs is None or not logs.in_json():
        click.echo(f"Error: {fault}", err=True)
        return
    from logging import getLogger

    getLogger("aioqueue.cli").error("%s", fault, exc_info=exc)


def _show_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from aioqueue.cli.version import version

        click.echo(f"aioqueue {version()}")
        ctx.exit()


@click.group(
    cls=Verbs,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
    },
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Print the version.",
)
def main() -> None:
    """Run aioqueue's workers, send tasks, and see what came of them.

    Every setting has a variable: AIOQUEUE_<SETTING>. `aioqueue config show` lists them.
    """

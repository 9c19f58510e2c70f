"""The command ``aioqueue``: finds its verbs, and tells their errors in one line each.

Exit codes: 0 done, 1 failed, 2 wrong use or set-up, 3 a store cannot be reached, 4 not found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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

PREFIX: Final = "AIOQUEUE_"

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

_LOGGING: Final = ("worker", "dev")
"""Verbs whose standard error is their log."""

_CODES: Final[tuple[tuple[type[AioqueueError], int], ...]] = (
    (UnavailableError, UNREACHABLE),
    (ResultNotFoundError, NOT_FOUND),
    (ScheduleNotFoundError, NOT_FOUND),
    (ConfigurationError, MISUSED),
    (SignatureError, MISUSED),
    (UnknownTaskError, MISUSED),
)


def strange_variables(verb: str, command: click.Command) -> Iterator[str]:
    """Yield what to say of each variable that is named as if it set an option of *verb*, and sets none."""
    prefix = f"{PREFIX}{verb.upper()}"
    known = set(_variables(prefix, command))
    for name in sorted(os.environ):
        if name.startswith(f"{prefix}_") and name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1) or sorted(known)
            yield f"the variable {name} sets no option of {verb} and is ignored; there is {', '.join(near)}"


def _variables(prefix: str, command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.allow_from_autoenv and parameter.name:
            yield f"{prefix}_{parameter.name.upper()}"
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _variables(f"{prefix}_{name.upper()}", inner)


def code_of(error: AioqueueError) -> int:
    """Return the exit code that says what kind of error it was."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


class Verbs(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return cast(click.Command, import_module(f"aioqueue.cli.{cmd_name}").command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and name not in _LOGGING and not ctx.resilient_parsing:
            for warning in strange_variables(name, command):
                click.echo(f"Warning: {warning}", err=True)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AioqueueError as exc:
            click.echo(f"Error: {' '.join(str(exc).split())}", err=True)
            ctx.exit(code_of(exc))


def _show_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from aioqueue.cli.version import version

        click.echo(f"aioqueue {version()}")
        ctx.exit()


@click.group(
    cls=Verbs,
    context_settings={
        "auto_envvar_prefix": "AIOQUEUE",
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

    Every option can be set by a variable too: AIOQUEUE_<COMMAND>_<OPTION>.
    """

"""``aioqueue check``: whether a deployment would work, told before it is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from aioqueue.cli.group import FAILED, UNREACHABLE
from aioqueue.cli.options import Asked, json_option, store_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioqueue.cli.checks import Finding

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(name="check", short_help="Check settings, stores, queues and workers.")
@store_options
@json_option
def command(store: Asked, json: bool) -> None:
    """Check what an app needs: settings, stores and how they are set up, clocks, queues and workers.

    Nothing is sent or written, and no file is made: one that is still to be made is a warning, unless its
    path is typed here. Exits with 0 if nothing fails, 1 if something does,
    2 if app or settings cannot be read, 3 if a store cannot be reached.

    Example: aioqueue check --app tasks:server
    """
    from aioqueue.cli.checks import findings
    from aioqueue.cli.record import as_json

    found = asyncio.run(findings(store.named(), store.app))
    if json:
        rows = [{"check": f.check, "status": f.status, "says": f.says, "data": f.data} for f in found]
        click.echo(as_json({"ok": _code(found) == 0, "checks": rows}))
    else:
        for finding in found:
            status = click.style(f"{finding.status:<4}", fg=_COLOURS[finding.status])
            click.echo(f"{status}  {finding.check:<8}  {finding.says}")
    click.get_current_context().exit(_code(found))


def _code(found: Sequence[Finding]) -> int:
    if any(finding.unreachable for finding in found):
        return UNREACHABLE
    return FAILED if any(finding.status == "fail" for finding in found) else 0

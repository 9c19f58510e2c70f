"""``aioqueue cancel``: tasks and workflows are ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from aioqueue.cli.group import FAILED, NOT_FOUND
from aioqueue.cli.options import Asked, json_option, store_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioqueue.models.state import Cancellation
    from aioqueue.server import Server

    Done = dict[str, Cancellation]

_MOST: Final = 20


@click.command(name="cancel", short_help="Cancel tasks and workflows.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@store_options
@json_option
def command(*, ids: tuple[str, ...], store: Asked, json: bool) -> None:
    """Cancel each ID, a task or a workflow: what has not ended of it reads CANCELLED and commits nothing.

    Exits with 0 if all were cancelled, 1 if one had ended already, 4 if there is no such task.

    Example: aioqueue cancel 019a2b… 019a2c… --app tasks:server
    """

    done: Done = {}
    try:
        asyncio.run(_cancel(store.server(), ids, done))
    finally:
        # a store that goes away hides nothing of what was cancelled before
        if done:
            _print(done, json=json)
    click.get_current_context().exit(_code(done))


async def _cancel(server: Server, ids: Sequence[str], done: Done) -> None:
    async with server:
        for id in ids:
            if id not in done:
                done[id] = await server.cancel(id)


def _code(done: Done) -> int:
    from aioqueue.models.state import CancelOutcome

    outcomes = {cancellation.outcome for cancellation in done.values()}
    if CancelOutcome.NOT_FOUND in outcomes:
        return NOT_FOUND
    return FAILED if CancelOutcome.ALREADY_DONE in outcomes else 0


def _print(done: Done, *, json: bool) -> None:
    from aioqueue.cli.record import as_json

    if json:
        rows = [{"id": id, **cancellation.model_dump(mode="json")} for id, cancellation in done.items()]
        click.echo(as_json(rows))
        return
    for id, cancellation in done.items():
        click.echo(f"{id} {cancellation.outcome.replace('_', ' ')}")
        for title, tasks in (("cancelled", cancellation.cancelled), ("had ended", cancellation.finished)):
            if tasks and tasks != (id,):
                click.echo(f"  {title}  {_listed(tasks)}")


def _listed(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - _MOST} more; --json lists them" if len(tasks) > _MOST else ""
    return f"{len(tasks)}: {', '.join(tasks[:_MOST])}{more}"

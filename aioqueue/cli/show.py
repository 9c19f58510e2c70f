"""``aioqueue show``: all that is on record of a task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from aioqueue.cli.options import Asked, json_option, store_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioqueue.models.state import TaskState
    from aioqueue.server import Server


@click.command(name="show", short_help="Show all that is on record of a task.")
@click.argument("id")
@store_options
@json_option
def command(*, id: str, store: Asked, json: bool) -> None:
    """Show the whole record of the task ID: state, value or error with its traceback, attempts and times.

    Of a workflow it is the record of its outcome; `aioqueue workflow` shows its parts.
    Exits with 0 if there is one, whatever its state, and with 4 if there is none.

    Example: aioqueue show 019a2b… --app tasks:server
    """
    from aioqueue.cli.record import as_json

    state = asyncio.run(_read(store.server(), id))
    if json:
        click.echo(as_json(state.model_dump(mode="json")))
        return
    from aioqueue.cli.screen import console, table

    made = table("field", "value")
    for row in _rows(state):
        made.add_row(*row)
    console().print(made)
    if state.error is not None and state.error.traceback:
        click.echo(state.error.traceback.rstrip())


async def _read(server: Server, id: str) -> TaskState:
    async with server:
        return await server.result(id).state()


def _rows(state: TaskState) -> Iterator[tuple[str, str]]:
    from aioqueue.cli.record import as_json, moment
    from aioqueue.models.state import State

    yield "id", state.id
    yield "name", state.name or "-"
    yield "queue", state.queue or "-"
    yield "state", state.state
    yield "attempt", str(state.attempt)
    yield "losses", str(state.losses)
    moments = {
        "sent": state.sent_at,
        "due": state.next_at,
        "started": state.started_at,
        "finished": state.finished_at,
    }
    for name, at in moments.items():
        yield name, "-" if at is None else moment(at)
    if state.started_at is not None and state.finished_at is not None:
        yield "took", f"{state.finished_at - state.started_at:.3f} s"
    yield "worker", state.worker or "-"
    if state.plan is not None:
        yield "goes on as", f"workflow {state.plan}"
    if state.state is State.SUCCESS:
        yield "result", as_json(state.result)
    if state.error is not None:
        yield "error", f"{state.error.type}: {state.error.message}"

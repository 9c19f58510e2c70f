"""``aioqueue result``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from aioqueue.cli.options import Asked, Seconds, check_timeout, json_option, option, store_options

if TYPE_CHECKING:
    from aioqueue.models.state import TaskState
    from aioqueue.server import Server


@click.command(name="result", short_help="Show what became of a task.")
@click.argument("id")
@store_options
@option("--wait", is_flag=True, help="Wait until the task has ended.")
@option("--timeout", type=Seconds(), metavar="SECONDS", help="Wait no longer.")
@json_option
def command(
    *,
    id: str,
    store: Asked,
    wait: bool,
    timeout: float | None,
    json: bool,
) -> None:
    """Show the state of the task ID, its value or error, and its times.

    Exits with 0 if there is one, 1 if it failed or, with --wait, did not end in time, 4 if there is none.

    Example: aioqueue result 019a2b… --app tasks:server --wait
    """
    from aioqueue.cli.record import as_json, exit_code, print_waited, text_of

    check_timeout(wait, timeout)
    state = asyncio.run(_read(store.server(), id, wait, timeout))
    if wait:
        code = print_waited(state, text_of(state), timeout, json=json)
    else:
        click.echo(as_json(state.model_dump(mode="json")) if json else text_of(state))
        code = exit_code(state)
    click.get_current_context().exit(code)


async def _read(server: Server, id: str, wait: bool, timeout: float | None) -> TaskState:
    from aioqueue.cli.record import ended

    async with server:
        return await (ended(server, id, timeout) if wait else server.result(id).state())

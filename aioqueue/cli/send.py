"""``aioqueue send``: one call from a command line.

Arguments are JSON, and what is no JSON is a string. They cross as they are written: where the app
has the task they are checked against it first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from aioqueue.cli.options import CallCommand, Seconds, check_timeout, json_option, option, pair, value

if TYPE_CHECKING:
    from aioqueue.models.signature import Signature
    from aioqueue.models.state import TaskState
    from aioqueue.server import Server


class Given(TypedDict):
    """What click hands over."""

    kw: tuple[str, ...]
    queue: str | None
    delay: float | None
    id: str | None
    by_name: bool
    wait: bool
    timeout: float | None
    json: bool


@click.command(cls=CallCommand, name="send", short_help="Send a task.")
@click.argument("app")
@click.argument("name")
@click.argument("args", nargs=-1)
@option("--kw", multiple=True, metavar="NAME=VALUE", help="Argument by name; repeatable.")
@option("--queue", help="Queue, instead of the task's own.")
@option("--delay", type=Seconds(), metavar="SECONDS", help="Run it no sooner than that.")
@option("--id", help="Idempotency key: a second send with it runs nothing.")
@option("--by-name", is_flag=True, help="Send it although the app has no such task.")
@option("--wait", is_flag=True, help="Wait for the result, and print it.")
@option("--timeout", type=Seconds(), metavar="SECONDS", help="Wait no longer.")
@json_option
def command(app: str, name: str, args: tuple[str, ...], **given: Unpack[Given]) -> None:
    """Send the task NAME to the store of APP, a Server named as module:attribute.

    Each of ARGS is JSON, or else a string; what begins with a dash stands after --.

    Exits with 0 if it was sent, with --wait if it succeeded; 1 if it failed or did not end in time,
    2 if the call does not fit the task, 3 if the store cannot be reached.

    Example: aioqueue send tasks:server sum '[1, 2, 3]' --wait
    """
    from aioqueue.cli.apps import load, shared

    check_timeout(given["wait"], given["timeout"])
    server = shared(load(app))
    options = {key: given[key] for key in ("queue", "delay", "id") if given[key] is not None}
    arguments = [value(arg) for arg in args]
    kwargs = dict(map(pair, given["kw"]))
    call = call_of(server, name, arguments, kwargs, options, by_name=given["by_name"])
    if given["wait"]:
        _check_awaited(call)
    code = asyncio.run(_send(server, call, given))
    click.get_current_context().exit(code)


def call_of(
    server: Server,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    *,
    by_name: bool,
) -> Signature:
    """Return the call of these JSON arguments. by_name: also of a task that the app does not have.

    Raises UnknownTaskError, and SignatureError if they do not fit the task.
    """
    from difflib import get_close_matches

    from aioqueue.errors import UnknownTaskError
    from aioqueue.models.signature import Signature

    task = server.find(name)
    names = [known.name for known in server]
    if task is None and names and not by_name:
        near = get_close_matches(name, names, 3, 0.5)
        there = f"there is {', '.join(near)}" if near else f"there are {', '.join(sorted(names))}"
        raise UnknownTaskError(f"this app has no task {name!r}; {there}; --by-name sends it all the same")
    if task is not None:
        task.definition.schema.load(args, kwargs)
        options = {**task.defaults, **options}
    return Signature.checked({"name": name, **options, "args": args, "kwargs": kwargs, "takes": "none"})


def _check_awaited(call: Signature) -> None:
    """Raise UsageError for a call of which nothing will be on record."""
    from aioqueue.packing import tracked

    if not tracked(call):
        raise click.UsageError(
            f"{call.name} is registered with ignore_result=True: there is no result to wait for, and nothing "
            "was sent; leave out --wait, or give it an --id, which keeps a record of how it ends"
        )


async def _send(server: Server, call: Signature, given: Given) -> int:
    from aioqueue.cli.record import as_json, ended, headline, print_waited
    from aioqueue.errors import BrokerUnavailableError

    async with server:
        try:
            sent = await server.send(call)
        except BrokerUnavailableError as exc:
            for unsure in exc.results:
                click.echo(f"the id is {unsure.id}: --id {unsure.id} sends it again, and not twice", err=True)
            raise
        receipt = {
            "id": sent.id,
            "name": call.name,
            "queue": call.queue or server.settings.queue_of(call.name),
            "created": sent.created,
        }
        if given["wait"] or not given["json"]:
            if sent.created:
                said = "sent {name}[{id}] to queue {queue}"
            elif sent.held_by not in {None, sent.id}:
                said = "its key is held by {held_by}; nothing was sent"
            else:
                said = "the id {id} is known; nothing was sent"
            # who is interrupted while he waits knows the id; standard output is the record's alone
            click.echo(said.format(**receipt, held_by=sent.held_by), err=given["json"])
        else:
            click.echo(as_json(receipt))
        if not given["wait"]:
            return 0
        state: TaskState = await ended(server, sent.id, given["timeout"])
    return print_waited(state, headline(state), given["timeout"], json=given["json"])

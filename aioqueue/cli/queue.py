"""``aioqueue queue``: queues listed, looked into, paused, resumed and emptied."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, TypeVar

import click

from aioqueue.cli.group import Group
from aioqueue.cli.options import Asked, advised, json_option, option, shown, store_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioqueue.models.stats import QueuePage, QueueStats
    from aioqueue.queues import Purged, Queue
    from aioqueue.server import Server

T = TypeVar("T")


@click.group(cls=Group, name="queue", short_help="Pause, resume, empty and look into queues.")
def command() -> None:
    """List queues, look into one, pause it, resume it, or take out what waits in it.

    Example: aioqueue queue pause mail --app tasks:server
    """


@command.command(name="list", short_help="List the queues.")
@store_options
@json_option
def list_(store: Asked, json: bool) -> None:
    """List the queues there are: how much each holds, and whether it is paused.

    Example: aioqueue queue list --app tasks:server
    """
    from aioqueue.cli.record import as_json

    server = store.server()
    queues = asyncio.run(_stats(server))
    if json:
        rows = [stats.model_dump(mode="json") for stats in queues]
        click.echo(as_json({"broker": shown(server.stores.urls[0]), "queues": rows}))
        return
    from aioqueue.cli.screen import console, table

    made = table("queue", "ready", "delayed", "held", "dead", "state")
    for stats in queues:
        counts = (stats.ready, stats.delayed, stats.held, stats.dead)
        numbers = ("?" if count is None else str(count) for count in counts)
        made.add_row(stats.queue, *numbers, "paused" if stats.paused else "")
    console().print(made if queues else "no queue holds anything")


@command.command(short_help="Show what is in a queue.")
@click.argument("name")
@store_options
@option(
    "--where",
    type=click.Choice(["pending", "delayed", "running"]),
    default="pending",
    help="What is ready, due later, or held by workers.",
)
@option("--limit", type=click.IntRange(min=1, max=10_000), default=100, help="Show no more.")
@option("--after", metavar="CURSOR", help="The next page: what the last one named.")
@json_option
def show(
    *,
    name: str,
    store: Asked,
    where: str,
    limit: int,
    after: str | None,
    json: bool,
) -> None:
    """Show a page of what is in the queue NAME, in the order in which it comes up.

    Example: aioqueue queue show mail --where delayed --limit 20
    """
    from aioqueue.cli.record import as_json

    server = store.server()
    known = _known(server, name, json=json)
    page = _ask(server, name, lambda queue: _page(queue, where, after=after, limit=limit))
    if json:
        data = page.model_dump(mode="json", exclude={"entries": {"__all__": {"body"}}})
        click.echo(as_json({"queue": name, "known": known, "where": where, **data}))
        return
    _print(page)


@command.command(short_help="Start nothing more of a queue.")
@click.argument("name")
@store_options
@json_option
def pause(name: str, store: Asked, json: bool) -> None:
    """Let nothing more of the queue NAME start, on any worker, until it is resumed.

    What runs goes on, and sends are accepted.

    Example: aioqueue queue pause mail
    """

    server = store.server()
    known = _known(server, name, json=json)
    changed = _ask(server, name, lambda queue: queue.pause())
    _tell(name, paused=True, changed=changed, known=known, json=json)


@command.command(short_help="Start what waits in a paused queue.")
@click.argument("name")
@store_options
@json_option
def resume(name: str, store: Asked, json: bool) -> None:
    """Let what waits in the queue NAME start again, at once.

    Example: aioqueue queue resume mail
    """

    server = store.server()
    known = _known(server, name, json=json)
    changed = _ask(server, name, lambda queue: queue.resume())
    _tell(name, paused=False, changed=changed, known=known, json=json)


@command.command(short_help="Cancel and take out what waits in a queue.")
@click.argument("name")
@store_options
@option("--pending", is_flag=True, help="Only what is ready.")
@option("--delayed", is_flag=True, help="Only what is due later.")
@option("--yes", is_flag=True, help="Do not ask.")
@json_option
def purge(
    *,
    name: str,
    store: Asked,
    pending: bool,
    delayed: bool,
    yes: bool,
    json: bool,
) -> None:
    """Take out what waits in the queue NAME: each task ends CANCELLED, and who waits for it is told.

    What runs is left alone. It asks before it does so, unless --yes is given.

    Example: aioqueue queue purge mail --delayed --yes
    """
    from aioqueue.cli.record import as_json

    server = store.server()
    both = pending == delayed
    known = _known(server, name, json=json)
    if not yes:
        stats = _ask(server, name, lambda queue: queue.stats())
        counts = {"ready": stats.ready, "delayed": stats.delayed}
        wanted = [kind for kind, flag in (("ready", pending), ("delayed", delayed)) if flag or both]
        confirm(f"Cancel {' and '.join(f'{_some(counts[kind])} {kind}' for kind in wanted)} tasks of {name}?")
    done: Purged = _ask(
        server, name, lambda queue: queue.purge(pending=pending or both, delayed=delayed or both)
    )
    if json:
        click.echo(as_json({"queue": name, "known": known, **done.model_dump(mode="json")}))
        return
    left = f"; {done.left} left: they run, or stand for the rest of a workflow" if done.left else ""
    click.echo(f"{done.removed} tasks of {name} were cancelled and taken out{left}")


def _some(count: int | None) -> str:
    return "all" if count is None else str(count)


def confirm(question: str) -> None:
    """Ask on the terminal; a no ends with 1. Raises click.UsageError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on; --yes says yes")
    click.confirm(question, abort=True, err=True)


def _ask(server: Server, name: str, what: Callable[[Queue], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with server:
            return await what(server.queue(name))

    return asyncio.run(ask())


def _known(server: Server, name: str, *, json: bool) -> bool:
    """Return whether there is that queue, and say so where there is none: its name may be misspelled."""
    from aioqueue.cli import known

    async def asked() -> list[str]:
        async with server:
            return await known.queues(server)

    # before a store is asked the name is looked at
    server.queue(name)
    names = asyncio.run(asked())
    if name not in names and not json:
        known.warn(name, names)
    return name in names


async def _stats(server: Server) -> list[QueueStats]:
    async with server:
        return sorted(await server.stores.broker.stats(), key=lambda stats: stats.queue)


async def _page(queue: Queue, where: str, *, after: str | None, limit: int) -> QueuePage:
    page = {"pending": queue.pending, "delayed": queue.delayed, "running": queue.running}[where]
    return await page(after=after, limit=limit)


def _tell(name: str, *, paused: bool, changed: bool, known: bool, json: bool) -> None:
    from aioqueue.cli.record import as_json

    if json:
        click.echo(as_json({"queue": name, "paused": paused, "changed": changed, "known": known}))
    elif paused:
        again = advised("queue", "resume", name)
        click.echo(f"{name} {'is' if changed else 'was'} paused; {again} starts it again")
    else:
        click.echo(f"{name} {'goes on' if changed else 'was not paused'}")


def _print(page: QueuePage) -> None:
    from aioqueue.cli.record import moment
    from aioqueue.cli.screen import console, table

    made = table("id", "task", "attempt", "priority", "due", "since", "worker")
    for entry in page.entries:
        made.add_row(
            entry.id,
            entry.name,
            str(entry.attempt),
            str(entry.priority),
            *("" if at is None else moment(at) for at in (entry.due, entry.since)),
            entry.worker or entry.holder or "",
        )
    console().print(made if page.entries else "there is nothing")
    if page.next is not None:
        click.echo(f"there is more: --after '{page.next}'")

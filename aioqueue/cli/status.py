"""``aioqueue status``: the queues and the live workers of a store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from aioqueue.cli.options import Asked, json_option, shown, store_options

if TYPE_CHECKING:
    from rich.table import Table

    from aioqueue.models.stats import QueueStats, WorkerCard
    from aioqueue.server import Server

    Workers = list[WorkerCard] | None


@click.command(name="status", short_help="Show queues and workers.")
@store_options
@json_option
def command(store: Asked, json: bool) -> None:
    """Show how many tasks wait and are held in each queue, and which workers are alive.

    Exits with 3 if the store cannot be reached.

    Example: aioqueue status --app tasks:server
    """
    from aioqueue.cli.record import as_json

    server = store.server()
    queues, workers = asyncio.run(_read(server))
    broker = shown(server.stores.urls[0])
    if json:
        counts = [stats.model_dump(mode="json") for stats in queues]
        listed = None if workers is None else [card.model_dump(mode="json") for card in workers]
        click.echo(as_json({"broker": broker, "queues": counts, "workers": listed}))
        return
    click.echo(f"broker {broker}")
    _print(queues, workers, now=server.stores.clock.time())


async def _read(server: Server) -> tuple[list[QueueStats], Workers]:
    """Return the queues, and the workers or, where the store cannot tell, None."""
    from aioqueue.models.stats import WorkerCard
    from aioqueue.patience import CARDS

    stores = server.stores
    async with server:
        queues = await stores.broker.stats()
        if stores.store is None:
            return queues, None
        cards = (await stores.store.list(CARDS)).values()
        workers = [WorkerCard.model_validate_json(card) for card in cards]
        served = {queue for card in workers for queue in card.queues}
        if empty := served - {stats.queue for stats in queues}:
            queues += await stores.broker.stats(sorted(empty))
    return sorted(queues, key=lambda stats: stats.queue), sorted(workers, key=lambda card: card.name)


def _print(queues: list[QueueStats], workers: Workers, *, now: float) -> None:
    from aioqueue.cli.screen import console

    screen = console()
    if queues:
        screen.print(_queue_table(queues, workers or []))
    else:
        screen.print("no queue holds anything")
    if workers:
        screen.print(_worker_table(workers, now))
    else:
        screen.print("no worker is alive" if workers is not None else "this broker cannot tell its workers")


def _queue_table(queues: list[QueueStats], workers: list[WorkerCard]) -> Table:
    from aioqueue.cli.screen import table

    made = table("queue", "ready", "delayed", "held", "dead", "workers")
    for stats in queues:
        counts = (stats.ready, stats.delayed, stats.held, stats.dead)
        served = sum(stats.queue in card.queues for card in workers)
        made.add_row(stats.queue, *("?" if count is None else str(count) for count in counts), str(served))
    return made


def _worker_table(workers: list[WorkerCard], now: float) -> Table:
    from aioqueue.cli.screen import table

    made = table("worker", "host", "pid", "queues", "running", "done", "up for", "seen")
    for card in workers:
        made.add_row(
            card.name,
            card.host,
            str(card.pid),
            ",".join(card.queues),
            f"{card.running}/{card.concurrency}",
            str(card.done),
            f"{max(0.0, now - card.started_at):.0f} s",
            f"{max(0.0, now - card.seen_at):.0f} s ago",
        )
    return made

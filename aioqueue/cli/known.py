"""Known: which queues there are, as far as an app, its store and its live workers tell.

A queue that nobody knows can be paused and emptied like any other, as it may come; a misspelled one too.
"""

from __future__ import annotations

from difflib import get_close_matches

import click

from aioqueue.cli.apps import queue_of
from aioqueue.models.stats import WorkerCard
from aioqueue.patience import CARDS
from aioqueue.server import Server
from aioqueue.weights import weighed


def of_app(server: Server) -> tuple[str, ...]:
    """Return the queues that the settings and the tasks of an app name."""
    settings = server.settings
    tasks = [queue_of(server, task.name) for task in server]
    return tuple(dict.fromkeys([settings.queue, *settings.routes.values(), *tasks]))


async def queues(server: Server) -> list[str]:
    """Return every queue that is known; the server is open."""
    stores = server.stores
    names = {*of_app(server), *weighed(server.settings.queues)[0]}
    names |= {stats.queue for stats in await stores.broker.stats()}
    cards = {} if stores.store is None else await stores.store.list(CARDS)
    for card in cards.values():
        names |= {*WorkerCard.model_validate_json(card).queues}
    return sorted(names)


def warn(name: str, known: list[str]) -> None:
    """Say on standard error that there is no queue *name*, and which one may be meant."""
    near = get_close_matches(name, known)
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    click.echo(f"Warning: no queue {name!r} is known; {advice}", err=True)

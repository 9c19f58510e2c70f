"""Checks: what is found out about an app and its stores before they are relied on.

Nothing is written: a store whose file is not there is not opened, as that would make it.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shlex
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any, Final, Literal

from aioqueue.cli.apps import queue_of, there
from aioqueue.cli.options import shown
from aioqueue.cli.version import version as own_version
from aioqueue.errors import (
    AioqueueError,
    BackendUnavailableError,
    BrokerUnavailableError,
    ConfigurationError,
    UnavailableError,
)
from aioqueue.ids import new_id
from aioqueue.models.origin import Kind
from aioqueue.models.stats import QueueStats, WorkerCard
from aioqueue.patience import CARDS
from aioqueue.protocols.broker import Broker
from aioqueue.server import Server
from aioqueue.urls import file_of
from aioqueue.worker import WorkerOptions

PATIENCE: Final = 10.0
"""Seconds a store gets to answer."""

APART: Final = 1.0
"""Seconds that two clocks may differ without a word."""

_PACKAGES: Final = ("redis", "uvloop", "watchfiles")
_TRIPS: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    unreachable: it is a store that does not answer. unmade: it is a file that is still to be made.
    """

    check: str
    status: Literal["ok", "warn", "fail"]
    says: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    unreachable: bool = False
    unmade: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """One of an app's stores. open, ask: of its side that is used. broker: by which it says what it is."""

    name: str
    url: str
    unavailable: type[UnavailableError]
    open: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    ask: Callable[[], Awaitable[object]]
    broker: Broker | None


async def findings(server: Server, app: str | None) -> list[Finding]:
    """Return all that is found, in the order in which an operator would ask."""
    found = [_versions(), _settings(server, app), *_app(server, app)]
    async with AsyncExitStack() as stack:
        stores = [finding for role in _roles(server) async for finding in _looked(role, server, stack, app)]
        # a store that fails, or is not made yet, has no more to say
        mute = any(finding.status == "fail" or finding.unmade for finding in stores)
        queues = [] if mute else [finding async for finding in _queues(server, app)]
    return [*found, *stores, *queues]


def _versions() -> Finding:
    there = {"aioqueue": own_version(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            there[package] = version(package)
        except PackageNotFoundError:
            continue
    return Finding("versions", "ok", ", ".join(f"{name} {what}" for name, what in there.items()), dict(there))


def _settings(server: Server, app: str | None) -> Finding:
    # without an app what code says was said by the options
    code = "code" if app is not None else "the command line"
    said = [
        (origin.place or (code if origin.kind is Kind.CODE else str(origin.kind)), name)
        for name, origin in server.origins.items()
    ]
    own = sorted((place, name) for place, name in said if place != Kind.DEFAULT)
    places = {place: [name for _, name in names] for place, names in groupby(own, lambda pair: pair[0])}
    text = "; ".join(f"{', '.join(names)} from {place}" for place, names in places.items())
    data = {"from": places}
    try:
        WorkerOptions.checked(server.settings, {})
    except ConfigurationError as exc:
        return Finding("settings", "fail", str(exc), data)
    return Finding("settings", "ok", text or "all are defaults", data)


def _app(server: Server, app: str | None) -> Iterator[Finding]:
    """Yield what is found of the tasks, whose annotations a worker reads as it starts."""
    if app is None:
        return
    tasks = list(server)
    for task in tasks:
        try:
            _ = task.definition.reading
        except ConfigurationError as exc:
            yield Finding("app", "fail", str(exc))
            return
    queues = sorted({queue_of(server, task.name) for task in tasks})
    data = {"tasks": sorted(task.name for task in tasks), "queues": queues}
    if not tasks:
        yield Finding("app", "warn", f"{app}: no task is registered", data)
        return
    yield Finding("app", "ok", f"{app}: {_count(len(tasks), 'task')}, queues {', '.join(queues)}", data)


def _roles(server: Server) -> Iterator[Role]:
    stores = server.stores
    broker, backend = stores.broker, stores.backend
    yield Role(
        "broker",
        stores.urls[0],
        BrokerUnavailableError,
        broker.open,
        broker.close,
        lambda: broker.stats([server.settings.queue]),
        broker,
    )
    if stores.one_step:
        return
    yield Role(
        "backend",
        stores.urls[1],
        BackendUnavailableError,
        backend.open,
        backend.close,
        lambda: backend.get([new_id()]),
        next(iter(stores.upkeep[1:]), None),
    )


async def _looked(
    role: Role, server: Server, stack: AsyncExitStack, app: str | None
) -> AsyncIterator[Finding]:
    typed = app is None and server.origins[role.name].kind is Kind.CODE
    # what is typed may be mistyped; what an app or its settings name is there after the first send
    unmade = None if typed else _unmade(role)
    if unmade is not None:
        yield unmade
        return
    async for finding in _store(role, server, stack):
        yield finding


def _unmade(role: Role) -> Finding | None:
    """Return what is found of a file that is not there, but can be made where it is to lie."""
    file, url = file_of(role.url), shown(role.url)
    if file is None or file.exists():
        return None
    data: dict[str, Any] = {"url": url, "file": str(file)}
    if not os.access(file.parent, os.W_OK | os.X_OK):
        wrong = "cannot be written" if file.parent.is_dir() else "is not there"
        says = f"{url}: there is no file {file}, and the folder {file.parent} {wrong}"
        return Finding(role.name, "fail", says, data, unreachable=True)
    says = f"{url}: there is no file {file} yet; the first send, or a worker, makes it"
    return Finding(role.name, "warn", says, data, unmade=True)


async def _store(role: Role, server: Server, stack: AsyncExitStack) -> AsyncIterator[Finding]:
    """Yield what is found of one store, which stays open for what comes after."""
    name, url = role.name, shown(role.url)
    data: dict[str, Any] = {"url": url}
    side = server.stores.broker if name == "broker" else server.stores.backend
    try:
        async with asyncio.timeout(PATIENCE):
            there(role.url, role.unavailable)
            await role.open()
            stack.push_async_callback(role.close)
            trip = await _trip(role.ask)
            about = await role.broker.about() if role.broker is not None else None
    except TimeoutError:
        yield Finding(name, "fail", f"{url}: no answer within {PATIENCE:g} s", data, unreachable=True)
        return
    except AioqueueError as exc:
        yield Finding(name, "fail", str(exc), data, unreachable=isinstance(exc, UnavailableError))
        return
    if not side.capabilities.shared:
        yield Finding(
            name, "fail", f"{url} lives within one process; name a store that processes share", data
        )
        return
    data["round_trip"] = trip
    if about is None:
        yield Finding(name, "ok", f"{url}: {trip * 1000:.1f} ms a round trip", data)
        return
    data |= {"version": about.version, **about.details}
    told = [
        about.version or side.capabilities.name,
        *(f"{key} {text}" for key, text in about.details.items()),
    ]
    yield Finding(name, "ok", f"{url}: {', '.join(told)}; {trip * 1000:.1f} ms a round trip", data)
    async for finding in _health(role):
        yield finding
    if about.time is not None:
        yield _clock(name, about.time - time.time())


async def _trip(ask: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds of the quickest of a few round trips."""
    trips: list[float] = []
    for _ in range(_TRIPS):
        began = time.perf_counter()
        await ask()
        trips.append(time.perf_counter() - began)
    return min(trips)


async def _health(role: Role) -> AsyncIterator[Finding]:
    if role.broker is None:
        return
    try:
        for sentence in await role.broker.health():
            yield Finding(role.name, "warn", sentence)
    except AioqueueError as exc:
        yield Finding(role.name, "fail", str(exc), unreachable=isinstance(exc, UnavailableError))


def _clock(name: str, ahead: float) -> Finding:
    data = {"ahead": ahead}
    if abs(ahead) < APART:
        return Finding("clock", "ok", f"this host and the {name} agree within {APART:g} s", data)
    side = "ahead of" if ahead > 0 else "behind"
    return Finding(
        "clock",
        "warn",
        f"the {name} is {abs(ahead):.1f} s {side} this host; moments are told by the {name}'s clock",
        data,
    )


async def _queues(server: Server, app: str | None) -> AsyncIterator[Finding]:
    """Yield what waits, and who serves it."""
    stores = server.stores
    try:
        async with asyncio.timeout(PATIENCE):
            queues = await stores.broker.stats()
            listed = None if stores.store is None else await stores.store.list(CARDS)
    except (UnavailableError, TimeoutError) as exc:
        yield Finding("queues", "fail", str(exc) or f"no answer within {PATIENCE:g} s", unreachable=True)
        return
    if listed is None:
        yield _waiting(queues)
        yield Finding("workers", "warn", "this broker cannot tell its workers")
        return
    cards = [WorkerCard.model_validate_json(card) for card in listed.values()]
    served = {queue for card in cards for queue in card.queues}
    yield _waiting(queues)
    for stats in queues:
        waits = (stats.ready or 0) + (stats.delayed or 0)
        if waits and stats.queue not in served:
            yield Finding(
                "queues",
                "warn",
                f"{stats.queue!r}: {_count(waits, 'task')} waiting and no live worker serves it; start one: "
                f"{shlex.join(['aioqueue', 'worker', app or 'APP', '-q', stats.queue])}",
                {"queue": stats.queue, "waiting": waits},
            )
    yield _workers(cards, stores.clock.time())


def _waiting(queues: list[QueueStats]) -> Finding:
    waiting = sum((stats.ready or 0) + (stats.delayed or 0) for stats in queues)
    dead = sum(stats.dead or 0 for stats in queues)
    data = {"queues": len(queues), "waiting": waiting, "dead": dead}
    text = (
        f"{_count(len(queues), 'queue')}; waiting: {_count(waiting, 'task')}; {_count(dead, 'dead letter')}"
    )
    return Finding("queues", "warn" if dead else "ok", text, data)


def _workers(cards: list[WorkerCard], now: float) -> Finding:
    data = {"workers": sorted(card.name for card in cards)}
    if not cards:
        return Finding("workers", "warn", "no worker is alive", data)
    told = [f"{card.name} ({max(0.0, now - card.seen_at):.0f} s ago)" for card in cards]
    return Finding("workers", "ok", f"{len(cards)} alive: {', '.join(sorted(told))}", data)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

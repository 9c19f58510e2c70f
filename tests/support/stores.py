"""The stores the conformance suite runs over, and a place in one of them for each test.

A store joins the suite by a line in BUILT_IN. AIOQUEUE_TEST_URLS, a comma-separated list, names
others to run over instead: their tests share what stands there, so no test counts on being alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NoReturn

import pytest
from _pytest.mark import ParameterSet

from aioqueue.errors import MissingExtraError, UnavailableError
from aioqueue.ids import new_id
from aioqueue.protocols.adapter import Adapter
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.store import Store
from aioqueue.testing import VirtualClock
from aioqueue.urls import connect, redacted
from tests.support import leaks, redis_server
from tests.support.clocks import MovableClock, PatientClock
from tests.support.elsewhere import TwinClock, split


@dataclass(frozen=True, slots=True)
class Implementation:
    """One store. url: made from a folder of the test's own. service: what must run for it, or None.

    across: senders and waiters are in another process than the workers. check: fails a test that
    has left in it what would stay for ever.
    """

    name: str
    url: Callable[[Path], str]
    service: str | None = None
    across: bool = False
    check: Callable[..., None] | None = None


def _memory(folder: Path) -> str:
    return f"memory://{new_id()}"


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / f'{new_id()}.db'}"


def _redis(name: redis_server.Name) -> Callable[[Path], str]:
    def url(folder: Path) -> str:
        try:
            return redis_server.shared(name).url(namespace=new_id())
        except LookupError as exc:
            missing(name, exc)

    return url


def named(url: str) -> Implementation:
    """Return the store at *url*, which all tests share."""
    return Implementation(url.partition(":")[0], lambda folder: url, service=redacted(url))


REDIS = Implementation("redis", _redis("redis"), service="redis-server", check=leaks.check)
VALKEY = Implementation("valkey", _redis("valkey"), service="valkey-server", check=leaks.check)
BUILT_IN = (Implementation("memory", _memory), Implementation("sqlite", _sqlite), REDIS)
ACROSS = (Implementation("sqlite across processes", _sqlite, across=True),)
_GIVEN = tuple(
    named(url.strip()) for url in os.environ.get("AIOQUEUE_TEST_URLS", "").split(",") if url.strip()
)
IMPLEMENTATIONS = _GIVEN or (*BUILT_IN, VALKEY, *ACROSS)
PAIRS = tuple(product(_GIVEN or BUILT_IN, repeat=2))
_DAILY = {"redis+sqlite"}
"""Names of the pairs of two stores that every run is over; ``make prove`` is over all of them."""
_TWO_STEPS = {"memory+memory", *_DAILY}
"""Those that a run is over where broker and backend are used as two stores: each is either once."""


def named_pair(pair: tuple[Implementation, ...]) -> str:
    """Return how tests over *pair* are called."""
    return f"{pair[0].name}+{pair[1].name}"


def over_stores() -> list[ParameterSet]:
    """Return the parameters of tests over all stores; one more of the same kind is marked wide."""
    return [
        pytest.param(store, id=store.name, marks=pytest.mark.wide if store in (VALKEY, *ACROSS) else ())
        for store in IMPLEMENTATIONS
    ]


def over_pairs() -> list[ParameterSet]:
    """Return the parameters of tests over all pairs; those that not every run is over are marked wide."""
    return _over([pair for pair in PAIRS if pair[0] is pair[1] or named_pair(pair) in _DAILY])


def over_two_steps() -> list[ParameterSet]:
    """Return the same where broker and backend are used as two stores, though they be one."""
    return _over([pair for pair in PAIRS if named_pair(pair) in _TWO_STEPS])


def stands_for_all(pair: tuple[Implementation, ...]) -> bool:
    """Tell whether every run is over *pair* where no store has a part: memory, or what was named."""
    return bool(_GIVEN) or pair == (BUILT_IN[0], BUILT_IN[0])


def _over(daily: Sequence[tuple[Implementation, ...]]) -> list[ParameterSet]:
    return [
        pytest.param(pair, id=named_pair(pair), marks=() if _GIVEN or pair in daily else pytest.mark.wide)
        for pair in PAIRS
    ]


def missing(what: str, why: object) -> NoReturn:
    """Skip a test whose service does not run here; fail it where CI is set."""
    text = f"{what} is missing: {why}"
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        pytest.fail(text)
    pytest.skip(text)


def lacks(what: str) -> NoReturn:
    """End a test of what a store says it cannot do: that is a difference, nothing missing."""
    pytest.xfail(what)


@dataclass(frozen=True, slots=True)
class Place:
    """One store as one test uses it: a URL, and the clock by which it tells the time."""

    implementation: Implementation
    url: str
    clock: MovableClock

    def connect(self) -> Adapter:
        """Return an adapter that is not open yet; each call makes another one, of the same store."""
        clock = self.clock if isinstance(self.clock, VirtualClock) else None
        try:
            adapter = connect(self.url, clock=clock)
        except MissingExtraError as exc:
            missing(self.implementation.name, exc)
        return split(adapter, self.url, clock) if self.implementation.across and clock else adapter

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Adapter]:
        """Return an open adapter of the store."""
        adapter = self.connect()
        async with AsyncExitStack() as stack:
            for part in (adapter.broker, adapter.backend):
                if part is not None:
                    await self._open(part)
                    stack.push_async_callback(part.close)
            yield adapter

    def check(self) -> None:
        """Fail if the test has left what would stay for ever."""
        if self.implementation.check is not None:
            self.implementation.check(self.url)

    async def _open(self, part: Broker | Backend) -> None:
        try:
            await part.open()
        except UnavailableError as exc:
            if self.implementation.service is None:
                raise
            missing(self.implementation.service, exc)


@dataclass(frozen=True, slots=True)
class Pair:
    """A broker and the backend beside it; one adapter's if both are the same store."""

    broker: Broker
    backend: Backend
    clock: MovableClock
    one_store: bool


def place(implementation: Implementation, folder: Path, clock: MovableClock) -> Place:
    """Return a place in *implementation*'s store."""
    return Place(implementation, implementation.url(folder), clock)


def clock_for(*implementations: Implementation) -> MovableClock:
    """Return a virtual clock if none of *implementations* is a service, which keeps its own time."""
    if any(implementation.service for implementation in implementations):
        return PatientClock()
    return TwinClock() if any(implementation.across for implementation in implementations) else VirtualClock()


def broker_of(adapter: Adapter) -> Broker:
    """Return its broker; without one the test has nothing to prove."""
    return adapter.broker if adapter.broker is not None else lacks(f"{adapter.url} is no broker")


def backend_of(adapter: Adapter) -> Backend:
    """Return its backend; without one the test has nothing to prove."""
    return adapter.backend if adapter.backend is not None else lacks(f"{adapter.url} is no backend")


def store_of(adapter: Adapter) -> Store:
    """Return its store; without one the test has nothing to prove."""
    return adapter.store if adapter.store is not None else lacks(f"{adapter.url} has no store")

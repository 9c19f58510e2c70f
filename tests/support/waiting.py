"""Waiting in tests: every wait has a deadline, and this is the one file that sleeps.

Deadlines are real seconds in which the loop turned: of the time for which a machine stands still, little
counts. A virtual clock does not move them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from aioqueue.ids import new_id
from aioqueue.protocols.broker import Consumer
from aioqueue.protocols.messages import Delivery, Message
from aioqueue.testing import VirtualClock

if TYPE_CHECKING:
    from tests.support.clocks import MovableClock

DEADLINE = 10.0
"""Seconds after which a wait has failed."""

_PAUSE = 0.005
_TICK, _COUNTS = 0.05, 0.25
"""Seconds between two looks at a deadline, and what counts of them at most."""

_THREADS = 3.0
"""Real seconds for what is done by other threads when no more virtual time may pass."""

T = TypeVar("T")


@contextmanager
def _deadline(seconds: float, over: Callable[[], None]) -> Generator[None]:
    """Call *over* after so many seconds in here, in which the loop turned."""
    clock = asyncio.get_running_loop()
    last = clock.time()
    next_look: asyncio.TimerHandle

    def look() -> None:
        nonlocal seconds, last, next_look
        now = clock.time()
        seconds -= min(now - last, _COUNTS)
        last = now
        if seconds > 0:
            next_look = clock.call_later(min(_TICK, seconds), look)
        else:
            over()

    next_look = clock.call_later(min(_TICK, seconds), look)
    try:
        yield
    finally:
        next_look.cancel()


async def pause(seconds: float = _PAUSE) -> None:
    """Let real time pass, so that threads and other processes get on."""
    await asyncio.sleep(seconds)


async def eventually(predicate: Callable[[], bool | Awaitable[bool]], *, deadline: float = DEADLINE) -> None:
    """Return once *predicate* holds; fail if it does not within *deadline* s."""
    over = asyncio.Event()
    with _deadline(deadline, over.set):
        while True:
            answer = predicate()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            if over.is_set():
                pytest.fail(f"did not come true within {deadline:g} s")
            await pause()


async def within(awaitable: Awaitable[T], *, deadline: float = DEADLINE) -> T:
    """Return what *awaitable* comes to; fail if that takes more than *deadline* s."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        with _deadline(deadline, lambda: limit.reschedule(loop.time())):
            return await awaitable


async def passing(
    clock: MovableClock, awaitable: Awaitable[T], *, seconds: float = DEADLINE, step: float = 0.25
) -> T:
    """Let time pass in steps until *awaitable* is done; fail if *seconds* do not bring it."""
    task = asyncio.ensure_future(awaitable)
    end = clock.time() + seconds
    await pause()
    while not task.done() and clock.time() < end:
        await clock.advance(step)
        await pause()
    if isinstance(clock, VirtualClock):
        # threads and disks take their own time
        await asyncio.wait([task], timeout=_THREADS)
    if not task.done():
        task.cancel()
        pytest.fail(f"is not done after {seconds:g} s of its clock")
    return await task


async def under_way(awaitable: Awaitable[T], *, seconds: float = 0.05) -> asyncio.Task[T]:
    """Start *awaitable* and return it once it has had time to begin waiting; fail if it ended."""
    task = asyncio.ensure_future(awaitable)
    assert isinstance(task, asyncio.Task)
    await pause(seconds)
    if task.done():
        pytest.fail(f"did not wait but ended: {task}")
    return task


def message(queue: str, **changes: Any) -> Message:
    """Return a message of a task nobody else has, with *changes*."""
    plain = Message(id=new_id(), name="add", queue=queue, body=b'{"v":1,"a":[1,2]}')
    return replace(plain, **changes)


def messages(queue: str, count: int, **changes: Any) -> list[Message]:
    """Return *count* such messages."""
    return [message(queue, **changes) for _ in range(count)]


def lent(message: Message, *, at: float = 0.0) -> Delivery:
    """Return *message* as a delivery of some other broker, for a backend alone."""
    return Delivery(message=message, receipt=object(), at=at)


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the ids of the tasks, in order."""
    return [delivery.message.id for delivery in deliveries]


async def take(consumer: Consumer, count: int = 1, *, deadline: float = DEADLINE) -> list[Delivery]:
    """Return the next *count* deliveries; fail if they do not come within *deadline* s."""
    over = asyncio.Event()
    taken: list[Delivery] = []

    def wake() -> None:
        over.set()
        # woken and not cancelled: a cancelled receive may lose what it was about to return
        consumer.wake()

    with _deadline(deadline, wake):
        while len(taken) < count:
            if over.is_set():
                pytest.fail(f"got {len(taken)} of {count} deliveries within {deadline:g} s")
            taken += await consumer.receive(count - len(taken), timeout=deadline)
    return taken


async def one(consumer: Consumer, *, deadline: float = DEADLINE) -> Delivery:
    """Return the next delivery."""
    return (await take(consumer, deadline=deadline))[0]


async def ready(consumer: Consumer, limit: int = 1_000) -> list[Delivery]:
    """Return what can be had without waiting."""
    return await within(consumer.receive(limit, timeout=0))

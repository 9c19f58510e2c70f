"""How long keys live: what the suite of all stores would have to wait days for is read from the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioqueue.models.rate import Rate
from aioqueue.models.state import State
from aioqueue.protocols.adapter import Adapter
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.limits import PARKED, Limits
from aioqueue.protocols.log import Note
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL, Ending, Message, Settlement
from aioqueue.urls import connect
from tests.integration.redis.apparatus import prefix_of
from tests.support.redis_server import RedisServer
from tests.support.stores import backend_of, broker_of
from tests.support.waiting import lent, message, one, take

pytestmark = pytest.mark.anyio

QUEUE = "default"
SOON = 60.0
"""Seconds that a test may take at most."""


@pytest.fixture
async def adapter(url: str) -> AsyncIterator[Adapter]:
    """The adapter, open."""
    adapter = connect(url)
    async with asyncio.timeout(30):
        await broker_of(adapter).open()
        await backend_of(adapter).open()
    yield adapter
    await backend_of(adapter).close()
    await broker_of(adapter).close()


class Keys:
    """The keys of a namespace, as the server has them."""

    def __init__(self, server: RedisServer, url: str) -> None:
        self._server, self._prefix = server, prefix_of(url)

    def left(self, key: str) -> float:
        """Return the seconds *key* has to live; -0.001 if it stays for ever, -0.002 if there is none."""
        return int(self._server.command("PTTL", self._prefix + key)) / 1000

    def lives(self, key: str, seconds: float) -> bool:
        """Tell whether *key* has *seconds* to live, less what the test took."""
        return seconds - SOON < self.left(key) <= seconds + 0.1

    def field(self, key: str, name: str) -> Any:
        """Return a field of a hash."""
        return self._server.command("HGET", self._prefix + key, name)


@pytest.fixture
def keys(shared: RedisServer, url: str) -> Keys:
    """The keys."""
    return Keys(shared, url)


async def submit(adapter: Adapter, *sent: Message) -> None:
    """Send tasks, records and messages in one step."""
    submitter = broker_of(adapter).submitter(backend_of(adapter))
    assert submitter is not None
    assert all(await submitter.submit(sent))


async def done(adapter: Adapter, sent: Message, *, ttl: float) -> None:
    """Send a task and end it."""
    broker, backend = broker_of(adapter), backend_of(adapter)
    await submit(adapter, sent)
    async with broker.consume([QUEUE], prefetch=9, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(backend)
        assert finisher is not None
        await finisher.finish([Ending(await one(consumer), State.SUCCESS, value=b"1", ttl=ttl)])


async def test_open_record_lives_thirty_days_past_its_due_moment(adapter: Adapter, keys: Keys) -> None:
    now, later = message(QUEUE), message(QUEUE, delay=86_400.0)

    await submit(adapter, now, later)

    # and a day, in which its start need not renew it
    assert keys.lives(f"t:{now.id}", OPEN_TTL + 86_400.0)
    assert keys.lives(f"t:{later.id}", OPEN_TTL + 2 * 86_400.0)
    assert keys.lives(f"m:{later.id}/1/0", OPEN_TTL + 86_400.0)


async def test_each_transition_begins_the_thirty_days_anew(
    adapter: Adapter, keys: Keys, shared: RedisServer, url: str
) -> None:
    broker, backend = broker_of(adapter), backend_of(adapter)
    sent = message(QUEUE, sent=time.time() - 2 * 86_400)
    await submit(adapter, sent)
    shared.command("PEXPIRE", f"{prefix_of(url)}t:{sent.id}", 100_000)

    async with broker.consume([QUEUE], prefetch=9, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(backend)
        assert finisher is not None
        delivery = await one(consumer)
        at_start = keys.lives(f"t:{sent.id}", OPEN_TTL)
        again = message(QUEUE, id=sent.id, attempt=2, delay=3_600.0)
        retry = Ending(delivery, State.RETRY, error=b"{}", follow=(again,), next_at=delivery.at + 3_600)
        assert list(await finisher.finish([retry])) == [True]

    assert at_start
    assert keys.lives(f"t:{sent.id}", OPEN_TTL + 3_600)


async def test_ended_record_lives_as_long_as_its_value(adapter: Adapter, keys: Keys) -> None:
    sent = message(QUEUE)

    await done(adapter, sent, ttl=SOON * 10)

    assert keys.lives(f"t:{sent.id}", SOON * 10)


async def test_record_that_is_gone_is_made_again_by_the_start_and_by_the_end(
    adapter: Adapter, keys: Keys, shared: RedisServer, url: str
) -> None:
    broker, backend = broker_of(adapter), backend_of(adapter)
    sent = message(QUEUE)
    await submit(adapter, sent)
    shared.command("DEL", f"{prefix_of(url)}t:{sent.id}")

    async with broker.consume([QUEUE], prefetch=9, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(backend)
        assert finisher is not None
        delivery = await one(consumer)
        (started,) = await backend.get([sent.id])
        shared.command("DEL", f"{prefix_of(url)}t:{sent.id}")
        answers = await finisher.finish([Ending(delivery, State.SUCCESS, value=b"1")])
        (ended,) = await backend.get([sent.id])

    assert started is not None
    assert (started.state, started.name) == (State.STARTED, sent.name)
    assert list(answers) == [True]
    assert ended is not None
    assert (ended.state, ended.name, ended.value) == (State.SUCCESS, sent.name, b"1")


async def test_commit_record_of_two_stores_outlives_its_value(adapter: Adapter, keys: Keys) -> None:
    backend = backend_of(adapter)
    short, long = lent(message(QUEUE)), lent(message(QUEUE))

    await backend.claim([short, long], owner="owner", worker="w")
    await backend.commit(
        [
            Ending(short, State.SUCCESS, value=b"1", ttl=SOON * 10),
            Ending(long, State.SUCCESS, value=b"1", ttl=2 * COMMIT_TTL),
        ],
        owner="owner",
    )

    assert keys.lives(f"t:{short.message.id}", COMMIT_TTL)
    assert keys.lives(f"v:{short.message.id}", SOON * 10)
    assert keys.field(f"t:{short.message.id}", "v") is None
    assert keys.lives(f"t:{long.message.id}", 2 * COMMIT_TTL)
    assert keys.left(f"v:{long.message.id}") == -0.002


async def test_waiting_message_and_dead_letter_do_not_lapse(adapter: Adapter, keys: Keys) -> None:
    broker: Broker = broker_of(adapter)
    waits, dies = message(QUEUE), message(QUEUE)
    await broker.publish([dies])
    async with broker.consume([QUEUE], prefetch=9, lease=600, worker="w") as consumer:
        await consumer.settle([Settlement(await one(consumer), dead="why not")])
    await broker.publish([waits])

    assert keys.left(f"q:{QUEUE}:0") == -0.001
    assert keys.left("dead") == -0.001
    assert keys.lives(f"m:{waits.id}/1/0", OPEN_TTL)


async def test_what_a_run_tells_lives_as_long_as_its_record(adapter: Adapter, keys: Keys) -> None:
    backend, notes = backend_of(adapter), [Note(True, b"1"), Note(False, b"2")]
    ended, forgotten, cancelled = (message(QUEUE) for _ in range(3))
    await submit(adapter, ended, forgotten, cancelled)
    async with broker_of(adapter).consume([QUEUE], prefetch=9, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(backend)
        assert finisher is not None
        taken = {delivery.message.id: delivery for delivery in await take(consumer, 3)}
        for id in taken:
            assert await backend.note(id, notes, first=0, attempt=1, owner=consumer.id)
        open = [keys.lives(f"{kind}:{ended.id}", OPEN_TTL) for kind in "ey"]
        for sent in (ended, forgotten):
            await finisher.finish([Ending(taken[sent.id], State.SUCCESS, value=b"1", ttl=300)])
        await backend.forget([forgotten.id])
        await backend.cancel([cancelled.id], ttl=200)

    assert open == [True, True]
    for kind in "ey":
        assert keys.lives(f"{kind}:{ended.id}", 300)
        assert keys.lives(f"{kind}:{cancelled.id}", 200)
        assert keys.left(f"{kind}:{forgotten.id}") == -0.002


async def test_what_is_told_lives_as_long_as_its_value_in_two_stores(adapter: Adapter, keys: Keys) -> None:
    backend, delivery = backend_of(adapter), lent(message(QUEUE))
    id = delivery.message.id
    await backend.claim([delivery], owner="o", worker="w")
    assert await backend.note(id, [Note(True, b"1")], first=0, attempt=1, owner="o")
    await backend.commit([Ending(delivery, State.SUCCESS, value=b"1", ttl=300)], owner="o")

    assert keys.lives(f"e:{id}", 300)
    assert keys.lives(f"t:{id}", COMMIT_TTL)


async def test_record_lasts_while_its_task_waits_for_a_turn(
    adapter: Adapter, keys: Keys, shared: RedisServer, url: str
) -> None:
    broker, backend = broker_of(adapter), backend_of(adapter)
    sent = [message(QUEUE), message(QUEUE)]
    await submit(adapter, *sent)
    async with broker.consume([QUEUE], prefetch=9, lease=600, worker="w") as consumer:
        finisher = consumer.finisher(backend, limited={"add"})
        assert finisher is not None
        deliveries = await take(consumer, 2)
        shared.command("PEXPIRE", f"{prefix_of(url)}t:{sent[1].id}", 100_000)
        asked = Limits("month", (Rate(1, 40 * 86_400.0),))
        assert list(await consumer.admit([(each, asked) for each in deliveries])) == [True, False]

    assert keys.lives(f"t:{sent[1].id}", OPEN_TTL + 86_400.0 + PARKED)

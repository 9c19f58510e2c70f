"""Listing: pages of what is in a queue and of the dead letters, stable while others come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aioqueue.errors import ConfigurationError
from aioqueue.models.stats import DeadLetter, QueueEntry, Where
from aioqueue.protocols.broker import Broker, Consumer
from aioqueue.protocols.messages import Message, Settlement
from tests.support.clocks import MovableClock
from tests.support.counting import counts
from tests.support.waiting import ids, message, messages, one, ready, take

pytestmark = pytest.mark.anyio


async def walk(broker: Broker, queue: str, where: Where, limit: int) -> AsyncIterator[QueueEntry]:
    after: str | None = None
    while True:
        page = await broker.inspect(queue, where, after=after, limit=limit)
        assert len(page.entries) <= limit
        for entry in page.entries:
            yield entry
        after = page.next
        if after is None:
            return


async def listed(broker: Broker, queue: str, where: Where, limit: int = 7) -> list[str]:
    return [entry.id async for entry in walk(broker, queue, where, limit)]


async def buried(broker: Broker, consumer: Consumer, sent: list[Message]) -> list[DeadLetter]:
    """Bury messages, and return their letters in that order."""
    for each in sent:
        await broker.publish([each])
        await consumer.settle([Settlement(await one(consumer), dead="no")])
    page = await broker.letters(limit=len(sent))
    return list(reversed(page.letters))


@pytest.mark.parametrize("limit", [1, 7, 30, 1_000])
async def test_pending_ones_are_listed_in_the_order_of_priorities_then_of_acceptance(
    broker: Broker, queue: str, limit: int
) -> None:
    sent = [message(queue, priority=n % 3 * 4) for n in range(30)]
    await broker.publish([*sent, *messages(f"{queue}-2", 3)])

    expected = [m.id for priority in (8, 4, 0) for m in sent if m.priority == priority]
    assert await listed(broker, queue, Where.PENDING, limit) == expected


async def test_entry_says_what_the_message_says(broker: Broker, queue: str, clock: MovableClock) -> None:
    sent = message(queue, name="pkg.mod:task", attempt=3, hop=2, priority=4, tracked=False, sent=12.5)
    later = message(queue, eta=clock.time() + 100)
    await broker.publish([sent, later])

    (entry,) = (await broker.inspect(queue, Where.PENDING)).entries
    (delayed,) = (await broker.inspect(queue, Where.DELAYED)).entries
    (full,) = (await broker.inspect(queue, Where.PENDING, bodies=True)).entries

    assert (entry.id, entry.name, entry.queue) == (sent.id, "pkg.mod:task", queue)
    assert (entry.attempt, entry.hop, entry.priority, entry.tracked) == (3, 2, 4, False)
    assert (entry.sent, entry.due, entry.body, entry.holder) == (12.5, None, None, None)
    assert (delayed.id, delayed.sent) == (later.id, None)
    assert delayed.due == pytest.approx(later.eta, abs=0.01)
    assert full.body == sent.body


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_delayed_ones_are_listed_by_the_moment_they_are_due(
    broker: Broker, queue: str, clock: MovableClock, limit: int
) -> None:
    now = clock.time()
    sent = [message(queue, id=f"{queue}-{n:02}", eta=now + 100 + 50 * (n % 3)) for n in range(12)]
    await broker.publish(sent)

    got = [entry async for entry in walk(broker, queue, Where.DELAYED, limit)]

    assert sorted(entry.id for entry in got) == [m.id for m in sent]
    assert [entry.due for entry in got] == sorted(entry.due or 0 for entry in got)


async def test_running_ones_are_what_consumers_hold(
    broker: Broker, consumer: Consumer, rival: Consumer, queue: str
) -> None:
    sent = messages(queue, 10)
    await broker.publish(sent)
    mine, theirs = await ready(consumer, 4), await ready(rival, 3)

    got = [entry async for entry in walk(broker, queue, Where.RUNNING, 2)]

    assert sorted(entry.id for entry in got) == sorted([*ids(mine), *ids(theirs)])
    assert {entry.id: entry.holder for entry in got} == {
        **dict.fromkeys(ids(mine), consumer.id),
        **dict.fromkeys(ids(theirs), rival.id),
    }
    assert await listed(broker, queue, Where.PENDING) == [m.id for m in sent[7:]]


async def test_empty_queue_has_an_empty_page(broker: Broker, queue: str) -> None:
    for where in Where:
        page = await broker.inspect(queue, where)

        assert (page.entries, page.next) == ((), None)


async def test_what_stays_is_listed_once_while_others_come_and_go(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    sent = messages(queue, 40)
    await broker.publish(sent)
    page = await broker.inspect(queue, Where.PENDING, limit=10)
    seen = [entry.id for entry in page.entries]

    taken: list[str] = []
    while page.next is not None:
        taken += ids(await ready(consumer, 3))
        await broker.publish([message(queue, priority=9), message(queue)])
        page = await broker.inspect(queue, Where.PENDING, after=page.next, limit=10)
        seen += [entry.id for entry in page.entries]

    stayed = [m.id for m in sent if m.id not in taken]
    assert [id for id in seen if id in stayed] == stayed
    assert len(seen) == len(set(seen))


async def test_delayed_page_begins_behind_one_that_is_gone(
    broker: Broker, queue: str, clock: MovableClock
) -> None:
    sent = [message(queue, id=f"{queue}-{n}", eta=clock.time() + 100) for n in range(9)]
    await broker.publish(sent)
    page = await broker.inspect(queue, Where.DELAYED, limit=4)

    assert await broker.remove(page.entries) == 4
    rest = await broker.inspect(queue, Where.DELAYED, after=page.next, limit=10)

    assert [e.id for e in (*page.entries, *rest.entries)] == [m.id for m in sent]
    assert (await counts(broker, queue)).delayed == 5


async def test_what_has_become_due_is_pending(broker: Broker, queue: str, clock: MovableClock) -> None:
    sent = message(queue, delay=1)
    await broker.publish([sent])
    await clock.advance(1.2)

    assert await listed(broker, queue, Where.PENDING) == [sent.id]
    assert await listed(broker, queue, Where.DELAYED) == []


@pytest.mark.parametrize("where", Where)
async def test_text_that_is_no_cursor_is_refused(broker: Broker, queue: str, where: Where) -> None:
    with pytest.raises(ConfigurationError, match="'nonsense' is no cursor"):
        await broker.inspect(queue, where, after="nonsense")
    with pytest.raises(ConfigurationError, match="is no cursor"):
        await broker.letters(after="nonsense")


async def test_removed_one_is_not_handed_out_and_may_be_sent_again(
    broker: Broker, consumer: Consumer, queue: str
) -> None:
    sent = messages(queue, 3)
    later = message(queue, delay=1_000)
    await broker.publish([*sent, later])
    entries = (await broker.inspect(queue, Where.PENDING)).entries
    entries += (await broker.inspect(queue, Where.DELAYED)).entries

    gone = await broker.remove([entries[1], entries[3]])
    again = await broker.remove([entries[1], entries[3]])
    accepted = await broker.publish([sent[1], later])

    assert (gone, again) == (2, 0)
    assert list(accepted) == [True, True]
    assert ids(await take(consumer, 3)) == [sent[0].id, sent[2].id, sent[1].id]


async def test_held_one_is_not_removed(broker: Broker, consumer: Consumer, queue: str) -> None:
    await broker.publish([message(queue)])
    (entry,) = (await broker.inspect(queue, Where.PENDING)).entries
    held = await one(consumer)
    (running,) = (await broker.inspect(queue, Where.RUNNING)).entries

    assert await broker.remove([entry, running]) == 0
    assert list(await consumer.settle([Settlement(held)])) == [True]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_dead_letters_are_listed_newest_first(
    broker: Broker, consumer: Consumer, queue: str, limit: int
) -> None:
    sent = [message(queue, priority=n, body=b"\xff\x00") for n in range(7)]
    await buried(broker, consumer, sent)

    got: list[DeadLetter] = []
    after: str | None = None
    while True:
        page = await broker.letters(queue=queue, after=after, limit=limit)
        got += page.letters
        after = page.next
        if after is None:
            break

    assert [(g.id, g.priority, g.reason) for g in got] == [(m.id, m.priority, "no") for m in reversed(sent)]
    assert {letter.body for letter in got} == {b"\xff\x00"}
    assert len({letter.key for letter in got}) == 7


async def test_letters_of_one_queue_are_found_among_others(broker: Broker, queue: str) -> None:
    other = f"{queue}-2"
    async with broker.consume([queue, other], prefetch=10, lease=600, worker="w") as consumer:
        sent = [message(other if n % 4 else queue) for n in range(12)]
        await buried(broker, consumer, sent)

    found: list[str] = []
    after: str | None = None
    for _ in range(12):
        page = await broker.letters(queue=queue, after=after, limit=2)
        found += [letter.id for letter in page.letters]
        after = page.next
        if after is None:
            break

    assert found == [m.id for m in reversed(sent) if m.queue == queue]


async def test_discarded_letters_are_gone(broker: Broker, consumer: Consumer, queue: str) -> None:
    letters = await buried(broker, consumer, messages(queue, 3))

    gone = await broker.discard([letters[1].key, letters[2].key, "no such key"])
    again = await broker.discard([letters[1].key])
    after = await buried(broker, consumer, [message(queue)])

    assert (gone, again) == (2, 0)
    assert (await counts(broker, queue)).dead == 2
    assert after[0].key not in {letter.key for letter in letters}
    page = await broker.letters(queue=queue)
    assert [letter.key for letter in page.letters] == [after[0].key, letters[0].key]

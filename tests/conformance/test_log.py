"""Log: what a run of a task tells is kept in order, by its own run only, and read from any place in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aioqueue import Signature, chain
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.log import LOG_BYTES, LOG_PAGE, LOG_PROGRESS, PAGE_BYTES, Log, Note, standing
from aioqueue.protocols.messages import Delivery, Ending
from tests.support.clocks import MovableClock
from tests.support.flows import Works
from tests.support.onestep import Hand, OneStep
from tests.support.twostep import claim, commit
from tests.support.waiting import message, under_way, within

pytestmark = pytest.mark.anyio


def values(*texts: bytes) -> list[Note]:
    return [Note(True, text) for text in texts]


def progress(*texts: bytes) -> list[Note]:
    return [Note(False, text) for text in texts]


async def read(backend: Backend, id: str, after: int = 0) -> Log:
    """Return what there is now."""
    log = await backend.log(id, after=after, seen=None, timeout=0)
    assert log is not None
    return log


async def read_all(backend: Backend, id: str) -> list[bytes]:
    """Return the data of all pages."""
    found: list[bytes] = []
    after, more = 0, True
    while more:
        log = await read(backend, id, after)
        found += [entry.data for entry in log.entries]
        after, more = log.entries[-1].number if log.entries else after, log.more
    return found


async def started(shop: OneStep, hand: Hand, queue: str) -> Delivery:
    """Return a task that runs."""
    await shop.submit(message(queue))
    return await hand.one()


async def tell(
    backend: Backend, delivery: Delivery, owner: str, notes: list[Note], *, first: int = 0
) -> bool:
    sent = delivery.message
    return await backend.note(sent.id, notes, first=first, attempt=sent.attempt, owner=owner)


async def test_what_a_run_tells_is_kept_in_order(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    delivery = await started(shop, hand, queue)
    owner = hand.consumer.id
    told = await tell(shop.backend, delivery, owner, [*values(b"a"), *progress(b"half"), *values(b"b")])
    more = await tell(shop.backend, delivery, owner, values(b"c"), first=3)

    log = await read(shop.backend, delivery.message.id)
    record = await shop.record(delivery.message.id)
    assert (told, more, log.more) == (True, True, False)
    assert [(e.value, e.data) for e in log.entries] == [
        (True, b"a"),
        (False, b"half"),
        (True, b"b"),
        (True, b"c"),
    ]
    numbers = [e.number for e in log.entries]
    assert numbers == sorted(set(numbers))
    assert log.record == record
    for e in log.entries:
        assert (e.attempt, e.losses) == (1, 0)
        assert e.started / 1000 == pytest.approx(record.started, abs=0.001)
        assert e.at == pytest.approx(clock.time(), abs=1)


async def test_what_was_written_before_an_answer_was_lost_is_not_written_twice(
    shop: OneStep, hand: Hand, queue: str
) -> None:
    delivery = await started(shop, hand, queue)
    owner = hand.consumer.id
    await tell(shop.backend, delivery, owner, values(b"a", b"b"))
    await tell(shop.backend, delivery, owner, values(b"a", b"b"))
    await tell(shop.backend, delivery, owner, values(b"b", b"c"), first=1)

    assert await read_all(shop.backend, delivery.message.id) == [b"a", b"b", b"c"]


async def test_log_is_read_on_from_any_entry_and_in_pages(shop: OneStep, hand: Hand, queue: str) -> None:
    delivery = await started(shop, hand, queue)
    texts = [b"%d" % n for n in range(LOG_PAGE + 50)]
    for first in range(0, len(texts), 50):
        await tell(shop.backend, delivery, hand.consumer.id, values(*texts[first : first + 50]), first=first)

    page = await read(shop.backend, delivery.message.id)
    rest = await read(shop.backend, delivery.message.id, page.entries[-1].number)
    assert (len(page.entries), page.more, len(rest.entries), rest.more) == (LOG_PAGE, True, 50, False)
    assert [e.data for e in (*page.entries, *rest.entries)] == texts


async def test_page_of_large_entries_is_short(shop: OneStep, hand: Hand, queue: str) -> None:
    delivery = await started(shop, hand, queue)
    large = bytes(PAGE_BYTES // 2)
    for first in range(3):
        await tell(shop.backend, delivery, hand.consumer.id, values(large), first=first)

    page = await read(shop.backend, delivery.message.id)
    assert (len(page.entries), page.more) == (2, True)
    assert len(await read_all(shop.backend, delivery.message.id)) == 3


async def test_of_progress_the_last_is_kept_and_of_values_all(shop: OneStep, hand: Hand, queue: str) -> None:
    delivery = await started(shop, hand, queue)
    owner = hand.consumer.id
    texts = [b"%d" % n for n in range(LOG_PROGRESS + 30)]
    await tell(shop.backend, delivery, owner, values(b"first"))
    await tell(shop.backend, delivery, owner, progress(*texts[:90]), first=1)
    await tell(shop.backend, delivery, owner, progress(*texts[90:]), first=91)

    assert await read_all(shop.backend, delivery.message.id) == [b"first", *texts[30:]]


async def test_another_owner_or_attempt_tells_nothing(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await claim(backend, first, owner)
    stranger = await tell(backend, first, new_id(), values(b"no"))
    later = await tell(backend, second, owner, values(b"no"))
    nobody = await backend.note(new_id(), values(b"no"), first=0, attempt=1, owner=owner)

    assert (stranger, later, nobody) == (False, False, False)
    assert (await read(backend, first.message.id)).entries == ()


async def test_run_that_was_taken_over_tells_nothing_more(
    backend: Backend, first: Delivery, owner: str
) -> None:
    dead = new_id()
    await claim(backend, first, dead)
    before = await tell(backend, first, dead, values(b"a", b"b"))
    await claim(backend, first, owner)
    late = await tell(backend, first, dead, values(b"c"), first=2)
    again = await tell(backend, first, owner, values(b"a"))

    log = await read(backend, first.message.id)
    assert (before, late, again) == (True, False, True)
    assert [(e.losses, e.data) for e in log.entries] == [(0, b"a"), (0, b"b"), (1, b"a")]
    assert [(a.number, a.error) for a in log.before] == [(1, None)]


async def test_task_that_has_ended_or_was_cancelled_tells_nothing_more(
    backend: Backend, first: Delivery, owner: str, queue: str
) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, value=b"1"), owner)
    other = replace(first, message=message(queue))
    await claim(backend, other, owner)
    await backend.cancel([other.message.id], ttl=60)

    assert await tell(backend, first, owner, values(b"no")) is False
    assert await tell(backend, other, owner, values(b"no")) is False
    assert (await read(backend, first.message.id)).record.state is State.SUCCESS


async def test_next_attempt_begins_anew_behind_the_one_before(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock
) -> None:
    delivery = await started(shop, hand, queue)
    sent, owner = delivery.message, hand.consumer.id
    await tell(shop.backend, delivery, owner, values(b"a", b"b"))
    again = replace(sent, attempt=2)
    await hand.end(delivery, State.RETRY, error=b"no", follow=(again,), next_at=clock.time())
    next_one = await hand.one()
    await tell(shop.backend, next_one, owner, values(b"a"))

    log = await read(shop.backend, sent.id)
    assert [(e.attempt, e.data) for e in log.entries] == [(1, b"a"), (1, b"b"), (2, b"a")]
    assert [(a.number, a.error) for a in log.before] == [(1, b"no")]
    assert log.before[0].started is not None
    assert log.entries[0].started == round(log.before[0].started * 1000)


async def test_log_lasts_as_long_as_the_record_is_shown(
    shop: OneStep, hand: Hand, broker: Broker, queue: str, clock: MovableClock
) -> None:
    kept, forgotten = await started(shop, hand, queue), await started(shop, hand, queue)
    for delivery in (kept, forgotten):
        await tell(shop.backend, delivery, hand.consumer.id, values(b"a"))
        await hand.end(delivery, ttl=1)
    await shop.backend.forget([forgotten.message.id])
    before = await read_all(shop.backend, kept.message.id)

    await clock.advance(1.1)
    await broker.maintain()

    assert before == [b"a"]
    for delivery in (kept, forgotten):
        assert await shop.backend.log(delivery.message.id, after=0, seen=None, timeout=0) is None


async def test_forgotten_task_that_runs_tells_nothing_more(shop: OneStep, hand: Hand, queue: str) -> None:
    delivery = await started(shop, hand, queue)
    await tell(shop.backend, delivery, hand.consumer.id, values(b"a"))
    await shop.backend.forget([delivery.message.id])

    assert await tell(shop.backend, delivery, hand.consumer.id, values(b"b"), first=1) is False
    assert await shop.backend.log(delivery.message.id, after=0, seen=None, timeout=0) is None
    assert await hand.end(delivery)


async def test_who_follows_is_woken_by_what_is_told(shop: OneStep, hand: Hand, queue: str) -> None:
    delivery = await started(shop, hand, queue)
    record = await shop.record(delivery.message.id)
    seen = standing(record)

    def following(after: int) -> Any:
        return shop.backend.log(delivery.message.id, after=after, seen=seen, timeout=60)

    waiting = await under_way(following(0))
    await tell(shop.backend, delivery, hand.consumer.id, values(b"a"))
    log = await within(waiting)
    ending = await under_way(following(log.entries[-1].number))
    await hand.end(delivery)
    end = await within(ending)

    assert [e.data for e in log.entries] == [b"a"]
    assert (end.entries, end.record.state) == ((), State.SUCCESS)


async def test_who_has_seen_less_of_the_record_is_answered_at_once(
    shop: OneStep, hand: Hand, queue: str
) -> None:
    sent = message(queue)
    await shop.submit(sent)
    seen = standing(await shop.record(sent.id))
    await hand.one()

    log = await within(shop.backend.log(sent.id, after=0, seen=seen, timeout=60))
    assert log is not None
    assert log.record.state is State.STARTED


async def test_unknown_task_has_no_log(backend: Backend) -> None:
    assert await within(backend.log(new_id(), after=0, seen=None, timeout=60)) is None
    assert await within(backend.log("no name\n", after=0, seen=None, timeout=60)) is None


async def test_values_of_earlier_runs_make_room_and_those_of_this_run_do_not(
    shop: OneStep, hand: Hand, queue: str, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in ("memory", "sqlite"):
        monkeypatch.setattr(f"aioqueue.adapters.{store}.log.LOG_VALUES", 5)
    monkeypatch.setattr("aioqueue.adapters.redis.log._MOST", f"5 {LOG_BYTES} {LOG_PROGRESS}")
    delivery = await started(shop, hand, queue)
    sent, owner = delivery.message, hand.consumer.id
    await tell(shop.backend, delivery, owner, values(b"a", b"b", b"c", b"d"))
    again = replace(sent, attempt=2)
    await hand.end(delivery, State.RETRY, error=b"no", follow=(again,), next_at=clock.time())
    next_one = await hand.one()
    await tell(shop.backend, next_one, owner, values(b"1", b"2", b"3"))
    some = await read_all(shop.backend, sent.id)
    await tell(shop.backend, next_one, owner, values(b"4", b"5", b"6"), first=3)

    assert some == [b"c", b"d", b"1", b"2", b"3"]
    assert await read_all(shop.backend, sent.id) == [b"1", b"2", b"3", b"4", b"5", b"6"]


async def test_node_tells_as_any_task_until_its_whole_is_cancelled(works: Works) -> None:
    plan = await works.send(chain(Signature(name="a", takes="none"), Signature(name="b")))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        owner = crew.consumer.id
        before = await tell(works.backend, delivery, owner, values(b"1"))
        await works.submitter.cancel([plan.id], ttl=60)
        after = await tell(works.backend, delivery, owner, values(b"2"), first=1)

        assert (before, after) == (True, False)
        log = await read(works.backend, delivery.message.id)
        assert (log.record.state, [e.data for e in log.entries]) == (State.CANCELLED, [b"1"])


async def test_node_that_was_told_of_by_its_last_value_lets_its_workflow_go_on(works: Works) -> None:
    plan = await works.send(chain(Signature(name="a", takes="none"), Signature(name="b")))
    async with works.crew() as crew:
        delivery = (await crew.take())["a"]
        await tell(works.backend, delivery, crew.consumer.id, [*values(b"1"), *progress(b"2")])
        await crew.end(delivery)
        ran = await crew.run()

    log = await read(works.backend, delivery.message.id)
    assert ran == ["b"]
    assert [e.data for e in log.entries] == [b"1", b"2"]
    assert (await works.record(plan.result)).state is State.SUCCESS

"""Claim: who may run a task whose broker is another store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.messages import COMMIT_TTL, Delivery, Ending, Message, Record, Start, Verdict
from tests.support.clocks import MovableClock
from tests.support.twostep import alive, beat, claim, commit, record_of
from tests.support.waiting import lent, message, messages, within

pytestmark = pytest.mark.anyio

LEASE = 2.0
RUN = Start(Verdict.RUN)
COMMITTED = Start(Verdict.COMMITTED)


def followers(queue: str, first: Delivery) -> tuple[Message, ...]:
    """Messages that use every field."""
    return (
        message(queue, id=f"{first.message.id}.s", name="next", priority=9, eta=1e9, sent=3.5),
        message(
            queue, id=first.message.id, attempt=2, hop=1, delay=2.5, tracked=False, body='{"ü":1}'.encode()
        ),
    )


async def test_claim_writes_who_runs_the_task(
    backend: Backend, first: Delivery, owner: str, clock: MovableClock
) -> None:
    sent = first.message
    await backend.put([Record(sent.id, sent.name, sent.queue, sent=12.5)])

    start = await claim(backend, first, owner)
    record = await record_of(backend, first)

    assert start == RUN
    assert (record.state, record.attempt, record.worker) == (State.STARTED, 1, f"worker of {owner}")
    assert record.started == pytest.approx(clock.time(), abs=1)
    assert (record.name, record.queue, record.sent) == (sent.name, sent.queue, 12.5)


async def test_claim_without_a_record_makes_it_again(backend: Backend, first: Delivery, owner: str) -> None:
    start = await claim(backend, first, owner)
    record = await record_of(backend, first)

    assert start == RUN
    assert (record.name, record.queue, record.state) == (
        first.message.name,
        first.message.queue,
        State.STARTED,
    )


async def test_claims_of_a_batch_are_judged_alone(backend: Backend, queue: str, owner: str) -> None:
    deliveries = [lent(m) for m in messages(queue, 3)]
    await alive(backend, owner, seconds=LEASE)
    await claim(backend, deliveries[1], owner)

    starts = await backend.claim(deliveries, owner="another", worker="w")

    assert [start.verdict for start in starts] == [Verdict.RUN, Verdict.BUSY, Verdict.RUN]


async def test_attempt_before_the_one_on_record_has_ended(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await claim(backend, second, owner)

    assert await claim(backend, first, "another") == COMMITTED
    assert (await record_of(backend, first)).attempt == 2


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILURE, State.CANCELLED, State.EXPIRED, State.RETRY])
async def test_ended_attempt_tells_what_it_released(
    backend: Backend, first: Delivery, owner: str, queue: str, state: State
) -> None:
    await claim(backend, first, owner)
    follow = followers(queue, first)
    await commit(backend, Ending(first, state, follow=follow, dead="why", next_at=1e9), owner)

    mine, theirs = await claim(backend, first, owner), await claim(backend, first, "another")

    assert mine == theirs == replace(COMMITTED, follow=follow, dead="why")
    assert (await record_of(backend, first)).state is state


async def test_later_attempt_of_an_ended_task_releases_nothing(
    backend: Backend, first: Delivery, second: Delivery, owner: str, queue: str
) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, follow=followers(queue, first), dead="why"), owner)

    assert await claim(backend, second, owner) == COMMITTED


async def test_what_an_attempt_released_outlives_its_value(
    backend: Backend, first: Delivery, owner: str, queue: str, clock: MovableClock
) -> None:
    await claim(backend, first, owner)
    follow = followers(queue, first)
    await commit(backend, Ending(first, State.SUCCESS, value=b"1", ttl=0, follow=follow), owner)
    await clock.advance(COMMIT_TTL - 60)

    start = await claim(backend, first, "another")

    assert start == replace(COMMITTED, follow=follow)


async def test_task_whose_commit_record_is_gone_is_run(
    backend: Backend, first: Delivery, owner: str, clock: MovableClock
) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, ttl=60), owner)
    await clock.advance(COMMIT_TTL + 60)

    assert await claim(backend, first, "another") == RUN
    assert (await record_of(backend, first)).state is State.STARTED


async def test_commit_record_is_kept_as_long_as_its_value(
    backend: Backend, first: Delivery, owner: str, clock: MovableClock
) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, value=b"3", ttl=COMMIT_TTL * 3), owner)
    await clock.advance(COMMIT_TTL * 2)

    assert (await record_of(backend, first)).value == b"3"
    assert await claim(backend, first, "another") == COMMITTED


async def test_next_attempt_of_a_retry_runs(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.RETRY, error=b'{"type":"E","message":"m"}', next_at=1e9), owner)

    start = await claim(backend, second, "another")
    record = await record_of(backend, second)

    assert start == RUN
    assert (record.state, record.attempt, record.worker) == (State.STARTED, 2, "worker of another")


async def test_next_attempt_inherits_the_losses(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await claim(backend, first, "dead")
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.RETRY, next_at=1e9), owner)

    assert await claim(backend, second, owner) == Start(Verdict.RUN, losses=1)
    assert (await record_of(backend, second)).losses == 1


async def test_repeat_of_a_claim_runs(backend: Backend, first: Delivery, owner: str) -> None:
    await alive(backend, owner, seconds=LEASE)
    await claim(backend, first, owner)

    assert await claim(backend, first, owner) == RUN
    assert (await record_of(backend, first)).losses == 0


@pytest.mark.parametrize(("lease", "passed", "delay"), [(2.0, 0.5, 1.5), (60.0, 0.0, 5.0), (2.0, 1.95, 0.1)])
async def test_claim_of_a_living_owner_is_busy_until_its_lease_may_lapse(
    backend: Backend, queue: str, clock: MovableClock, lease: float, passed: float, delay: float
) -> None:
    """Where a service keeps the time, what the calls take counts; if it is too much they are made earlier."""
    early, late = 0.0, lease
    while late >= lease - passed:
        owner, first = new_id(), lent(message(queue))
        before = clock.time()
        await alive(backend, owner, seconds=lease)
        await claim(backend, first, owner)
        await clock.advance(max(0.0, passed - early))
        start = await claim(backend, first, "another")
        late = clock.time() - before - passed
        early += max(0.0, late)

    assert (start.verdict, start.losses) == (Verdict.BUSY, 0)
    assert delay - max(0.0, late) - 0.05 <= start.delay <= delay + early + 0.05
    assert (await record_of(backend, first)).worker == f"worker of {owner}"


async def test_claim_of_a_lapsed_owner_is_taken_over_as_a_loss(
    backend: Backend, first: Delivery, owner: str, clock: MovableClock
) -> None:
    await alive(backend, owner, seconds=LEASE)
    await claim(backend, first, owner)
    await clock.advance(LEASE * 1.1)

    start = await claim(backend, first, "another")
    record = await record_of(backend, first)

    assert start == Start(Verdict.RUN, losses=1)
    assert (record.losses, record.worker) == (1, "worker of another")


async def test_each_death_is_counted(backend: Backend, first: Delivery) -> None:
    starts = [await claim(backend, first, f"dead {number}") for number in range(4)]

    assert [start.losses for start in starts] == [0, 1, 2, 3]


async def test_claim_of_a_dropped_lease_is_taken_over(backend: Backend, first: Delivery, owner: str) -> None:
    lease = await alive(backend, owner, seconds=600)
    await claim(backend, first, owner)
    await within(asyncio.to_thread(lease.drop))

    assert await claim(backend, first, "another") == Start(Verdict.RUN, losses=1)


async def test_beats_keep_a_claim(backend: Backend, first: Delivery, owner: str, clock: MovableClock) -> None:
    lease = await alive(backend, owner, seconds=LEASE)
    await claim(backend, first, owner)
    for _ in range(3):
        await clock.advance(LEASE * 0.75)
        assert await beat(lease)

    start = await claim(backend, first, "another")

    assert start.verdict is Verdict.BUSY


async def test_beat_after_a_lapse_is_false(backend: Backend, owner: str, clock: MovableClock) -> None:
    lease = await alive(backend, owner, seconds=LEASE)

    await clock.advance(LEASE * 1.1)

    assert not await beat(lease)


async def test_later_attempt_takes_a_claim_of_the_one_before(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await alive(backend, owner, seconds=LEASE)
    await claim(backend, first, owner)

    assert await claim(backend, second, "another") == RUN
    assert (await record_of(backend, second)).attempt == 2
    assert not await commit(backend, Ending(first, State.SUCCESS), owner)


async def test_unclaimed_task_waits_as_if_nothing_had_been(
    backend: Backend, first: Delivery, second: Delivery, owner: str
) -> None:
    await alive(backend, owner, seconds=LEASE)
    await backend.claim([first], owner=owner, worker="w")
    await backend.unclaim([first], owner=owner)
    before = await record_of(backend, first)
    await claim(backend, second, owner)
    await backend.unclaim([second], owner=owner)
    after = await record_of(backend, second)

    assert (before.state, before.attempt, before.losses) == (State.PENDING, 1, 0)
    assert (after.state, after.attempt, after.losses) == (State.RETRY, 2, 0)


@pytest.mark.parametrize("attempt", [1, 2])
async def test_unclaimed_task_runs_elsewhere_at_once(
    backend: Backend, queue: str, owner: str, attempt: int
) -> None:
    delivery = lent(message(queue, attempt=attempt))
    await alive(backend, owner, seconds=LEASE)
    await claim(backend, delivery, owner)
    await backend.unclaim([delivery], owner=owner)

    assert await claim(backend, delivery, "another") == RUN
    assert not await commit(backend, Ending(delivery, State.SUCCESS), owner)


async def test_only_the_owner_can_unclaim(backend: Backend, first: Delivery, owner: str) -> None:
    await claim(backend, first, owner)

    await backend.unclaim([first], owner="another")

    assert (await record_of(backend, first)).state is State.STARTED


async def test_unclaim_does_not_reopen_what_has_ended(backend: Backend, first: Delivery, owner: str) -> None:
    await claim(backend, first, owner)
    await commit(backend, Ending(first, State.SUCCESS, value=b"3"), owner)

    await backend.unclaim([first], owner=owner)

    assert (await record_of(backend, first)).state is State.SUCCESS


async def test_of_many_claims_at_once_one_runs(backend: Backend, first: Delivery) -> None:
    owners = [new_id() for _ in range(20)]
    for owner in owners:
        await alive(backend, owner, seconds=600)

    starts = await asyncio.gather(*(claim(backend, first, owner) for owner in owners))

    assert sorted(start.verdict.name for start in starts) == ["BUSY"] * 19 + ["RUN"]


async def test_untracked_task_leaves_no_record(backend: Backend, queue: str, owner: str) -> None:
    delivery = lent(message(queue, tracked=False))

    starts = [await claim(backend, delivery, name) for name in (owner, "another")]
    committed = [await commit(backend, Ending(delivery, State.SUCCESS), name) for name in (owner, "another")]

    assert (starts, committed) == ([RUN, RUN], [True, True])
    assert await backend.get([delivery.message.id]) == [None]


@pytest.mark.parametrize("tracked", [True, False])
async def test_claim_without_a_record_knows_the_losses_of_the_broker(
    backend: Backend, queue: str, owner: str, tracked: bool
) -> None:
    delivery = replace(lent(message(queue, tracked=tracked)), losses=2)

    start = await claim(backend, delivery, owner)

    assert start == Start(Verdict.RUN, losses=2)
    if tracked:
        assert (await record_of(backend, delivery)).losses == 2

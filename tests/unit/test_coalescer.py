"""Concurrent sends share submits, and none pays for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from aioqueue.coalescer import MOST, MOST_BYTES, Coalescer
from aioqueue.errors import BrokerUnavailableError, QueueFullError
from aioqueue.models.state import CancelOutcome, RescheduleOutcome
from aioqueue.protocols.flow import Opening, Range
from aioqueue.protocols.messages import Message, When
from aioqueue.protocols.unique import Answer
from tests.support.waiting import eventually, message, messages, within

pytestmark = pytest.mark.anyio

QUEUE = "queue"


class FakeSubmitter:
    """Keeps what it is given. gate: submits wait for it. full, away: names of tasks it does not take."""

    def __init__(self, *, full: Sequence[str] = (), away: Sequence[str] = ()) -> None:
        self.batches: list[list[Message]] = []
        self.limits: list[int | None] = []
        self.opened: list[Opening] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.ended = 0
        self._full, self._away = full, away

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[bool]:
        self.batches.append(list(messages))
        self.limits.append(limit)
        await self.gate.wait()
        self.ended += 1
        for sent in messages:
            if sent.name in self._full:
                raise QueueFullError(sent.id)
            if sent.name in self._away:
                raise BrokerUnavailableError(sent.id)
        return [sent.name != "known" for sent in messages]

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        return RescheduleOutcome.RESCHEDULED

    async def open_workflow(self, opening: Opening) -> bool:
        self.opened.append(opening)
        return len(self.opened) == 1

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        return [CancelOutcome.CANCELLED if ttl else CancelOutcome.NOT_FOUND for _ in ids]


async def on_its_way(fake: FakeSubmitter, coalescer: Coalescer) -> asyncio.Task[Sequence[Answer]]:
    """Send one message, and return while its submit is held up."""
    fake.gate.clear()
    sending = asyncio.create_task(coalescer.submit([message(QUEUE)]))
    await eventually(lambda: bool(fake.batches))
    return sending


def sending(coalescer: Coalescer, sends: Sequence[Sequence[Message]]) -> list[asyncio.Task[Sequence[Answer]]]:
    return [asyncio.create_task(coalescer.submit(batch)) for batch in sends]


def left_behind() -> list[str]:
    """Return the names of the coalescer's tasks that there are."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("coalesced")]


async def test_one_alone_goes_at_once() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    task = sending(coalescer, [[message(QUEUE)]])[0]
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)

    assert await task == [True]
    assert fake.sizes == [1]
    # its own, the submit's, and the one in which it hears of it
    assert turns <= 4
    assert left_behind() == []


async def test_what_is_sent_in_one_turn_goes_together() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    sent = messages(QUEUE, 50)

    answers = await within(asyncio.gather(*sending(coalescer, [[m] for m in sent])))

    assert answers == [[True]] * 50
    assert fake.batches == [sent]


async def test_what_gathers_while_one_is_on_its_way_goes_together() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    first = await on_its_way(fake, coalescer)
    sent = messages(QUEUE, 49)
    rest = sending(coalescer, [[m] for m in sent])
    await asyncio.sleep(0)
    held_up = fake.sizes
    fake.gate.set()
    await within(asyncio.gather(first, *rest))

    assert held_up == [1]
    assert fake.sizes == [1, 49]
    assert fake.batches[1] == sent


async def test_each_send_gets_its_own_answers() -> None:
    coalescer = Coalescer(FakeSubmitter())
    new, known = message(QUEUE), message(QUEUE, name="known")

    answers = await within(asyncio.gather(*sending(coalescer, [[new], [], [known, new], [known]])))

    assert answers == [[True], [], [False, True], [False]]


async def test_batch_has_no_more_than_its_messages() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    sends = [messages(QUEUE, 3) for _ in range(150)]

    await within(asyncio.gather(*sending(coalescer, sends)))

    assert fake.sizes == [198, 198, 54]
    assert [m for batch in fake.batches for m in batch] == [m for batch in sends for m in batch]


async def test_batch_has_no_more_than_its_bytes() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    sends = [[message(QUEUE, body=b"x" * (MOST_BYTES // 4))] for _ in range(6)]

    await within(asyncio.gather(*sending(coalescer, sends)))

    assert fake.sizes == [4, 2]


@pytest.mark.parametrize(
    "large", [messages(QUEUE, MOST + 1), [message(QUEUE, body=b"x" * (MOST_BYTES + 1))]], ids=["many", "wide"]
)
async def test_larger_send_goes_alone_and_whole(large: list[Message]) -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    before, after = messages(QUEUE, 2)

    await within(asyncio.gather(*sending(coalescer, [[before], large, [after]])))

    assert fake.batches == [[before], large, [after]]


async def test_limit_is_handed_on_and_those_of_another_go_apart() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    sends = (coalescer.submit([message(QUEUE)], limit=limit) for limit in (5, 5, None, 7))

    await within(asyncio.gather(*sends))

    assert (fake.sizes, fake.limits) == ([2, 1, 1], [5, None, 7])


async def test_full_queue_refuses_only_the_sends_it_concerns() -> None:
    fake = FakeSubmitter(full=["full"])
    coalescer = Coalescer(fake)
    sent = [message(QUEUE), message(QUEUE, name="full"), message(QUEUE), message(QUEUE, name="full")]
    tasks = sending(coalescer, [[m] for m in sent])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = sending(coalescer, [[message(QUEUE)], [message(QUEUE)]])

    answers = await within(asyncio.gather(*tasks, *late, return_exceptions=True))

    assert [answers[0], answers[2], *answers[4:]] == [[True]] * 4
    assert [str(answers[1]), str(answers[3])] == [sent[1].id, sent[3].id]
    assert isinstance(answers[1], QueueFullError)
    assert fake.sizes == [4, 1, 1, 1, 1, 2]
    assert [batch[0] for batch in fake.batches[1:5]] == sent


async def test_store_that_is_away_is_told_to_all_of_the_batch_and_to_no_other() -> None:
    fake = FakeSubmitter(away=["away"])
    coalescer = Coalescer(fake)
    first = await on_its_way(fake, coalescer)
    tasks = sending(coalescer, [[message(QUEUE)], [message(QUEUE, name="away")]])
    await asyncio.sleep(0)
    fake.gate.set()
    answers = await within(asyncio.gather(first, *tasks, return_exceptions=True))
    after = await within(coalescer.submit([message(QUEUE)]))

    assert answers[0] == after == [True]
    assert [type(answer) for answer in answers[1:]] == [BrokerUnavailableError] * 2
    assert fake.sizes == [1, 2, 1]


async def test_sender_that_is_cancelled_before_it_left_sends_nothing() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    first = await on_its_way(fake, coalescer)
    mine, other = messages(QUEUE, 2)
    tasks = sending(coalescer, [[mine], [other]])
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    fake.gate.set()

    assert [await within(first), await within(tasks[1])] == [[True], [True]]
    assert tasks[0].cancelled()
    assert fake.batches[1:] == [[other]]


async def test_all_that_gathered_may_be_cancelled() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    first = await on_its_way(fake, coalescer)
    tasks = sending(coalescer, [[m] for m in messages(QUEUE, 3)])
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    fake.gate.set()
    await within(first)
    await within(asyncio.wait(tasks))

    assert fake.sizes == [1]
    assert left_behind() == []


@pytest.mark.parametrize("name", ["add", "full", "away"])
async def test_sender_that_is_cancelled_cancels_no_submit_that_is_on_its_way(name: str) -> None:
    fake = FakeSubmitter(full=["full"], away=["away"])
    coalescer = Coalescer(fake)
    fake.gate.clear()
    mine, theirs = sending(coalescer, [[message(QUEUE, name=name)], [message(QUEUE)]])
    await eventually(lambda: bool(fake.batches))
    mine.cancel()
    await asyncio.wait([mine])
    fake.gate.set()
    answer = (await within(asyncio.gather(theirs, return_exceptions=True)))[0]

    assert mine.cancelled()
    assert fake.ended >= 1
    if name == "away":
        assert isinstance(answer, BrokerUnavailableError)
    else:
        assert answer == [True]
    # once it has left it goes on, though nobody waits for it
    assert fake.sizes == ([2, 1, 1] if name == "full" else [2])


async def test_lone_sender_that_is_cancelled_has_sent_all_the_same() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)
    alone = await on_its_way(fake, coalescer)
    alone.cancel()
    await asyncio.wait([alone])
    fake.gate.set()

    await eventually(lambda: fake.ended == 1)
    assert alone.cancelled()


def test_it_is_used_in_one_loop_after_the_other() -> None:
    fake = FakeSubmitter()
    coalescer = Coalescer(fake)

    async def leave_one_on_its_way() -> None:
        fake.gate.clear()
        asyncio.get_running_loop().create_task(coalescer.submit([message(QUEUE)]))
        await eventually(lambda: bool(fake.batches))

    async def use() -> Sequence[Answer]:
        fake.gate = asyncio.Event()
        fake.gate.set()
        return await within(coalescer.submit([message(QUEUE)]))

    asyncio.run(leave_one_on_its_way())

    assert asyncio.run(use()) == [True]
    assert asyncio.run(use()) == [True]
    assert fake.sizes == [1, 1, 1]


async def test_workflow_is_opened_at_once() -> None:
    fake = FakeSubmitter()

    assert await Coalescer(fake).open_workflow(Opening("w", Range(0, 1)))

    assert fake.opened == [Opening("w", Range(0, 1))]


async def test_cancel_goes_at_once() -> None:
    assert await Coalescer(FakeSubmitter()).cancel(["a"], ttl=1) == [CancelOutcome.CANCELLED]

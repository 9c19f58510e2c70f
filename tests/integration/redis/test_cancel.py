"""Cancel on Redis: what it takes back at once, how long it is known, and whom it tells."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.adapters.redis.scripts import script
from aioqueue.ids import new_id
from aioqueue.models.state import CancelOutcome, State
from aioqueue.protocols.messages import COMMIT_TTL, Message, Verdict
from tests.integration.redis.apparatus import QUEUE, Namespace, through
from tests.integration.redis.conftest import Launch, Place
from tests.integration.redis.flows import DAY, SHOWN, SOON, fill, kept, left, one_store, two_stores
from tests.support.flows import Works, calls, many, retry_of
from tests.support.proxy import Fault, FaultProxy
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import under_way, within

pytestmark = pytest.mark.anyio

CANCELLED, DONE, NOT_FOUND = CancelOutcome.CANCELLED, CancelOutcome.ALREADY_DONE, CancelOutcome.NOT_FOUND
A, B = calls("ab")
TOLD = Signature(name="told", takes="none")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))


async def cancel(works: Works, *ids: str, ttl: float = SHOWN) -> list[CancelOutcome]:
    return list(await works.submitter.cancel(ids, ttl=ttl))


async def sent(works: Works, *, delay: float = 0.0) -> str:
    message = Message(new_id(), "a", QUEUE, b"", sent=works.clock.time(), delay=delay)
    await works.submitter.submit([message])
    return message.id


@pytest.mark.parametrize("delay", [0.0, 20 * DAY])
async def test_message_of_a_cancelled_task_is_taken_back(
    works: Works, namespace: Namespace, delay: float
) -> None:
    id = await sent(works, delay=delay)
    assert await cancel(works, id) == [CANCELLED]

    assert namespace.keys("[dmov]:*") == []
    assert namespace.entries() == {}
    assert COMMIT_TTL - SOON < left(namespace, f"t:{id}") <= COMMIT_TTL


async def test_next_attempt_of_a_cancelled_task_is_taken_back(works: Works, namespace: Namespace) -> None:
    id = await sent(works)
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        due = works.clock.time() + 20 * DAY
        again = Message(id, "a", QUEUE, b"", attempt=2, eta=due)
        await crew.end(delivery, State.RETRY, follow=(again,), next_at=due)
    before = kept(namespace, "d", "m")
    await cancel(works, id)

    assert len(before) == 2
    assert kept(namespace, "d", "m") == []


async def test_cancelled_node_that_waits_for_its_moment_is_taken_back(
    works: Works, namespace: Namespace
) -> None:
    plan = await works.send(chain(A.options(delay=DAY), NEXT))
    await cancel(works, plan.nodes[0].message.id)

    assert kept(namespace, "d", "m", "o") == []
    assert (await works.record(plan.result)).state is State.FAILURE
    assert left(namespace, f"f:{plan.id}") <= SHOWN


async def test_cancel_is_known_until_the_message_of_another_store_has_come(
    pair: Works, namespace: Namespace
) -> None:
    id = await sent(pair, delay=20 * DAY)
    await cancel(pair, id, ttl=0.0)

    assert await pair.backend.get([id]) == [None]
    assert 20 * DAY + COMMIT_TTL - SOON < left(namespace, f"t:{id}") <= 20 * DAY + COMMIT_TTL
    assert await cancel(pair, id) == [NOT_FOUND]


async def test_who_waits_for_what_runs_in_a_cancelled_whole_is_told_at_once(either: Works) -> None:
    plan = await either.send(chord(many(A, B), LAST))
    async with either.crew() as crew:
        await crew.take()
        ids = [*(node.message.id for node in plan.nodes[:2]), plan.result]
        waiting = [await under_way(either.backend.wait(id, timeout=600)) for id in ids]
        assert await cancel(either, plan.id) == [CANCELLED]
        records = [await within(each, deadline=2) for each in waiting]

    assert [record and record.state for record in records] == [State.CANCELLED] * 3


async def test_cancel_of_a_task_tells_who_waits_for_what_runs_in_its_place(either: Works) -> None:
    await either.send(chain(A, NEXT))
    async with either.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await either.instead(delivery, chain(B, LAST))
        await crew.go_on(delivery, instead)
        (inner,) = await crew.take_all()
        waiting = await under_way(either.backend.wait(inner.message.id, timeout=600))
        await cancel(either, delivery.message.id)
        record = await within(waiting, deadline=2)

    assert record is not None
    assert record.state is State.CANCELLED


async def test_delivery_that_was_cancelled_with_its_whole_is_settled_by_anybody(pair: Works) -> None:
    plan = await pair.send(chord(many(A, B), LAST))
    async with pair.crew() as crew:
        taken = await crew.take()
        await cancel(pair, plan.id)
        starts = await pair.backend.claim(list(taken.values()), owner="another", worker="w")

    assert [start.verdict for start in starts] == [Verdict.COMMITTED] * 2


async def test_retry_of_what_was_cancelled_with_its_whole_is_refused(either: Works) -> None:
    plan = await either.send(chain(A, NEXT))
    async with either.crew() as crew:
        delivery = (await crew.take())["a"]
        await cancel(either, plan.id)
        done = await crew.end(delivery, State.RETRY, follow=(retry_of(delivery),))
        assert await crew.run() == []

    assert not done
    assert (await either.states(plan))["a"] is State.CANCELLED


@pytest.mark.parametrize("name", ["cancel", "revoke"])
async def test_cancel_whose_reply_was_lost_is_told_as_the_first(
    url: str, shared: RedisServer, place: Place, name: str
) -> None:
    broker = place(shared)

    def store(url: str) -> AbstractAsyncContextManager[Works]:
        return one_store(url) if name == "cancel" else two_stores(url, broker)

    async with FaultProxy(HOST, shared.port) as proxy:
        async with store(through(proxy.port, url)) as works:
            plan = await works.send(chain(A, NEXT).options(on_error=[TOLD]))
            id = await sent(works)
            proxy.arm(Fault.CUT_REPLY, times=1, matching=script(name).digest.encode())
            answers = await cancel(works, id, plan.id, "nobody")
            again = await cancel(works, id, plan.id, "nobody")
        async with store(url) as works, works.crew() as crew:
            ran = await crew.run()

    assert answers == [CANCELLED, CANCELLED, NOT_FOUND]
    assert again == [DONE, DONE, NOT_FOUND]
    assert ran == ["told"]


async def test_repeated_cancel_answers_what_moved_around_the_workflow_too(pair: Works) -> None:
    await pair.send(chain(A, NEXT).options(on_error=[TOLD]))
    async with pair.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await pair.instead(delivery, B)
        await crew.go_on(delivery, instead)
        (first,) = await pair.backend.cancel([instead.id], ttl=SHOWN)
        (again,) = await pair.backend.cancel([instead.id], ttl=SHOWN)

    assert [message.name for message in first.released] == ["told"]
    assert (again.outcome, again.released) == (DONE, first.released)


@pytest.mark.parametrize("id", ["", "not a name", "nobody", "nobody.1", "x" * 200])
async def test_what_nobody_knows_is_not_found(either: Works, namespace: Namespace, id: str) -> None:
    before = namespace.keys()

    assert await cancel(either, id) == [NOT_FOUND]
    assert namespace.keys() == before


async def test_many_are_cancelled_in_order(works: Works, namespace: Namespace) -> None:
    ids = [await sent(works) for _ in range(3)]
    asked = [id for id in ids for _ in range(150)]

    assert await cancel(works, *asked) == ([CANCELLED] + [DONE] * 149) * 3
    assert namespace.entries() == {}


async def test_full_server_cancels(launch: Launch, place: Place) -> None:
    small = launch(appendonly=True)
    async with one_store(place(small)) as works:
        plan = await works.send(chain(A, NEXT).options(on_error=[TOLD]))
        single, later = await sent(works), await sent(works, delay=DAY)
        async with works.crew(prefetch=1) as crew:
            await crew.take()
            fill(small)
            assert await cancel(works, single, later, plan.id) == [CANCELLED] * 3

        assert (await works.states(plan))["a"] is State.CANCELLED
        assert (await works.record(single)).state is State.CANCELLED

"""Tasks that go on as a workflow, on Redis: what becomes of their messages, and how long their keys live."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL, Ending, Message, Start, Verdict
from tests.integration.redis.apparatus import QUEUE, Namespace
from tests.integration.redis.conftest import Launch, Place
from tests.integration.redis.flows import DAY, SHOWN, SOON, age, fill, kept, left, one_store
from tests.support.flows import Works, calls, many, opening

pytestmark = pytest.mark.anyio

A, B, C, D, E = calls("abcde")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))


async def test_message_of_a_task_that_went_on_is_gone_and_late_copies_are_dropped(
    works: Works, namespace: Namespace
) -> None:
    plan = await works.send(A)
    stream = f"{namespace.prefix}q:{QUEUE}:0"
    ((_, copy),) = namespace.server.command("XRANGE", stream, "-", "+")
    async with works.crew() as crew, works.crew() as other:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await works.instead(delivery, B.options(delay=DAY)))
        before = namespace.entries(), namespace.held()
        namespace.server.command("XADD", stream, "*", *copy)
        assert await other.run() == []
        after = namespace.entries(), namespace.held()

    assert before == after == ({}, {})
    record = await works.record(plan.result)
    assert (record.state, record.attempt, record.losses) == (State.STARTED, 1, 0)


async def test_claim_of_a_task_that_went_on_is_answered_what_that_released(pair: Works) -> None:
    await pair.send(A)
    async with pair.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await pair.instead(delivery, many(B, C))
        ending = Ending(delivery, State.STARTED, opening=opening(instead))
        first, again = [(await pair.backend.commit([ending], owner=crew.consumer.id))[0] for _ in range(2)]
        await pair.backend.unclaim([delivery], owner=crew.consumer.id)
        answers = [
            (await pair.backend.claim([delivery], owner=owner, worker="w"))[0]
            for owner in (crew.consumer.id, "heir")
        ]
        (late,) = await pair.backend.commit([ending], owner="heir")

    released = tuple(node.message for node in instead.nodes)
    assert first == again
    assert first is not None
    assert first.released == released
    assert answers == [Start(Verdict.COMMITTED, follow=released)] * 2
    assert late is None


async def test_task_that_went_on_is_known_to_have_ended_for_a_day(pair: Works, namespace: Namespace) -> None:
    plan = await pair.send(A)
    async with pair.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await pair.instead(delivery, B))
        await crew.run()
        value, task = f"v:{plan.result}", f"t:{plan.result}"
        assert SHOWN - SOON < left(namespace, value) <= SHOWN
        assert COMMIT_TTL - SOON < left(namespace, task) <= COMMIT_TTL
        namespace.server.command("HSET", namespace.prefix + task, "u", "1")
        hidden = await pair.backend.get([plan.result])
        (late,) = await pair.backend.claim([delivery], owner="heir", worker="w")

    assert hidden == [None]
    assert late == Start(Verdict.COMMITTED)


async def test_history_of_a_lost_attempt_goes_with_the_task_that_went_on(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(A)
    history = f"h:{plan.result}"
    async with either.crew() as dead, either.crew() as crew:
        await dead.take()
        await either.backend.bury(dead.consumer.id)
        await either.broker.bury(dead.consumer.id)
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await either.instead(delivery, B))
        before = left(namespace, history)
        await crew.run()

    assert before > OPEN_TTL - SOON
    assert SHOWN - SOON < left(namespace, history) <= SHOWN


async def test_history_of_a_lost_attempt_goes_with_the_task_that_is_cancelled(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(A)
    async with either.crew() as dead:
        await dead.take()
        await either.backend.bury(dead.consumer.id)
        await either.broker.bury(dead.consumer.id)
        async with either.crew() as crew:
            await crew.take()
            await either.submitter.cancel([plan.result], ttl=SHOWN)

    assert SHOWN - SOON < left(namespace, f"h:{plan.result}") <= SHOWN


@pytest.mark.parametrize("is_node", [True, False])
async def test_workflow_in_place_of_a_task_that_is_alone_leaves_nothing_for_long(
    either: Works, namespace: Namespace, is_node: bool
) -> None:
    id = (await either.send(A)).result if is_node else new_id()
    if not is_node:
        await either.submitter.submit([Message(id, "a", QUEUE, b"")])
    async with either.crew() as crew:
        delivery = (await crew.take())["a"]
        await crew.go_on(delivery, await either.instead(delivery, many(B, many(C, D))))
        await crew.run()
        joined = (await either.record(id)).joined

    assert joined is not None
    assert await either.value(joined) == ["b", ["c", "d"]]
    assert kept(namespace, "o", "m") == []
    assert all(SHOWN - SOON < left(namespace, key) <= SHOWN for key in kept(namespace, "f", "g"))


async def test_values_of_a_workflow_are_kept_until_nobody_around_reads_them(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(chain(A, NEXT, LAST))
    async with either.crew() as crew:
        delivery = (await crew.take())["a"]
        instead = await either.instead(delivery, many(B, chord(many(C, D), E)))
        await crew.go_on(delivery, instead)
        for names in (["b", "c", "d"], ["e"]):
            taken = await crew.take()
            assert sorted(taken) == names
            for inner in taken.values():
                await crew.end(inner)
        joined = (await either.record(delivery.message.id)).joined
        assert joined is not None
        mine = f"f:{instead.id}", f"g:{joined}"
        waiting = [left(namespace, key) for key in mine]
        age(namespace, OPEN_TTL * 0.9)
        (following,) = await crew.take_all()
        renewed = [left(namespace, key) for key in mine]
        value = await either.value(plan.joins[0].id)
        await crew.end(following)
        meanwhile = await either.value(joined)
        await crew.run()

    assert min(waiting) > OPEN_TTL - SOON
    assert min(renewed) > OPEN_TTL - SOON
    assert value == ["b", "e"]
    assert meanwhile == ["b", "e"]
    # all that is left lapses with what it came to
    assert kept(namespace, "o", "m") == []
    assert all(left(namespace, key) <= SHOWN for key in kept(namespace, "f", "g"))


async def test_each_step_inside_keeps_what_is_around(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(A, B), LAST))
    async with either.crew() as crew:
        taken = await crew.take()
        await crew.end(taken["b"])
        instead = await either.instead(taken["a"], chain(C, NEXT, NEXT, NEXT))
        await crew.go_on(taken["a"], instead)
    for _ in range(4):
        age(namespace, OPEN_TTL * 0.6)
        async with either.crew() as crew:
            (delivery,) = await crew.take_all()
            age(namespace, OPEN_TTL * 0.3)
            await crew.end(delivery)
    value = await either.value(plan.joins[0].id)

    async with either.crew() as crew:
        assert await crew.run() == ["last"]
    assert value == ["next", "b"]
    assert (await either.record(plan.result)).state is State.SUCCESS


async def test_step_that_is_far_away_keeps_what_it_takes_and_what_is_around(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(chain(A, LAST))
    async with either.crew() as crew:
        delivery = (await crew.take())["a"]
        later = chain(many(C, D), NEXT.options(delay=OPEN_TTL * 1.5))
        instead = await either.instead(delivery, later)
        await crew.go_on(delivery, instead)
        await crew.run()

    around = [f"f:{plan.id}", f"o:{plan.id}", f"t:{delivery.message.id}"]
    inside = [f"f:{instead.id}", *kept(namespace, "g")]
    assert len(inside) > 1
    assert all(left(namespace, key) > OPEN_TTL * 2.5 - SOON for key in (*around, *inside))


async def test_task_goes_on_at_a_full_server(launch: Launch, place: Place) -> None:
    small = launch(appendonly=True)
    async with one_store(place(small)) as works:
        plan = await works.send(chain(A, NEXT))
        async with works.crew() as crew:
            delivery = (await crew.take())["a"]
            instead = await works.instead(delivery, many(B, C))
            fill(small)
            assert await crew.go_on(delivery, instead)
            assert sorted(await crew.run()) == ["b", "c", "next"]

        assert (await works.record(plan.result)).state is State.SUCCESS
        assert await works.value(plan.joins[0].id) == ["b", "c"]

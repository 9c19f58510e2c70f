"""Workflows on Redis: how much one script does, what a repeat does, and a server at its maxmemory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.errors import QueueFullError
from aioqueue.models.state import State
from aioqueue.protocols.flow import OPEN, PAGE, Opening, Range
from aioqueue.protocols.messages import COMMIT_TTL, Ending, Message, Verdict
from tests.integration.redis.apparatus import QUEUE, Namespace
from tests.integration.redis.conftest import Launch, Place
from tests.integration.redis.flows import SHOWN, SOON, fill, kept, left, named, one_store
from tests.support.flows import Works, calls, ended, failure, many, names_of
from tests.support.redis_server import RedisServer
from tests.support.waiting import lent, one, under_way, within

pytestmark = pytest.mark.anyio

A, B, C = calls("abc")
NEXT, LAST, ALERT = (Signature(name=name) for name in ("next", "last", "alert"))


async def test_failure_fails_fast_and_tells_at_once(either: Works) -> None:
    plan = await either.send(chord(many(A, B, C), LAST).options(on_error=ALERT))
    waiting = await under_way(either.backend.wait(plan.result, timeout=600))
    async with either.crew(prefetch=2) as crew:
        running = await crew.take()
        await crew.fail(running["a"])
        record = await within(waiting, deadline=2)
        cancelled = await either.states(plan)
        waited = await within(either.backend.wait(plan.nodes[2].message.id, timeout=600))
        await crew.end(running["b"])
        ran = await crew.run()

    assert record is not None
    assert (record.state, record.error) == (State.FAILURE, failure("no"))
    assert cancelled == {
        "a": State.FAILURE, "b": State.STARTED, "c": State.CANCELLED,
        "last": State.FAILURE, "alert": State.PENDING,
    }  # fmt: skip
    assert waited is not None
    assert waited.state is State.CANCELLED
    assert ran == ["alert"]
    assert (await either.states(plan))["b"] is State.SUCCESS
    assert await either.value(plan.joins[0].id) == [..., ..., ...]


async def test_cancelled_node_is_dropped_and_written_down(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(A, B), LAST))
    second = f"t:{plan.nodes[1].message.id}"
    async with either.crew(prefetch=1) as crew:
        await crew.fail((await crew.take())["a"])
        shown = namespace.server.command("HGET", namespace.prefix + second, "s")
        assert await crew.run() == []

    assert shown == b"PENDING"
    assert namespace.server.command("HGET", namespace.prefix + second, "s") == b"CANCELLED"
    keep = SHOWN if either.one_step else COMMIT_TTL
    assert keep - SOON < left(namespace, second) <= keep
    assert not namespace.entries()
    assert not namespace.held()
    assert not kept(namespace, "o", "m")


async def test_retry_in_a_closed_scope_starts_no_more(either: Works) -> None:
    plan = await either.send(chord(many(A, B), LAST))
    async with either.crew() as crew:
        running = await crew.take()
        again = replace(running["b"].message, attempt=2)
        await crew.fail(running["a"])
        await crew.end(running["b"], State.RETRY, follow=(again,), next_at=either.clock.time())
        shown = await either.states(plan)

        assert await crew.run() == []
    assert shown["b"] is State.CANCELLED


async def test_chord_that_collects_gets_errors_among_the_values(either: Works) -> None:
    plan = await either.send(chord(many(A, chain(B, NEXT), C), LAST, errors="collect"))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.fail(running["b"])
        await crew.end(running["a"])
        await crew.end(running["c"], State.EXPIRED)
        ran = await crew.run()

    assert ran == ["last"]
    assert await either.value(plan.joins[0].id) == ["a", ("no",), ("c ended EXPIRED",)]
    assert (await either.states(plan))["next"] is State.FAILURE


async def test_plain_group_has_values_and_errors(either: Works) -> None:
    plan = await either.send(many(A, B))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.fail(running["a"], ttl=0.0)
        await crew.end(running["b"])

    assert (await either.record(plan.result)).state is State.SUCCESS
    assert await either.value(plan.result) == [("no",), "b"]


async def test_late_member_joins_nothing(works: Works, namespace: Namespace) -> None:
    plan = await works.send(chain(many(A, B), NEXT, LAST))
    async with works.crew() as crew:
        batch = await crew.take_all()
        await crew.finisher.finish([ended(delivery) for delivery in batch])
        await crew.run()
        before = namespace.keys()
        done = await crew.finisher.finish([ended(delivery, value=b'"late"') for delivery in batch])
        ran = await crew.run()
        after = namespace.keys()

    assert list(done) == [True, True]
    assert ran == []
    assert before == after
    assert f"g:{plan.joins[0].id}" not in after


async def test_thousand_members_are_released_two_hundred_at_a_time(
    either: Works, namespace: Namespace
) -> None:
    names = [f"n{number}" for number in range(1_000)]
    plan = await either.send(chord(many(*named(names)), LAST))
    sizes: list[int] = []
    async with either.crew() as crew:
        while batch := await crew.take_all():
            opening = [delivery for delivery in batch if delivery.message.name == OPEN]
            sizes.append(len(batch) - len(opening))
            # others first: the page that follows is then there alone
            await crew.finisher.finish([ended(d) for d in batch if d not in opening])
            await crew.finisher.finish([ended(d) for d in opening])
        rest = namespace.entries()

    assert sizes == [PAGE] * 5 + [1]
    assert (await either.record(plan.result)).state is State.SUCCESS
    assert await either.value(plan.joins[0].id) == names
    assert rest == {}
    assert kept(namespace, "o", "m") == []


async def test_one_script_releases_no_more_than_a_page(works: Works, namespace: Namespace) -> None:
    count = 150
    members = [
        chain(first, many(Signature(name=f"l{n}"), Signature(name=f"r{n}")))
        for n, first in enumerate(named([f"n{n}" for n in range(count)]))
    ]
    plan = await works.send(many(*members))
    async with works.crew() as crew:
        batch = await crew.take_all()
        await crew.finisher.finish([ended(delivery) for delivery in batch])
        following = await crew.take_all()
        await crew.finisher.finish([ended(delivery) for delivery in following])
        ran = [*names_of(following), *(await crew.run())]

    released = [name for name in names_of(following) if name != OPEN]
    assert len(batch) == count
    assert len(released) == PAGE
    assert sorted(name for name in ran if name != OPEN) == sorted(
        f"{side}{n}" for side in "lr" for n in range(count)
    )
    assert (await works.record(plan.result)).state is State.SUCCESS
    assert kept(namespace, "o", "m") == []


async def test_opening_again_makes_no_copy(either: Works) -> None:
    names = [f"n{number}" for number in range(PAGE + 50)]
    plan = await either.send(many(*named(names)))
    await either.open(plan)
    async with either.crew() as crew:
        first = await crew.take_all()
        await either.open(plan)
        await crew.finisher.finish([ended(delivery) for delivery in first])
        await either.open(plan)
        ran = [*names_of(first), *(await crew.run())]
        await either.open(plan)
        again = await crew.take_all()

    assert [name for name in ran if name == OPEN] == [OPEN]
    assert sorted(name for name in ran if name != OPEN) == sorted(names)
    assert again == []


async def test_rest_of_a_group_that_has_failed_is_not_released(works: Works, namespace: Namespace) -> None:
    plan = await works.send(chord(many(*named([f"n{number}" for number in range(3 * PAGE)])), LAST))
    async with works.crew() as crew:
        batch = await crew.take_all()
        (opening,) = (delivery for delivery in batch if delivery.message.name == OPEN)
        await crew.fail(next(delivery for delivery in batch if delivery.message.name == "n0"))
        await crew.end(opening)
        following = await crew.take_all()
        await crew.finisher.finish([ended(delivery) for delivery in following])

    assert names_of(following) == [OPEN]
    assert set((await works.states(plan)).values()) == {State.FAILURE, State.CANCELLED}
    assert len(namespace.entries()) == 1
    assert kept(namespace, "m") == []


@pytest.mark.parametrize("body", [b"", b"x", b"1", b"0 99999999999999999999", b"-1 4"])
async def test_message_that_opens_nothing_of_sense_is_forgotten(works: Works, body: bytes) -> None:
    await works.broker.publish([Message("nobody.open.0", OPEN, QUEUE, body, tracked=False)])

    async with works.crew() as crew:
        assert await crew.run() == []
        assert await crew.take_all() == []


async def test_message_that_no_version_can_read_fails_its_chord(works: Works, namespace: Namespace) -> None:
    plan = await works.send(chord(many(A), LAST))
    stream = f"{namespace.prefix}q:{QUEUE}:0"
    ((entry, _),) = namespace.server.command("XRANGE", stream, "-", "+")
    namespace.server.command("XDEL", stream, entry)
    namespace.server.command("XADD", stream, "*", "i", plan.nodes[0].message.id, "m", "?")
    namespace.server.command("HDEL", f"{namespace.prefix}t:{plan.nodes[0].message.id}", "e")
    async with works.crew() as crew:
        assert await crew.run() == []

    assert "no message of a version" in await works.error(plan.result)


async def test_message_of_a_node_stays_until_it_starts(pair: Works, namespace: Namespace) -> None:
    plan = pair.compiled(chain(A, NEXT))
    plan = replace(plan, nodes=tuple(replace(n, message=replace(n.message, body=b"x")) for n in plan.nodes))
    await pair.keep(plan)
    opening = await pair.backend.open_workflow(first_of(plan.id))
    again = await pair.backend.open_workflow(first_of(plan.id))
    delivery = lent(opening.messages[0])
    await pair.backend.claim([delivery], owner="me", worker="w")
    started = [namespace.server.command("HGET", f"{namespace.prefix}f:{plan.id}", f"b{n}") for n in (0, 1)]
    (committed,) = await pair.backend.commit([Ending(delivery, State.SUCCESS, value=b"1")], owner="me")
    (repeated,) = await pair.backend.commit([Ending(delivery, State.SUCCESS, value=b"1")], owner="me")
    (late,) = await pair.backend.claim([delivery], owner="heir", worker="w")

    assert (opening.started, again.started) == (True, False)
    assert opening.messages == again.messages == (plan.nodes[0].message,)
    assert started == [None, b"x"]
    assert committed is not None
    assert committed.released == (plan.nodes[1].message,)
    assert repeated == committed
    assert late.verdict is Verdict.COMMITTED
    assert late.follow == committed.released


def first_of(id: str) -> Opening:
    """Return the opening of a workflow that begins with one node."""
    return Opening(id, Range(0, 1))


async def test_answer_holds_all_of_a_message(pair: Works) -> None:
    plan = pair.compiled(many(A))
    (node,) = plan.nodes
    eta = pair.clock.time() + 1.0000004
    message = replace(node.message, eta=eta, delay=0.1234567, priority=9, sent=12.0625, body=b"\x00 \r\n")
    await pair.keep(replace(plan, nodes=(replace(node, message=message),)))

    assert (await pair.backend.open_workflow(first_of(plan.id))).messages == (message,)


async def test_members_are_read_as_far_as_they_fit(works: Works) -> None:
    plan = await works.send(many(A, B, C))
    async with works.crew() as crew:
        for delivery in await crew.take_all():
            await crew.end(delivery, value=b'"%b"' % (b"x" * 700_000))

    found = await works.backend.members(plan.result, 0, 200)
    assert found is not None
    assert (found.size, len(found.members)) == (3, 2)
    assert len(await works.value(plan.result)) == 3


@pytest.fixture
def small(launch: Launch) -> RedisServer:
    """A server that is to be full."""
    return launch(appendonly=True)


async def test_full_server_moves_workflows_on_and_takes_no_new_ones(small: RedisServer, place: Place) -> None:
    url = place(small)
    namespace = Namespace(small, url)
    async with one_store(url) as works:
        plan = await works.send(chord(many(A, B), LAST))
        waiting = works.compiled(many(C))
        await works.keep(waiting)
        async with works.crew() as crew:
            batch = await crew.take_all()
            fill(small)
            before = namespace.keys(), namespace.entries()
            with pytest.raises(QueueFullError, match="nothing was sent"):
                await works.open(waiting)
            with pytest.raises(QueueFullError, match="nothing was sent"):
                await works.send(many(*named([f"n{n}" for n in range(200)])))
            refused = namespace.keys(), namespace.entries()
            done = [await crew.end(delivery) for delivery in batch]
            ran = await crew.run()

        assert refused == before
        assert done == [True, True]
        assert ran == ["last"]
        assert await works.value(plan.joins[0].id) == ["a", "b"]
        assert (await works.record(plan.result)).state is State.SUCCESS


async def test_failure_is_decided_on_a_full_server(small: RedisServer, place: Place) -> None:
    async with one_store(place(small)) as works:
        plan = await works.send(chord(many(A, B), LAST))
        async with works.crew(prefetch=1) as crew:
            first = await one(crew.consumer)
            fill(small)
            await crew.fail(first)
            assert await crew.run() == []

        assert await works.error(plan.result) == "no"
        assert (await works.states(plan))["b"] is State.CANCELLED

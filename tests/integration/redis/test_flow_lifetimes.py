"""How long the keys of workflows live: what the suite of all stores would have to wait days for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from aioqueue import Signature, chain, chord
from aioqueue.adapters.redis import scripts
from aioqueue.models.state import State
from aioqueue.models.workflow import Group
from aioqueue.protocols.flow import PAGE
from aioqueue.protocols.messages import OPEN_TTL
from tests.integration.redis.apparatus import Namespace
from tests.integration.redis.flows import BRIEF, DAY, SHOWN, SOON, age, kept, left, named, one_store
from tests.support.flows import Crew, Works, calls, ended, many, retry_of

pytestmark = pytest.mark.anyio

A, B, C, D = calls("abcd")
NEXT, LAST, ALERT = (Signature(name=name) for name in ("next", "last", "alert"))


async def test_chain_that_has_ended_leaves_nothing_for_long(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chain(A, NEXT, LAST))
    async with either.crew() as crew:
        ran = await crew.run()

    assert ran == ["a", "next", "last"]
    # what the last one took lapses with what it came to
    assert kept(namespace, "f", "g", "o") == [f"f:{plan.id}", f"g:{plan.joins[1].id}"]
    assert all(SHOWN - SOON < left(namespace, key) <= SHOWN for key in kept(namespace, "f", "g"))


async def test_nested_groups_leave_nothing_for_long(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(many(A, B), many(many(C), D)), LAST))
    async with either.crew() as crew:
        ran = await crew.run()

    assert sorted(ran) == ["a", "b", "c", "d", "last"]
    assert await either.value(plan.joins[0].id) == [["a", "b"], [["c"], "d"]]
    assert kept(namespace, "o") == []
    assert len(kept(namespace, "g")) == 4
    assert all(left(namespace, key) <= SHOWN for key in kept(namespace, "f", "g"))


async def test_workflow_that_has_failed_leaves_nothing_for_long(either: Works, namespace: Namespace) -> None:
    await either.send(chain(A, many(B, C), LAST).options(on_error=ALERT))
    async with either.crew() as crew:
        await crew.fail((await crew.take())["a"], ttl=2 * SHOWN)
        assert await crew.run() == ["alert"]

    assert kept(namespace, "o", "g", "m") == []
    assert all(left(namespace, key) <= 2 * SHOWN for key in kept(namespace, "f"))


async def test_values_of_nested_groups_are_dropped_with_those_around_them(
    works: Works, namespace: Namespace
) -> None:
    plan = await works.send(chain(many(many(A, B), C), NEXT, LAST))
    async with works.crew() as crew:
        await crew.run()

    assert kept(namespace, "g") == [f"g:{plan.joins[-1].id}"]


async def test_plain_group_is_kept_as_long_as_its_last_members_value(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(many(A, B, C))
    async with either.crew() as crew:
        for name, delivery in (await crew.take()).items():
            await crew.end(delivery, ttl=2 * DAY if name == "c" else 0.0)

    assert await either.value(plan.result) == ["a", "b", "c"]
    for key in (f"t:{plan.result}", f"f:{plan.id}", f"g:{plan.result}"):
        assert 2 * DAY - SOON < left(namespace, key) <= 2 * DAY


async def test_workflow_is_one_key_for_thirty_days_until_it_is_opened(
    either: Works, namespace: Namespace
) -> None:
    plan = either.compiled(chord(many(A, B), LAST))
    await either.keep(plan)

    assert namespace.keys() == [f"f:{plan.id}"]
    assert OPEN_TTL - SOON < left(namespace, f"f:{plan.id}") <= OPEN_TTL


async def test_workflow_is_kept_past_all_that_its_nodes_wait_for(works: Works, namespace: Namespace) -> None:
    at = datetime.now(UTC) + timedelta(days=40)
    plan = works.compiled(chain(A, NEXT.options(delay=20 * DAY), LAST.options(delay=5 * DAY)))
    first, *others = plan.nodes
    first = replace(first, message=replace(first.message, eta=at.timestamp()))
    await works.keep(replace(plan, nodes=(first, *others)))

    assert abs(left(namespace, f"f:{plan.id}") - 65 * DAY - OPEN_TTL) < SOON


async def test_each_step_begins_the_time_anew(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(A, B, C), LAST))
    for _ in range(3):
        age(namespace, OPEN_TTL * 0.6)
        async with either.crew(prefetch=1) as crew:
            (delivery,) = await crew.take_all()
            age(namespace, OPEN_TTL * 0.3)
            await crew.end(delivery)
    value = await either.value(plan.joins[0].id)

    async with either.crew() as crew:
        assert await crew.run() == ["last"]
    assert value == ["a", "b", "c"]
    assert (await either.record(plan.result)).state is State.SUCCESS


async def test_retry_that_is_far_away_keeps_its_workflow(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(A, many(B, C)), LAST))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"])
        await crew.end(running["b"])
        due = either.clock.time() + OPEN_TTL * 1.5
        again = retry_of(running["c"])
        await crew.end(running["c"], State.RETRY, follow=(again,), next_at=due)
        age(namespace, OPEN_TTL * 1.6)
        ran = await crew.run()

    assert ran == ["c", "last"]
    assert await either.value(plan.joins[0].id) == ["a", ["b", "c"]]


async def test_workflow_whose_time_is_over_may_be_sent_anew(works: Works, namespace: Namespace) -> None:
    plan = await works.send(chain(A, NEXT))
    async with works.crew() as crew:
        await crew.run()
        age(namespace, SHOWN)
        await works.keep(plan)
        await works.open(plan)

        assert await crew.run() == ["a", "next"]


async def test_forgotten_node_is_hidden_and_moves_on(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chain(A, NEXT, LAST))
    ids = [node.message.id for node in plan.nodes]
    await either.backend.forget(ids)
    hidden = await either.backend.get(ids)
    async with either.crew() as crew:
        ran = await crew.run()

    assert hidden == [None, None, None]
    assert ran == ["a", "next", "last"]
    assert await either.backend.get(ids) == [None, None, None]
    assert await either.value(plan.joins[1].id) == "next"


async def test_forgotten_group_is_hidden(either: Works) -> None:
    plan = await either.send(many(A))
    await either.backend.forget([plan.result])
    hidden = await either.backend.get([plan.result])
    async with either.crew() as crew:
        await crew.run()

    assert hidden == await either.backend.get([plan.result]) == [None]


@pytest.mark.parametrize("whole", [many(A, B, C), many(many(A, B), C)], ids=["flat", "nested"])
async def test_values_of_a_chord_that_has_failed_lapse_with_what_it_came_to(
    either: Works, namespace: Namespace, whole: Group[Any]
) -> None:
    plan = await either.send(chord(whole, LAST))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"])
        await crew.end(running["b"])
        before = kept(namespace, "g")
        await crew.fail(running["c"])

    assert before
    assert kept(namespace, "o", "i") == []
    assert all(left(namespace, key) <= SHOWN for key in [f"f:{plan.id}", *before])
    assert all(left(namespace, key) <= DAY + SHOWN for key in namespace.keys("*"))


async def test_values_of_what_ran_in_place_of_a_member_lapse_with_the_chord_that_has_failed(
    either: Works, namespace: Namespace
) -> None:
    await either.send(chord(many(A, B), LAST))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.go_on(running["a"], await either.instead(running["a"], many(C, D)))
        inner = await crew.take()
        await crew.end(inner["c"])
        await crew.end(inner["d"])
        assert any(left(namespace, key) > DAY + SHOWN for key in kept(namespace, "g", "f"))
        await crew.fail(running["b"])

    assert kept(namespace, "o", "i") == []
    assert all(left(namespace, key) <= DAY + SHOWN for key in namespace.keys("*"))


async def test_one_that_still_runs_keeps_what_has_joined(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(A, B, C), LAST))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"])
        await crew.fail(running["b"])
        meanwhile = left(namespace, f"g:{plan.joins[0].id}")
        await crew.end(running["c"])

    assert meanwhile > OPEN_TTL - SOON
    assert all(left(namespace, key) <= DAY + SHOWN for key in namespace.keys("*"))


async def test_cancelled_whole_with_a_node_due_in_weeks_leaves_nothing_for_long(
    works: Works, namespace: Namespace
) -> None:
    plan = await works.send(chord(many(A, B, C.options(delay=20 * DAY)), LAST))
    async with works.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"])
        await works.submitter.cancel([plan.id], ttl=SHOWN)
        assert not await crew.end(running["b"])

    assert kept(namespace, "o", "i", "d", "m") == []
    assert all(left(namespace, key) <= DAY + SHOWN for key in namespace.keys("*"))


async def test_cancelled_whole_outlasts_the_messages_of_another_store(
    pair: Works, namespace: Namespace
) -> None:
    plan = await pair.send(chord(many(A, C.options(delay=40 * DAY)), LAST))
    await pair.submitter.cancel([plan.id], ttl=SHOWN)

    assert left(namespace, f"f:{plan.id}") > 40 * DAY
    assert left(namespace, f"t:{plan.nodes[1].message.id}") > 40 * DAY


async def test_join_knows_which_of_its_members_are_joins(works: Works, namespace: Namespace) -> None:
    plan = await works.send(chord(many(A, many(B), C, many(D)), LAST))
    async with works.crew() as crew:
        for delivery in (await crew.take()).values():
            await crew.end(delivery)
    flow, number = plan.joins[0].id.rpartition(".")[::2]
    known = namespace.server.command("HGET", f"{namespace.prefix}f:{flow}", f"k{number}")

    assert sorted(known.split()) == [b"1", b"3"]


@pytest.mark.parametrize("whole", [chord(many(A, many(B, C)), LAST), many(A, B), chain(A, many(B))])
async def test_no_key_outlasts_what_the_workflow_came_to(
    either: Works, namespace: Namespace, whole: Signature[Any]
) -> None:
    await either.send(whole)
    async with either.crew() as crew:
        await run(crew, ttl=BRIEF)

    assert kept(namespace, "o", "i") == []
    assert_brief(either, namespace)


async def test_result_that_is_shown_longest_keeps_all_of_it(either: Works, namespace: Namespace) -> None:
    plan = await either.send(many(A, B).options(on_success=LAST))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"], ttl=BRIEF)
        await crew.end(running["b"], ttl=DAY)
        await crew.end((await crew.take())["last"], ttl=BRIEF)

    assert await either.value(plan.result) == ["a", "b"]
    for key in (f"t:{plan.result}", f"f:{plan.id}", f"g:{plan.result}"):
        assert DAY - SOON < left(namespace, key) <= DAY


async def test_late_member_brings_back_no_key(either: Works, namespace: Namespace) -> None:
    plan = await either.send(chord(many(A, B, C), LAST))
    async with either.crew() as crew:
        running = await crew.take()
        await crew.end(running["a"], ttl=BRIEF)
        await crew.fail(running["b"], ttl=BRIEF)
        age(namespace, BRIEF + SOON)
        shown = kept(namespace, "t")
        await crew.end(running["c"], ttl=BRIEF)

    late = plan.nodes[2].message.id
    if either.one_step:
        assert shown == [f"t:{late}"]
        assert kept(namespace, "t") == [f"t:{late}"]
    assert kept(namespace, "o", "i") == []
    assert_brief(either, namespace)


async def test_member_that_may_not_start_is_shown_no_longer_than_the_failure(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(chord(many(A, B), LAST))
    async with either.crew(prefetch=1) as crew:
        await crew.fail((await crew.take())["a"], ttl=BRIEF)
        assert await crew.take() == {}

    assert (await either.states(plan))["b"] is State.CANCELLED
    assert kept(namespace, "o", "i") == []
    assert_brief(either, namespace)


async def test_cancelled_whole_is_kept_as_long_as_it_was_asked_for(
    either: Works, namespace: Namespace
) -> None:
    plan = await either.send(chain(many(A, B), LAST).options(on_error=ALERT))
    await either.submitter.cancel([plan.id], ttl=BRIEF)
    async with either.crew() as crew:
        await run(crew, ttl=BRIEF)

    assert kept(namespace, "o", "i") == []
    assert_brief(either, namespace)


async def test_wide_nest_leaves_no_key(works: Works, namespace: Namespace) -> None:
    members = [many(call) for call in named([f"n{number}" for number in range(PAGE + 50)])]
    await works.send(chord(many(*members), LAST))
    async with works.crew() as crew:
        await run(crew, ttl=BRIEF)

    assert kept(namespace, "o", "i") == []
    assert_brief(works, namespace)


async def test_many_workflows_in_place_of_members_leave_no_key(works: Works, namespace: Namespace) -> None:
    await works.send(chord(many(*named([f"n{number}" for number in range(PAGE + 20)])), LAST))
    async with works.crew() as crew:
        while batch := await crew.take_all():
            for delivery in batch:
                if delivery.message.name.startswith("n"):
                    await crew.go_on(delivery, await works.instead(delivery, many(A)))
                else:
                    await crew.end(delivery, ttl=BRIEF)

    assert kept(namespace, "o", "i") == []
    assert_brief(works, namespace)


async def run(crew: Crew, *, ttl: float) -> None:
    """End all that is ready, and what that makes ready, with success."""
    while batch := await crew.take_all():
        await crew.finisher.finish([ended(delivery, ttl=ttl) for delivery in batch])


def assert_brief(works: Works, namespace: Namespace) -> None:
    """Fail if a key outlasts what is shown briefly; commit records of two stores are kept for a day."""
    kinds = "[fgoitv]:*" if works.one_step else "[fgoiv]:*"
    lasting = {key: left(namespace, key) for key in namespace.keys(kinds)}
    assert all(seconds <= BRIEF for seconds in lasting.values()), lasting
    assert all(left(namespace, key) <= DAY for key in namespace.keys("t:*"))


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Let a script keep, or let go of, no more joins of a workflow than these."""
    folder, most = tmp_path / "lua", 4
    copytree(str(scripts._FOLDER), folder)
    joins = folder / "lib" / "joins.lua"
    text = joins.read_text()
    assert "local MANY = 2000\n" in text
    joins.write_text(text.replace("local MANY = 2000\n", f"local MANY = {most}\n"))
    monkeypatch.setattr(scripts, "_FOLDER", folder)
    scripts.script.cache_clear()
    yield most
    monkeypatch.undo()
    scripts.script.cache_clear()


async def test_upkeep_lets_go_of_more_groups_than_one_step_does(
    few: int, url: str, namespace: Namespace
) -> None:
    async with one_store(url) as works:
        plan = await works.send(many(*[many(A) for _ in range(3 * few)]))
        async with works.crew() as crew:
            await crew.run()
        before, value = kept(namespace, "g"), await works.value(plan.result)
        await works.maintain()

    assert value == [["a"]] * (3 * few)
    assert len(before) == 3 * few + 1
    assert kept(namespace, "g") == before
    assert kept(namespace, "o", "i") == namespace.keys("rest") == []
    assert all(left(namespace, key) <= SHOWN for key in kept(namespace, "f", "g"))


@pytest.mark.parametrize("fails", [False, True])
async def test_upkeep_lets_go_of_more_plans_than_one_step_does(
    few: int, url: str, namespace: Namespace, fails: bool
) -> None:
    names = named([f"n{number}" for number in range(3 * few)])
    async with one_store(url) as works:
        await works.send(chord(many(*names), NEXT))
        async with works.crew() as crew:
            for delivery in await crew.take_all():
                await crew.go_on(delivery, await works.instead(delivery, many(B, C)))
            *inner, last = await crew.take_all()
            for delivery in inner:
                await crew.end(delivery)
            await (crew.fail(last) if fails else crew.end(last))
            ran = await crew.run()
        await works.maintain()

    assert ran == ([] if fails else ["next"])
    assert kept(namespace, "o", "i") == namespace.keys("rest") == []
    assert all(left(namespace, key) <= DAY for key in kept(namespace, "f", "g"))

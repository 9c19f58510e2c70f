"""Wide groups over several queues: one that nobody serves holds up nothing but its own nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioqueue.models.state import State
from aioqueue.protocols.flow import OPEN, PAGE
from tests.support.counting import counts
from tests.support.flows import Works, calls, many

pytestmark = pytest.mark.anyio

WIDE = many(*calls("x" * (2 * PAGE + 5)))


@pytest.mark.parametrize("elsewhere", [range(PAGE, PAGE + 1), range(2 * PAGE), range(1)])
async def test_queue_that_nobody_serves_holds_up_only_its_own(works: Works, elsewhere: range) -> None:
    other = f"{works.queue}-other"
    plan = works.compiled(WIDE, queues=dict.fromkeys(elsewhere, other))
    await works.keep(plan)
    await works.open(plan)
    async with works.crew() as crew:
        ran = await crew.run()
        waiting = await works.record(plan.result)
        here = await counts(works.broker, works.queue)
    async with replace(works, queue=other).crew() as crew:
        rest = await crew.run()

    assert (len(ran), waiting.state) == (2 * PAGE + 5 - len(elsewhere), State.PENDING)
    assert (here.ready, here.held) == (0, 0)
    assert len(rest) == len(elsewhere)
    assert (await works.record(plan.result)).state is State.SUCCESS
    assert (await counts(works.broker, other)).ready == 0


async def test_more_of_a_range_is_left_once_in_each_queue(works: Works) -> None:
    other = f"{works.queue}-other"
    plan = works.compiled(WIDE, queues={2 * PAGE: other})
    await works.keep(plan)
    await works.open(plan)
    async with works.crew() as crew, replace(works, queue=other).crew() as far:
        left = [d for d in (await crew.take_all()) if d.message.name == OPEN]
        twin = await far.take_all()
        await crew.end(left[0])
        await far.end(twin[0])
        more = [d for d in (*await crew.take_all(), *await far.take_all()) if d.message.name == OPEN]

    assert [d.message.body for d in (*left, *twin)] == [f"{PAGE} {PAGE + 5}".encode()] * 2
    assert sorted(d.message.queue for d in more) == sorted([works.queue, other])
    assert {d.message.body for d in more} == {f"{2 * PAGE} 5".encode()}

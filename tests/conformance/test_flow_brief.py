"""That a workflow whose results are brief is gone soon, over one store and over two."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chord
from aioqueue.models.state import State
from aioqueue.protocols.messages import OPEN_TTL
from tests.support.flows import Works, calls, many

pytestmark = pytest.mark.anyio

A, B, C = calls("abc")
LAST = Signature(name="last")
SHORT = 1.5
"""Seconds that results are shown, which a test may wait for."""


async def test_workflow_is_kept_no_longer_than_what_it_came_to_is_shown(works: Works) -> None:
    plan = await works.send(chord(many(A, B), LAST))
    async with works.crew() as crew:
        for delivery in (await crew.take()).values():
            await crew.end(delivery, ttl=SHORT)
        await works.clock.advance(SHORT + 0.1)
        await works.maintain()
        assert await works.backend.get([node.message.id for node in plan.nodes[:2]]) == [None, None]
        last = (await crew.take())["last"]
        assert await works.value(plan.joins[0].id) == ["a", "b"]
        await crew.end(last, ttl=SHORT)
    kept = await works.backend.workflow(plan.id), await works.value(plan.joins[0].id)
    await works.clock.advance(SHORT + 0.1)

    assert kept[0] is not None
    assert kept[1] == ["a", "b"]
    assert await works.is_gone(plan)
    await works.maintain()
    assert await works.is_gone(plan)


async def test_late_member_of_a_chord_that_has_failed_brings_nothing_back(works: Works) -> None:
    plan = await works.send(chord(many(A, B, C), LAST))
    async with works.crew(lease=OPEN_TTL) as crew:
        running = await crew.take()
        await crew.end(running["a"], ttl=SHORT)
        await crew.fail(running["b"], ttl=SHORT)
        failed = await works.record(plan.result)
        await works.clock.advance(SHORT + 0.1)
        await works.maintain()
        shown = await works.backend.get([plan.result])
        done = await crew.end(running["c"], ttl=SHORT)
        again = await works.backend.get([plan.result])
        ran = await crew.run()
    await works.clock.advance(SHORT + 0.1)
    await works.maintain()

    assert failed.state is State.FAILURE
    assert (shown, done, again, ran) == ([None], True, [None], [])
    assert await works.is_gone(plan)

"""Workflows in memory: what they cost where many stand inside each other, or many are waited for."""

from __future__ import annotations

import sys

import pytest

from aioqueue.adapters.memory.backend import MemoryBackend
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.flow import Node, Opening, Page, Range, Scope
from aioqueue.protocols.messages import Message, Record
from aioqueue.urls import connect
from tests.support.clocks import PatientClock
from tests.support.flows import Works, calls, many, works_of_one
from tests.support.stores import backend_of, broker_of
from tests.support.waiting import under_way

pytestmark = pytest.mark.anyio

QUEUE = "queue"


@pytest.fixture
def works() -> Works:
    """One store."""
    adapter = connect(f"memory://{new_id()}")
    return works_of_one(broker_of(adapter), backend_of(adapter), PatientClock(), QUEUE)


async def test_task_that_goes_on_more_often_than_calls_may_nest_goes_on(works: Works) -> None:
    depth, task = sys.getrecursionlimit() + 50, "w0.0"
    for number in range(depth):
        workflow = f"w{number}"
        node = Node(Message(f"{workflow}.0", "a", QUEUE, b""), scope=f"{workflow}.1")
        scope = Scope(f"{workflow}.1", task=task if number else None)
        await works.backend.plan(Page(nodes=(node,), scopes=(scope,)))
        await works.submitter.open_workflow(Opening(workflow, Range(0, 1), root=scope.id))
        task = node.message.id

    assert (await works.record(task)).state is State.PENDING
    assert await works.backend.workflow(f"w{depth - 1}") is not None


async def test_failure_wakes_only_those_whom_it_may_concern(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await works.send(many(*calls("abcdefghijklmnopqrst")))
    waiting = [await under_way(works.backend.wait(node.message.id, timeout=600)) for node in plan.nodes]
    assert isinstance(works.backend, MemoryBackend)
    records, looked = works.backend.core.records, list[str]()
    barred_at = records.barred_at

    def counting(record: Record) -> float | None:
        looked.append(record.id)
        return barred_at(record)

    async with works.crew() as crew:
        taken = await crew.take_all()
        monkeypatch.setattr(records, "barred_at", counting)
        for delivery in taken:
            await crew.fail(delivery)
    ended = [record and record.state for record in [await each for each in waiting]]

    assert ended == [State.FAILURE] * len(plan.nodes)
    assert len(looked) <= 5 * len(plan.nodes)

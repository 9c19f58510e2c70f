"""Harvest: two chords in a world whose worker dies, and what must be true of them when an heir has finished.

``good`` is a chord of chains, one of which is tried again, and of a task that goes on as a workflow;
``bad`` is one whose member fails. A seed says how long each attempt takes, in turns of the loop, and
what is delivered first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aioqueue import RetryPolicy, Router, Signature, chain, chord, current, group
from aioqueue.errors import TaskFailedError
from aioqueue.models.state import State, TaskState
from aioqueue.models.tree import Branch
from aioqueue.protocols.backend import Backend
from aioqueue.states import task_state
from aioqueue.tree import tree
from tests.chaos.crashes import Pair, World
from tests.support.faulty import Faults
from tests.support.waiting import within

VALUE = 13 + 104 + 7

_TURNS = 30
_LATER = 2 * 86_400.0
"""Seconds after which nothing of a workflow is shown any more, failures neither."""

_NUMBERS = 30
"""More than any of its workflows has nodes, joins and scopes."""

_router = Router()
_here: ContextVar[Harvest] = ContextVar("here")


@_router.task
async def add(x: int, y: int) -> int:
    await lasting()
    return x + y


@_router.task(retry=RetryPolicy(max_retries=2, delay=0.0))
async def second_time(x: int) -> int:
    await lasting()
    if current().attempt == 1:
        raise ConnectionError("not yet")
    return 100 + x


@_router.task
async def grow(n: int) -> Signature[int]:
    await lasting()
    return chain(add.s(n, 1), add.p(1))


@_router.task
async def total(values: list[int]) -> int:
    return sum(values)


@_router.task
async def fail(text: str) -> int:
    await lasting()
    raise ValueError(text)


@_router.task
async def note(what: Any) -> Any:
    _here.get().told.append((current().task_id, what))
    return what


async def lasting() -> None:
    """Let some turns of the loop pass, so that tasks end in another order with each seed."""
    attempt = f"{_here.get().seed} {current().task_id} {current().attempt}"
    for _ in range(Random(attempt).randrange(_TURNS)):
        await asyncio.sleep(0)


class Harvest(World):
    """A world of two chords. told: by which call, what."""

    def __init__(self, pair: Pair, folder: Path, seed: int) -> None:
        super().__init__(pair, folder, _router)
        self.seed = seed
        self.told: list[tuple[str, object]] = []

    def calls(self) -> list[Signature[Any]]:
        """Return what is sent."""
        random = Random(self.seed)
        first, second, third = add.s(1, 2) | add.p(10), add.s(2, 2) | second_time.p(), grow.s(5)
        members: list[Signature[int]] = [first, second, third]
        failing: list[Signature[int]] = [add.s(1, 1) | add.p(1), fail.s("no"), add.s(3, 3)]
        wholes = {"good": members, "bad": failing}
        return [
            chord(
                group(call.options(priority=random.randrange(10)) for call in wholes[id]), total.p()
            ).options(id=id, on_success=note.p(), on_error=note.p())
            for id in random.sample(["good", "bad"], 2)
        ]

    async def live(self, faults: Faults) -> None:
        """Send, work until the crash, inherit; look how everything stands, and what is left of it later."""
        _here.set(self)
        sender, heir = self.process(), self.process()
        async with sender:
            await sender.send_many(self.calls())
        await self.doomed(faults)
        async with heir:
            backend = self.backend_of(heir)
            await self.inherit(heir, lambda: _is_done(backend))
            nodes = await _nodes(backend)
            self._judge(nodes)
            assert await within(heir.result("good").get()) == VALUE, "the callback got other values"
            with pytest.raises(TaskFailedError, match="no") as caught:
                await within(heir.result("bad").get())
            assert (caught.value.task_name, caught.value.task_id in nodes) == ("fail", True), caught.value
            (counts,) = await heir.stores.broker.stats(["default"])
            assert (counts.ready, counts.delayed, counts.held, counts.dead) == (0, 0, 0, 0), counts
            self.nothing_moves()
            if self.virtual is not None:
                assert await _remains(backend, nodes) != []
                await self.clock.advance(_LATER)
                await self.maintain(heir)
                assert await _remains(backend, nodes) == []
                self.nothing_is_left()
        await self.clear_up()

    def _judge(self, nodes: dict[str, TaskState]) -> None:
        """Look whether every node has ended, none was committed twice, and what follows was, once."""
        assert [id for id, node in nodes.items() if not node.state.final] == [], "has not ended"
        assert {id: times for id, times in self.commits.items() if times > 1} == {}, (
            "committed more than once"
        )
        ended = {(id.partition(".")[0], node.name): node for id, node in nodes.items()}
        followed = {("good", "total"): VALUE, ("good", "note"): VALUE, ("bad", "note"): "no"}
        for name, value in followed.items():
            assert name in ended, f"{name} was never released"
            assert (ended[name].state, ended[name].result) == (State.SUCCESS, value), ended[name]
        assert ended["bad", "total"].state is State.FAILURE
        assert set(self.told) == {
            (ended[whole, "note"].id, followed[whole, "note"]) for whole in ("good", "bad")
        }


async def _is_done(backend: Backend) -> bool:
    return all(node.state.final for node in (await _nodes(backend)).values())


async def _nodes(backend: Backend) -> dict[str, TaskState]:
    """Return all tasks there are, but the callback that nothing calls."""
    tasks: list[TaskState] = []
    for id in ("good", "bad"):
        for part in (await tree(backend, id)).parts:
            tasks += _tasks(part, uncalled="on_error" if id == "good" else "")
    # a callback of what the last call comes to is its own
    found = await backend.get([f"{task.id}.s0" for task in tasks if task.name == "total"])
    tasks += [task_state(record) for record in found if record is not None]
    return {task.id: task for task in tasks}


def _tasks(part: Branch, uncalled: str) -> list[TaskState]:
    """Return the tasks in a part of a tree."""
    own = [] if part.task is None else [part.task]
    return own + [task for each in part.parts if each.kind != uncalled for task in _tasks(each, uncalled)]


async def _remains(backend: Backend, nodes: Iterable[str]) -> list[str]:
    """Return what is known of these nodes, and of the workflows they belong to."""
    found = [record.id for record in await backend.get(list(nodes)) if record is not None]
    for workflow in sorted({id.rpartition(".")[0] for id in nodes if not id.endswith(".s0")}):
        if await backend.workflow(workflow) is not None:
            found.append(workflow)
        for id in (f"{workflow}.{number}" for number in range(_NUMBERS)):
            if await backend.members(id, 0, 1) is not None or await backend.fault(id) is not None:
                found.append(id)
    return found

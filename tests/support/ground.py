"""Ground: trees run on a real Server, and what came of each beside what the reference interpreter allows."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from aioqueue import AsyncResult, Server, Signature, current
from aioqueue.canvas import compiled
from aioqueue.errors import ResultTimeoutError, TaskError
from aioqueue.models.state import FINAL, State
from aioqueue.packing import digest_of
from aioqueue.protocols.messages import Message
from aioqueue.worker.workflows import LONG, digested
from tests.support.forest import built
from tests.support.interpreter import Outcome, read
from tests.support.trees import Tree, calls_of, made, written
from tests.support.waiting import eventually

_LONG = 50.0
"""Seconds after which a workflow is stuck."""

_TURNS = 50
_STOPPED = frozenset({State.CANCELLED, State.FAILURE})


@dataclass(slots=True)
class Plot:
    """What has become of one tree.

    attempts: how often each attempt of each call was made. nodes: labels of all calls that were planned, by
    their ids. ended: what the record of each call that ran may read by now. states: what it reads.
    outcome: None if it is stuck.
    """

    tree: Tree
    attempts: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    nodes: dict[str, str] = field(default_factory=dict[str, str])
    ended: dict[str, frozenset[State]] = field(default_factory=dict[str, frozenset[State]])
    states: dict[str, State | None] = field(default_factory=dict[str, State | None])
    outcome: Outcome | None = None

    @property
    def ids(self) -> list[str]:
        """The ids of all calls that were planned, and of all that ran."""
        return sorted({*self.nodes, *self.ended})

    def faults(self) -> list[str]:
        """Tell what is not allowed."""
        return [*self._wrong_runs(), *self._wrong_states()]

    def _wrong_runs(self) -> Iterator[str]:
        allowed, ran = read(self.tree), {label for label, _ in self.attempts}
        if self.outcome not in allowed.outcomes:
            yield f"came to {self.outcome} and not to one of {set(allowed.outcomes)}"
        if missing := allowed.sure - ran:
            yield f"never ran: {sorted(missing)}"
        if more := ran - allowed.maybe:
            yield f"should not have run: {sorted(more)}"
        if twice := [attempt for attempt, count in self.attempts.items() if count > 1]:
            yield f"ran more than once: {twice}"
        again = {call.label for call in calls_of(self.tree) if call.does in ("retry", "exhaust")}
        if once := {label for label in again & allowed.sure if not self.attempts[label, 2]}:
            yield f"was not tried again: {sorted(once)}"

    def _wrong_states(self) -> Iterator[str]:
        for id, state in self.states.items():
            # who did not run was stopped or never called, or decides what failed before it
            if state not in self.ended.get(id, _STOPPED):
                yield f"{id}, which is {self.nodes.get(id, 'a callback')}, reads {state}"


class Ground:
    """A Server whose task ``act`` does what its call in a tree says, and a plot for each tree, by its id."""

    def __init__(self, server: Server, trees: Sequence[Tree]) -> None:
        self.server = server
        self.plots = {f"t{number}": Plot(tree) for number, tree in enumerate(trees)}
        self._calls = {
            (id, call.label): call for id, plot in self.plots.items() for call in calls_of(plot.tree)
        }
        server.task(name="act")(self._act)

    async def run(self) -> None:
        """Send all trees at once, and return when nothing is left to do."""
        calls = [self._planned(id, id, plot.tree).options(id=id) for id, plot in self.plots.items()]
        async with self.server, self.server.worker(concurrency=20):
            results = await self.server.send_many(calls)
            outcomes = await asyncio.gather(*map(_outcome, results))
            await eventually(self._is_idle, deadline=_LONG)
            for plot, outcome in zip(self.plots.values(), outcomes, strict=True):
                plot.outcome = outcome
                plot.states = await self._states(plot.ids)

    def faults(self) -> str:
        """Tell of each tree what is not allowed, and how it is written; nothing if all went well."""
        return "\n".join(
            "\n    ".join((written(plot.tree), *faults))
            for plot in self.plots.values()
            if (faults := plot.faults())
        )

    async def _act(self, id: str, label: str, does: str, *taken: Any) -> Any:
        context, plot = current(), self.plots[id]
        plot.attempts[label, context.attempt] += 1
        # some take longer, so that they do not end in the order in which they began
        for _ in range(crc32(f"{id}{label}".encode()) % _TURNS):
            await asyncio.sleep(0)
        again = context.attempt == 1 and does in ("retry", "exhaust")
        if again or does in ("fail", "exhaust"):
            # one that was to be tried again may have been stopped
            plot.ended[context.task_id] = frozenset({State.CANCELLED if again else State.FAILURE})
            raise ValueError(label)
        returned = self._calls[id, label].returns
        if returned is not None:
            plot.ended[context.task_id] = FINAL
            plan = f"{context.task_id}.{context.attempt}.{digest_of(built(returned, id))}"
            return self._planned(id, plan if len(plan) <= LONG else digested(plan), returned)
        plot.ended[context.task_id] = frozenset({State.SUCCESS})
        return made(label, does, json.dumps(taken[0], default=_plain) if taken else None)

    async def _is_idle(self) -> bool:
        (counts,) = await self.server.stores.broker.stats([self.server.settings.queue])
        return (counts.ready, counts.delayed, counts.held) == (0, 0, 0)

    async def _states(self, ids: list[str]) -> dict[str, State | None]:
        records = await self.server.stores.results().required().get(ids)
        return {id: None if record is None else record.state for id, record in zip(ids, records, strict=True)}

    def _planned(self, id: str, plan: str, tree: Tree) -> Signature[Any]:
        """Return the workflow of *tree*, which is a part of the tree *id*, and note what is planned by it."""
        workflow = built(tree, id)

        def pack(call: Signature[Any], node: str, source: str | None) -> Message:
            self.plots[id].nodes[node] = call.args[1]
            return Message(node, call.name, "q", b"")

        compiled(workflow, id=plan, pack=pack)
        return workflow


def _plain(value: object) -> Any:
    assert isinstance(value, TaskError)
    return {"error": value.message}


async def _outcome(result: AsyncResult[Any]) -> Outcome | None:
    try:
        return "value", json.dumps(await result.get(timeout=_LONG), default=_plain)
    except TaskError as exc:
        return "error", exc.message
    except ResultTimeoutError:
        return None

"""Random nodes of random workflows are cancelled at any time: each is decided once, and nothing is left.

Whether a node ends before it is cancelled is open, and so is what its workflow comes to. But one of the
callbacks of the whole is called, and once, by what it has come to; all that was planned ends; and it goes
with what is shown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aioqueue import Chain, Server, Signature, current
from aioqueue.errors import TaskError
from tests.support.forest import built, forest
from tests.support.stores import BUILT_IN, REDIS, Implementation, named_pair
from tests.support.trees import Tree, calls_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

FEW, MANY = 25, 120
RETURNING = 6
PAIRS = ((REDIS, BUILT_IN[1]), (BUILT_IN[1], REDIS))
_LONG = 50.0


class Cancels:
    """A Server on which trees run of which some nodes are cancelled. called: how often each callback was."""

    def __init__(self, server: Server, trees: Sequence[Tree]) -> None:
        self.server = server
        self.called: Counter[tuple[str, str]] = Counter()
        self._chance = Random(len(trees))
        self._trees = {f"t{number}": tree for number, tree in enumerate(trees)}
        self._calls = {(id, call.label): call for id, tree in self._trees.items() for call in calls_of(tree)}
        server.task(name="act")(self._act)
        server.task(name="called")(self._called)

    async def run(self) -> list[str]:
        """Run all trees; return what is wrong."""
        async with self.server, self.server.worker(concurrency=20):
            faults = await asyncio.gather(*map(self._one, self._trees))
            await eventually(self._is_idle, deadline=_LONG)
            left = [await self._unended(id) for id in self._trees]
        return [fault for of in (*faults, *left) for fault in of]

    async def _one(self, id: str) -> list[str]:
        good, bad = (
            Signature[Any](name="called", args=(id, how), takes="none") for how in ("success", "error")
        )
        whole = Chain[Any](steps=[built(self._trees[id], id)]).options(id=id, on_success=good, on_error=bad)
        result = await self.server.send(whole)
        parts = [node for part in (await self.server.workflow(id)).parts for node in part.walk()]
        # but for the callbacks that are counted
        nodes = [node.id for node in parts if node.id and node.task and node.task.name == "act"]
        for _ in range(self._chance.randint(0, 60)):
            await asyncio.sleep(0)
        for node in self._chance.sample(nodes, min(2, len(nodes))):
            await self.server.cancel(node)
        try:
            await result.get(timeout=_LONG)
            how, other = "success", "error"
        except TaskError:
            how, other = "error", "success"
        await eventually(lambda: self.called[id, how] == 1, deadline=_LONG)
        return [f"{id} is a {how}, and on_{other} was called"] if self.called[id, other] else []

    async def _unended(self, id: str) -> list[str]:
        tree = await self.server.workflow(id)
        nodes = [node for part in tree.parts for node in part.walk() if node.id]
        return [
            f"{node.id} reads {node.task and node.task.state}"
            for node in nodes
            if not (node.task and node.task.state.final)
        ]

    async def _act(self, id: str, label: str, does: str, *_: Any) -> Any:
        for _turn in range(self._chance.randint(0, 30)):
            await asyncio.sleep(0)
        if does in ("fail", "exhaust") or (does == "retry" and current().attempt == 1):
            raise ValueError(label)
        returned = self._calls[id, label].returns
        return label if returned is None else built(returned, id)

    async def _called(self, id: str, how: str) -> None:
        self.called[id, how] += 1

    async def _is_idle(self) -> bool:
        (counts,) = await self.server.stores.broker.stats([self.server.settings.queue])
        return (counts.ready, counts.delayed, counts.held) == (0, 0, 0)


@pytest.mark.parametrize("stores", [*((store, store) for store in BUILT_IN), *PAIRS], ids=named_pair)
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
async def test_each_whole_is_decided_once_whichever_nodes_are_cancelled(
    tmp_path: Path, stores: tuple[Implementation, ...], count: int
) -> None:
    urls = {store: store.url(tmp_path) for store in stores}
    server = Server(urls[stores[0]], backend=urls[stores[1]])

    faults = await Cancels(server, forest(count, RETURNING)).run()

    assert faults == []
    for store, url in urls.items():
        if store.check is not None:
            store.check(url, ended=True)

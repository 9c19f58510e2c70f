"""A worker that dies at any moment of any store call: the next one finishes everything, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aioqueue import Reject, RetryPolicy, Router, Signature, State, current
from tests.chaos.crashes import Pair, World, over_pairs, survives_everywhere
from tests.support.faulty import Faults

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

POINTS = {"one store": 20, "two stores": 30}
"""How many moments there are at least; fewer would mean that calls go by unseen."""

EXPECTED = {
    "good": (State.SUCCESS, b'"good"', 1),
    "third_time": (State.SUCCESS, b"3", 3),
    "never": (State.FAILURE, None, 2),
    "refuse": (State.FAILURE, None, 1),
}


class Plain(World):
    """A world of tasks that stand alone."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())
        self.runs: Counter[str] = Counter()
        task = self.router.task

        @task
        async def good() -> str:
            self.runs["good"] += 1
            return "good"

        @task(retry=RetryPolicy(max_retries=2, delay=0.0))
        async def third_time() -> int:
            self.runs["third_time"] += 1
            if current().attempt < 3:
                raise ConnectionError("not yet")
            return current().attempt

        @task(retry=RetryPolicy(max_retries=1, delay=0.0))
        async def never() -> None:
            raise ConnectionError("never")

        @task
        async def refuse() -> None:
            raise Reject("no")

        @task
        async def note(what: str) -> str:
            self.runs[f"note {what}"] += 1
            return what

        self.calls: dict[str, Signature[Any]] = {
            "good": good.s().options(on_success=note.s("good")),
            "third_time": third_time.s(),
            "never": never.s().options(on_error=note.s("never")),
            "refuse": refuse.s(),
        }

    async def live(self, faults: Faults) -> None:
        """Send, work until the crash, inherit; look how everything stands."""
        sender, server = self.process(), self.process()
        async with sender:
            results = await sender.send_many(self.calls.values())
        sent = dict(zip(self.calls, [result.id for result in results], strict=True))
        ids = [*sent.values(), f"{sent['good']}.s0", f"{sent['never']}.e0"]
        await self.doomed(faults)

        async def done() -> bool:
            found = await server.stores.backend.get(ids)
            return all(record is not None and record.state.final for record in found)

        async with server:
            await self.inherit(server, done)
            found = await server.stores.backend.get(ids)
            (counts,) = await server.stores.broker.stats(["default"])
            letters = await server.stores.broker.dead_letters()
        await self.clear_up()
        ended = {r.name: (r.state, r.value, r.attempt) for r in found if r is not None and r.name != "note"}
        assert ended == EXPECTED
        assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)
        assert sorted(letter.name for letter in letters) == ["never", "refuse"]
        assert set(self.commits.values()) == {1}
        assert self.runs["note good"] >= 1
        assert self.runs["note never"] >= 1
        assert self.runs["good"] <= 2


@pytest.mark.parametrize("pair", over_pairs())
async def test_worker_that_dies_at_any_moment_loses_and_doubles_nothing(pair: Pair, tmp_path: Path) -> None:
    await survives_everywhere(
        pair,
        lambda faults: Plain(pair, tmp_path).live(faults),
        least=POINTS["one store" if pair[0] is pair[1] else "two stores"],
    )


PAUSE = 0.5
"""Seconds that tasks are delayed, and wait for another attempt."""


class Waiting(World):
    """A world of tasks that wait for a moment: a delayed one, and one between two attempts."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())
        self.runs: Counter[str] = Counter()

        @self.router.task
        async def later() -> str:
            self.runs["later"] += 1
            return "later"

        @self.router.task(retry=RetryPolicy.listed(PAUSE))
        async def again() -> int:
            self.runs["again"] += 1
            if current().attempt == 1:
                raise ConnectionError("not yet")
            return current().attempt

        self.calls: list[Signature[Any]] = [later.s().options(delay=PAUSE), again.s()]

    async def live(self, faults: Faults) -> None:
        """Send, work before and after the moment until the crash, inherit; look how everything stands."""
        sender, server = self.process(), self.process()
        async with sender:
            ids = [result.id for result in await sender.send_many(self.calls)]
        await self.doomed(faults)
        await self.clock.advance(PAUSE + 0.1)
        if not faults.crashed:
            await self.doomed(faults)

        async def done() -> bool:
            found = await server.stores.backend.get(ids)
            return all(record is not None and record.state.final for record in found)

        async with server:
            await self.inherit(server, done)
            found = await server.stores.backend.get(ids)
            histories = [await server.result(id).history() for id in ids]
            (counts,) = await server.stores.broker.stats(["default"])
        await self.clear_up()
        ended = [(r.state, r.value, r.attempt) for r in found if r is not None]
        assert ended == [(State.SUCCESS, b'"later"', 1), (State.SUCCESS, b"2", 2)]
        assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)
        assert set(self.commits.values()) == {1}
        failures = [a.attempt for a in histories[1] if a.error.type == "ConnectionError"]
        assert failures == [1]
        assert self.runs["later"] <= 2
        assert self.runs["again"] <= 3


@pytest.mark.parametrize("pair", over_pairs())
async def test_worker_that_dies_while_tasks_wait_for_their_moment_loses_and_doubles_nothing(
    pair: Pair, tmp_path: Path
) -> None:
    await survives_everywhere(
        pair,
        lambda faults: Waiting(pair, tmp_path).live(faults),
        least=POINTS["one store" if pair[0] is pair[1] else "two stores"],
    )

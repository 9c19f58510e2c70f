"""Sender or worker dies at any moment of a store call: a unique key is free when its task has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aioqueue import Reject, RetryPolicy, Router, Signature, State, current, dispatch
from tests.chaos.crashes import Pair, World, is_served, over_few_pairs, survives_everywhere
from tests.support.faulty import Crash, Faults

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


class Keyed(World):
    """A world of unique tasks, each of which ends in another way."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        super().__init__(pair, folder, Router())
        task = self.router.task

        @task(unique="until_done")
        async def good() -> str:
            return "good"

        @task(unique="until_started")
        async def early() -> str:
            return "early"

        @task(unique="until_done", retry=RetryPolicy(max_retries=1, delay=0.0))
        async def second_time() -> int:
            if current().attempt < 2:
                raise ConnectionError("not yet")
            return current().attempt

        @task(unique="until_done")
        async def refuse() -> None:
            raise Reject("no")

        @task(unique="until_done", ignore_result=True)
        async def ignored() -> None:
            pass

        tasks: list[Any] = [good, early, second_time, refuse, ignored]
        self.calls: list[Signature[Any]] = [task.s() for task in tasks]

    async def worker_dies(self, faults: Faults) -> None:
        """Send, work until the crash, inherit; then every key is free, and is held before."""
        sender, server = self.process(), self.process()
        async with sender:
            results = await sender.send_many(self.calls)
            again = await sender.send_many(self.calls)
        assert [result.id for result in again] == [result.id for result in results]
        await self.doomed(faults)

        async def done() -> bool:
            found = await server.stores.backend.get([result.id for result in results])
            return all(record is None or record.state.final for record in found)

        async with server:
            await self.inherit(server, done)
            freed = await server.send_many(self.calls)
        await self.clear_up()
        assert [result.created for result in freed] == [True] * len(freed)

    async def sender_dies(self, faults: Faults) -> None:
        """Replace a task until the crash; the next sender replaces what there is, and that runs, alone."""
        first, doomed, server = self.process(), self.process(faults), self.process()
        call = self.calls[0].options(delay=60.0)
        async with first:
            replaced = await first.send(call)
        try:
            async with doomed:
                await doomed.send(call.options(on_conflict="replace"))
        except* Crash:
            pass
        async with server:
            last = await server.send(self.calls[0].options(on_conflict="replace"))
            await self.work(server)
            state, before = await last.state(), await server.result(replaced.id).state()
            held = await server.send(self.calls[0])
        await self.clear_up()
        assert (last.created, state.state, before.state) == (True, State.SUCCESS, State.CANCELLED)
        assert held.created

    async def sender_dies_sending(self, faults: Faults) -> None:
        """Send until the crash; the next of that key is accepted or is that one, which runs once."""
        doomed, server = self.process(faults), self.process()
        ids = set[str]()
        try:
            async with doomed:
                ids.add((await doomed.send(self.calls[0])).id)
        except* Crash:
            pass
        await self.clock.advance(dispatch._SENDING + 0.1)
        async with server:
            result = await server.send(self.calls[0])
            await self.work(server)
            state = await result.state()
            (counts,) = await server.stores.broker.stats(["default"])
            freed = await server.send(self.calls[0])
        await self.clear_up()
        assert (state.state, freed.created) == (State.SUCCESS, True)
        assert (counts.ready, counts.delayed, counts.held) == (0, 0, 0)
        assert self.commits == {result.id: 1}
        assert ids <= {result.id}


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_sender_that_dies_between_record_and_message_leaves_no_key_taken(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_served(pair):
        monkeypatch.setattr(dispatch, "_SENDING", 0.5)
    await survives_everywhere(pair, lambda faults: Keyed(pair, tmp_path).sender_dies_sending(faults), least=2)


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_worker_that_dies_at_any_moment_leaves_no_key_taken(pair: Pair, tmp_path: Path) -> None:
    await survives_everywhere(pair, lambda faults: Keyed(pair, tmp_path).worker_dies(faults), least=15)


@pytest.mark.parametrize("pair", over_few_pairs())
async def test_sender_that_dies_as_it_replaces_a_task_leaves_no_key_taken(pair: Pair, tmp_path: Path) -> None:
    await survives_everywhere(pair, lambda faults: Keyed(pair, tmp_path).sender_dies(faults), least=2)

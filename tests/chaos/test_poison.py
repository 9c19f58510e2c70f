"""A task that ends every process that runs it is buried alone: its neighbours are done, each once.

What ran beside it at each crash is read from what the tasks write down outside the system; commits
are counted by the store, in the step that makes them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from aioqueue import AsyncResult, Server, Signature
from aioqueue.errors import TaskFailedError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.messages import SUSPECT
from tests.chaos import copies
from tests.chaos.history import History
from tests.chaos.remains import Keys
from tests.support.processes import AIOQUEUE, Process
from tests.support.redis_server import RedisServer, shared
from tests.support.stores import missing
from tests.support.waiting import eventually, pause, within

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

GOOD, POISON = 200, -1
STARTS = 4
PROCESSES, SLOTS = 4, 8
"""Few slots: suspects pass one at a time, and the poison waits among them; good ones have to last as long."""

LIMIT = 90.0
REASON = f"worker lost: {STARTS} workers died while they ran it"


@pytest.fixture
def redis() -> RedisServer:
    try:
        return shared("redis")
    except LookupError as exc:
        missing("redis-server", exc)


@dataclass
class Scene:
    """A namespace, workers of a copy that counts commits, and what is sent to them."""

    server: Server
    keys: Keys
    history: History
    copy: Path
    env: dict[str, str]
    stack: AsyncExitStack
    good: list[AsyncResult[Any]] = field(default_factory=list)
    _slots: int = 0

    @classmethod
    @asynccontextmanager
    async def made(cls, redis: RedisServer, folder: Path, **settings: str) -> AsyncGenerator[Self]:
        """Make one; settings: what its workers find in their environment beside the broker."""
        url, history = redis.url(namespace=new_id()), History(folder / "history")
        copy = copies.copied(folder / "copy", copies.COUNTED)
        more = {"AIOQUEUE_BROKER": url, "HISTORY": str(history.path), **settings}
        env = {**copies.environment(copy), **more}
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(Server(url))
            yield cls(server, Keys(redis, url), history, copy, env, stack)

    async def start(self, *options: str) -> Process:
        """Start a worker command."""
        argv = [*AIOQUEUE, "worker", "tests.chaos.perils:server", *options]
        return await self.stack.enter_async_context(Process.start(argv, env=self.env, cwd=self.copy))

    async def send(self, *, slots: int) -> AsyncResult[Any]:
        """Send the good ones, and the poison when all *slots* are full: it takes the first one to be free."""
        await self._send_good(GOOD)
        await eventually(lambda: sum(self.history.in_flight().values()) == slots, deadline=30)
        self._slots = slots
        return await self.server.send(Signature(name="poison", args=[POISON], priority=9))

    async def neighboured(self) -> None:
        """Keep good ones waiting until the last crash, so that some run beside it, however late it comes."""
        while len(self.beside()) < STARTS:
            if len(self.good) - len(self.history.begun()) < self._slots:
                await self._send_good(self._slots)
            await pause(0.1)

    async def _send_good(self, count: int) -> None:
        calls = [
            Signature(name="work", args=[len(self.good) + n, random.uniform(1, 2)]) for n in range(count)
        ]
        self.good += await self.server.send_many(calls)

    def beside(self) -> list[tuple[int, int]]:
        """Return, a crash, its process and how many good ones ran there."""
        running: defaultdict[int, set[int]] = defaultdict(set)
        found: list[tuple[int, int]] = []
        for line in self.history.lines():
            match line.event:
                case "begin":
                    running[line.pid].add(line.n)
                case "crash":
                    found.append((line.pid, len(running[line.pid] - {POISON})))
                case _:
                    running[line.pid].discard(line.n)
        return found

    async def judge(self, poison: AsyncResult[Any], began: float) -> None:
        """Wait for all ends and hold them against what is promised."""
        await within(self.neighboured(), deadline=LIMIT)
        with pytest.raises(TaskFailedError) as told:
            await within(poison, deadline=LIMIT)
        values = [await within(result, deadline=LIMIT) for result in self.good]
        took = time.monotonic() - began
        states = [await result.state() for result in self.good]
        buried = await poison.state()
        letters = await self.server.stores.broker.dead_letters()
        beside, begun = [count for _, count in self.beside()], self.history.begun()
        losses = Counter(state.losses for state in states)
        print(
            f"{len(self.good)} good tasks done in {took:.1f} s; beside the poison ran {beside};"
            f" workers lost a good task: {dict(sorted(losses.items()))}; runs repeated:"
            f" {sum(begun[n] - 1 for n in range(len(self.good)))}"
        )

        assert values == list(range(len(self.good)))
        assert [state.state for state in states] == [State.SUCCESS] * len(self.good)
        # from its second loss on, nobody runs beside another suspect, and the poison is one
        assert max(losses) <= SUSPECT
        assert begun[POISON] == STARTS
        assert len(beside) == STARTS
        assert min(beside) > 0, "nothing ran beside the poison, which proves nothing of neighbours"
        assert (str(told.value), told.value.type, buried.state) == (REASON, "WorkerLost", State.FAILURE)
        assert [(letter.id, letter.reason) for letter in letters] == [(poison.id, REASON)]
        everyone = (*(result.id for result in self.good), poison.id)
        assert self.keys.hash("commits") == dict.fromkeys(everyone, "1")
        assert self.keys.left_over() == []
        assert self.keys.leaks() == []


async def test_poison_among_supervised_workers_is_the_one_dead_letter(
    redis: RedisServer, tmp_path: Path
) -> None:
    began = time.monotonic()

    async with Scene.made(redis, tmp_path) as scene:
        supervisor = await scene.start("--processes", str(PROCESSES), "-c", str(SLOTS))
        for _ in range(PROCESSES):
            await supervisor.line("is ready", deadline=60)
        poison = await scene.send(slots=PROCESSES * SLOTS)
        await scene.judge(poison, began)


async def test_poison_among_workers_that_nobody_supervises_is_the_one_dead_letter(
    redis: RedisServer, tmp_path: Path
) -> None:
    began = time.monotonic()
    timings = {"AIOQUEUE_LEASE": "2", "AIOQUEUE_BEAT": "0.5", "AIOQUEUE_SWEEP": "0.5"}

    async with Scene.made(redis, tmp_path, **timings) as scene:
        # fewer slots yet: good ones have to last for four leases
        workers = [await scene.start("-c", "4") for _ in range(PROCESSES)]
        for worker in workers:
            await worker.line("is ready", deadline=60)
        poison = await scene.send(slots=PROCESSES * 4)
        feeding = asyncio.create_task(within(scene.neighboured(), deadline=LIMIT))
        codes = [await _replaced(scene, workers, number) for number in range(STARTS)]
        await feeding
        await scene.judge(poison, began)

    assert codes == [1] * STARTS


async def _replaced(scene: Scene, workers: list[Process], number: int) -> int:
    """Wait for the crash of that number and start a worker in its place; return the dead one's exit code."""
    await eventually(lambda: len(scene.beside()) > number, deadline=60)
    pid, _ = scene.beside()[number]
    dead = next(worker for worker in workers if worker.pid == pid)
    code = await dead.wait()
    workers.append(await scene.start("-c", "4"))
    return code

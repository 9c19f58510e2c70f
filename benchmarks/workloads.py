"""The workloads, each a function that returns what it measured.

Rates are from the store's own records: from the first start to the last end.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from aioqueue import AsyncResult, Server, Signature
from benchmarks.workers import cpu_seconds, worker

BATCH = 500


@dataclass(frozen=True, slots=True)
class Figures:
    """One row: a name, and columns as they are printed."""

    name: str
    columns: dict[str, str]


async def drain(broker: str, *, tasks: int, concurrency: int = 100) -> list[Figures]:
    """Send no-ops in bulk, then start a worker and let it drain them, results stored."""
    async with Server(broker) as server:
        began, cpu = time.perf_counter(), time.process_time()
        results: list[AsyncResult[int]] = []
        for first in range(0, tasks, BATCH):
            results += await server.send_many(
                Signature(name="noop", args=[n]) for n in range(first, min(first + BATCH, tasks))
            )
        sent, used = time.perf_counter() - began, time.process_time() - cpu
        async with worker(broker, concurrency=concurrency) as process:
            await results[0].get(timeout=60)
            before = cpu_seconds(process.pid)
            await asyncio.gather(*(result.get(timeout=120) for result in results[-concurrency:]))
            ended = await _all_ended(server, results)
            spent = cpu_seconds(process.pid) - before
    return [
        Figures(
            f"send {tasks:,} in bulk",
            {"tasks/s": f"{tasks / sent:,.0f}", "CPU us/task": f"{1e6 * used / tasks:.0f}"},
        ),
        Figures(
            f"drain {tasks:,}, concurrency {concurrency}",
            {"tasks/s": f"{tasks / ended:,.0f}", "CPU us/task": f"{1e6 * spent / tasks:.0f}"},
        ),
    ]


async def latency(broker: str, *, rounds: int) -> Figures:
    """Send one call after the other to an idle worker in another process and await each result."""
    async with Server(broker) as server, worker(broker, concurrency=100):
        call = Signature(name="noop", args=[1])
        await (await server.send(call)).get(timeout=60)
        times: list[float] = []
        for _ in range(rounds):
            began = time.perf_counter()
            await (await server.send(call)).get(timeout=60)
            times.append(1e3 * (time.perf_counter() - began))
    cuts = statistics.quantiles(times, n=100)
    return Figures(
        f"send to awaited result, {rounds} rounds",
        {"p50 ms": f"{cuts[49]:.2f}", "p95 ms": f"{cuts[94]:.2f}", "p99 ms": f"{cuts[98]:.2f}"},
    )


async def _all_ended(server: Server, results: list[AsyncResult[int]]) -> float:
    """Wait until every task has ended; return the seconds from the first start to the last end."""
    starts: list[float] = []
    ends: list[float] = []
    for first in range(0, len(results), BATCH):
        page = results[first : first + BATCH]
        await asyncio.gather(*(result.get(timeout=120) for result in page))
        records = await server.stores.backend.get([result.id for result in page])
        starts += [record.started for record in records if record is not None and record.started is not None]
        ends += [record.finished for record in records if record is not None and record.finished is not None]
    return max(ends) - min(starts)

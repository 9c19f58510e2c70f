"""A worker process to measure: started, waited for, its CPU time read, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@asynccontextmanager
async def worker(broker: str, *, concurrency: int) -> AsyncIterator[Process]:
    """Run one worker process on *broker*; stop it and wait for its end on leaving."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aioqueue", "worker", "benchmarks.app:server"),
        *("-c", str(concurrency), "--log-level", "error"),
        env={**os.environ, "AIOQUEUE_BROKER": broker},
        stdout=DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()

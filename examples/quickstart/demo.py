"""The quickstart in one go: a worker in one process, a client in another, and what both say.

BROKER=<url> takes another store than a SQLite file in a temporary folder. Ends with 1 unless the
worker said that it received the task and the client got 55.
"""

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

HERE = Path(__file__).parent


async def start(broker: str, *command: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=HERE,
        env={**os.environ, "AIOQUEUE_BROKER": broker, "PYTHONUNBUFFERED": "1"},
        stdout=PIPE,
        stderr=STDOUT,
    )


async def lines(process: Process, who: str) -> list[str]:
    """Print what a process says as it says it; return it when the process is silent for good."""
    assert process.stdout is not None
    said: list[str] = []
    async for raw in process.stdout:
        said.append(raw.decode().rstrip())
        print(f"{who} | {said[-1]}", flush=True)
    return said


async def demo(broker: str) -> bool:
    print(f"broker {broker.rsplit('@', 1)[-1]}")
    worker = await start(
        broker, "-m", "aioqueue", "worker", "tasks:server", "--name", "quickstart", "-c", "10"
    )
    print(f"worker pid {worker.pid}", flush=True)
    client = await start(broker, "client.py")
    working = asyncio.create_task(lines(worker, "worker"))
    calling = asyncio.create_task(lines(client, "client"))
    # a worker that ends by itself will answer nobody
    await asyncio.wait([working, calling], return_when=asyncio.FIRST_COMPLETED)
    for process, wanted in ((client, working.done()), (worker, True)):
        if wanted and process.returncode is None:
            process.send_signal(signal.SIGTERM)
    answered, received = await calling, await working
    ended_well = await client.wait() == 0 and await worker.wait() == 0
    receipt = any("received" in line and "sum" in line for line in received)
    return ended_well and receipt and any("is 55" in line for line in answered)


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        broker = os.environ.get("BROKER") or f"sqlite:///{folder}/demo.db"
        async with asyncio.timeout(60):
            good = await demo(broker)
    print("the quickstart ran: sent, received, awaited" if good else "the quickstart failed, see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

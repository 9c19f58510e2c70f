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
from collections.abc import AsyncIterator
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


async def lines(process: Process, who: str) -> AsyncIterator[str]:
    assert process.stdout is not None
    async for raw in process.stdout:
        line = raw.decode().rstrip()
        print(f"{who} | {line}", flush=True)
        yield line


async def demo(broker: str) -> bool:
    print(f"broker {broker.rsplit('@', 1)[-1]}")
    worker = await start(
        broker, "-m", "aioqueue", "worker", "tasks:server", "--name", "quickstart", "-c", "10"
    )
    print(f"worker pid {worker.pid}", flush=True)
    said: list[str] = []

    async def listen() -> None:
        async for line in lines(worker, "worker"):
            said.append(line)

    listening = asyncio.create_task(listen())
    client = await start(broker, "client.py")
    answers = [line async for line in lines(client, "client")]
    sent_well = await client.wait() == 0
    if worker.returncode is None:
        worker.send_signal(signal.SIGTERM)
    stopped_well = await worker.wait() == 0
    await listening
    received = any("received" in line and "sum" in line for line in said)
    return sent_well and stopped_well and received and any("is 55" in line for line in answers)


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        broker = os.environ.get("BROKER") or f"sqlite:///{folder}/demo.db"
        async with asyncio.timeout(60):
            good = await demo(broker)
    print("the quickstart ran: sent, received, awaited" if good else "the quickstart failed, see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

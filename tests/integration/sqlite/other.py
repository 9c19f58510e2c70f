"""What another process does to the file: ``python other.py <deed> <url>``, a line a step."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from aioqueue.adapters.sqlite import connect
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.ids import new_id
from aioqueue.models.state import State
from aioqueue.protocols.messages import Ending, Message

QUEUE = "queue"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def task(**fields: object) -> Message:
    return Message(**{"id": new_id(), "name": "add", "queue": QUEUE, "body": b"{}", **fields})  # type: ignore[arg-type]  # any field


async def publish(broker: SqliteBroker, backend: SqliteBackend) -> None:
    """Publish one message."""
    await broker.publish([task(tracked=False)])


async def run(broker: SqliteBroker, backend: SqliteBackend) -> None:
    """Run one task."""
    async with broker.consume([QUEUE], prefetch=1, lease=60, worker="other") as consumer:
        finisher = consumer.finisher(backend)
        assert finisher is not None
        (delivery,) = await consumer.receive(1, timeout=10)
        await finisher.finish([Ending(delivery, State.SUCCESS, value=b"3")])


async def work(broker: SqliteBroker, backend: SqliteBackend) -> None:
    """Send and run tasks until killed, telling the id of each that is acknowledged."""
    submitter = broker.submitter(backend)
    async with broker.consume([QUEUE], prefetch=50, lease=60, worker="other") as consumer:
        finisher = consumer.finisher(backend)
        assert submitter is not None
        assert finisher is not None
        while True:
            sent = [task() for _ in range(20)]
            await submitter.submit(sent)
            say(" ".join(["sent", *(message.id for message in sent)]))
            deliveries = await consumer.receive(10, timeout=0)
            endings = [Ending(delivery, State.SUCCESS, value=b"3", ttl=3600) for delivery in deliveries]
            await finisher.finish(endings)
            say(" ".join(["done", *(delivery.message.id for delivery in deliveries)]))


async def main(deed: str, url: str) -> None:
    adapter = connect(url)
    broker, backend = adapter.broker, adapter.backend
    assert isinstance(broker, SqliteBroker)
    assert isinstance(backend, SqliteBackend)
    async with AsyncExitStack() as stack:
        for part in (broker, backend):
            await part.open()
            stack.push_async_callback(part.close)
        await {"publish": publish, "run": run, "work": work}[deed](broker, backend)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

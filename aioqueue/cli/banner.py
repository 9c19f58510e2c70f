"""Banner: what a worker says of itself as it starts; credentials are left out, a file's path is not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aioqueue.cli.options import shown
from aioqueue.cli.signatures import signature_of
from aioqueue.server import Server
from aioqueue.worker import WorkerOptions


@dataclass(frozen=True, slots=True)
class Banner:
    """The settings a worker starts with. tasks: their signatures, by name."""

    worker: str
    broker: str
    backend: str
    queues: tuple[str, ...]
    concurrency: int
    processes: int
    pid: int
    loop: str
    notes: tuple[str, ...]
    tasks: dict[str, str]

    @property
    def data(self) -> dict[str, object]:
        """The same as JSON data."""
        return asdict(self)

    @property
    def text(self) -> str:
        """The same for people."""
        rows = {
            "worker": self.worker,
            "broker": self.broker,
            "backend": self.backend,
            "queues": ", ".join(self.queues),
            "concurrency": str(self.concurrency),
            "processes": str(self.processes),
            "pid": str(self.pid),
            "loop": self.loop,
        }
        lines = [f"  {name:<12} {value}" for name, value in rows.items()]
        lines += [f"  {'note':<12} {note}" for note in self.notes]
        lines += [f"  {'tasks':<12} {'' if self.tasks else 'none is registered'}".rstrip()]
        lines += [f"    {name}{signature}" for name, signature in sorted(self.tasks.items())]
        return "\n".join(["Launching a worker with the following settings:", *lines])


def banner(
    server: Server, options: WorkerOptions, *, processes: int, loop: str, health: Sequence[str] = ()
) -> Banner:
    """Return the banner of a worker of *server*. health: what the broker says of itself."""
    broker, backend = map(shown, server.stores.urls)
    return Banner(
        worker=options.name,
        broker=broker,
        backend=backend,
        queues=options.served,
        concurrency=options.concurrency,
        processes=processes,
        pid=os.getpid(),
        loop=loop,
        notes=(*_notes(server), *health),
        tasks={task.name: signature_of(task) for task in server},
    )


def _notes(server: Server) -> tuple[str, ...]:
    capabilities = server.stores.broker.capabilities
    notes = [capabilities.note] if capabilities.note else []
    if not capabilities.durable:
        notes.append(f"{capabilities.name}: what it holds is lost with it")
    if not capabilities.fenced or not server.stores.backend.capabilities.fenced:
        notes.append("the end of a task may be committed more than once")
    return tuple(notes)

"""Rows: which figures are shown, in which unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.alone import KINDS, PAYLOADS, PROCESSES, QUEUES
from benchmarks.beside import WIDER


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. scale: from what was measured to the unit that is shown."""

    figure: str
    title: str
    better: str
    scale: float = 1.0
    digits: int = 0

    def shown(self, value: float) -> str:
        """Return *value* as it is shown."""
        return f"{value * self.scale:,.{self.digits}f}"


CALLS: Final = (
    Row("send rate", "bulk send, tasks/s", "more"),
    Row("send cpu", "bulk send, client CPU us/task", "less", 1e6, 1),
    Row("drain rate", "drain, tasks/s", "more"),
    Row("drain cpu", "drain, worker CPU us/task", "less", 1e6, 1),
    Row("drain store cpu", "drain, the server's CPU us/task", "less", 1e6, 1),
    Row("drain store commands", "drain, commands a task, scripts' own too", "less", 1.0, 1),
    Row("drain store bytes", "drain, bytes a task, to and from the server", "less"),
    Row("one sender rate", "1 sender that awaits no result, tasks/s", "more"),
    Row("senders rate", "100 such senders, tasks/s", "more"),
    Row("senders cpu", "100 such senders, client CPU us/task", "less", 1e6, 1),
    Row("latency p50", "one at a time, p50 ms", "less", 1e3, 2),
    Row("latency p99", "one at a time, p99 ms", "less", 1e3, 2),
    Row("crowd rate", "100 senders, tasks/s", "more"),
    Row("trickle p50", "one every 50 ms, p50 ms", "less", 1e3, 2),
    Row("queued bytes", "the server's memory, bytes a queued task", "less"),
    Row("stored bytes", "the server's memory, bytes a task that ended", "less"),
    Row("spawn", "a worker's start to its first task, ms", "less", 1e3),
    Row("idle commands", "idle worker, commands/s, scripts' own too", "less", 1.0, 1),
    Row("idle cpu", "idle worker, CPU %", "less", 1e2, 2),
    Row("idle rss", "idle worker, RSS MB", "less", 1e-6, 1),
)
"""A system a column."""

TIMES: Final = (
    Row("sleep", "sleepers, s", "less", 1.0, 2),
    Row("due p50", "due at once, p50 ms late", "less", 1e3, 1),
    Row("due p99", "p99 ms", "less", 1e3, 1),
    Row("spread p50", "due one by one, p50 ms late", "less", 1e3, 1),
    Row("spread p99", "p99 ms", "less", 1e3, 1),
)
"""A system a line, as more systems are measured by those."""

CHORDS: Final = (
    Row("chord", "chord, ms", "less", 1e3, 1),
    Row("wide chord", f"{WIDER} times as wide, ms", "less", 1e3, 1),
    Row("chord growth", "times the chord's time", "less", 1.0, 1),
)
"""A system a line."""


def _backlog(name: str, title: str) -> tuple[Row, Row]:
    return (
        Row(f"{name} rate", f"{title}, tasks/s", "more"),
        Row(f"{name} cpu", f"{title}, worker CPU us/task", "less", 1e6, 1),
    )


_KINDS: Final = {
    "no result": "no result kept",
    "early": "acknowledged before it runs",
    "asyncio": "without uvloop",
    "queues": f"over {QUEUES} queues",
}

OWN: Final = (
    Row("script rate", "1 sender, a bare script by redis-py, calls/s", "more"),
    Row("waiters", "sent in bulk and awaited all at once, s", "less", 1.0, 2),
    *(row for number in PROCESSES for row in _backlog(f"processes {number}", f"worker processes: {number}")),
    *(row for kind in KINDS for row in _backlog(kind, _KINDS[kind])),
    *(
        row
        for size in PAYLOADS
        for row in (
            Row(f"{size} send rate", f"arguments of {size}, bulk send, tasks/s", "more"),
            *_backlog(size, f"arguments of {size}"),
        )
    ),
    *_backlog("backlog", "long backlog"),
    Row("backlog growth", "long backlog, the worker's memory grows by MB", "less", 1e-6, 1),
    *_backlog("history", "after a long backlog"),
    *_backlog("million", "very long backlog"),
    Row("million growth", "very long backlog, the worker's memory grows by MB", "less", 1e-6, 1),
    Row("untracked bytes", "the server's memory, bytes a queued task, no result kept", "less"),
    Row("bare spawn", "a bare process, start to its first word, ms", "less", 1e3),
    Row("bare rss", "a bare process, RSS MB", "less", 1e-6, 1),
    Row("import", "import aioqueue, ms", "less", 1e3),
    Row("bare import", "import redis.asyncio, pydantic, ms", "less", 1e3),
)
"""aioqueue's alone, a figure a line."""

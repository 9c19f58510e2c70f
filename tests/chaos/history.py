"""What really ran, read from the lines that ``tests.chaos.app`` leaves outside the system."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One event of one run. at: Unix seconds."""

    event: str
    n: int
    attempt: int
    pid: int
    at: float


class History:
    """The file the runs write to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[Line]:
        """Return all that is written, in order."""
        rows = (row.split() for row in self.path.read_text().splitlines())
        return [Line(event, int(n), int(attempt), int(pid), float(at)) for event, n, attempt, pid, at in rows]

    def in_flight(self) -> Counter[int]:
        """Return, a process, how many runs have begun there and not ended."""
        open_runs: Counter[int] = Counter()
        for line in self.lines():
            open_runs[line.pid] += 1 if line.event == "begin" else -1
        return +open_runs

    def begun(self) -> Counter[int]:
        """Return, a task, how often it was begun."""
        return Counter(line.n for line in self.lines() if line.event == "begin")

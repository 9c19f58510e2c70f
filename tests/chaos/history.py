"""What really ran, read from the lines that ``tests.chaos.app`` leaves outside the system."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One event of one run: begin, end, or cut where it was cancelled. at: Unix seconds."""

    event: str
    n: int
    attempt: int
    pid: int
    at: float


class History:
    """The file the runs write to; each line of it is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[Line] = []
        self._running: Counter[int] = Counter()
        self._read = 0
        path.touch()

    def lines(self) -> list[Line]:
        """Return all that is written, in order."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read += len(whole) + 1
            for row in whole.decode().splitlines():
                event, n, attempt, pid, at = row.split()
                self._lines.append(Line(event, int(n), int(attempt), int(pid), float(at)))
                self._running[int(pid)] += 1 if event == "begin" else -1
        return self._lines

    def in_flight(self) -> Counter[int]:
        """Return, a process, how many runs have begun there and not ended."""
        self.lines()
        return +self._running

    def begun(self) -> Counter[int]:
        """Return, a task, how often it was begun."""
        return Counter(line.n for line in self.lines() if line.event == "begin")

"""Marks: which task ran when, in memory that worker and driver share.

To ask the store would disturb what is measured, and trust what is to be proved. A number's slots have one
writer at a time; the count of all runs has several where a worker has threads or processes, so it tells that
something goes on, and nothing hangs on its value. The moments are of the monotonic clock, which Linux gives
to all processes alike.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

VARIABLE: Final = "BENCH_MARKS"
"""Environment variable that names the file."""

_SIZE: Final = 8


def ran(number: int) -> None:
    """Note in the worker that the task of this number runs."""
    view = _opened()
    view[0] += 1.0
    view[1 + 2 * number] = time.monotonic()
    view[2 + 2 * number] += 1.0


@cache
def _opened() -> memoryview[float]:
    return _view(Path(os.environ[VARIABLE]))


def _view(path: Path) -> memoryview[float]:
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("d")


class Marks:
    """What the driver reads. count: numbers there are, from 0."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self._count = count
        self._next = 0
        path.write_bytes(bytes(_SIZE * (1 + 2 * count)))
        self._slots = _view(path)

    @property
    def activity(self) -> float:
        """Grows as tasks run; 0 as long as none has."""
        return self._slots[0]

    def ran(self, number: int) -> bool:
        """Whether the task of this number ran."""
        return self._slots[2 + 2 * number] > 0.0

    def all_ran(self, count: int | None = None) -> bool:
        """Whether the first *count* numbers ran, all unless told. None is looked at again once it has."""
        wanted = self._count if count is None else count
        while self._next < wanted and self.ran(self._next):
            self._next += 1
        return self._next >= wanted

    @property
    def moments(self) -> list[float]:
        """When each task ran, by number."""
        return [self._slots[1 + 2 * number] for number in range(self._count)]

    def latest(self, count: int) -> list[int]:
        """Return the numbers of the tasks that ran last."""
        return sorted(range(self._count), key=self.moments.__getitem__)[-count:]

    def lost(self) -> int:
        """Return how many tasks did not run."""
        return sum(not self.ran(number) for number in range(self._count))

    def repeated(self) -> int:
        """Return how many tasks ran more than once."""
        return sum(self._slots[2 + 2 * number] > 1.0 for number in range(self._count))


@contextmanager
def marks(folder: Path, count: int) -> Iterator[Marks]:
    """Give marks in a file below *folder*, which is removed on leaving."""
    path = folder / "marks"
    try:
        yield Marks(path, count)
    finally:
        path.unlink(missing_ok=True)

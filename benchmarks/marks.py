"""Marks: which task ran when, in memory that worker and driver share.

To ask the store would disturb what is measured, and trust what is to be proved. Each slot has one
writer at a time, as a worker of the benchmark is one process with one event loop; where it has threads,
that goes for a number's slots alone, and the count of all runs is not asked for. The moments are of the
monotonic clock, which Linux gives to all processes alike.
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
        path.write_bytes(bytes(_SIZE * (1 + 2 * count)))
        self._slots = _view(path)

    @property
    def runs(self) -> int:
        """How many runs there were in all."""
        return int(self._slots[0])

    @property
    def first(self) -> float:
        """When the first task ran, by the monotonic clock."""
        return min(self._slots[1 + 2 * number] for number in range(self._count))

    def latest(self, count: int) -> list[int]:
        """Return the numbers of the tasks that ran last."""
        return sorted(range(self._count), key=lambda number: self._slots[1 + 2 * number])[-count:]

    def wrong(self) -> list[int]:
        """Return the numbers of the tasks that did not run, or ran more than once."""
        return [number for number in range(self._count) if self._slots[2 + 2 * number] != 1.0]


@contextmanager
def marks(folder: Path, count: int) -> Iterator[Marks]:
    """Give marks in a file below *folder*, which is removed on leaving."""
    path = folder / "marks"
    try:
        yield Marks(path, count)
    finally:
        path.unlink(missing_ok=True)

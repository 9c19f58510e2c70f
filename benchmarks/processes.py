"""Processes of the benchmark: started in a group of their own, their CPU time read, ended by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Timer
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[1]
TICKS: Final = os.sysconf("SC_CLK_TCK")
DEADLINE: Final = 600.0
"""Seconds that no workload takes."""

WRONG: Final = "wrong"
"""By what a client tells that a result is wrong, in words."""

_GRACE: Final = 30.0


class BenchmarkError(RuntimeError):
    """A run that gives no figures: something died, or a result was wrong."""


class LossError(BenchmarkError):
    """Tasks were lost, ran more than once or ended wrongly: what was measured does not count."""


class Process:
    """One process, and all that it starts."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.pid = popen.pid
        self._popen = popen

    @classmethod
    @contextmanager
    def started(
        cls,
        argv: Sequence[str],
        env: dict[str, str],
        *,
        log: Path | None = None,
        errors: Path | None = None,
        deadline: float = DEADLINE,
    ) -> Iterator[Self]:
        """Run *argv* with *env* added to the environment; end it and its group on leaving.

        log: a file for all that it prints; without one, ``read`` gives it. errors: one for what it
        prints as errors. deadline: seconds after which it is killed, so that nothing waits on it for ever.
        """
        plain = {name: value for name, value in os.environ.items() if not name.startswith("AIOQUEUE_")}
        with (
            nullcontext() if log is None else log.open("wb") as file,
            nullcontext(file) if errors is None else errors.open("wb") as wrong,
        ):
            popen = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**plain, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
                stdin=subprocess.PIPE,
                stdout=file or subprocess.PIPE,
                stderr=wrong,
                text=True,
                start_new_session=True,
            )
        watchdog = Timer(deadline, _kill_group, (popen.pid,))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield cls(popen)
        finally:
            watchdog.cancel()
            _end(popen)

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return self._popen.poll() is None

    def cpu(self) -> float:
        """Return the CPU time, in seconds, of the process and of all that descend from it."""
        return sum(map(_cpu, _family(self.pid)))

    def memory(self, kind: str) -> float:
        """Return the bytes that the process and all that descend from it hold.

        kind: ``VmRSS``, or ``RssAnon`` for what is theirs alone, the marks' file not among it.
        """
        return sum(_memory(pid, kind) for pid in _family(self.pid))

    def read(self) -> dict[str, float]:
        """Wait for the next line of JSON. Raises LossError if that tells of a wrong result.

        Raises BenchmarkError where the process ends instead.
        """
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if line.startswith("{"):
                figures: Any = json.loads(line)
                if wrong := figures.get(WRONG):
                    raise LossError(str(wrong))
                return {str(name): float(value) for name, value in figures.items()}
        raise BenchmarkError(f"{self._popen.args!r} ended with code {self._popen.wait()} and no figures")

    def await_end(self) -> None:
        """Wait until it has ended by itself. Raises BenchmarkError where it failed."""
        if code := self._popen.wait():
            raise BenchmarkError(f"{self._popen.args!r} ended with code {code}")

    def write(self, numbers: list[int]) -> None:
        """Send a line of JSON."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(numbers) + "\n")
        self._popen.stdin.flush()


def _end(popen: subprocess.Popen[str]) -> None:
    popen.terminate()
    try:
        popen.wait(_GRACE)
    except subprocess.TimeoutExpired:
        print(f"{popen.args!r} did not end in {_GRACE:g} s and is killed", flush=True)
    finally:
        _kill_group(popen.pid)
        popen.communicate()


def _kill_group(pid: int) -> None:
    """Kill what is left of the group that *pid* was started as the head of."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:13])) / TICKS


def _memory(pid: int, kind: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def _family(pid: int) -> list[int]:
    """Return *pid* and all that descend from it."""
    parents = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    family = [pid]
    for member in family:
        family += [child for child, fields in parents.items() if fields and int(fields[1]) == member]
    return family

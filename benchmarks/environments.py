"""Virtual environments of the contestants, below ``.venv-bench``, and one Python for all of them.

An environment is built once, by ``venv`` and ``pip``, and anew when its pins or that Python change.
``python -m benchmarks.environments [PYTHON]`` builds all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.contestants import AIOQUEUE, RIVALS, Contestant
from benchmarks.processes import ROOT, BenchmarkError

_ENVIRONMENTS: Final = ROOT / ".venv-bench"
_PINS: Final = ROOT / "benchmarks" / "rivals"
_LOCK: Final = ROOT / "requirements"


def seated_on_one(contestants: Sequence[Contestant], wanted: str | None = None) -> list[Contestant]:
    """Return *contestants*, on one Python and each in its environment, or unable to run.

    The Python is *wanted*, else the oldest that suits all, else this one. Raises BenchmarkError.
    """
    oldest = max(contestant.oldest for contestant in contestants)
    python = wanted or next((p for p in _pythons(oldest) if _is_new(p, oldest)), sys.executable)
    if not _is_new(python, AIOQUEUE.oldest):
        raise BenchmarkError(f"{python} is no Python {_dotted(AIOQUEUE.oldest)} or newer with venv")
    return [_seat(contestant, python) for contestant in contestants]


def _seat(contestant: Contestant, python: str) -> Contestant:
    """Return *contestant*, seated, or a rival as unable to run."""
    if not _is_new(python, contestant.oldest):
        wanting = f"it needs Python {_dotted(contestant.oldest)}; --python PATH"
        return replace(contestant, unable=wanting)
    try:
        return seated(contestant, python)
    except subprocess.CalledProcessError:
        if contestant.own:
            raise
        return replace(contestant, unable="it cannot be installed here")


def seated(contestant: Contestant, python: str) -> Contestant:
    """Return *contestant* with the interpreter of its own environment, which is built if need be."""
    home = AIOQUEUE if contestant.guest else contestant
    folder = _ENVIRONMENTS / home.name
    own = folder / "bin" / "python"
    steps = list(_installs(home))
    state = "\n".join([os.path.realpath(python), *(text for step in steps for text in _texts(step))])
    stamp = folder / ".stamp"
    if not stamp.exists() or stamp.read_text() != state:
        print(f"building {folder.relative_to(ROOT)} (once, until its pins change)", flush=True)
        _run([python, "-m", "venv", "--clear", str(folder)])
        for step in steps:
            _run([str(own), "-m", "pip", "install", "--quiet", *step])
        stamp.write_text(state)
    return replace(contestant, python=str(own))


def _installs(contestant: Contestant) -> Iterator[list[str]]:
    """Give the arguments of each call of pip."""
    if contestant is AIOQUEUE:
        yield ["--require-hashes", "-r", str(_LOCK / "core.txt")]
    yield ["-r", str(_PINS / f"{contestant.name}.txt")]
    if contestant is AIOQUEUE:
        yield ["--no-deps", "-e", "."]


def _run(argv: list[str]) -> None:
    """Run what builds; what it says is shown where it fails alone, as pip warns of what is no fault of it."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        print(f"{done.stdout}{done.stderr}", flush=True)
        done.check_returncode()


def _texts(step: list[str]) -> Iterator[str]:
    yield " ".join(step)
    yield from (Path(word).read_text() for word in step if word.endswith(".txt"))


def _pythons(oldest: tuple[int, int]) -> Iterator[str]:
    yield sys.executable
    for minor in range(oldest[1], oldest[1] + 8):
        if (found := shutil.which(f"python3.{minor}")) is not None:
            yield found
    # a version manager's shims stand on PATH and do not run; what they stand for does
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(home.glob("versions/3.*/bin/python3")))


def _is_new(python: str, oldest: tuple[int, int]) -> bool:
    code = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {oldest})"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def main() -> None:
    """Build all environments, and tell which are there."""
    for contestant in seated_on_one([AIOQUEUE, *RIVALS], *sys.argv[1:2]):
        print(f"{contestant.name}: {contestant.unable or contestant.python}")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as exc:
        sys.exit(f"benchmarks: {exc}")

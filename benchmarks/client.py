"""The client's process: ``python -m benchmarks.client SYSTEM WORKLOAD COUNT``.

It runs in the virtual environment of its system, and speaks with the driver in lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from benchmarks.processes import WRONG
from benchmarks.systems import Client, WrongResultError
from benchmarks.workloads import WORKLOADS


class StandardLine:
    """Standard output and input."""

    def say(self, **figures: float) -> None:
        print(json.dumps(figures), flush=True)

    def complain(self, wrong: str) -> None:
        print(json.dumps({WRONG: wrong}), flush=True)

    async def hear(self) -> list[int]:
        heard: Any = json.loads(await asyncio.to_thread(sys.stdin.readline))
        return [int(number) for number in heard]


async def main(system: str, workload: str, count: int) -> None:
    client = cast(Client, import_module(f"benchmarks.systems.{system}").Client())
    line = StandardLine()
    await client.open()
    try:
        await WORKLOADS[workload](client, count, line)
    except (WrongResultError, ExceptionGroup) as exc:
        first = _first(exc)
        if not isinstance(first, WrongResultError):
            raise first from None
        line.complain(str(first))
    finally:
        await client.close()


def _first(error: Exception) -> Exception:
    """Return the first error of a group, and of one in that."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where it is installed, as the workers' commands do."""
    if find_spec("uvloop") is None:
        return None
    return cast(Callable[[], asyncio.AbstractEventLoop], import_module("uvloop").new_event_loop)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

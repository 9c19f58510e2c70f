"""Reload: worker processes are started anew when the code changes. For development.

The app is imported by the children only, so that one that cannot be imported is waited for, too. So it is
a child that buries the one before it: which store that held tasks of, its parent does not know.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from aioqueue.cli.worker import Flags
from aioqueue.config import by_variable
from aioqueue.errors import ConfigurationError, MissingExtraError
from aioqueue.worker.options import default_name
from aioqueue.worker.supervisor import Supervisor

_log = logging.getLogger("aioqueue.worker")

GRACE: Final = 5.0
"""Seconds running tasks get before the code is loaded anew, unless option or variable say otherwise."""

ANCESTORS: Final = 8
"""How many of those before it a child is told of: some may have died before they could bury anybody."""

FAILED: Final = 1

_SUFFIXES: Final = (".yaml", ".yml")


async def reloading(flags: Flags) -> int:
    """Return the exit code once the processes that *flags* ask for have been told to stop, and have.

    Raises ConfigurationError, MissingExtraError.
    """
    if flags.burst:
        raise ConfigurationError(
            "--reload goes on until it is stopped; leave out --burst, or the variable AIOQUEUE_WORKER_BURST"
        )
    try:
        # its types name trio, which need not be there
        watchfiles: Any = import_module("watchfiles")
    except ImportError:
        raise MissingExtraError("watchfiles", "reload") from None
    grace = _grace(flags)
    supervisor = Supervisor(_children(flags, grace), processes=flags.processes, grace=grace, patient=True)
    over = asyncio.Event()
    kinds = watchfiles.PythonFilter(extra_extensions=_SUFFIXES)
    folders = flags.reload_dir or (".",)

    async def watch() -> bool:
        """Start anew at each change until all is over; return False if changes cannot be seen."""
        try:
            async for changes in watchfiles.awatch(*folders, watch_filter=kinds, stop_event=over):
                files = sorted({str(file) for _, file in changes})
                more = f" and {len(files) - 1} more" if len(files) > 1 else ""
                _log.warning("%s%s changed: the worker starts anew", files[0], more)
                supervisor.restart()
        except (OSError, RuntimeError) as exc:
            _log.error(
                "changes below %s cannot be seen any more, so all ends: %s; name fewer folders with "
                "--reload-dir, or have them looked through with WATCHFILES_FORCE_POLLING=1",
                ", ".join(folders),
                exc,
            )
            return False
        return True

    watching = asyncio.create_task(watch(), name="watch")
    # whatever ends it: a worker that took up no change would run old code unseen
    watching.add_done_callback(lambda _: supervisor.stop())
    try:
        code = await supervisor.run()
    finally:
        over.set()
        seen = await watching
    return code if seen else code or FAILED


def _grace(flags: Flags) -> float:
    if flags.shutdown_timeout is not None:
        return flags.shutdown_timeout
    said: float | None = by_variable("grace")
    return GRACE if said is None else said


def _children(flags: Flags, grace: float) -> Callable[[int, str], list[str]]:
    """Return what makes the command of the child of a number and a birth."""
    name = flags.name or default_name()
    several = flags.processes > 1
    births: defaultdict[int, deque[str]] = defaultdict(lambda: deque(maxlen=ANCESTORS))

    def command(number: int, birth: str) -> list[str]:
        child = flags.child(f"{name}.{number}" if several else name, os.getpid(), birth)
        argv = replace(child, shutdown_timeout=grace, announce=number == 1, bury=tuple(births[number])).argv()
        births[number].append(birth)
        return argv

    return command

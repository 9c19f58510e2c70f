"""Reload: worker processes are started anew when the code changes. For development.

The app is imported by the children only, so that one that cannot be imported is waited for, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from aioqueue.cli.worker import Flags
from aioqueue.errors import ConfigurationError, MissingExtraError
from aioqueue.worker.options import default_name
from aioqueue.worker.supervisor import Supervisor

_log = logging.getLogger("aioqueue.worker")

GRACE: Final = 5.0
"""Seconds running tasks get before the code is loaded anew, unless --shutdown-timeout says otherwise."""

_SUFFIXES: Final = (".yaml", ".yml")


async def reloading(flags: Flags) -> int:
    """Return the exit code once the processes that *flags* ask for have been told to stop, and have.

    Raises ConfigurationError, MissingExtraError.
    """
    if flags.burst:
        raise ConfigurationError("--reload goes on until it is stopped; leave out --burst")
    try:
        # its types name trio, which need not be there
        watchfiles: Any = import_module("watchfiles")
    except ImportError:
        raise MissingExtraError("watchfiles", "reload") from None
    grace = GRACE if flags.shutdown_timeout is None else flags.shutdown_timeout
    name = flags.name or default_name()
    several = flags.processes > 1

    def command(number: int, birth: str) -> list[str]:
        child = flags.child(f"{name}.{number}" if several else name, os.getpid(), birth)
        return replace(child, shutdown_timeout=grace, announce=number == 1).argv()

    supervisor = Supervisor(command, processes=flags.processes, grace=grace, patient=True)
    over = asyncio.Event()
    kinds = watchfiles.PythonFilter(extra_extensions=_SUFFIXES)
    folders = flags.reload_dir or (".",)

    async def watch() -> None:
        async for changes in watchfiles.awatch(*folders, watch_filter=kinds, stop_event=over):
            files = sorted({str(file) for _, file in changes})
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            _log.warning("%s%s changed: the worker starts anew", files[0], more)
            supervisor.restart()

    watching = asyncio.create_task(watch(), name="watch")
    try:
        return await supervisor.run()
    finally:
        over.set()
        await watching

"""Inside: what runs in a process of its own, around the call of a task.

The worker speaks to it through its standard streams. Whatever the task starts would inherit them, and write
into what the worker reads, so they are put aside: a task and its programs have no streams.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from importlib import import_module
from typing import IO, Any

from aioqueue.context import Context, running
from aioqueue.task import Task
from aioqueue.worker.echo import Ear, say_to


def call_by_path(
    module: str,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Context,
    *,
    ear: Ear | None,
) -> Any:
    """Import a function and call it; runs in the other process. ear: where its logs are heard.

    A Ctrl-C, or the stop of a service, goes to all processes at once. It is for the worker to say what that
    means: the call goes on. What it starts itself hears of such signals as ever.
    """
    _hear_no_signals()
    _put_streams_aside()
    if ear is not None:
        say_to(ear)
    found: Any = import_module(module)
    if ear is not None:
        # the module may set up logs of its own
        say_to(ear)
    for part in name.split("."):
        found = getattr(found, part)
    function = found.definition.function if isinstance(found, Task) else found
    running.set(context)
    return function(*args, **kwargs)


@cache
def _hear_no_signals() -> None:
    """Let signals interrupt nothing here, and be heard as ever by what is forked from here, or started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _unheard)
    os.register_at_fork(after_in_child=_hear_signals)


def _hear_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _unheard(number: int, frame: object) -> None:
    """Hear a signal, and do nothing."""


def _put_streams_aside() -> None:
    """Let the worker be spoken to through other descriptors than 0 and 1, and let 0, 1 and 2 lead nowhere."""
    if sys.__stdin__ is None or sys.__stdout__ is None or sys.__stdout__.fileno() != 1:
        return
    for stream, mode in ((sys.__stdin__, "rb"), (sys.__stdout__, "wb")):
        buffer: Any = stream.buffer
        raw: IO[bytes] = getattr(buffer, "raw", buffer)
        # whoever reads and writes here holds on to these objects, so they are opened anew in place
        raw.__init__(os.dup(raw.fileno()), mode, closefd=False)  # type: ignore[misc]  # as said
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)

"""Signals: SIGINT and SIGTERM stop a worker; the second one at once, the third without a word.

Only the command line and ``worker.run()`` install them, and only in the main thread.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_KILLED: Final = 128


@contextmanager
def stopping(stop: Callable[[bool], None]) -> Generator[None]:
    """Call *stop* at a signal; with True at the second one. The handlers before are put back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    seen = 0

    def handle(number: int) -> None:
        nonlocal seen
        seen += 1
        if seen > 2:
            os._exit(_KILLED + number)
        stop(seen == 2)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

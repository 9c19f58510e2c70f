"""Signals: SIGINT and SIGTERM stop workers; the second one at once, the third without a word.

Only the command line and ``worker.run()`` install them, and only in the main thread. Several
workers of one loop share the handlers: a signal stops them all.
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

Stop = Callable[[bool], None]


class _Handlers:
    """The handlers of one loop, and whom they tell."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stops: list[Stop] = []
        self._loop = loop
        self._seen = 0
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._handle, number)

    def remove(self) -> None:
        """Put back what was there before."""
        for number, handler in self._before.items():
            self._loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def _handle(self, number: int) -> None:
        self._seen += 1
        if self._seen > 2:
            os._exit(_KILLED + number)
        for stop in list(self.stops):
            stop(self._seen == 2)


_installed: dict[asyncio.AbstractEventLoop, _Handlers] = {}


@contextmanager
def stopping(stop: Stop) -> Generator[None, None, None]:
    """Call *stop* at a signal; with True at the second one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = _installed.get(loop)
    if handlers is None:
        handlers = _installed[loop] = _Handlers(loop)
    handlers.stops.append(stop)
    try:
        yield
    finally:
        handlers.stops.remove(stop)
        if not handlers.stops:
            del _installed[loop]
            handlers.remove()

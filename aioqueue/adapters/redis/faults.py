"""Faults: the one place where the errors of redis-py become those of aioqueue.

What the server says no to for now (loading, read-only, out of memory, no answer) may be tried again;
what the program did wrong stays the error it is.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    MaxConnectionsError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from aioqueue.errors import UnavailableError

_SOON: Final = ("LOADING", "BUSY ", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS")
_AWAY: Final = (
    *_SOON,
    "OOM",
    "MISCONF",
    "UNKILLABLE",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "ERR max number of clients",
)


def is_short(exc: BaseException) -> bool:
    """Tell whether *exc* may be over in a moment, so that what is safe to repeat is asked again."""
    if isinstance(exc, AuthenticationError | MaxConnectionsError):
        return False
    return isinstance(exc, ConnectionError | TimeoutError | OSError) or _says(exc, _SOON)


def is_full(exc: BaseException) -> bool:
    """Tell whether the server is at its maxmemory; then it has written nothing."""
    return _says(exc, ("OOM",))


@contextmanager
def translated(unavailable: type[UnavailableError], shown: str) -> Generator[None, None, None]:
    """Raise *unavailable* for a fault of the server at *shown* or of the way to it."""
    try:
        yield
    except (RedisError, OSError) as exc:
        if not (isinstance(exc, ConnectionError | TimeoutError | OSError) or _says(exc, _AWAY)):
            raise
        raise unavailable(f"{shown}: {str(exc) or type(exc).__name__}") from exc


def _says(exc: BaseException, prefixes: tuple[str, ...]) -> bool:
    # an error inside a script may be wrapped in words of its own
    text = str(exc).removeprefix("ERR ").removeprefix("-")
    return isinstance(exc, ResponseError) and (text.startswith(prefixes) or str(exc).startswith(prefixes))

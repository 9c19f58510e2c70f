"""Faults: the one place where the errors of redis-py become those of aioqueue.

What the server says no to for now (loading, read-only, out of memory, no answer) may be tried again;
what the program did wrong stays the error it is. The library has classes for some codes, and for
others the code stays in the text; before Redis 7 an error inside a script is always in the text.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from aioqueue.errors import UnavailableError

_SOON: Final = (BusyLoadingError, ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)
_SOON_CODES: Final = ("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN")
_AWAY: Final = (*_SOON, NoPermissionError, OutOfMemoryError)
_AWAY_CODES: Final = (*_SOON_CODES, "MISCONF", "NOPERM", "OOM", "UNKILLABLE")


def is_short(exc: BaseException) -> bool:
    """Tell whether *exc* may be over in a moment, so that what is safe to repeat is asked again."""
    if isinstance(exc, AuthenticationError | MaxConnectionsError):
        return False
    return isinstance(exc, (ConnectionError, TimeoutError, OSError, *_SOON)) or _says(exc, _SOON_CODES)


def is_full(exc: BaseException | None) -> bool:
    """Tell whether the server is at its maxmemory; then it has written nothing."""
    return isinstance(exc, OutOfMemoryError) or _says(exc, ("OOM",))


def is_groupless(exc: ResponseError) -> bool:
    """Tell whether a stream or its group is gone."""
    return _says(exc, ("NOGROUP", "UNBLOCKED"))


@contextmanager
def translated(unavailable: type[UnavailableError], shown: str) -> Generator[None, None, None]:
    """Raise *unavailable* for a fault of the server at *shown* or of the way to it."""
    try:
        yield
    except (RedisError, OSError) as exc:
        away = isinstance(exc, (ConnectionError, TimeoutError, OSError, *_AWAY)) or _says(exc, _AWAY_CODES)
        if not away:
            raise
        raise unavailable(f"{shown}: {str(exc) or type(exc).__name__}") from exc


def _says(exc: BaseException | None, codes: tuple[str, ...]) -> bool:
    text = str(exc)
    return isinstance(exc, ResponseError) and any(
        text.startswith(f"{code} ") or f"-{code} " in text for code in codes
    )

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
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from aioqueue.adapters.redis.advice import advice, is_forbidden, is_of_tls
from aioqueue.errors import UnavailableError

_ELSEWHERE: Final = (ClusterDownError, MovedError, ReadOnlyError)
_ELSEWHERE_CODES: Final = ("CLUSTERDOWN", "READONLY")
_SOON: Final = (*_ELSEWHERE, AskError, BusyLoadingError, MasterDownError, TryAgainError)
_SOON_CODES: Final = ("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN")
_AWAY: Final = (*_SOON, NoPermissionError, OutOfMemoryError)
_AWAY_CODES: Final = (*_SOON_CODES, "MISCONF", "NOPERM", "OOM", "UNKILLABLE")


class SetUpError(OSError):
    """What is at the other end is not what the URL says."""


def is_set_up(exc: BaseException | None) -> bool:
    """Tell whether *exc* stays until somebody changes the URL, the server or its users."""
    return isinstance(exc, AuthenticationError | SetUpError) or is_forbidden(exc) or is_of_tls(exc)


def is_elsewhere(exc: BaseException) -> bool:
    """Tell whether calls have to go to another server, which is to be found."""
    return isinstance(exc, _ELSEWHERE) or _says(exc, _ELSEWHERE_CODES)


def is_short(exc: BaseException) -> bool:
    """Tell whether *exc* may be over in a moment, so that what is safe to repeat is asked again."""
    if isinstance(exc, MaxConnectionsError) or is_set_up(exc):
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
        away = isinstance(exc, (ConnectionError, TimeoutError, OSError, *_AWAY))
        away = away or _says(exc, _AWAY_CODES) or is_forbidden(exc)
        if not away:
            raise
        raise unavailable(f"{shown}: {advice(exc, shown)}") from exc


def _says(exc: BaseException | None, codes: tuple[str, ...]) -> bool:
    text = str(exc)
    return isinstance(exc, ResponseError) and any(
        text.startswith(f"{code} ") or f"-{code} " in text for code in codes
    )

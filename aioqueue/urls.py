"""URLs: which adapter a scheme stands for, imported when it is named and not before.

Third parties add schemes by entry points of the group ``aioqueue.adapters``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, cast

from aioqueue.clock import Clock
from aioqueue.errors import ConfigurationError
from aioqueue.protocols.adapter import Adapter
from aioqueue.redaction import redacted

__all__ = ["anchored", "connect", "file_of", "redacted"]

_REDIS: Final = "aioqueue.adapters.redis"
_BUILT_IN: Final = {
    "memory": "aioqueue.adapters.memory",
    "sqlite": "aioqueue.adapters.sqlite",
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+sentinel": _REDIS,
    "rediss+sentinel": _REDIS,
    "redis+cluster": _REDIS,
    "rediss+cluster": _REDIS,
    "redis+unix": _REDIS,
    "unix": _REDIS,
}
_GROUP: Final = "aioqueue.adapters"
_HOST: Final = r"(\[[^\]]*\]|[^:@\[\]]*)(:\d*)?"
_AUTHORITY: Final = re.compile(rf"(.*@)?{_HOST}(,{_HOST})*", re.DOTALL)


def connect(url: str, *, clock: Clock | None = None) -> Adapter:
    """Return the adapter that *url* stands for; nothing is opened yet. Raises ConfigurationError."""
    scheme = url.partition(":")[0] if ":" in url else ""
    if scheme != "sqlite" and _misquoted(url):
        raise ConfigurationError(
            f"this {scheme} URL cannot be read: after {scheme}:// come user:password@, if there are any, and "
            "the host; a port is a number, and in user and password / is %2F, ? is %3F, # is %23 and @ is %40"
        )
    if scheme in _BUILT_IN:
        return cast(Adapter, import_module(_BUILT_IN[scheme]).connect(url, clock=clock))
    for entry in entry_points(group=_GROUP):
        if entry.name == scheme:
            make = cast(Callable[..., Adapter], entry.load())
            return make(url, clock=clock)
    known = ", ".join(f"{name}://" for name in _BUILT_IN)
    # what follows a ? may be a secret by any name
    shown = redacted(url).partition("?")[0]
    raise ConfigurationError(f"{shown!r} is no store's URL; it begins with one of {known}")


def _misquoted(url: str) -> bool:
    """True where an adapter could take a part of a password for something else, and show it."""
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        return scheme.partition(":")[0] in _BUILT_IN
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # what ends a password that is not quoted has a part of it before, and the rest behind
    return _AUTHORITY.fullmatch(authority) is None or "@" in rest[len(authority) :]


def file_of(url: str) -> Path | None:
    """Return the file that a SQLite URL names; None for what is no file."""
    if not url.startswith("sqlite:"):
        return None
    from aioqueue.adapters.sqlite.options import parse  # noqa: PLC0415 - an adapter is loaded when it is named

    return parse(url).path


def anchored(url: str, folder: str) -> str:
    """Return a SQLite URL whose relative path stands below *folder*; any other as it is."""
    path = url.removeprefix("sqlite:///")
    if path == url or path.startswith("/"):
        return url
    return f"sqlite:///{os.path.join(os.path.abspath(folder), path)}"

"""URLs: which adapter a scheme stands for, imported when it is named and not before.

Third parties add schemes by entry points of the group ``aioqueue.adapters``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from aioqueue.clock import Clock
from aioqueue.errors import ConfigurationError
from aioqueue.protocols.adapter import Adapter

_REDIS: Final = "aioqueue.adapters.redis"
_BUILT_IN: Final = {
    "memory": "aioqueue.adapters.memory",
    "sqlite": "aioqueue.adapters.sqlite",
    "redis": _REDIS,
    "rediss": _REDIS,
    "unix": _REDIS,
}
_GROUP: Final = "aioqueue.adapters"
_CREDENTIALS: Final = re.compile(r"//.*@")
_SECRETS: Final = re.compile(r"([?&](?:password|passwd|secret|token)=)[^&#]*", re.IGNORECASE)


def connect(url: str, *, clock: Clock | None = None) -> Adapter:
    """Return the adapter that *url* stands for; nothing is opened yet. Raises ConfigurationError."""
    scheme = url.partition(":")[0] if ":" in url else ""
    if scheme in _BUILT_IN:
        return cast(Adapter, import_module(_BUILT_IN[scheme]).connect(url, clock=clock))
    for entry in entry_points(group=_GROUP):
        if entry.name == scheme:
            make = cast(Callable[..., Adapter], entry.load())
            return make(url, clock=clock)
    known = ", ".join(f"{name}://" for name in _BUILT_IN)
    raise ConfigurationError(f"{redacted(url)!r} is no store's URL; it begins with one of {known}")


def redacted(url: str) -> str:
    """Return *url* as it may be shown: without user and password, however badly they are quoted."""
    if url.startswith("sqlite:"):
        # a file has none, and its path may hold an @
        return url
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub("//", url))


def anchored(url: str, folder: str) -> str:
    """Return a SQLite URL whose relative path stands below *folder*; any other as it is."""
    path = url.removeprefix("sqlite:///")
    if path == url or path.startswith("/"):
        return url
    return f"sqlite:///{os.path.join(os.path.abspath(folder), path)}"

"""Options: what a SQLite URL says. ``sqlite:///relative.db`` has three slashes, an absolute path four.

A relative path counts from where the process stood when the adapter was made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from aioqueue.errors import ConfigurationError

Synchronous = Literal["normal", "full"]


@dataclass(frozen=True, slots=True)
class Options:
    """synchronous: ``full`` keeps what was acknowledged through a power cut too.

    timeout: seconds to wait for another process's transaction before a call fails.
    """

    url: str
    path: Path
    synchronous: Synchronous = "normal"
    timeout: float = 10.0


def parse(url: str) -> Options:
    """Return what *url* says. Raises ConfigurationError naming what is wrong and what is allowed."""
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    if (not parts.netloc and name in {"", ":memory:"}) or parts.netloc == ":memory:":
        raise ConfigurationError(f"{url} names no file; for a queue in memory write memory://")
    if parts.netloc:
        raise ConfigurationError(
            f"{url}: a path comes after three slashes: sqlite:///{parts.netloc}{parts.path}"
        )
    if parts.fragment:
        raise ConfigurationError(f"{url}: a # in a path is written %23")
    options = Options(url, Path(name).absolute())
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        match option:
            case "synchronous":
                options = replace(options, synchronous=_synchronous(url, value))
            case "timeout":
                options = replace(options, timeout=_seconds(url, value))
            case _:
                raise ConfigurationError(
                    f"{url}: there is no option {option!r};"
                    " there are synchronous=normal|full and timeout=<seconds>"
                )
    return options


def _synchronous(url: str, value: str) -> Synchronous:
    match value:
        case "normal" | "full":
            return value
        case _:
            raise ConfigurationError(f"{url}: synchronous is normal or full, not {value!r}")


def _seconds(url: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{url}: timeout is a number of seconds above 0, not {value!r}")
    return seconds

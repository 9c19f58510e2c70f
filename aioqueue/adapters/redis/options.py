"""Options: what a Redis URL says. Ours are taken out of its query; the rest is redis-py's to read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio.connection import parse_url

from aioqueue.errors import ConfigurationError
from aioqueue.ids import is_name

_THEIRS: Final = frozenset(
    {
        "db",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "ssl_keyfile_password",
    }
)
_KNOWN: Final = "namespace=<name>, timeout=<seconds>, " + ", ".join(f"{name}=" for name in sorted(_THEIRS))


@dataclass(frozen=True, slots=True)
class Options:
    """url: for redis-py, with credentials. shown: the same for people.

    namespace: what all keys lie in. timeout: seconds to wait for a connection or an answer.
    """

    url: str = field(repr=False)
    shown: str
    namespace: str = "default"
    timeout: float = 5.0

    @property
    def prefix(self) -> str:
        """What every key begins with; its one hash tag puts all of them in one slot."""
        return f"aq:{{{self.namespace}}}:"


def parse(url: str) -> Options:
    """Return what *url* says. Raises ConfigurationError naming what is wrong and what is allowed."""
    parts = urlsplit(url)
    shown = _joined(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=_masked(parts.query)))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    namespace = query.pop("namespace", "default")
    timeout = _seconds(shown, query.pop("timeout", "5"))
    if not is_name(namespace) or not namespace.isascii() or set("{}:") & set(namespace):
        raise ConfigurationError(f"{shown}: {namespace!r} cannot be a namespace; take letters, digits and -")
    for name in query:
        if name not in _THEIRS:
            raise ConfigurationError(f"{shown}: there is no option {name!r}; there are {_KNOWN}")
    plain = _joined(parts._replace(query=urlencode(query)))
    _check(shown, plain)
    return Options(plain, shown, namespace, timeout)


def _masked(query: str) -> str:
    """Return *query* without the values of what is secret, and of what is not known."""
    public = _THEIRS - {"ssl_keyfile_password"} | {"namespace", "timeout"}
    pairs = [
        (name, value if name in public else "***") for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return urlencode(pairs, safe="/:*")


def _joined(parts: SplitResult) -> str:
    url = urlunsplit(parts)
    # a scheme it does not know loses the slashes of an empty host
    return url if "://" in url else url.replace(":", "://", 1)


def _check(shown: str, plain: str) -> None:
    try:
        found: dict[str, Any] = dict(parse_url(plain))
    except ValueError as exc:
        raise ConfigurationError(f"{shown}: {exc}") from None
    path = urlsplit(plain).path.strip("/")
    if plain.startswith("unix:"):
        if not found.get("path"):
            raise ConfigurationError(
                f"{shown}: the path of a socket comes after two slashes: unix:///run/redis.sock"
            )
    elif path and not path.isdecimal():
        raise ConfigurationError(f"{shown}: after the host comes the number of a database, and not {path!r}")


def _seconds(shown: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{shown}: timeout is a number of seconds above 0, not {value!r}")
    return seconds

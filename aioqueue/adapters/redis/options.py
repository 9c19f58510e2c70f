"""Options: what a Redis URL says. Ours are taken out of its query; the rest is redis-py's to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from redis.asyncio.connection import parse_url

from aioqueue.adapters.redis.hosts import Address, address, moved, taken_apart
from aioqueue.errors import ConfigurationError
from aioqueue.ids import is_name

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_PUBLIC: Final = frozenset({"db", *_FILES, "ssl_ca_path", "ssl_cert_reqs", "ssl_check_hostname"})
_THEIRS: Final = _PUBLIC | {"ssl_keyfile_password"}
_SENTINELS: Final = ("sentinel_password", "sentinel_username")
_PORTS: Final = {"sentinel": 26379}


class Kind(Enum):
    """How the server is found: it is the one named, the master among those named, or others know it."""

    SERVER = "server"
    HOSTS = "hosts"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Options:
    """url: for redis-py, with credentials, of the server or the first one. shown: the same for people.

    namespace: what all keys lie in. timeout: seconds to wait for a connection or an answer. hosts: all
    that are named, where there may be more than one: servers, sentinels or nodes. master: its name with
    the sentinels; sentinel: the URL of the first one of them, for redis-py.
    """

    url: str = field(repr=False)
    shown: str
    namespace: str = "default"
    timeout: float = 5.0
    kind: Kind = Kind.SERVER
    hosts: tuple[Address, ...] = ()
    master: str = ""
    sentinel: str = field(default="", repr=False)

    @property
    def prefix(self) -> str:
        """What every key begins with; its one hash tag puts all of them in one slot."""
        return f"aq:{{{self.namespace}}}:"

    @property
    def files(self) -> Mapping[str, str]:
        """The files that TLS needs, by their option."""
        query = dict(parse_qsl(urlsplit(self.url).query))
        return {name: query[name] for name in _FILES if name in query}

    def at(self, where: Address) -> str:
        """Return the URL for redis-py of the server at *where*."""
        return moved(self.url, where)

    def sentinel_at(self, where: Address) -> str:
        """Return the URL for redis-py of a sentinel."""
        return moved(self.sentinel, where)


def parse(url: str) -> Options:
    """Return what *url* says. Raises ConfigurationError naming what is wrong and what is allowed."""
    parts = taken_apart(url)
    path, _, query = parts.rest.partition("#")[0].partition("?")
    shown = _joined(parts.scheme, ",".join(parts.hosts), path, _masked(query))
    try:
        return _parsed(_Said(*parts[:3], path, dict(parse_qsl(query, keep_blank_values=True))), shown)
    except ValueError as exc:
        raise ConfigurationError(f"{shown}: {exc}") from None


class _Said(NamedTuple):
    """A URL in pieces."""

    scheme: str
    user: str
    hosts: tuple[str, ...]
    path: str
    query: dict[str, str]


def _parsed(said: _Said, shown: str) -> Options:
    scheme, _, way = said.scheme.partition("+")
    namespace = said.query.pop("namespace", "default")
    timeout = _seconds(said.query.pop("timeout", "5"))
    if not is_name(namespace) or not namespace.isascii() or set("{}:") & set(namespace):
        raise ValueError(f"{namespace!r} cannot be a namespace; take letters, digits and -")
    _refuse_unknown(said.query, way, tls=scheme == "rediss")
    query = urlencode({_named(name): value for name, value in said.query.items() if name not in _SENTINELS})
    if "unix" in {scheme, way}:
        return Options(_socket(said, query), shown, namespace, timeout)
    kind = Kind(way) if way else Kind.SERVER if len(said.hosts) == 1 else Kind.HOSTS
    if kind is Kind.SERVER:
        plain = _checked(_joined(scheme, said.user + said.hosts[0], said.path, query))
        return Options(plain, shown, namespace, timeout)
    master, path = _master(said.path) if kind is Kind.SENTINEL else ("", said.path)
    hosts = tuple(address(host, _PORTS.get(way, 6379)) for host in said.hosts)
    plain = _checked(_joined(scheme, f"{said.user}{hosts[0]}", path, query))
    if kind is Kind.CLUSTER and dict(parse_url(plain)).get("db", 0) != 0:
        raise ValueError("a cluster has the database 0 alone; take a namespace instead")
    sentinel = _sentinel(scheme, said, hosts[0], query) if kind is Kind.SENTINEL else ""
    return Options(plain, shown, namespace, timeout, kind, hosts, master, sentinel)


def _named(option: str) -> str:
    """Return the name that redis-py has for an option."""
    return "ssl_password" if option == "ssl_keyfile_password" else option


def _refuse_unknown(query: dict[str, str], way: str, *, tls: bool) -> None:
    known = sorted(_THEIRS | set(_SENTINELS if way == "sentinel" else ()))
    for name in query:
        if name not in known:
            there = ", ".join(("namespace=<name>", "timeout=<seconds>", *(f"{each}=" for each in known)))
            raise ValueError(f"there is no option {name!r}; there are {there}")
        if name.startswith("ssl_") and not tls:
            raise ValueError(f"{name} is for TLS, which is {'rediss+' + way if way else 'rediss'}://")


def _socket(said: _Said, query: str) -> str:
    """Return the URL for redis-py of a socket."""
    if said.hosts != ("",) or said.path in {"", "/"}:
        raise ValueError("the path of a socket comes after two slashes: unix:///run/redis.sock")
    plain = _joined("unix", said.user, said.path, query)
    parse_url(plain)
    return plain


def _checked(plain: str) -> str:
    """Return *plain* if redis-py can read it."""
    parse_url(plain)
    path = urlsplit(plain).path.strip("/")
    if path and not path.isdecimal():
        raise ValueError(f"after the host comes the number of a database, and not {path!r}")
    return plain


def _master(path: str) -> tuple[str, str]:
    """Return the name of a master, and the rest of the path."""
    name, _, rest = path.strip("/").partition("/")
    if not name:
        raise ValueError(
            "after the sentinels comes the name they know the master by:"
            " redis+sentinel://h1:26379,h2:26379/mymaster/0"
        )
    return unquote(name), f"/{rest}" if rest else ""


def _sentinel(scheme: str, said: _Said, first: Address, query: str) -> str:
    """Return the URL for redis-py of the first sentinel: its own user, and TLS as for the servers."""
    password, username = (quote(said.query.get(name, ""), safe="") for name in _SENTINELS)
    user = f"{username}:{password}@" if username or password else ""
    pairs = [(name, value) for name, value in parse_qsl(query) if name != "db"]
    return _joined(scheme, f"{user}{first}", "", urlencode(pairs))


def _masked(query: str) -> str:
    """Return *query* without the values of what is secret, and of what is not known."""
    public = _PUBLIC | {"namespace", "timeout"}
    pairs = [
        (name, value if name in public else "***") for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return urlencode(pairs, safe="/:*")


def _joined(scheme: str, authority: str, path: str, query: str) -> str:
    return f"{scheme}://{authority}{path}" + (f"?{query}" if query else "")


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"timeout is a number of seconds above 0, not {value!r}")
    return seconds

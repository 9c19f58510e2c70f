"""Hosts: the part of a URL between its slashes, where more than one server may be named."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_AUTHORITY: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST: Final = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::(\d{1,5}))?")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Authority(NamedTuple):
    """A URL in pieces. user: with its ``@``, or ''; hosts: as they are written; rest: from the path on."""

    scheme: str
    user: str
    hosts: tuple[str, ...]
    rest: str


def taken_apart(url: str) -> Authority:
    """Return *url* in pieces; one without slashes is all scheme."""
    found = _AUTHORITY.fullmatch(url)
    if found is None:
        return Authority(url.partition(":")[0], "", ("",), "")
    scheme, authority, rest = found.groups()
    user, at, hosts = authority.rpartition("@")
    return Authority(scheme.lower(), user + at, tuple(hosts.split(",")), rest)


def moved(url: str, where: Address) -> str:
    """Return *url* with another host."""
    parts = taken_apart(url)
    return f"{parts.scheme}://{parts.user}{where}{parts.rest}"


def address(written: str, port: int) -> Address:
    """Return the address of a host as it is written; *port* is that of one that names none.

    Raises ValueError.
    """
    found = _HOST.fullmatch(written)
    if found is None or not found[1] or not 0 < int(found[2] or port) < 65_536:
        raise ValueError(f"{written!r} is no host and port; write host:port, and [address]:port for IPv6")
    return Address(found[1].strip("[]"), int(found[2] or port))

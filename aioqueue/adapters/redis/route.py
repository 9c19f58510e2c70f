"""Route: which server the calls go to, found anew at each connect where several could be it.

A server is believed only what it says of itself: a master that it is one, a node of a cluster that it
serves the namespace's slot. So a sentinel or a node whose view is old leads nobody astray for long.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, Final, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from aioqueue.adapters.redis.driver import driver
from aioqueue.adapters.redis.faults import SetUpError
from aioqueue.adapters.redis.hosts import Address
from aioqueue.adapters.redis.options import Kind, Options

_PATIENCE: Final = 2.0
_HOPS: Final = 3


class Route:
    """Finds the server of *options*; for any thread, and each look has connections of its own.

    varies: whether there is anything to find. latest: what was found last, by whomever.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.varies: bool = options.kind is not Kind.SERVER
        self.latest: Address | None = None
        self._nodes: tuple[Address, ...] = ()
        self._slot = key_slot(options.prefix.encode())

    def url(self, where: Address | None) -> str:
        """Return the URL for redis-py of the server at *where*; None is the one that is named."""
        return self.options.url if where is None else self.options.at(where)

    def find(self) -> Address:
        """Return where the server is; blocks. Raises what redis-py raises, and says who said what."""
        hosts = self.options.hosts
        match self.options.kind:
            case Kind.SENTINEL:
                self.latest = _first(self._from_sentinel, _shuffled(hosts), "sentinel")
            case Kind.CLUSTER:
                self.latest = _first(self._from_node, _shuffled({*self._nodes, *hosts}), "node")
            case _:
                self.latest = _first(self._master, hosts, "host")
        return self.latest

    def _from_sentinel(self, where: Address) -> Address:
        """Return the master that one sentinel knows."""
        judge: Any = Sentinel
        with closing(_client(self.options.sentinel_at(where))) as client:
            masters = client.sentinel_masters()
        name = self.options.master
        state = masters.get(name)
        if state is None:
            known = ", ".join(map(repr, masters)) or "none at all"
            raise SetUpError(f"it knows no master {name!r} but {known}; its name comes after the sentinels")
        if not judge([]).check_master_state(state, name):
            raise ConnectionError(f"{name} is down, as far as it knows")
        return self._master(Address(state["ip"], int(state["port"])))

    def _master(self, where: Address) -> Address:
        """Return *where* if a master is there. Raises ConnectionError if a replica is."""
        with closing(_client(self.options.at(where))) as client:
            try:
                role = client.execute_command("ROLE")[0]
            except NoPermissionError:
                # not ours to see; the first write will tell
                return where
        if role not in (b"master", "master"):
            raise ConnectionError(f"{where} is a replica at the moment")
        return where

    def _from_node(self, where: Address) -> Address:
        """Return the node that serves the slot, by its own word."""
        for _ in range(_HOPS):
            with closing(_client(self.options.at(where))) as client:
                slots = _slots(client, where)
            owner = next((nodes[0] for first, last, nodes in slots if first <= self._slot <= last), None)
            self._nodes = tuple({node for _, _, nodes in slots for node in nodes})
            if owner is None:
                raise ConnectionError(f"{where} knows of no node that serves slot {self._slot}")
            if owner == where:
                return where
            where = owner
        raise ConnectionError(f"the nodes do not agree yet which of them serves slot {self._slot}")


def _slots(client: Any, where: Address) -> list[tuple[int, int, list[Address]]]:
    """Return the ranges of slots that a node knows of, and who serves each, the master first."""
    try:
        # as it is on the wire; how the library tells it differs between its versions
        found = client.execute_command("CLUSTER", "SLOTS")
    except ResponseError as exc:
        if "cluster support disabled" in str(exc):
            raise SetUpError(f"{where} is no node of a cluster; write redis:// and the server") from exc
        raise
    return [
        (int(first), int(last), [_node(node, where) for node in nodes])
        for first, last, *nodes in cast("Iterable[Any]", found)
    ]


def _node(node: Any, asked: Address) -> Address:
    """Return the address of a node; one that does not know its own name is the one that was asked."""
    host, port = node[0], int(node[1])
    text = host.decode() if isinstance(host, bytes) else host or ""
    return Address(asked.host if text in {"", "?"} else text, port)


def _first(ask: Callable[[Address], Address], hosts: Iterable[Address], what: str) -> Address:
    """Return the answer of the first host that has one."""
    faults: list[Exception] = []
    said: dict[str, list[str]] = {}
    for host in hosts:
        try:
            return ask(host)
        except (RedisError, OSError) as exc:
            faults.append(exc)
            said.setdefault(str(exc) or type(exc).__name__, []).append(str(host))
    # who is refused everywhere has to be told so, and not to try again
    kinds = (AuthenticationError, SetUpError, NoPermissionError)
    kind = next((kind for kind in kinds if all(isinstance(exc, kind) for exc in faults)), ConnectionError)
    raise kind("; ".join(f"{what} {', '.join(who)}: {text}" for text, who in said.items())) from faults[-1]


def _shuffled(hosts: Iterable[Address]) -> list[Address]:
    """Return them in any order, so that one whose view is old is not asked for ever."""
    found = list(hosts)
    random.shuffle(found)
    return found


def _client(url: str) -> Any:
    make: Any = Redis
    return make.from_url(
        url,
        protocol=2,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
        **driver(),
    )

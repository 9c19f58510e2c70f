"""Several Redis servers that belong together: a master with a replica and sentinels, and a cluster.

All calls block: where the loop must go on meanwhile, call them in a thread.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.support.redis_server import HOST, RedisServer, free_port

MASTER = "mymaster"
_NODE_TIMEOUT = 2_000
_SLOTS = 16_384
_DEADLINE = 30.0
_PAUSE = 0.02


class SentinelServer(RedisServer):
    """A sentinel that watches the server on port *master*; two of them agree."""

    def __init__(self, binary: str, master: int, *, options: Sequence[str] = ()) -> None:
        super().__init__(binary, options=options)
        self._master = master

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.write_text(
                f"port {port}\nbind {HOST}\ndir {self.folder}\n"
                f"sentinel monitor {MASTER} {HOST} {self._master} 2\n"
                f"sentinel down-after-milliseconds {MASTER} 1000\n"
                f"sentinel failover-timeout {MASTER} 5000\n" + "".join(f"{line}\n" for line in self._options)
            )
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [self._binary, str(file), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@dataclass
class Watched:
    """A master, its replica, and those that watch over them."""

    servers: list[RedisServer]
    sentinels: list[SentinelServer]

    def url(self, namespace: str) -> str:
        """Return the URL of a namespace."""
        hosts = ",".join(f"{HOST}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER}/0?namespace={namespace}"

    @property
    def master(self) -> RedisServer:
        """The master of the moment, by the word of the servers themselves."""
        masters = [each for each in self.servers if each.pid and each.command("ROLE")[0] == b"master"]
        (found,) = masters
        return found

    def settled(self) -> bool:
        """Tell whether one is master, the other follows it, and the sentinels know of both."""
        return is_followed(self.servers) and all(
            self._known(sentinel) == self.master.port for sentinel in self.sentinels
        )

    def _known(self, sentinel: SentinelServer) -> int | None:
        row = sentinel.command("SENTINEL", "MASTER", MASTER)
        facts = dict(zip(row[::2], row[1::2], strict=True))
        whole = (facts[b"num-slaves"], facts[b"num-other-sentinels"], facts[b"flags"])
        return int(facts[b"port"]) if whole == (b"1", b"2", b"master") else None


@contextmanager
def watched(binary: str, *, options: Sequence[str] = ()) -> Generator[Watched]:
    """Return a master with a replica and three sentinels. options: of the servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(binary, options=options)) for _ in range(2)]
        servers[1].command("REPLICAOF", HOST, servers[0].port)
        sentinels = [stack.enter_context(SentinelServer(binary, servers[0].port)) for _ in range(3)]
        found = Watched(servers, sentinels)
        until(found.settled, "sentinels that know each other")
        yield found


def is_followed(servers: Sequence[RedisServer]) -> bool:
    """Tell whether one of two servers is master, and the other has all that it has."""
    roles = [each.command("ROLE") for each in servers]
    masters = [role for role in roles if role[0] == b"master"]
    followers = [role for role in roles if role[0] == b"slave" and role[3] == b"connected"]
    return len(masters) == len(followers) == 1 and masters[0][1] <= followers[0][4]


def is_master(server: RedisServer) -> bool:
    """Tell whether a server says it is a master; one that is promoted this moment hangs up on who asks."""
    try:
        return bool(server.command("ROLE")[0] == b"master")
    except RedisError:
        return False


def kill_synced(master: RedisServer, replica: RedisServer) -> None:
    """SIGKILL a master under load whose replica has all that the master has acknowledged.

    It takes no writes any more, who asks for one waits, until the replica has caught up.
    """
    master.command("CLIENT", "PAUSE", 10_000, "WRITE")
    until(lambda: is_followed([master, replica]), "a replica that has all")
    master.kill()


class ClusterNode(RedisServer):
    """A server of a cluster."""

    def __init__(self, binary: str, *, options: Sequence[str] = ()) -> None:
        super().__init__(
            binary,
            options=[
                "--cluster-enabled", "yes",
                "--cluster-port", str(free_port()),
                "--cluster-node-timeout", str(_NODE_TIMEOUT),
                *options,
            ],
        )  # fmt: skip
        self.bus = int(self._options[3])

    @property
    def id(self) -> str:
        """Its name in the cluster."""
        name: bytes = self.command("CLUSTER", "MYID")
        return name.decode()

    @property
    def is_well(self) -> bool:
        """Whether it sees the cluster work."""
        return b"cluster_state:ok" in self.command("CLUSTER", "INFO")


class Cluster:
    """Three masters with a third of the slots each, and a replica of the one that has *namespace*."""

    def __init__(self, nodes: Sequence[ClusterNode], namespace: str) -> None:
        self.nodes = list(nodes)
        self.namespace = namespace
        self.slot = key_slot(f"aq:{{{namespace}}}:".encode())
        self.pair: list[ClusterNode] = []

    def form(self) -> None:
        """Have the nodes meet, and share the slots out."""
        *masters, spare = self.nodes
        for number, node in enumerate(masters):
            first, last = number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
            if first <= self.slot <= last:
                self.pair = [node, spare]
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", HOST, self.nodes[0].port, self.nodes[0].bus)
        until(lambda: all(self._knows_all(node) for node in self.nodes), "nodes that know each other")
        owner = self.pair[0].id
        until(lambda: _done(lambda: spare.command("CLUSTER", "REPLICATE", owner)), "a replica")
        until(lambda: all(node.is_well for node in self.nodes) and is_followed(self.pair), "a cluster")

    def url(self) -> str:
        """Return the URL of the namespace, of whatever nodes."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in random.sample(self.nodes, 2))
        return f"redis+cluster://{hosts}?namespace={self.namespace}"

    @property
    def owner(self) -> ClusterNode:
        """The master that serves the namespace, by the word of the others."""
        node = next(node for node in self.nodes if node.pid)
        for first, last, (_, port, *_), *_ in node.command("CLUSTER", "SLOTS"):
            if first <= self.slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"nobody serves slot {self.slot}")

    def migrate(self, target: ClusterNode, *, pause: float) -> int:
        """Move the namespace's slot to another master, 50 keys at a time; return how many there were."""
        source, moved = self.owner, 0
        target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", source.id)
        source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", target.id)
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", self.slot, 50):
            source.command("MIGRATE", HOST, target.port, "", 0, 5_000, "KEYS", *keys)
            moved += len(keys)
            Event().wait(pause)
        for node in (target, source, *(node for node in self.nodes if node not in (target, source))):
            # a replica is told by its master
            if node.command("ROLE")[0] == b"master":
                node.command("CLUSTER", "SETSLOT", self.slot, "NODE", target.id)
        return moved

    def _knows_all(self, node: ClusterNode) -> bool:
        rows = node.command("CLUSTER", "NODES").decode().splitlines()
        return len(rows) == len(self.nodes) and all("handshake" not in row for row in rows)


@contextmanager
def cluster(binary: str, namespace: str) -> Generator[Cluster]:
    """Return a cluster that works."""
    with ExitStack() as stack:
        found = Cluster([stack.enter_context(ClusterNode(binary)) for _ in range(4)], namespace)
        found.form()
        yield found


def until(predicate: Callable[[], bool], what: str) -> None:
    """Return once *predicate* holds. Raises TimeoutError."""
    end = time.monotonic() + _DEADLINE
    while not predicate():
        if time.monotonic() > end:
            raise TimeoutError(f"there is no sign of {what}")
        Event().wait(_PAUSE)


def _done(call: Callable[[], Any]) -> bool:
    try:
        call()
    except RedisError:
        return False
    return True

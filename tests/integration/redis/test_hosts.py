"""Several servers in one URL, and a password in it: what a worker does with them on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from aioqueue import Server
from aioqueue.adapters.redis import connect
from aioqueue.errors import BrokerUnavailableError, ConfigurationError
from aioqueue.ids import new_id
from tests.integration.redis.apparatus import Counted, blocked, insisting, kept
from tests.integration.redis.conftest import Launch, binary
from tests.support.redis_server import HOST, RedisServer
from tests.support.topologies import ClusterNode, is_followed
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

SECRET = "".join(map(chr, range(32, 127)))


@pytest.fixture
def pair(launch: Launch) -> tuple[RedisServer, RedisServer]:
    """A master and its replica."""
    master, replica = launch(), launch()
    replica.command("REPLICAOF", HOST, master.port)
    return master, replica


def of_both(pair: tuple[RedisServer, RedisServer], *, turned: bool = False) -> str:
    """Return the URL of a namespace on whichever is master."""
    hosts = ",".join(f"{HOST}:{each.port}" for each in (reversed(pair) if turned else pair))
    return f"redis://{hosts}/0?namespace={new_id()}"


@pytest.mark.parametrize("turned", [False, True])
async def test_master_is_found_in_whatever_place(pair: tuple[RedisServer, RedisServer], turned: bool) -> None:
    counted = Counted(of_both(pair, turned=turned))
    async with counted.server, counted.server.worker():
        assert await within(kept(await counted.send(3))) == [0, 1, 2]


async def test_worker_follows_a_failover_that_somebody_else_makes(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    one, two = pair
    await eventually(lambda: is_followed(pair))
    counted = Counted(of_both(pair), lease=8.0)
    async with counted.server, counted.server.worker(concurrency=10):
        await blocked(one)
        before = await counted.send(30, 0.1)
        await eventually(lambda: len(counted.runs) >= 5)
        one.command("CLIENT", "PAUSE", 10_000, "WRITE")
        await eventually(lambda: is_followed(pair))
        two.command("REPLICAOF", "NO", "ONE")
        one.command("REPLICAOF", HOST, two.port)
        one.command("CLIENT", "UNPAUSE")

        after = await within(insisting(counted.server, [counted.call(n, id=new_id()) for n in range(30, 40)]))
        values = await within(kept(before + after), deadline=20)

        assert values == list(range(40))
        assert counted.ran_once(40)
        await blocked(two)
        assert int(one.info("clients")["blocked_clients"]) == 0


async def test_hosts_that_are_all_replicas_are_unavailable(pair: tuple[RedisServer, RedisServer]) -> None:
    one, two = pair
    one.command("REPLICAOF", HOST, 1)
    broker = connect(of_both(pair)).broker
    assert broker is not None

    with pytest.raises(BrokerUnavailableError, match=f"{HOST}:{two.port} is a replica at the moment"):
        await within(broker.open())


@pytest.fixture(scope="module")
def node() -> Iterator[RedisServer]:
    """A node of a cluster that has no slots yet."""
    with ClusterNode(binary("redis")) as server:
        yield server


async def test_slot_that_nobody_serves_is_unavailable(node: RedisServer) -> None:
    broker = connect(f"redis://{HOST}:{node.port}?namespace={new_id()}&timeout=1").broker
    assert broker is not None
    await broker.open()

    with pytest.raises(BrokerUnavailableError, match="Hash slot not served"):
        await within(broker.stats())
    await broker.close()


async def test_server_that_is_no_node_says_what_to_write(shared: RedisServer) -> None:
    broker = connect(f"redis+cluster://{HOST}:{shared.port}").broker
    assert broker is not None

    with pytest.raises(ConfigurationError, match="is no node of a cluster; write redis:// and the server"):
        await within(broker.open())


async def test_cluster_of_one_node_runs_tasks(node: RedisServer) -> None:
    node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
    await eventually(lambda: b"cluster_state:ok" in node.command("CLUSTER", "INFO"))
    counted = Counted(f"redis+cluster://localhost:{node.port}?namespace={new_id()}")

    async with counted.server, counted.server.worker():
        assert await within(kept(await counted.send(3))) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
@pytest.mark.parametrize("place", ["code", "variable", "file"], ids=str)
async def test_password_of_any_characters_opens_wherever_it_is_written(
    launch: Launch, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = launch()
    server.command("CONFIG", "SET", "requirepass", SECRET)
    url = f"redis://:{quote(SECRET, safe='')}@{HOST}:{server.port}/0?namespace={new_id()}"
    match place:
        case "code":
            mine = Server(url)
        case "variable":
            monkeypatch.setenv("AIOQUEUE_BROKER", url)
            mine = Server()
        case _:
            (tmp_path / "config.yml").write_text(f"broker: {url}\n")
            mine = Server.from_config(tmp_path / "config.yml")

    async with mine:
        assert await mine.dead_letters() == []
        lease = await asyncio.to_thread(mine.stores.backend.lease, "me", seconds=1.0)
        assert await asyncio.to_thread(lease.beat)

"""Connections: what a URL opens, what it says when it cannot, and to whom an open adapter belongs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from aioqueue import Server
from aioqueue.adapters.redis import connect
from aioqueue.errors import BackendUnavailableError, BrokerUnavailableError, ConfigurationError
from aioqueue.ids import new_id
from aioqueue.protocols.broker import Broker
from tests.integration.redis.apparatus import Counted, Namespace, through
from tests.integration.redis.conftest import Launch
from tests.support.processes import run
from tests.support.proxy import Fault, FaultProxy
from tests.support.redis_server import HOST, RedisServer
from tests.support.waiting import within

pytestmark = pytest.mark.anyio

SECRET = "open sesame"


async def works(url: str) -> None:
    """Run one task at *url*."""
    counted = Counted(url)
    async with counted.server, counted.server.worker():
        (result,) = await counted.send(1)
        assert await within(result.get()) == 0


def broker_at(url: str) -> Broker:
    """Return the broker of *url*, not open."""
    broker = connect(url).broker
    assert broker is not None
    return broker


def with_password(server: RedisServer, password: str, *, user: str = "") -> str:
    """Return the URL of a namespace for who has a password."""
    quoted = password.replace(" ", "%20")
    return server.url(namespace=new_id()).replace("://", f"://{user}:{quoted}@")


@pytest.fixture
def guarded(launch: Launch) -> RedisServer:
    """A server that wants a password, and another of a user."""
    server = launch()
    server.command("ACL", "SETUSER", "worker", "on", f">{SECRET}", "~*", "&*", "+@all")
    server.command("CONFIG", "SET", "requirepass", SECRET)
    return server


@pytest.mark.parametrize("user", ["", "worker"])
async def test_right_password_opens(guarded: RedisServer, user: str) -> None:
    await works(with_password(guarded, SECRET, user=user))


@pytest.mark.parametrize("password", ["wrong", None])
async def test_wrong_password_is_a_mistake_of_the_set_up(guarded: RedisServer, password: str | None) -> None:
    url = guarded.url(namespace=new_id()) if password is None else with_password(guarded, password)

    with pytest.raises(ConfigurationError) as caught:
        await broker_at(url).open()

    assert f"{HOST}:{guarded.port}" in str(caught.value)
    assert "wrong" not in str(caught.value).replace("WRONGPASS", "").replace("wrong number", "")


async def test_password_is_never_shown(guarded: RedisServer) -> None:
    url = with_password(guarded, SECRET)
    adapter = connect(url)
    server = Server(url)
    guarded.kill()

    with pytest.raises(BrokerUnavailableError) as caught:
        await broker_at(url).open()
    with pytest.raises(BrokerUnavailableError) as sent:
        await server.open()

    said = [adapter.url, str(caught.value), str(sent.value), repr(caught.value.__cause__)]
    assert not any("sesame" in each for each in said)


async def test_unix_socket_is_a_server(launch: Launch, tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    launch("--unixsocket", str(socket))

    await works(f"unix://{socket}?namespace={new_id()}")
    await works(f"unix://{socket}?namespace={new_id()}&db=3")


async def test_missing_unix_socket_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"nothing\.sock"):
        await within(broker_at(f"unix://{tmp_path}/nothing.sock").open(), deadline=2.0)


@pytest.mark.parametrize("way", ["/7?", "?db=7&"])
async def test_number_names_the_database(shared: RedisServer, way: str) -> None:
    name = new_id()
    await works(f"redis://{HOST}:{shared.port}{way}namespace={name}")

    assert Namespace(shared, shared.url(0, name)).keys() == []
    assert "db7" in shared.info("keyspace")


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_database_that_is_not_there_is_told(shared: RedisServer) -> None:
    broker = broker_at(f"redis://{HOST}:{shared.port}/99999?namespace={new_id()}")

    with pytest.raises((ConfigurationError, BrokerUnavailableError), match="DB index"):
        await within(broker.open(), deadline=5.0)


async def test_namespaces_do_not_see_each_other(shared: RedisServer) -> None:
    one, other = (Counted(shared.url(namespace=new_id())) for _ in range(2))
    async with one.server, other.server:
        sent = await one.server.send(one.call(1, id="same"))
        again = await other.server.send(other.call(2, id="same"))
        async with other.server.worker():
            assert await within(again.get()) == 2
        stats = [await each.server.stores.broker.stats() for each in (one, other)]

        assert (sent.created, again.created) == (True, True)
        assert [queue.ready for queue in stats[0]] == [1]
        assert [queue.ready for queue in stats[1]] == [0]
        assert not one.runs


def test_adapter_is_opened_again_in_another_loop(shared: RedisServer) -> None:
    counted = Counted(shared.url(namespace=new_id()))

    async def work() -> int:
        async with counted.server, counted.server.worker():
            return await within((await counted.send(1))[0].get())

    assert [asyncio.run(work()) for _ in range(3)] == [0, 0, 0]


async def test_adapter_is_opened_again_in_a_forked_child(url: str) -> None:
    done = await run([sys.executable, Path(__file__).with_name("forked.py"), url])

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "before True PENDING",
        "child True PENDING",
        "parent True PENDING",
        "second loop True PENDING",
    ]


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_closed_port_is_unavailable_at_once(own: RedisServer, own_url: str) -> None:
    own.kill()
    adapter = connect(own_url)
    assert adapter.broker is not None
    assert adapter.backend is not None

    with pytest.raises(BrokerUnavailableError, match=f"{HOST}:{own.port}"):
        await within(adapter.broker.open(), deadline=1.0)
    with pytest.raises(BackendUnavailableError, match=f"{HOST}:{own.port}"):
        await within(adapter.backend.open(), deadline=1.0)
    await asyncio.to_thread(own.start)


async def test_name_of_no_host_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"no-such-host\.invalid"):
        await within(broker_at("redis://no-such-host.invalid?timeout=5").open(), deadline=8.0)


async def test_connection_that_stalls_is_given_up_in_time(shared: RedisServer, url: str) -> None:
    loop = asyncio.get_running_loop()
    async with FaultProxy(HOST, shared.port) as proxy:
        proxy.arm(Fault.STALL)
        broker = broker_at(f"{through(proxy.port, url)}&timeout=0.5")
        begun = loop.time()

        with pytest.raises(BrokerUnavailableError, match=r"0\.5 s"):
            await within(broker.open(), deadline=3.0)

        assert 0.4 < loop.time() - begun < 1.5


async def test_answer_that_stalls_is_given_up_in_time(shared: RedisServer, url: str) -> None:
    loop = asyncio.get_running_loop()
    async with FaultProxy(HOST, shared.port) as proxy:
        store = connect(f"{through(proxy.port, url)}&timeout=0.5")
        assert store.broker is not None
        assert store.store is not None
        await store.broker.open()
        proxy.arm(Fault.STALL)
        begun = loop.time()

        with pytest.raises(BrokerUnavailableError, match=r"no answer within 0\.5 s"):
            await within(store.store.get("key"), deadline=3.0)

        assert 0.4 < loop.time() - begun < 1.5
        assert await within(store.store.get("key"), deadline=3.0) is None
        await store.broker.close()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_server_that_is_full_of_clients_is_unavailable(own: RedisServer, own_url: str) -> None:
    counted = Counted(own_url)
    async with counted.server:
        own.command("CONFIG", "SET", "maxclients", "1")

        # what it says of that may be lost with the connection
        with pytest.raises(BrokerUnavailableError, match=f"{HOST}:{own.port}"):
            await within(broker_at(own_url).open(), deadline=5.0)


async def test_adapter_that_is_not_open_says_so_at_once(url: str) -> None:
    adapter = connect(url)
    assert adapter.broker is not None

    with pytest.raises(BrokerUnavailableError, match="not open"):
        await within(adapter.broker.stats(), deadline=0.5)

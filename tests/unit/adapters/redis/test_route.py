"""Route: who is asked where the server is, whose word counts, and how all connections follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.exceptions import AskError, AuthenticationError, ConnectionError, MovedError, ReadOnlyError

from aioqueue.adapters.redis.doorbell import Doorbell
from aioqueue.adapters.redis.faults import SetUpError
from aioqueue.adapters.redis.hosts import Address
from aioqueue.adapters.redis.link import Links
from aioqueue.adapters.redis.listener import Listener
from aioqueue.adapters.redis.options import parse
from aioqueue.adapters.redis.pipe import Pipe
from aioqueue.adapters.redis.pulse import Pulse, RedisLease
from aioqueue.adapters.redis.route import Route
from aioqueue.errors import BrokerUnavailableError
from tests.support.waiting import eventually, within
from tests.unit.adapters.redis.fake import Command, Fake, array, bulk, running
from tests.unit.adapters.redis.test_listener import subscription

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


class Server:
    """A fake with a role, a name of its own for all commands, and a view of the others."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self.role = b"master"
        self.master: Server | None = None
        self.owner: Server = self
        self.says: dict[bytes, bytes] = {}
        fake.answer = self._answer

    @property
    def at(self) -> Address:
        """Where it is."""
        return Address(HOST, self.fake.port)

    @property
    def asked(self) -> list[bytes]:
        """The names of all commands it has heard."""
        return [command[0] for each in self.fake.connections for command in each.commands]

    def _answer(self, command: Command) -> bytes:
        if command[0] in self.says:
            return self.says[command[0]]
        match command[0]:
            case b"ROLE":
                return array(self.role)
            case b"SENTINEL":
                return b"*1\r\n" + self._row() if self.master else b"*0\r\n"
            case b"CLUSTER":
                node = b"*2\r\n" + bulk(HOST.encode()) + b":%d\r\n" % self.owner.fake.port
                return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node
            case b"SUBSCRIBE" | b"UNSUBSCRIBE":
                return subscription(command)
            case b"PING":
                return b"+PONG\r\n"
            case _:
                return bulk(b"%d" % self.fake.port)

    def _row(self) -> bytes:
        assert self.master is not None
        port = b"%d" % self.master.fake.port
        return array(
            b"name", b"mine", b"ip", HOST.encode(), b"port", port, b"flags", b"master",
            b"num-other-sentinels", b"2",
        )  # fmt: skip


@pytest.fixture
async def servers() -> AsyncIterator[list[Server]]:
    """Four servers."""
    async with AsyncExitStack() as stack:
        yield [Server(await stack.enter_async_context(running())) for _ in range(4)]


def route(scheme: str, *servers: Server, path: str = "") -> Route:
    """Return a route that begins at *servers*."""
    hosts = ",".join(str(server.at) for server in servers)
    return Route(parse(f"{scheme}://{hosts}{path}?timeout=1"))


async def found(route: Route) -> Address:
    """Return what is found."""
    return await within(asyncio.to_thread(route.find))


async def test_first_of_several_hosts_that_is_master_is_taken(servers: list[Server]) -> None:
    one, two, three, _ = servers
    one.role = b"slave"

    assert await found(route("redis", one, two, three)) == two.at
    assert three.asked == []


async def test_hosts_that_are_all_replicas_are_told_of_with_what_each_said(servers: list[Server]) -> None:
    one, two, *_ = servers
    one.role = two.role = b"slave"

    with pytest.raises(
        ConnectionError,
        match=rf"host .*{one.fake.port} is a replica at the moment; host .*{two.fake.port} is",
    ):
        await found(route("redis", one, two))


async def test_role_that_may_not_be_asked_is_believed(servers: list[Server]) -> None:
    one, two, *_ = servers
    one.says[b"ROLE"] = b"-NOPERM this user has no permissions to run the 'role' command\r\n"

    assert await found(route("redis", one, two)) == one.at


async def test_sentinel_names_the_master(servers: list[Server]) -> None:
    one, two, master, _ = servers
    one.master = two.master = master

    assert await found(route("redis+sentinel", one, two, path="/mine")) == master.at


async def test_sentinel_whose_master_is_none_any_more_is_not_believed(servers: list[Server]) -> None:
    one, two, old, new = servers
    one.master, two.master = old, new
    old.role = b"slave"

    for _ in range(8):
        assert await found(route("redis+sentinel", one, two, path="/mine")) == new.at


async def test_name_that_no_sentinel_knows_is_told(servers: list[Server]) -> None:
    one, two, master, _ = servers
    one.master = two.master = master

    with pytest.raises(SetUpError, match=r"it knows no master 'other' but 'mine'; its name comes after"):
        await found(route("redis+sentinel", one, two, path="/other"))


async def test_password_that_all_sentinels_refuse_is_told_as_such(servers: list[Server]) -> None:
    one, two, *_ = servers
    for each in (one, two):
        each.says[b"AUTH"] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    hosts = f"{one.at},{two.at}"

    with pytest.raises(AuthenticationError, match=r"sentinel .*invalid username-password pair"):
        await found(Route(parse(f"redis+sentinel://{hosts}/mine?sentinel_password=x")))


async def test_node_that_serves_the_slot_is_asked_itself(servers: list[Server]) -> None:
    one, two, owner, _ = servers
    one.owner = two
    two.owner = owner

    assert await found(route("redis+cluster", one)) == owner.at


async def test_nodes_that_point_at_each_other_are_given_up(servers: list[Server]) -> None:
    one, two, *_ = servers
    one.owner, two.owner = two, one

    with pytest.raises(ConnectionError, match="do not agree yet"):
        await found(route("redis+cluster", one))


async def test_nodes_that_were_learnt_are_asked_when_the_first_is_gone(servers: list[Server]) -> None:
    one, two, three, _ = servers
    one.owner = two
    here = route("redis+cluster", one)
    await found(here)
    one.says[b"CLUSTER"] = b"-LOADING Redis is loading\r\n"
    two.owner = three

    assert await found(here) == three.at


async def test_server_without_a_cluster_is_told_as_one(servers: list[Server]) -> None:
    servers[0].says[b"CLUSTER"] = b"-ERR This instance has cluster support disabled\r\n"

    with pytest.raises(SetUpError, match=r"is no node of a cluster; write redis:// and the server"):
        await found(route("redis+cluster", servers[0]))


async def test_calls_go_where_the_slot_has_moved(servers: list[Server]) -> None:
    old, new, *_ = servers
    here = route("redis+cluster", old)
    pipe = Pipe(Links(here), timeout=1.0)
    assert await within(pipe.call("GET", "x")) == b"%d" % old.fake.port
    old.owner = new
    old.says[b"GET"] = b"-MOVED 1 %b:%d\r\n" % (HOST.encode(), new.fake.port)

    with pytest.raises(MovedError):
        await within(pipe.call("GET", "x"))

    assert await within(pipe.call("GET", "x")) == b"%d" % new.fake.port
    await pipe.close()


async def test_calls_stay_where_a_slot_is_on_its_way_from(servers: list[Server]) -> None:
    one, two, *_ = servers
    pipe = Pipe(Links(route("redis+cluster", one)), timeout=1.0)
    await within(pipe.call("PING"))
    one.says[b"EVAL"] = b"-ASK 1 %b:%d\r\n" % (HOST.encode(), two.fake.port)

    with pytest.raises(AskError):
        await within(pipe.call("EVAL", "x"))
    assert await within(pipe.call("PING")) == b"PONG"

    assert b"EVAL" not in two.asked
    await pipe.close()


async def test_demoted_master_is_left_at_its_first_refusal(servers: list[Server]) -> None:
    one, two, *_ = servers
    pipe = Pipe(Links(route("redis", one, two)), timeout=1.0)
    await within(pipe.call("PING"))
    one.role, one.says[b"SET"] = b"slave", b"-READONLY You can't write against a read only replica.\r\n"

    with pytest.raises(ReadOnlyError):
        await within(pipe.call("SET", "x"))

    assert await within(pipe.call("SET", "x")) == b"%d" % two.fake.port
    await pipe.close()


async def test_subscription_and_blocking_read_follow_the_calls(servers: list[Server]) -> None:
    one, two, *_ = servers
    here = route("redis", one, two)
    links, told = Links(here), list[bytes | None]()
    listener, bell = Listener(links, timeout=1.0), Doorbell(links, "me", timeout=1.0)
    listener.subscribe("news", told.append)
    await eventually(lambda: told == [None])
    await within(bell.wait(["s"], seconds=1.0))
    one.role = b"slave"
    await found(here)

    await within(bell.wait(["s"], seconds=1.0))
    listener.subscribe("more", told.append)
    await eventually(lambda: b"SUBSCRIBE" in two.asked)

    assert b"XREADGROUP" in two.asked
    await listener.close()
    await bell.close()


async def test_beat_follows_the_calls_and_a_key_that_is_on_its_way(servers: list[Server]) -> None:
    one, two, *_ = servers
    pulse = Pulse(route("redis+cluster", one))
    lease = RedisLease(pulse, "me", seconds=5.0, unavailable=BrokerUnavailableError)
    two.says[b"PEXPIRE"] = b":1\r\n"
    one.says[b"PEXPIRE"] = b"-ASK 1 %b:%d\r\n" % (HOST.encode(), two.fake.port)

    assert await within(asyncio.to_thread(lease.beat))
    assert two.asked == [b"ASKING", b"PEXPIRE"]

    one.owner = two
    one.says[b"PEXPIRE"] = b"-MOVED 1 %b:%d\r\n" % (HOST.encode(), two.fake.port)
    assert await within(asyncio.to_thread(lease.beat))
    assert two.asked[-1] == b"PEXPIRE"
    pulse.close()


async def test_script_does_not_follow_its_keys(servers: list[Server]) -> None:
    one, two, *_ = servers
    pulse = Pulse(route("redis+cluster", one))
    one.says[b"EVAL"] = b"-ASK 1 %b:%d\r\n" % (HOST.encode(), two.fake.port)
    lease = RedisLease(pulse, "me", seconds=5.0, unavailable=BrokerUnavailableError)

    with pytest.raises(BrokerUnavailableError, match="is on its way to"):
        await within(asyncio.to_thread(lease.begin))

    assert two.asked == []
    pulse.close()

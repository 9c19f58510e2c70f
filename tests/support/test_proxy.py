"""The fault proxy: each fault does what it says, is counted, and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.proxy import PORTS, Fault, FaultProxy
from tests.support.waiting import eventually, pause, under_way, within

pytestmark = pytest.mark.anyio


class Upper:
    """A server that answers every line with the same in capitals; *seen* is what it was sent."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[bytes] = []
        self.ends: list[type[BaseException] | None] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while line := await reader.readline():
                self.seen.append(line)
                await self.may_answer.wait()
                writer.write(line.upper())
            self.ends.append(None)
        except ConnectionError as exc:
            self.ends.append(type(exc))
        finally:
            writer.close()


class Client:
    """A client on a bare socket, which hides neither what came before an RST nor the RST."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._port, self._reset = port, False
        self.socket = socket.socket()
        self.socket.setblocking(False)

    async def connect(self) -> None:
        try:
            await within(self._loop.sock_connect(self.socket, ("127.0.0.1", self._port)))
        except ConnectionResetError:
            # an RST that is quicker than the loop; a socket tells of it once
            self._reset = True

    async def send(self, what: bytes) -> None:
        await within(self._loop.sock_sendall(self.socket, what))

    async def receive(self) -> bytes:
        return await within(self._loop.sock_recv(self.socket, 65_536))

    async def ask(self, line: bytes) -> bytes:
        """Return the reply to *line*, as much as comes before the end of the stream; b"!" ends an RST."""
        await self.send(line)
        return await self.reply()

    async def reply(self) -> bytes:
        got = b"!" if self._reset else b""
        while not got.endswith((b"\n", b"!")):
            try:
                part = await self.receive()
            except ConnectionResetError:
                part = b"!"
            if not part:
                break
            got += part
        return got


@pytest.fixture
async def server() -> AsyncIterator[Upper]:
    answering = Upper()
    server = await asyncio.start_server(answering.serve, "127.0.0.1", 0, limit=2**24)
    answering.port = server.sockets[0].getsockname()[1]
    async with server:
        yield answering
    await eventually(lambda: len(answering.ends) == len(answering.writers))


@pytest.fixture
async def proxy(server: Upper) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    client = Client(proxy.port)
    try:
        await client.connect()
        yield client
    finally:
        client.socket.close()


async def stall(proxy: FaultProxy, client: Client) -> None:
    """Return once what *client* sends is held back."""
    proxy.arm(Fault.STALL)
    await client.send(b"held\n")
    await eventually(lambda: proxy.counts[Fault.STALL] == 1)


async def test_bytes_pass_both_ways_and_are_counted(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as one, connected(proxy) as other:
        replies = [await one.ask(b"one\n"), await other.ask(b"other\n")]
        open_ones = proxy.connections

    await eventually(lambda: proxy.connections == 0)
    assert replies == [b"ONE\n", b"OTHER\n"]
    assert (open_ones, proxy.accepted, proxy.bytes_up, proxy.bytes_down) == (2, 2, 10, 10)
    assert proxy.port in PORTS
    assert proxy.counts == {}


async def test_long_request_and_reply_pass_whole(proxy: FaultProxy) -> None:
    line = b"a" * 3_000_000 + b"\n"
    async with connected(proxy) as client:
        sending = asyncio.create_task(client.send(line))
        reply = await client.reply()
        await within(sending)

    assert reply == line.upper()


async def test_end_of_the_stream_passes_and_replies_still_come(proxy: FaultProxy, server: Upper) -> None:
    server.may_answer.clear()
    async with connected(proxy) as client:
        await client.send(b"last\n")
        client.socket.shutdown(socket.SHUT_WR)
        await eventually(lambda: server.seen == [b"last\n"])
        server.may_answer.set()

        assert await client.reply() == b"LAST\n"
        assert await client.receive() == b""
    assert server.ends == [None]


async def test_client_of_a_dead_server_is_dropped() -> None:
    async with FaultProxy("localhost", 1) as proxy, connected(proxy) as client:
        assert await client.reply() == b"!"
        await eventually(lambda: proxy.connections == 0)


async def test_cut_request_never_reaches_the_server(proxy: FaultProxy, server: Upper) -> None:
    proxy.arm(Fault.CUT_REQUEST)
    async with connected(proxy) as client:
        reply = await client.ask(b"lost\n")
        await eventually(lambda: server.ends == [ConnectionResetError])

    assert reply == b"!"
    assert server.seen == []
    assert proxy.counts == {Fault.CUT_REQUEST: 1}
    assert proxy.connections == 0


async def test_cut_reply_waits_until_the_server_has_done_its_work(proxy: FaultProxy, server: Upper) -> None:
    server.may_answer.clear()
    proxy.arm(Fault.CUT_REPLY)
    async with connected(proxy) as client:
        asking = await under_way(client.ask(b"done\n"))
        early = proxy.counts[Fault.CUT_REPLY]
        server.may_answer.set()
        reply = await within(asking)

    assert reply == b"!"
    assert server.seen == [b"done\n"]
    assert (early, proxy.armed, proxy.counts) == (0, 0, {Fault.CUT_REPLY: 1})


async def test_cut_reply_waits_for_replies_that_come_in_parts(proxy: FaultProxy, server: Upper) -> None:
    long = b"a" * 300_000 + b"\n"
    proxy.arm(Fault.CUT_REPLY)
    async with connected(proxy) as client:
        sending = asyncio.create_task(client.send(long + b"b\nc\n"))
        reply = await client.reply()
        await within(sending)

    assert reply == b"!"
    assert server.seen == [long, b"b\n", b"c\n"]


async def test_cut_in_mid_reply_passes_the_first_half_on(proxy: FaultProxy, server: Upper) -> None:
    proxy.arm(Fault.CUT_MID_REPLY)
    async with connected(proxy) as client:
        reply = await client.ask(b"1234567\n")
        rest = await client.receive()

    assert (reply, rest) == (b"1234", b"")
    assert server.seen == [b"1234567\n"]
    assert proxy.counts == {Fault.CUT_MID_REPLY: 1}


async def test_stall_holds_both_ways_back_and_then_loses_no_byte(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as client:
        await client.ask(b"before\n")
        await stall(proxy, client)
        await client.send(b"more\n")
        server.writers[0].write(b"news\n")
        receiving = await under_way(client.reply())
        during = (list(server.seen), proxy.connections)
        proxy.release()
        got = await within(receiving)
        while got.count(b"\n") < 3:
            got += await client.reply()

    assert during == ([b"before\n"], 1)
    assert got == b"news\nHELD\nMORE\n"
    assert server.seen == [b"before\n", b"held\n", b"more\n"]


async def test_stall_holds_the_end_of_a_stream_back(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as client:
        await stall(proxy, client)
    await pause(0.05)
    during = (list(server.seen), list(server.ends), proxy.connections)
    proxy.release()

    await eventually(lambda: len(server.ends) == 1 and proxy.connections == 0)
    assert during == ([], [], 1)
    assert server.seen == [b"held\n"]


async def test_stall_holds_the_servers_end_back(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as client:
        await client.ask(b"before\n")
        await stall(proxy, client)
        server.writers[0].transport.abort()
        receiving = await under_way(client.reply())
        proxy.release()

        assert await within(receiving) in {b"", b"!"}


async def test_stall_ends_by_itself(proxy: FaultProxy) -> None:
    proxy.stall_seconds = 0.1
    proxy.arm(Fault.STALL)
    async with connected(proxy) as client:
        asking = await under_way(client.ask(b"late\n"))

        assert await within(asking) == b"LATE\n"


@pytest.mark.parametrize("by_hand", [True, False])
async def test_stall_can_end_in_a_cut(proxy: FaultProxy, server: Upper, by_hand: bool) -> None:
    proxy.stall_ends_in_cut = not by_hand
    proxy.stall_seconds = None if by_hand else 0.02
    async with connected(proxy) as client:
        await stall(proxy, client)
        if by_hand:
            proxy.release(cut=True)

        assert await client.reply() == b"!"
    assert server.seen == []


async def test_stall_holds_back_one_connection_only(proxy: FaultProxy) -> None:
    proxy.arm(Fault.STALL, matching=b"held")
    async with connected(proxy) as stalled, connected(proxy) as other:
        asking = await under_way(stalled.ask(b"held\n"))

        assert await other.ask(b"free\n") == b"FREE\n"
        proxy.release()
        assert await within(asking) == b"HELD\n"


async def test_slow_reply_comes_in_single_bytes_and_whole(proxy: FaultProxy) -> None:
    proxy.arm(Fault.SLOW)
    parts: list[bytes] = []
    async with connected(proxy) as client:
        await client.send(b"slowly\n")
        while b"".join(parts) != b"SLOWLY\n":
            parts.append(await client.receive())
        assert await client.ask(b"next\n") == b"NEXT\n"
        proxy.arm(Fault.SLOW)
        assert await client.ask(b"x" * 60_000 + b"\n") == b"X" * 60_000 + b"\n"

    assert len(parts) > 1
    assert proxy.counts == {Fault.SLOW: 2}


async def test_armed_fault_strikes_so_many_matching_exchanges(proxy: FaultProxy, server: Upper) -> None:
    proxy.arm(Fault.CUT_REQUEST, times=2, matching=b"GET")
    replies = []
    for line in (b"put\n", b"GET 1\n", b"put\n", b"GET 2\n", b"GET 3\n"):
        async with connected(proxy) as client:
            replies.append(await client.ask(line))

    assert replies == [b"PUT\n", b"!", b"PUT\n", b"!", b"GET 3\n"]
    assert server.seen == [b"put\n", b"put\n", b"GET 3\n"]
    assert (proxy.armed, proxy.counts[Fault.CUT_REQUEST]) == (0, 2)
    with pytest.raises(ValueError, match="at least 1"):
        proxy.arm(Fault.SLOW, times=0)


async def _replies(proxy: FaultProxy, count: int) -> list[bytes]:
    replies = []
    for _ in range(count):
        async with connected(proxy) as client:
            replies.append(await client.ask(b"abc\n"))
    return replies


async def test_random_faults_are_the_same_for_a_seed_and_end_when_calm(proxy: FaultProxy) -> None:
    faults = [Fault.CUT_REQUEST, Fault.CUT_MID_REPLY]
    proxy.random_faults(0.5, faults, seed=7)
    first = await _replies(proxy, 20)
    counts = dict(proxy.counts)
    proxy.random_faults(0.5, faults, seed=7)
    again = await _replies(proxy, 20)
    proxy.calm()
    calm = await _replies(proxy, 20)

    assert first == again
    assert counts == {Fault.CUT_REQUEST: first.count(b"!"), Fault.CUT_MID_REPLY: first.count(b"AB")}
    assert set(first) == {b"!", b"AB", b"ABC\n"}
    assert set(calm) == {b"ABC\n"}


async def test_random_faults_spare_what_does_not_match(proxy: FaultProxy) -> None:
    proxy.random_faults(1.0, [Fault.CUT_REQUEST], seed=1, matching=b"GET")
    async with connected(proxy) as client:
        assert await client.ask(b"put\n") == b"PUT\n"
        assert await client.ask(b"GET\n") == b"!"


async def test_calm_spares_who_waits_and_ends_stalls(proxy: FaultProxy, server: Upper) -> None:
    server.may_answer.clear()
    proxy.arm(Fault.CUT_REPLY)
    async with connected(proxy) as waiting, connected(proxy) as stalled:
        replying = await under_way(waiting.ask(b"one\n"))
        proxy.arm(Fault.STALL)
        stalling = await under_way(stalled.ask(b"two\n"))
        proxy.arm(Fault.CUT_REQUEST)
        proxy.calm()
        server.may_answer.set()

        assert await within(replying) == b"ONE\n"
        assert await within(stalling) == b"TWO\n"
    assert (proxy.armed, proxy.counts) == (0, {Fault.STALL: 1})


async def test_cut_all_drops_every_connection(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as one, connected(proxy) as other:
        await one.ask(b"one\n")
        await other.ask(b"other\n")

        assert proxy.cut_all() == 2
        assert proxy.connections == 0
        assert [await one.reply(), await other.reply()] == [b"!", b"!"]
        await eventually(lambda: server.ends == [ConnectionResetError] * 2)
    async with connected(proxy) as later:
        assert await later.ask(b"later\n") == b"LATER\n"


async def test_refused_connections_end_at_once_and_old_ones_go_on(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as old:
        await old.ask(b"old\n")
        proxy.refuse = True
        async with connected(proxy) as new:
            assert await new.reply() == b"!"
        assert await old.ask(b"old\n") == b"OLD\n"
    proxy.refuse = False
    async with connected(proxy) as new:
        assert await new.ask(b"new\n") == b"NEW\n"
    assert (proxy.accepted, proxy.refused) == (2, 1)


async def test_closing_ends_what_is_open(proxy: FaultProxy, server: Upper) -> None:
    async with connected(proxy) as stalled, connected(proxy) as idle, connected(proxy) as fresh:
        await stall(proxy, stalled)
        assert await idle.ask(b"idle\n") == b"IDLE\n"
        await fresh.send(b"just\n")
        await within(proxy.close())

        assert [await client.reply() for client in (stalled, idle, fresh)] == [b"!"] * 3
    assert not any(task.get_name().startswith("proxy") for task in asyncio.all_tasks())
    with pytest.raises(ConnectionRefusedError):
        async with connected(proxy):
            pass


async def test_error_of_the_test_passes_as_it_is(server: Upper) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with FaultProxy("127.0.0.1", server.port) as proxy, connected(proxy) as client:
            await client.ask(b"one\n")
            raise LookupError("mine")

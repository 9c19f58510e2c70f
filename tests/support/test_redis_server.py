"""Real servers: they start on ports of their own, survive what tests do to them, and leave nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support import redis_server
from tests.support.processes import ROOT, environment
from tests.support.proxy import PORTS, Fault, FaultProxy
from tests.support.redis_server import HOST, Name, RedisServer, debian, shared, valkey
from tests.support.stores import missing

BINARIES: dict[Name, Callable[[], str | None]] = {"redis": debian, "valkey": valkey}


@pytest.fixture(params=BINARIES)
def name(request: pytest.FixtureRequest) -> Name:
    found: Name = request.param
    return found


@pytest.fixture
def binary(name: Name) -> str:
    path = BINARIES[name]()
    return path if path is not None else missing(name, "is not installed")


@pytest.fixture
def server(binary: str) -> Iterator[RedisServer]:
    with RedisServer(binary) as server:
        yield server


def alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_server_answers_at_its_url(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url(db=3), protocol=2) as client:
        client.set("key", "value")

    assert server.port in PORTS
    assert server.url(namespace="a b") == f"redis://127.0.0.1:{server.port}/0?namespace=a+b"
    assert server.command("PING") in {b"PONG", True}
    assert server.info("keyspace")["db3"]["keys"] == 1
    assert server.info("server")["process_id"] == server.pid
    assert "Ready to accept connections" in server.log


def test_options_reach_the_server(binary: str) -> None:
    with RedisServer(binary, options=("--databases", "3")) as server:
        assert server.command("CONFIG", "GET", "databases") in ({b"databases": b"3"}, [b"databases", b"3"])


def test_killed_server_comes_back_with_its_append_only_file(binary: str) -> None:
    with RedisServer(binary, appendonly=True) as server:
        port, pid, folder = server.port, server.pid, server.folder
        server.command("SET", "key", "kept")
        server.kill()

        assert server.pid is None
        assert not alive(pid)
        with pytest.raises(redis.ConnectionError):
            server.command("PING")
        server.start()
        assert (server.port, server.folder) == (port, folder)
        assert server.command("GET", "key") == b"kept"


def test_killed_server_without_that_file_has_forgotten(server: RedisServer) -> None:
    server.command("SET", "key", "lost")
    server.kill()
    server.start()

    assert server.command("GET", "key") is None


def test_paused_server_takes_connections_and_does_not_answer(server: RedisServer) -> None:
    server.pause()
    with socket.create_connection((HOST, server.port), timeout=0.1) as client:
        client.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            client.recv(64)
        server.resume()
        client.settimeout(10)

        assert client.recv(64) == b"+PONG\r\n"


@pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.kill])
def test_paused_server_can_be_ended(server: RedisServer, end: Callable[[RedisServer], None]) -> None:
    pid = server.pid
    server.pause()
    end(server)

    assert not alive(pid)


def test_stop_removes_the_folder_and_the_process(server: RedisServer) -> None:
    pid, folder = server.pid, server.folder
    server.stop()
    server.stop()

    assert not alive(pid)
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="does not run"):
        server.pause()
    server.start()
    assert server.pid not in {None, pid}


def test_taken_port_is_passed_over(server: RedisServer, binary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        ports = [server.port, free.getsockname()[1]]
    monkeypatch.setattr(redis_server, "free_port", lambda: ports.pop(0))

    with RedisServer(binary) as other:
        assert other.port != server.port
        assert other.command("CONFIG", "GET", "port") != server.command("CONFIG", "GET", "port")


def test_server_that_does_not_start_says_why(binary: str) -> None:
    server = RedisServer(binary, options=("--no-such-option", "1"))

    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
    assert server.pid is None
    server.stop()


def test_shared_server_is_one_and_is_started_anew(name: Name, binary: str) -> None:
    server = shared(name)
    server.kill()

    assert shared(name) is server
    assert server.pid is not None


def test_missing_binary_is_a_lookup_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "_shared", {})
    monkeypatch.setenv("PATH", "")

    with pytest.raises(LookupError, match="redis-server is not installed"):
        shared("redis")


def test_shared_server_ends_with_the_interpreter_and_not_with_a_fork(name: Name, binary: str) -> None:
    code = f"""
import os, sys
from tests.support.redis_server import shared
server = shared({name!r})
if not os.fork():
    assert shared({name!r}).command("PING")
    sys.exit(0)
assert os.wait()[1] == 0
assert server.command("PING")
print(server.pid, server.folder)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    pid, folder = done.stdout.split()

    assert not alive(int(pid))
    assert not Path(folder).exists()


@pytest.mark.anyio
async def test_lost_reply_of_a_real_server_leaves_its_work_done(server: RedisServer) -> None:
    async with FaultProxy(HOST, server.port) as proxy:

        def increment() -> None:
            retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
            with redis.Redis(HOST, proxy.port, protocol=2, retry=retry, socket_timeout=10) as client:
                client.incr("key")

        proxy.arm(Fault.CUT_REPLY, matching=b"INCR")
        with pytest.raises(redis.ConnectionError):
            await asyncio.to_thread(increment)
        await asyncio.to_thread(increment)

    assert server.command("GET", "key") == b"2"
    assert proxy.counts == {Fault.CUT_REPLY: 1}

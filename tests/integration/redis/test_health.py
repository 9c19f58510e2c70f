"""Health: what a person is told of a server's own settings before a worker starts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aioqueue.adapters.redis import connect
from aioqueue.errors import ConfigurationError
from aioqueue.protocols.broker import Broker
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def broker(own_url: str) -> AsyncIterator[Broker]:
    """A broker on a server that writes an append-only file."""
    broker = connect(own_url).broker
    assert broker is not None
    await broker.open()
    yield broker
    await broker.close()


def limited(server: RedisServer, policy: str) -> None:
    """Let the server drop by *policy* what is above 100 MB."""
    server.command("CONFIG", "SET", "maxmemory", "100mb")
    server.command("CONFIG", "SET", "maxmemory-policy", policy)


async def test_durable_server_is_nothing_to_tell_of(broker: Broker) -> None:
    assert await broker.health() == []


async def test_server_without_an_append_only_file_is_told_of(own: RedisServer, broker: Broker) -> None:
    own.command("CONFIG", "SET", "appendonly", "no")

    (said,) = await broker.health()

    assert "append-only file" in said
    assert "set appendonly yes" in said


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "volatile-ttl"])
async def test_server_that_evicts_is_refused(own: RedisServer, broker: Broker, policy: str) -> None:
    limited(own, policy)

    with pytest.raises(
        ConfigurationError, match=rf"maxmemory-policy {policy} .*set maxmemory-policy noeviction"
    ):
        await broker.health()


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_server_that_refuses_when_it_is_full_is_nothing_to_tell_of(
    own: RedisServer, broker: Broker
) -> None:
    limited(own, "noeviction")

    assert await broker.health() == []


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_policy_without_a_limit_is_nothing_to_tell_of(own: RedisServer, broker: Broker) -> None:
    own.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    assert await broker.health() == []


async def test_server_that_may_not_be_asked_is_nothing_to_tell_of(own: RedisServer, broker: Broker) -> None:
    own.command("ACL", "SETUSER", "default", "-info")

    assert await broker.health() == []


async def test_server_says_what_it_is_as_far_as_it_may_be_asked(own: RedisServer, broker: Broker) -> None:
    limited(own, "noeviction")
    known = await broker.about()
    own.command("ACL", "SETUSER", "default", "-info")
    unknown = await broker.about()

    assert known.version.split()[0] in {"Redis", "Valkey"}
    assert known.details == {
        "mode": "standalone",
        "appendonly": "yes",
        "maxmemory": "100.00M",
        "maxmemory-policy": "noeviction",
    }
    assert (unknown.version, unknown.details) == ("", {})
    assert known.time is not None
    assert unknown.time is not None
    assert unknown.time >= known.time

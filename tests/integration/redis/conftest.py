"""Servers for tests of the Redis adapter, and namespaces in which nothing may stay for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from aioqueue.ids import new_id
from tests.integration.redis.apparatus import Counted, Namespace
from tests.integration.redis.flows import one_store, two_stores
from tests.support import leaks, redis_server
from tests.support.flows import Works
from tests.support.redis_server import RedisServer
from tests.support.stores import missing

Launch = Callable[..., RedisServer]
Place = Callable[[RedisServer], str]


def binary(name: str) -> str:
    """Return the path of a server, or end the test where it is not installed."""
    path = redis_server.debian() if name == "redis" else redis_server.valkey()
    return path if path is not None else missing(f"{name}-server", "it is not installed")


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.wide)])
def kind(request: pytest.FixtureRequest) -> redis_server.Name:
    """The kind of server."""
    found: redis_server.Name = request.param
    binary(found)
    return found


@pytest.fixture
def shared(kind: redis_server.Name) -> RedisServer:
    """The server that tests share; one that is paused or killed is one of its own."""
    return redis_server.shared(kind)


@pytest.fixture
def launch(kind: redis_server.Name) -> Iterator[Launch]:
    """Start a server of the test's own: ``launch(*options, appendonly=False)``."""
    with ExitStack() as stack:

        def start(*options: str, appendonly: bool = False) -> RedisServer:
            return stack.enter_context(RedisServer(binary(kind), appendonly=appendonly, options=options))

        yield start


@pytest.fixture
def own(launch: Launch) -> RedisServer:
    """A server of the test's own, which writes an append-only file."""
    return launch(appendonly=True)


@pytest.fixture
def place(launch: Launch) -> Iterator[Place]:
    """Return the URL of a namespace of its own on a server; it must be left clean."""
    given: list[str] = []

    def url(server: RedisServer) -> str:
        given.append(server.url(namespace=new_id()))
        return given[-1]

    yield url
    for each in given:
        leaks.check(each)


@pytest.fixture
def url(shared: RedisServer, place: Place) -> str:
    """A namespace of the test's own on the shared server."""
    return place(shared)


@pytest.fixture
def namespace(shared: RedisServer, url: str) -> Namespace:
    """Its keys."""
    return Namespace(shared, url)


@pytest.fixture
def own_url(own: RedisServer, place: Place) -> str:
    """A namespace on the server of the test's own."""
    return place(own)


@pytest.fixture
def own_namespace(own: RedisServer, own_url: str) -> Namespace:
    """Its keys."""
    return Namespace(own, own_url)


@pytest.fixture
async def counted(url: str) -> AsyncIterator[Counted]:
    """Tasks on the shared server, open."""
    counted = Counted(url)
    async with counted.server:
        yield counted


@pytest.fixture
async def own_counted(own_url: str) -> AsyncIterator[Counted]:
    """Tasks on a server of the test's own, open."""
    counted = Counted(own_url)
    async with counted.server:
        yield counted


@pytest.fixture
async def works(url: str) -> AsyncIterator[Works]:
    """Where workflows run, in one store."""
    async with one_store(url) as works:
        yield works


@pytest.fixture
async def pair(shared: RedisServer, url: str, place: Place) -> AsyncIterator[Works]:
    """Where workflows run, in two stores."""
    async with two_stores(url, place(shared)) as works:
        yield works


@pytest.fixture(params=["works", "pair"])
def either(request: pytest.FixtureRequest, url: str) -> Works:
    """One store, and two."""
    found: Works = request.getfixturevalue(request.param)
    return found

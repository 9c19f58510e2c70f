"""The least rights: a user who has what the guide says, and nothing else, can do everything.

The guide's line is read from the guide, so that neither can change without the other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pytest

from aioqueue import RetryPolicy, Server, Signature, chord, group
from aioqueue.adapters.redis import connect
from aioqueue.errors import BrokerUnavailableError, ConfigurationError
from aioqueue.ids import new_id
from aioqueue.models.state import State
from tests.integration.redis.apparatus import QUICK
from tests.integration.redis.conftest import Launch, binary
from tests.support.processes import ROOT, run
from tests.support.redis_server import HOST, RedisServer
from tests.support.topologies import ClusterNode, SentinelServer
from tests.support.waiting import eventually, pause, within

pytestmark = pytest.mark.anyio

GUIDE = Path(__file__).parents[3] / "docs/guides/on-redis.md"
PASSWORD = "".join(map(chr, range(33, 127))) + "ü€ "
"""Every character that a keyboard has; the server takes all of them."""

SUITE = ("test_lifecycle.py", "test_submitter.py", "test_cancel.py", "test_flow.py", "test_store.py")


def line() -> list[str]:
    """Return the guide's words for ``ACL SETUSER``, from the user's name on."""
    (found,) = re.findall(r"^ACL SETUSER (.+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return str(found).split()


def more(case: str) -> list[str]:
    """Return the words that the guide adds for a case, from the user's name on."""
    pattern = rf"^- for .*{case}.*`ACL SETUSER (.+)`$"
    (found,) = re.findall(pattern, GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return [word if word != ">password" else f">{PASSWORD}" for word in str(found).split()]


@pytest.fixture
def namespace() -> str:
    """What the user may touch."""
    return new_id()


@pytest.fixture
def strict(launch: Launch, namespace: str) -> RedisServer:
    """A server that knows the user of the guide, and nobody else."""
    server = launch()
    admit(server, namespace)
    return server


def admit(server: RedisServer, namespace: str, *cases: str) -> None:
    """Have a server know the user of the guide, with what it adds for these cases."""
    words = [word.replace("{default}", f"{{{namespace}}}") for word in line()]
    server.command("ACL", "SETUSER", *(word if word != ">password" else f">{PASSWORD}" for word in words))
    for case in cases:
        server.command("ACL", "SETUSER", *more(case))


def closed_doors(server: RedisServer) -> list[dict[bytes, object]]:
    """Return what was refused, but for the library's greeting: it does not mind that nobody listens."""
    log = [dict(zip(row[::2], row[1::2], strict=True)) for row in server.command("ACL", "LOG")]
    return [row for row in log if row[b"object"] != b"client|setinfo"]


@pytest.fixture
def strict_url(strict: RedisServer, namespace: str) -> Iterator[str]:
    """The namespace, for that user, who must not have met a closed door."""
    yield _url(strict, namespace)
    assert closed_doors(strict) == []


class App:
    """A Server and its tasks. failed: what was tried once."""

    def __init__(self, url: str) -> None:
        self.server = Server(url, **QUICK)
        self.failed: list[int] = []
        self.double = self.server.task(double)
        self.total = self.server.task(total)
        self.hang = self.server.task(hang)
        self.server.task(name="twice", retry=RetryPolicy(max_retries=2, delay=0.05))(self.second_time)

    async def second_time(self, n: int) -> int:
        """Fail once."""
        self.failed.append(n)
        if len(self.failed) == 1:
            raise OSError("not yet")
        return n


async def double(n: int) -> int:
    return 2 * n


async def total(values: list[int]) -> int:
    return sum(values)


async def hang() -> None:
    await pause(30)


def strict_app(server: RedisServer, namespace: str) -> App:
    """Return an app for the user of the guide."""
    return App(_url(server, namespace))


def _url(server: RedisServer, namespace: str) -> str:
    return f"redis://aioqueue:{quote(PASSWORD, safe='')}@{HOST}:{server.port}/0?namespace={namespace}"


async def test_the_rights_of_the_guide_are_enough(strict_url: str) -> None:
    app = App(strict_url)

    async with app.server, app.server.worker():
        delayed = await app.double.options(delay=0.3).send(4)
        whole = await chord(group(app.double.s(n) for n in range(3)), app.total.p()).send()
        again = await app.server.send(Signature(name="twice", args=[7]))
        hanging = await app.hang.send()

        async def started() -> bool:
            return (await hanging.state()).state is State.STARTED

        await eventually(started)
        await hanging.cancel()

        assert await within(whole.get()) == 6
        assert await within(delayed.get()) == 8
        assert await within(again.get()) == 7
        assert (await hanging.state()).state is State.CANCELLED
        assert await app.server.stores.broker.health() != []
        assert await app.server.stores.broker.maintain() == 0
        assert await app.server.dead_letters() == []


WHO = f"aioqueue:{quote(PASSWORD, safe='')}"


async def doubles(url: str) -> int:
    """Run one task at *url*, and return what it comes to."""
    app = App(url)
    async with app.server, app.server.worker():
        return await within((await app.double.send(4)).get(), deadline=20)


async def lacks(url: str, right: str) -> bool:
    """Tell whether a Server at *url* says, as it opens or sends, that its user lacks a right."""
    app = App(url)
    try:
        async with app.server:
            await app.double.send(1)
    except (ConfigurationError, BrokerUnavailableError) as exc:
        return "lacks a right" in str(exc) and right in str(exc).lower()
    return False


async def test_rights_for_several_hosts_and_another_database_are_enough(
    launch: Launch, namespace: str
) -> None:
    master, replica = launch(), launch()
    replica.command("REPLICAOF", HOST, master.port)
    for server in (master, replica):
        admit(server, namespace, "another database", "several hosts")
    url = f"redis://{WHO}@{HOST}:{replica.port},{HOST}:{master.port}/1?namespace={namespace}&timeout=1"

    assert await doubles(url) == 8
    assert [closed_doors(server) for server in (master, replica)] == [[], []]
    for server in (master, replica):
        server.command("ACL", "SETUSER", "aioqueue", "-select")
    assert await lacks(url, "select")


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_rights_for_sentinels_and_their_servers_are_enough(launch: Launch, namespace: str) -> None:
    server = launch()
    admit(server, namespace, "several hosts")
    with SentinelServer(binary("redis"), server.port) as sentinel:
        sentinel.command("ACL", "SETUSER", *more("the sentinels, as"))
        sentinel.command("ACL", "SETUSER", "default", "off")
        there = f"redis+sentinel://{WHO}@{HOST}:{sentinel.port}/mymaster?namespace={namespace}"
        secret = quote(PASSWORD, safe="")

        assert await doubles(f"{there}&sentinel_username=aioqueue&sentinel_password={secret}") == 8
    assert closed_doors(server) == []


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_rights_for_a_cluster_are_enough(kind: str, namespace: str) -> None:
    with ClusterNode(binary("redis")) as node:
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await eventually(lambda: node.is_well)
        admit(node, namespace, "nodes of a cluster")
        url = f"redis+cluster://{WHO}@{HOST}:{node.port}?namespace={namespace}&timeout=1"

        assert await doubles(url) == 8
        assert closed_doors(node) == []
        node.command("ACL", "SETUSER", "aioqueue", "-cluster|slots")
        assert await lacks(url, "cluster|slots")


@pytest.mark.wide
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_the_rights_of_the_guide_are_enough_for_what_every_store_promises(strict_url: str) -> None:
    suite = [f"tests/conformance/{name}" for name in SUITE]
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suite]

    done = await run(argv, env={"AIOQUEUE_TEST_URLS": strict_url}, cwd=ROOT, deadline=280)

    assert done.code == 0, done.out[-3_000:]
    assert int(re.findall(r"(\d+) passed", done.out)[0]) > 100


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
@pytest.mark.parametrize("user", ["nobody:secret", "aioqueue:wrong", ":wrong"])
async def test_wrong_user_or_password_is_told_with_what_to_write(strict: RedisServer, user: str) -> None:
    strict.command("CONFIG", "SET", "requirepass", "another")
    broker = connect(f"redis://{user}@{HOST}:{strict.port}").broker
    assert broker is not None

    with pytest.raises(ConfigurationError, match=r"WRONGPASS|invalid .*password") as caught:
        await broker.open()

    assert "name the right user and password, as redis://user:password@host" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_missing_password_is_told_with_what_to_write(strict: RedisServer) -> None:
    strict.command("CONFIG", "SET", "requirepass", "another")
    broker = connect(f"redis://{HOST}:{strict.port}").broker
    assert broker is not None

    with pytest.raises(ConfigurationError, match="Authentication required") as caught:
        await broker.open()

    assert "name the right user and password" in str(caught.value)


@pytest.mark.parametrize("right", ["-evalsha", "-xadd", "resetkeys"])
async def test_missing_right_is_told_with_where_they_are_listed(
    strict: RedisServer, namespace: str, right: str
) -> None:
    strict.command("ACL", "SETUSER", "aioqueue", right)
    app = strict_app(strict, namespace)
    async with app.server:
        with pytest.raises(BrokerUnavailableError) as caught:
            await app.double.send(1)

    assert "lacks a right that aioqueue needs" in str(caught.value)
    assert "docs/guides/on-redis.md" in str(caught.value)


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
async def test_channels_that_are_closed_are_told_of_once_and_cost_time_alone(
    strict: RedisServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    strict.command("ACL", "SETUSER", "aioqueue", "resetchannels")
    app = strict_app(strict, namespace)
    async with app.server, app.server.worker():
        result = await app.double.send(1)

        assert await within(result.get(), deadline=20) == 2

    told = [record for record in caplog.records if "are told of only every few seconds" in record.message]
    assert len(told) == 1
    assert "lacks a right" in told[0].getMessage()


def test_the_guide_adds_just_what_topologies_use() -> None:
    folder = files("aioqueue.adapters.redis")
    source = "".join(each.read_text() for each in folder.iterdir() if each.name.endswith(".py"))
    spoken = {
        "|".join(words).lower()
        for words in re.findall(r'execute_command\("([A-Z]+)"(?:, "([A-Z]+)")?', source)
    }
    added = {
        word[1:]
        for case in ("another database", "several hosts", "nodes of a cluster")
        for word in more(case)
        if word.startswith("+")
    }

    # a database is chosen, and sentinels are asked, by the library
    assert {name.strip("|") for name in spoken} | {"select"} == added
    assert more("the sentinels, as")[-2:] == ["+ping", "+sentinel|masters"]


def test_the_guide_lists_just_what_is_used(tmp_path: Path) -> None:
    lua = files("aioqueue.adapters.redis").joinpath("lua")
    sources = [
        each.read_text() for folder in (lua, lua / "lib") for each in folder.iterdir() if each.is_file()
    ]
    called = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'")
    scripted = {name.lower() for source in sources for name in called.findall(source)}
    asked = {
        "ping",
        "eval",
        "evalsha",
        "subscribe",
        "unsubscribe",
        "info",
        "get",
        "del",
        "pexpire",
        "xreadgroup",
    }

    assert {word[1:] for word in line() if word.startswith("+")} == scripted | asked

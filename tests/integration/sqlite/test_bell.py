"""Bells: another process's commit wakes who waits, without looking; and without a bell, by looking."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite import listeners
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.bell import Bells
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.consumer import SqliteConsumer
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.news import News
from aioqueue.adapters.sqlite.options import parse
from aioqueue.adapters.sqlite.store import SqliteStore
from aioqueue.clock import SystemClock
from aioqueue.errors import BrokerUnavailableError
from aioqueue.models.state import State
from tests.support.processes import Done, run
from tests.support.waiting import eventually, message, pause, under_way, within

pytestmark = pytest.mark.anyio

OTHER = Path(__file__).with_name("other.py")
QUEUE = "queue"


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by itself within this test's time."""
    monkeypatch.setattr(listeners, "LOOK", 3_600.0)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no bells; a look comes soon."""
    monkeypatch.setattr(Bells, "listen", lambda *args: None)
    monkeypatch.setattr(listeners, "LOOK", 0.02)


@pytest.fixture
async def consumer(broker: SqliteBroker) -> AsyncIterator[SqliteConsumer]:
    """A consumer of the queue."""
    async with broker.consume([QUEUE], prefetch=10, lease=600, worker="w") as consumer:
        yield consumer


@pytest.fixture
def folder(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file's bells hang."""
    temporary = tmp_path_factory.mktemp("bells")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    found = Bells(path)._folder
    assert found is not None
    return found


async def other(deed: str, url: str) -> Done:
    """Let another process do it."""
    done = await run([sys.executable, OTHER, deed, url])
    assert done.code == 0, done.err
    return done


@pytest.mark.usefixtures("blind")
async def test_publish_of_another_process_wakes_a_receive(consumer: SqliteConsumer, url: str) -> None:
    waiting = await under_way(consumer.receive(1, timeout=600))

    await other("publish", url)

    assert len(await within(waiting)) == 1


@pytest.mark.usefixtures("blind")
async def test_end_of_a_task_in_another_process_ends_a_wait(
    broker: SqliteBroker, backend: SqliteBackend, url: str
) -> None:
    submitter = broker.submitter(backend)
    assert submitter is not None
    sent = message(QUEUE)
    await submitter.submit([sent])
    waiting = await under_way(backend.wait(sent.id, timeout=600))

    await other("run", url)
    record = await within(waiting)

    assert record is not None
    assert record.state is State.SUCCESS


@pytest.mark.parametrize("way", ["blind", "deaf"])
async def test_who_watches_a_value_is_woken_by_either(
    core: Core, url: str, way: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(way)
    event, far = asyncio.Event(), Core(parse(url), SystemClock())
    await far.open("broker", BrokerUnavailableError)
    with SqliteStore(core).watch("key", event):
        for _ in range(2):
            # what a look has found before may be news to it
            await pause()
            event.clear()
            await SqliteStore(far).put("key", b"1")
            await within(event.wait())
    await far.close("broker")


@pytest.mark.usefixtures("deaf")
async def test_receive_without_a_bell_finds_it_by_looking(consumer: SqliteConsumer, url: str) -> None:
    waiting = await under_way(consumer.receive(1, timeout=600))

    await other("publish", url)

    assert len(await within(waiting)) == 1


@pytest.mark.usefixtures("deaf")
async def test_wait_without_a_bell_finds_it_by_looking(
    broker: SqliteBroker, backend: SqliteBackend, url: str
) -> None:
    submitter = broker.submitter(backend)
    assert submitter is not None
    sent = message(QUEUE)
    await submitter.submit([sent])
    waiting = await under_way(backend.wait(sent.id, timeout=600))

    await other("run", url)

    assert await within(waiting) is not None


def hung(folder: Path) -> list[str]:
    """Return the bells in *folder*."""
    return os.listdir(folder) if folder.exists() else []


def bound(folder: Path, name: str, *, mode: int = 0o700) -> socket.socket:
    """Hang a bell that nobody reads, in a folder made for it."""
    folder.mkdir()
    folder.chmod(mode)
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.bind(str(folder / name))
    return bell


async def heard(folder: Path, path: Path, send: list[News]) -> list[News]:
    """Return what a bell hears of *send* at once."""
    listener, ringer, told = Bells(path), Bells(path), list[News]()
    listener.listen(asyncio.get_running_loop(), told.append)
    for news in send:
        ringer.ring(news)
    await eventually(lambda: bool(told))
    listener.close_own()
    ringer.close_others()
    return told


async def test_bell_tells_what_happened(folder: Path, path: Path) -> None:
    news = News({"queue"}, {"id 1", "id 2"})

    assert await heard(folder, path, [news]) == [news]


async def test_long_news_say_everything(folder: Path, path: Path) -> None:
    news = News(ended={f"{number:032}" for number in range(1_000)})

    assert await heard(folder, path, [news]) == [News(everything=True)]


async def test_so_many_rings_that_some_may_be_lost_say_everything(folder: Path, path: Path) -> None:
    (told,) = await heard(folder, path, [News({"queue"})] * 200)

    assert told.everything


async def test_noise_says_everything() -> None:
    assert [News.decoded(noise) for noise in (b"", b"{}", b"[1,2,3]", b"\xff")] == [News(everything=True)] * 4


async def test_bell_of_a_dead_process_is_taken_down(folder: Path, path: Path) -> None:
    bound(folder, "dead").close()

    Bells(path).ring(News({"queue"}))

    assert hung(folder) == []


async def test_closed_bell_leaves_nothing_behind(folder: Path, path: Path) -> None:
    bells = Bells(path)
    bells.listen(asyncio.get_running_loop(), lambda news: None)
    assert len(hung(folder)) == 1

    bells.close_own()

    assert hung(folder.parent) == []


async def test_folder_others_may_enter_is_not_used(folder: Path, path: Path) -> None:
    stranger, bells = bound(folder, "stranger", mode=0o755), Bells(path)
    stranger.setblocking(False)

    bells.listen(asyncio.get_running_loop(), lambda news: None)
    bells.ring(News({"queue"}))

    with stranger, pytest.raises(BlockingIOError):
        stranger.recv(1)
    assert hung(folder) == ["stranger"]


@pytest.mark.usefixtures("folder", "consumer")
async def test_ring_without_a_file_descriptor_left_is_left_out(
    broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> list[str]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", full)
        added = await within(broker.publish([message(QUEUE)]))

    assert [added, await within(broker.publish([message(QUEUE)]))] == [[True], [True]]


async def test_full_bell_holds_nobody_up(folder: Path, path: Path) -> None:
    stopped, ringer = bound(folder, "stopped"), Bells(path)

    for _ in range(2_000):
        ringer.ring(News(ended={f"{number:032}" for number in range(400)}))

    told = await heard(folder, path, [News({"queue"})])
    ringer.close_others()
    stopped.close()
    assert told == [News({"queue"})]

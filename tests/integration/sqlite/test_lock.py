"""Locks: waiting for another process has an end, and whoever waits gets its turn."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite import listeners
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.bell import Bells
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.connection import WAL_IS_SAFE
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.database import Work
from aioqueue.adapters.sqlite.gate import Gate
from aioqueue.adapters.sqlite.news import News
from aioqueue.adapters.sqlite.store import SqliteStore
from aioqueue.errors import BackendUnavailableError, BrokerUnavailableError
from aioqueue.protocols.messages import Record
from tests.support.waiting import eventually, message, pause, within

pytestmark = pytest.mark.anyio


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold SQLite's own lock, as a program does that knows no gate."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


@contextmanager
def gated(path: Path) -> Iterator[None]:
    """Hold the gate, as a process does that was stopped in a transaction."""
    gate = Gate(f"{path}-lock")
    with gate.passed(1):
        yield
    gate.close()


@pytest.fixture(params=[locked, gated])
def hold(request: pytest.FixtureRequest, core: Core, path: Path) -> Iterator[None]:
    """Another process's transaction that does not end, begun when the adapter was open."""
    with request.param(path):
        yield


@pytest.mark.usefixtures("hold")
async def test_call_that_waits_too_long_is_unavailable(core: Core) -> None:
    broker, backend, store = SqliteBroker(core), SqliteBackend(core), SqliteStore(core)
    submitter = broker.submitter(backend)
    assert submitter is not None
    start = time.monotonic()

    with pytest.raises(BrokerUnavailableError, match="locked"):
        await broker.publish([message("queue")])
    with pytest.raises(BrokerUnavailableError, match="locked"):
        await submitter.submit([message("queue")])
    with pytest.raises(BrokerUnavailableError, match="locked"):
        await store.put("key", b"1")
    with pytest.raises(BackendUnavailableError, match="locked"):
        await backend.put([Record("id", "add", "queue")])

    assert time.monotonic() - start < 5


@pytest.mark.usefixtures("hold")
async def test_read_that_waits_too_long_is_unavailable(core: Core) -> None:
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE:
        pytest.xfail("with a WAL nobody who reads has to wait")
    backend = SqliteBackend(core)

    with pytest.raises(BackendUnavailableError, match="locked"):
        await backend.get(["id"])
    with pytest.raises(BackendUnavailableError, match="locked"):
        await backend.wait("id", timeout=60)


@pytest.mark.usefixtures("hold")
async def test_lease_that_waits_too_long_is_unavailable(core: Core) -> None:
    with pytest.raises(BackendUnavailableError, match="locked"):
        SqliteBackend(core).lease("owner", seconds=60)


async def test_message_names_the_file(broker: SqliteBroker, path: Path) -> None:
    with gated(path), pytest.raises(BrokerUnavailableError, match=str(path)):
        await broker.publish([message("queue")])


async def test_calls_go_on_when_the_lock_is_free_again(broker: SqliteBroker, path: Path) -> None:
    with locked(path), pytest.raises(BrokerUnavailableError):
        await broker.publish([message("queue")])

    assert await within(broker.publish([message("queue")])) == [True]


async def test_many_calls_share_one_wait(broker: SqliteBroker, path: Path) -> None:
    start = time.monotonic()

    with gated(path):
        errors = await asyncio.gather(
            *(broker.publish([message("queue")]) for _ in range(50)), return_exceptions=True
        )

    assert {type(error) for error in errors} == {BrokerUnavailableError}
    assert time.monotonic() - start < 8


async def test_many_calls_share_one_wait_for_a_program_that_knows_no_gate(
    backend: SqliteBackend, path: Path
) -> None:
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE:
        pytest.xfail("with a WAL nobody who reads has to wait")
    start = time.monotonic()

    with locked(path):
        errors = await within(
            asyncio.gather(*(backend.get(["id"]) for _ in range(2_000)), return_exceptions=True)
        )

    assert {type(error) for error in errors} == {BackendUnavailableError}
    assert time.monotonic() - start < 8


async def test_looks_do_not_pile_up_while_nobody_answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "LOOK", 0.001)
    asked: list[asyncio.Future[tuple[int, list[str]]]] = []

    def ask(work: Work[tuple[int, list[str]]]) -> asyncio.Future[tuple[int, list[str]]]:
        asked.append(asyncio.get_running_loop().create_future())
        return asked[-1]

    bells = Bells(path)
    looking = listeners.Listeners(bells, ask)
    with looking.waiter("id"):
        await eventually(lambda: bool(asked))
        await pause(0.05)
        unanswered = len(asked)
        looking.tell(News(everything=True))
        asked[0].set_result((1, []))
        await eventually(lambda: len(asked) > 1)
    looking.close()
    bells.close_own()

    assert unanswered == 1


def test_gate_opens_for_one_at_a_time(path: Path) -> None:
    first, second = Gate(f"{path}-lock"), Gate(f"{path}-lock")

    with first.passed(1):
        with pytest.raises(sqlite3.OperationalError, match="locked"), second.passed(0.05):
            pass
    with second.passed(1):
        pass

    first.close()
    second.close()


def test_gate_that_cannot_be_had_is_left_out(tmp_path: Path) -> None:
    with Gate(str(tmp_path / "nowhere" / "queue.db-lock")).passed(0):
        pass

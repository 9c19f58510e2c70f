"""Files that are none of ours, and what is put into one that is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aioqueue.adapters.sqlite import connect
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.connection import VERSION, WAL_IS_SAFE
from aioqueue.adapters.sqlite.core import Core
from aioqueue.errors import BackendUnavailableError, BrokerUnavailableError, ConfigurationError
from tests.support.waiting import message

pytestmark = pytest.mark.anyio


def execute(path: Path, statement: str) -> list[tuple[object, ...]]:
    """Run one statement past the adapter."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(statement).fetchall()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def folder(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


def content(path: Path) -> bytes:
    return path.read_bytes()


async def opened(url: str) -> None:
    broker = connect(url).broker
    assert broker is not None
    try:
        await broker.open()
    finally:
        await broker.close()


async def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=str(tmp_path / "nowhere")):
        await opened(f"sqlite:///{tmp_path}/nowhere/queue.db")


async def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder"):
        await opened(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize(("version", "told"), [(VERSION + 1, "newer"), (VERSION - 1, "older")])
async def test_file_of_another_version_is_left_alone(path: Path, url: str, version: int, told: str) -> None:
    await opened(url)
    execute(path, f"PRAGMA user_version = {version}")
    before = content(path)

    with pytest.raises(ConfigurationError, match=told):
        await opened(url)

    assert content(path) == before


async def test_file_that_is_no_database_is_left_alone(path: Path, url: str) -> None:
    before = b"a letter to a friend, longer than the header of a database. " * 20
    write(path, before)

    with pytest.raises(ConfigurationError, match="no SQLite database"):
        await opened(url)

    assert content(path) == before


async def test_database_of_another_program_is_left_alone(path: Path, url: str) -> None:
    execute(path, "CREATE TABLE friends (name TEXT)")
    before = content(path)

    with pytest.raises(ConfigurationError, match="another program"):
        await opened(url)

    assert content(path) == before


async def test_journal_is_one_that_is_safe_with_this_sqlite(path: Path, broker: SqliteBroker) -> None:
    await broker.publish([message("queue")])

    ((mode,),) = execute(path, "PRAGMA journal_mode")

    assert (mode == "wal") is (sqlite3.sqlite_version_info >= WAL_IS_SAFE)


async def test_file_left_in_wal_mode_is_brought_back(path: Path, url: str) -> None:
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE:
        pytest.xfail("this SQLite uses WAL itself")
    await opened(url)
    execute(path, "PRAGMA journal_mode = WAL")

    await opened(url)

    assert execute(path, "PRAGMA journal_mode") == [("delete",)]


async def test_file_in_wal_mode_in_use_is_refused(path: Path, url: str) -> None:
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE:
        pytest.xfail("this SQLite uses WAL itself")
    await opened(url)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("SELECT count(*) FROM messages").fetchone()

        with pytest.raises(ConfigurationError, match="WAL mode"):
            await opened(f"{url}?timeout=0.1")


async def test_programming_error_is_not_called_unavailable(core: Core) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        await core.session.writer.ask(lambda tx: tx.db.execute("SELEKT"), write=False)
    with pytest.raises(sqlite3.IntegrityError):
        await SqliteBroker(core).publish([message("queue", priority=None)])


async def test_closed_adapter_is_unavailable(core: Core) -> None:
    broker, backend = SqliteBroker(core), SqliteBackend(core)
    await core.close("broker")

    with pytest.raises(BrokerUnavailableError, match="not open"):
        await broker.publish([message("queue")])
    with pytest.raises(BackendUnavailableError, match="not open"):
        await backend.wait("id", timeout=60)


async def test_adapter_makes_its_file_again_when_it_was_removed(path: Path, broker: SqliteBroker) -> None:
    await broker.publish([message("queue")])
    for file in folder(path):
        file.unlink()

    await broker.publish([message("queue")])

    assert execute(path, "SELECT count(*) FROM messages") == [(1,)]

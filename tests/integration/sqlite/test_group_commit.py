"""Group commit: what is asked for together is one transaction, and one's error is only its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import weakref

import pytest

from aioqueue.adapters.sqlite.connection import WAL_IS_SAFE
from aioqueue.adapters.sqlite.core import Core
from aioqueue.adapters.sqlite.database import Job, Transaction, Work, Writer
from aioqueue.adapters.sqlite.news import News
from aioqueue.adapters.sqlite.store import put
from aioqueue.errors import BrokerUnavailableError
from aioqueue.protocols.store import ANYTHING
from tests.support.waiting import DEADLINE, eventually, within

pytestmark = pytest.mark.anyio


class Writes:
    """Writes a key, and remembers how often it ran."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.runs = 0

    def __call__(self, tx: Transaction) -> bool:
        self.runs += 1
        return put(tx, self.key, b"1", ANYTHING, None)


class Fails(Writes):
    """Writes a key, then raises."""

    def __call__(self, tx: Transaction) -> bool:
        super().__call__(tx)
        raise ValueError(self.key)


async def keys(core: Core) -> list[str]:
    def read(tx: Transaction) -> list[str]:
        return [key for (key,) in tx.db.execute("SELECT key FROM store ORDER BY key")]

    return await core.session.writer.ask(read, write=False)


async def together(core: Core, *works: Work[bool]) -> list[bool | BaseException]:
    """Ask for all while the thread is busy, so that they share a transaction."""
    loop, busy, free = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        loop.call_soon_threadsafe(busy.set)
        free.wait(DEADLINE)

    held = core.session.writer.ask(hold, write=False)
    await within(busy.wait())
    asked = [core.session.writer.ask(work, write=True) for work in works]
    free.set()
    await within(held)
    return await within(asyncio.gather(*asked, return_exceptions=True))


def changes(core: Core) -> int:
    """Return SQLite's file change counter: with a rollback journal one more for each transaction."""
    if sqlite3.sqlite_version_info >= WAL_IS_SAFE:
        pytest.xfail("a WAL file counts otherwise")
    return int.from_bytes(core.options.path.read_bytes()[24:28], "big")


async def test_what_is_asked_for_together_is_one_transaction(core: Core) -> None:
    writes = [Writes(f"{number:02}") for number in range(20)]
    before = changes(core)

    answers = await together(core, *writes)

    assert answers == [True] * 20
    assert [write.runs for write in writes] == [1] * 20
    assert changes(core) == before + 1


async def test_error_of_one_is_only_its_own(core: Core) -> None:
    first, bad, last = Writes("first"), Fails("bad"), Writes("last")

    answers = await together(core, first, bad, last)

    assert [answers[0], repr(answers[1]), answers[2]] == [True, "ValueError('bad')", True]
    assert await keys(core) == ["first", "last"]


async def test_each_of_many_errors_goes_to_its_own(core: Core) -> None:
    works = [Fails(f"bad {n}") if n % 3 == 0 else Writes(f"good {n}") for n in range(12)]

    answers = await together(core, *works)

    assert [str(answer) for answer in answers[::3]] == ["bad 0", "bad 3", "bad 6", "bad 9"]
    assert len(await keys(core)) == 8


async def test_broken_constraint_of_one_is_only_its_own(core: Core) -> None:
    def bad(tx: Transaction) -> bool:
        return put(tx, "bad", None, ANYTHING, None)  # type: ignore[arg-type]  # the table refuses it

    answers = await together(core, Writes("first"), bad, Writes("last"))

    assert [type(answer) for answer in answers] == [bool, sqlite3.IntegrityError, bool]
    assert await keys(core) == ["first", "last"]


async def test_fault_of_the_database_is_everybodys_at_once(core: Core) -> None:
    class Full(Writes):
        def __call__(self, tx: Transaction) -> bool:
            super().__call__(tx)
            tx.db.execute("PRAGMA max_page_count = 1")
            tx.db.execute("CREATE TABLE large AS SELECT randomblob(1000000)")
            return True

    writes = [Writes("first"), Full("full"), Writes("last")]

    answers = await together(core, *writes)

    assert [str(answer) for answer in answers] == ["database or disk is full"] * 3
    assert [write.runs for write in writes] == [1, 1, 0]
    assert await within(core.session.writer.ask(Writes("later"), write=True))


async def test_bell_that_fails_costs_no_answer(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(news: News) -> None:
        raise ValueError

    def tells(tx: Transaction) -> bool:
        tx.news.queues.add("queue")
        return True

    writer = core.session.writer
    monkeypatch.setattr(writer, "_ring", broken)

    assert [await within(writer.ask(tells, write=True)) for _ in range(2)] == [True, True]


async def test_thread_that_fails_answers_and_goes_on(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Writer, jobs: list[Job], news: News) -> None:
        raise ValueError("broken")

    writer = core.session.writer
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_commit", broken)
        with pytest.raises(ValueError, match="broken"):
            await within(writer.ask(Writes("first"), write=True))

    assert await within(writer.ask(Writes("second"), write=True))


async def test_function_of_a_cancelled_caller_harms_nobody(core: Core) -> None:
    asked = [core.session.writer.ask(Writes(name), write=True) for name in ("first", "second")]
    asked[0].cancel()

    assert await within(asked[1])
    assert (await keys(core))[-1] == "second"


async def test_thread_that_waits_keeps_nothing_of_what_it_was_asked_for(core: Core) -> None:
    write = Writes("first")
    kept = weakref.ref(write)
    await within(core.session.writer.ask(write, write=True))

    del write

    await eventually(lambda: kept() is None)


async def test_what_was_queued_is_written_before_the_close(core: Core) -> None:
    asked = [core.session.writer.ask(Writes(f"{number:03}"), write=True) for number in range(300)]

    await within(core.close("broker"))
    await core.open("broker", BrokerUnavailableError)

    assert all(write.result() for write in asked)
    assert len(await keys(core)) == 300

"""What workflows leave in the file: values are dropped in steps, and in the end nothing is left."""

from __future__ import annotations

import pytest

from aioqueue import Signature, chain
from aioqueue.adapters.sqlite import connect, upkeep
from aioqueue.adapters.sqlite.backend import SqliteBackend
from aioqueue.adapters.sqlite.broker import SqliteBroker
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL
from aioqueue.testing import VirtualClock
from tests.support.flows import Works, many, works_of_one

pytestmark = pytest.mark.anyio

TABLES = ("flows", "nodes", "joins", "members", "scopes", "tasks", "messages")
NEXT, LAST = (Signature(name=name) for name in ("next", "last"))
HOUR = 3_600.0


def rows(tx: Transaction) -> dict[str, int]:
    """Count the rows there are."""
    return {table: int(tx.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in TABLES}


async def count(works: Works) -> dict[str, int]:
    assert isinstance(works.backend, SqliteBackend)
    return await works.backend.core.session.writer.ask(rows, write=False)


@pytest.fixture
def works(url: str) -> Works:
    adapter = connect(url, clock=VirtualClock())
    assert isinstance(adapter.broker, SqliteBroker)
    assert isinstance(adapter.backend, SqliteBackend)
    clock = adapter.backend.core.clock
    assert isinstance(clock, VirtualClock)
    return works_of_one(adapter.broker, adapter.backend, clock, "queue")


async def test_values_nobody_reads_are_dropped_in_steps(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_DROPPED", 100)
    await works.broker.open()
    inner = many(*(Signature(name=f"m{number}") for number in range(30)))
    await works.send(chain(many(inner, *(Signature(name=f"n{number}") for number in range(420))), NEXT, LAST))
    async with works.crew() as crew:
        await crew.run()
    before = await count(works)
    await works.maintain()
    after = await count(works)
    await works.broker.close()

    assert before["members"] == 421 + 30 + 1
    assert after["members"] == 1


async def test_nothing_is_left_of_workflows_whose_time_is_over(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_DROPPED", 100)
    monkeypatch.setattr(upkeep, "_FLOWS", 5)
    await works.broker.open()
    for number in range(12):
        whole = chain(many(*(Signature(name=f"n{n}") for n in range(30))), NEXT)
        plan = works.compiled(whole.options(on_error=[LAST]))
        await works.keep(plan)
        if number % 3:
            await works.open(plan)
    async with works.crew(prefetch=7) as crew:
        while batch := await crew.take_all():
            await crew.fail(batch[0])
            for delivery in batch[1:]:
                await crew.end(delivery)
    await works.clock.advance(OPEN_TTL + COMMIT_TTL)
    await works.maintain()
    left = await count(works)
    await works.broker.close()

    assert left == dict.fromkeys(TABLES, 0)


async def test_what_runs_in_place_of_nodes_goes_with_what_is_around(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_DROPPED", 10)
    await works.broker.open()
    leaf = Signature(name="leaf", takes="none")
    await works.send(chain(many(*(Signature(name=f"n{number}") for number in range(12))), NEXT))
    async with works.crew() as crew:
        for delivery in await crew.take_all():
            # some are kept and never opened, as where a worker dies in between
            instead = await works.instead(delivery, many(leaf, leaf))
            if delivery.message.name != "n0":
                await crew.go_on(delivery, instead)
            else:
                await crew.end(delivery)
        await crew.run()
    before = await count(works)
    await works.clock.advance(HOUR + 60)
    await works.maintain()
    flows = (await count(works))["flows"]
    await works.clock.advance(OPEN_TTL)
    await works.maintain()
    left = await count(works)
    await works.broker.close()

    assert (before["flows"], flows) == (13, 0)
    assert left == dict.fromkeys(TABLES, 0)


async def test_cancelled_whole_leaves_nothing(works: Works) -> None:
    await works.broker.open()
    plan = await works.send(chain(many(Signature(name="first", takes="none")), LAST).options(on_error=[LAST]))
    async with works.crew() as crew:
        (delivery,) = await crew.take_all()
        await works.submitter.cancel([plan.id], ttl=60.0)
        await crew.end(delivery)
        await crew.run()
    await works.clock.advance(HOUR + COMMIT_TTL)
    await works.maintain()
    left = await count(works)
    await works.broker.close()

    assert left == dict.fromkeys(TABLES, 0)

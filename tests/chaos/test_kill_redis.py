"""``kill -9`` of workers and of Redis, and workers that stand still: nothing is lost or committed twice.

Commits are counted by the store, in the step that makes them. That the proof sees what it says it
sees is proven by mutants of the adapter, each of which must fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from aioqueue import Server
from aioqueue.models.state import State
from aioqueue.protocols.messages import Record
from tests.chaos import commits, copies, mutants, scenarios
from tests.chaos.copies import Change
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.remains import Keys
from tests.chaos.scenarios import BrokenError, Scenario, World
from tests.chaos.storm import CONCURRENCY, PROCESSES, REFUSED, TIMINGS, Plan, Storm
from tests.support.redis_server import RedisServer, debian
from tests.support.stores import missing

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(700)]

ONE_STORE = Plan(tasks=2_000, kills=60, restarts=3, stops=10)
TWO_STORES = Plan(tasks=800, kills=25, restarts=2, stops=4)
UNTIL_SEEN = Plan(tasks=100, kills=0, restarts=0, stops=1)


@pytest.fixture
def redis() -> Generator[RedisServer]:
    binary = debian()
    if binary is None:
        missing("redis-server", LookupError("redis-server is not installed"))
    with RedisServer(binary, appendonly=True) as server:
        yield server


def judge(
    storm: Storm, records: list[Record], history: History, *, reaped: int, refused: int, took: float
) -> None:
    """Hold what happened against what is promised."""
    plan, lapses = storm.plan, storm.fleet.lapses()
    begun = history.begun()
    again = sum(times - 1 for times in begun.values())
    print(
        f"{len(storm.results)} tasks, {len(storm.hits)} kills hitting {sum(storm.hits)} runs,"
        f" {len(storm.away)} restarts of Redis of {max(storm.away):.2f} s at most,"
        f" {len(storm.held)} stops holding {sum(storm.held)} runs, {storm.sent_again} sends made again,"
        f" {reaped} reaped, {refused} ends refused, {lapses} leases lost without a kill,"
        f" {again} runs repeated, {took:.1f} s"
    )
    assert len(storm.results) >= plan.tasks
    assert [record for record in records if record.state is not State.SUCCESS] == []
    assert [record.id for record in records] == [result.id for result in storm.results]
    assert [record.value for record in records] == [b"%d" % n for n in range(len(records))]
    assert begun.keys() == set(range(len(records)))
    assert (len(storm.hits), len(storm.away)) == (plan.kills, plan.restarts)
    assert len(storm.held) >= plan.stops
    assert again <= (plan.kills + max(lapses, len(storm.held)) + plan.restarts * PROCESSES) * CONCURRENCY
    assert reaped > plan.kills, "too little was handed on to prove anything"
    assert refused > 0, "no end was refused, which proves nothing of the fence"


async def test_killed_workers_and_a_killed_redis_lose_nothing_and_commit_nothing_twice(
    redis: RedisServer, tmp_path: Path
) -> None:
    began = time.monotonic()
    url, history = redis.url(namespace="storm"), History(tmp_path / "history")
    keys = Keys(redis, url)
    copy = copies.copied(tmp_path / "copy", copies.COUNTED)
    env = _env(copy, history, AIOQUEUE_BROKER=url)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url))
        fleet = Fleet(stack, history, env, concurrency=CONCURRENCY, cwd=copy)
        storm, records = await _weathered(server, redis, fleet, ONE_STORE, lambda: fleet.said(REFUSED) > 0)

    judge(
        storm,
        records,
        history,
        reaped=keys.told("lost"),
        refused=keys.told("refused"),
        took=time.monotonic() - began,
    )
    assert keys.hash("commits") == dict.fromkeys((record.id for record in records), "1")
    assert keys.left_over() == []
    assert keys.leaks() == []


async def test_killed_workers_and_a_killed_redis_spare_results_in_sqlite(
    redis: RedisServer, tmp_path: Path
) -> None:
    began = time.monotonic()
    url, history = redis.url(namespace="storm"), History(tmp_path / "history")
    keys, database = Keys(redis, url), tmp_path / "results.db"
    backend = f"sqlite:///{database}"
    copy = copies.copied(tmp_path / "copy", copies.COUNTED)
    env = _env(copy, history, AIOQUEUE_BROKER=url, AIOQUEUE_BACKEND=backend)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url, backend=backend))
        commits.count(database)
        fleet = Fleet(stack, history, env, concurrency=CONCURRENCY, cwd=copy)
        storm, records = await _weathered(server, redis, fleet, TWO_STORES, lambda: fleet.said(REFUSED) > 0)

    judge(
        storm,
        records,
        history,
        reaped=keys.told("lost"),
        refused=fleet.said(REFUSED),
        took=time.monotonic() - began,
    )
    assert commits.counted(database) == (len(records), len(records))
    assert keys.left_over() == []
    assert keys.leaks() == []


async def test_the_proof_itself_finds_a_missing_fence(redis: RedisServer, tmp_path: Path) -> None:
    url, history = redis.url(namespace="storm"), History(tmp_path / "history")
    keys = Keys(redis, url)
    copy = copies.copied(tmp_path / "copy", (*copies.COUNTED, *mutants.NO_FENCE))

    def twice() -> bool:
        return any(times != "1" for times in keys.hash("commits").values())

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(url))
        env = _env(copy, history, AIOQUEUE_BROKER=url)
        fleet = Fleet(stack, history, env, concurrency=CONCURRENCY, cwd=copy)
        storm, _ = await _weathered(server, redis, fleet, UNTIL_SEEN, twice)

    print(f"without a fence {len(storm.held)} stops had tasks committed twice")
    assert twice()


async def _weathered(
    server: Server, redis: RedisServer, fleet: Fleet, plan: Plan, seen: Callable[[], bool]
) -> tuple[Storm, list[Record]]:
    for _ in range(PROCESSES):
        await fleet.grow()
    storm = Storm(server, redis, fleet, plan, seen)
    await storm.rage()
    return storm, await storm.calm()


def _env(copy: Path, history: History, **more: str) -> dict[str, str]:
    # no task is the culprit of any kill here, however often one is hit
    losses = {"AIOQUEUE_MAX_LOSSES": "1000"}
    return {**copies.environment(copy), "HISTORY": str(history.path), **TIMINGS, **losses, **more}


MUTANTS: dict[str, tuple[tuple[Change, ...], Scenario, str]] = {
    "no fence, one judged dead": (mutants.NO_FENCE, scenarios.one_judged_dead, "committed twice"),
    "no fence, two entries": (mutants.NO_FENCE, scenarios.two_entries, "committed twice"),
    "no plain fence": (mutants.NO_PLAIN_FENCE, scenarios.one_judged_dead, "committed twice"),
    "plain fence by PEL alone": (mutants.PLAIN_FENCE_BY_PEL, scenarios.two_entries, "committed twice"),
    "fence by PEL alone": (mutants.FENCE_BY_PEL, scenarios.two_entries, "committed twice"),
    "settle before result": (mutants.SETTLE_FIRST, scenarios.killed_at_its_end, "lost"),
    "group at the end": (mutants.GROUP_AT_END, scenarios.sent_before_the_first_worker, "passed over"),
    "reap by idle time": (mutants.REAP_BY_IDLE, scenarios.longer_than_a_lease, "executed twice"),
    "promotion in two calls": (mutants.PROMOTE_TWICE, scenarios.killed_at_a_promotion, "lost"),
    "no record at the send": (mutants.NO_RECORD, scenarios.awaited_before_it_runs, "unknown"),
    "no look for strays": (mutants.NO_STRAYS, scenarios.stopped_while_it_listens, "stuck"),
    "no audit, cut fetch": (mutants.NO_AUDIT, scenarios.cut_fetch, "stuck"),
    "no audit, cut doorbell": (mutants.NO_AUDIT, scenarios.cut_doorbell, "stuck"),
}
NEEDS: dict[Scenario, tuple[Change, ...]] = {scenarios.stopped_while_it_listens: copies.LISTENING}


@pytest.mark.parametrize(
    "scenario", dict.fromkeys(row[1] for row in MUTANTS.values()), ids=lambda s: s.__name__
)
async def test_scenario_of_a_mutant_is_borne_without_it(
    scenario: Scenario, redis: RedisServer, tmp_path: Path
) -> None:
    copy = _copy(tmp_path, scenario)

    async with World.made(redis, copy, tmp_path) as world:
        await scenario(world)
        await world.nothing_left()

    assert world.keys.left_over() == []
    assert world.keys.leaks() == []


@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_is_found(name: str, redis: RedisServer, tmp_path: Path) -> None:
    changes, scenario, fault = MUTANTS[name]
    copy = _copy(tmp_path, scenario, *changes)

    async with World.made(redis, copy, tmp_path) as world:
        with pytest.raises(BrokenError, match=fault) as found:
            await scenario(world)

    print(f"{name}: {found.value}")


def _copy(folder: Path, scenario: Scenario, *changes: Change) -> Path:
    needed = (*copies.COUNTED, *copies.DOOMED, *NEEDS.get(scenario, ()))
    return copies.copied(folder / "copy", (*needed, *changes))

"""Every verb as people and programs call it: what its JSON holds, and each exit code that it can give.

The page on the command line promises the same codes; a test of the house compares them.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from aioqueue import Chain, Group, Server, Signature
from aioqueue.protocols.messages import Message, Settlement
from tests.integration.cli.conftest import APP, Shell
from tests.support.waiting import one

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NOWHERE: Final = "0199999999997000800000000000aaaa"
AWAY: Final = ("--broker", "redis://127.0.0.1:1/0?timeout=0.2")
STORE: Final = ("--app", APP)
RECORD: Final = frozenset(
    {
        *("id", "name", "queue", "state", "result", "error", "attempt", "losses", "worker", "plan"),
        *("sent_at", "started_at", "finished_at", "next_at"),
    }
)
ENTRY: Final = frozenset({"id", "name", "attempt", "priority", "due", "since", "worker"})
LETTER: Final = frozenset({"key", "id", "name", "queue", "reason", "at", "attempt", "priority"})
SCHEDULE: Final = frozenset(
    {
        *("name", "when", "tz", "task", "source", "paused", "next_at", "last_at", "last_id"),
        *("misfire", "catch_up", "overlap", "jitter"),
    }
)
PAGE: Final = frozenset({"queue", "known", "where", "entries", "next"})
PURGED: Final = frozenset({"queue", "known", "removed", "left"})
GROUPS: Final = ("config", "queue", "dead", "schedule")
"""Verbs with others below them."""
CONTROL: Final = ("queue", "dead", "schedule")
"""Verbs of those who look after queues, letters and schedules."""
CANCELLATION: Final = frozenset({"id", "outcome", "cancelled", "finished"})
ERROR: Final = frozenset({"type", "message", "traceback", "task_id", "task_name", "attempt", "worker"})


@dataclass(frozen=True)
class Case:
    """A command and what it comes to. {name} in it is an id. keys: of its JSON, or of the first of a list."""

    args: tuple[str, ...]
    code: int
    keys: frozenset[str] = frozenset()
    env: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def verb(self) -> str:
        """Its verb, and what is below it."""
        return " ".join(self.args[: 2 if self.args[0] in GROUPS else 1])


def case(*args: str, code: int, keys: set[str] | frozenset[str] = frozenset(), **env: str) -> Case:
    return Case(args, code, frozenset(keys), env)


CASES: Final = [
    case("worker", APP, "--burst", code=0),
    case("worker", "nowhere:server", code=2),
    case("worker", APP, "--exclude-queue", "default", code=2),
    case("dev", APP, "--log-level", "loud", code=2),
    case("send", APP, "sum", "[1]", "--json", code=0, keys={"id", "name", "queue", "created"}),
    case(
        "send", APP, "sum", "[1]", "--wait", "--timeout", "0", "--json", code=1, keys=RECORD | {"timed_out"}
    ),
    case("send", APP, "sum", code=2),
    case("send", "away:server", "x", "--by-name", code=3),
    case("result", "{done}", *STORE, "--json", code=0, keys=RECORD),
    case("result", "{done}", *STORE, "--wait", "--json", code=0, keys=RECORD | {"timed_out"}),
    case("result", "{failed}", *STORE, "--json", code=1, keys=RECORD),
    case(
        "result", "{waits}", *STORE, "--wait", "--timeout", "0", "--json", code=1, keys=RECORD | {"timed_out"}
    ),
    case("result", code=2),
    case("result", NOWHERE, *AWAY, code=3),
    case("result", NOWHERE, *STORE, code=4),
    case("show", "{failed}", *STORE, "--json", code=0, keys=RECORD),
    case("show", "{done}", "--app", APP, "--broker", "sqlite:///x.db", code=2),
    case("show", NOWHERE, *AWAY, code=3),
    case("show", NOWHERE, *STORE, code=4),
    case("cancel", "{spare}", *STORE, "--json", code=0, keys=CANCELLATION),
    case("cancel", "{done}", *STORE, "--json", code=1, keys=CANCELLATION),
    case("cancel", code=2),
    case("cancel", NOWHERE, *AWAY, code=3),
    case("cancel", NOWHERE, *STORE, "--json", code=4, keys=CANCELLATION),
    case("workflow", "{whole}", *STORE, "--json", code=0, keys={"id", "state", "counts", "parts"}),
    case("workflow", "{broken}", *STORE, "--json", code=1, keys={"id", "state", "counts", "parts"}),
    case("workflow", code=2),
    case("workflow", NOWHERE, *AWAY, code=3),
    case("workflow", NOWHERE, *STORE, code=4),
    case(
        *("tasks", APP, "--json"),
        code=0,
        keys={
            *("name", "queue", "signature", "parameters", "returns"),
            *("executor", "retry", "timeout", "schedules", "doc"),
        },
    ),
    case("tasks", "nowhere:server", code=2),
    case("status", *STORE, "--json", code=0, keys={"broker", "queues", "workers"}),
    case("status", "--app", "nowhere:server", code=2),
    case("status", *AWAY, code=3),
    case("check", *STORE, "--json", code=0, keys={"ok", "checks"}),
    case("check", "--broker", "memory://x", "--json", code=1, keys={"ok", "checks"}),
    case("check", "--broker", "nowhere://x", code=2),
    case("check", *AWAY, "--json", code=3, keys={"ok", "checks"}),
    case("config", "show", "--json", code=0, keys={"broker", "backend", "queue", "lease"}),
    case("config", "show", "--file", "none.yml", code=2),
    case("config", "validate", "--json", code=0, keys={"valid", "file", "problems"}),
    case("config", "validate", "--json", code=2, keys={"valid", "file", "problems"}, AIOQUEUE_LEASE="long"),
    case("queue", "list", *STORE, "--json", code=0, keys={"broker", "queues"}),
    case("queue", "list", "--jsn", code=2),
    case("queue", "list", *AWAY, code=3),
    case(
        "queue",
        "show",
        "nobodys",
        *STORE,
        "--json",
        code=0,
        keys=PAGE,
    ),
    case("queue", "show", "nobodys", *STORE, "--after", "x", code=2),
    case("queue", "show", "nobodys", *AWAY, code=3),
    case("queue", "pause", "aside", *STORE, "--json", code=0, keys={"queue", "paused", "changed", "known"}),
    case("queue", "pause", "no queue", *STORE, code=2),
    case("queue", "pause", "aside", *AWAY, code=3),
    case("queue", "resume", "other", *STORE, "--json", code=0, keys={"queue", "paused", "changed", "known"}),
    case("queue", "resume", "no queue", *STORE, code=2),
    case("queue", "resume", "other", *AWAY, code=3),
    case(
        "queue",
        "purge",
        "aside",
        *STORE,
        "--yes",
        "--json",
        code=0,
        keys=PURGED,
    ),
    case("queue", "purge", "aside", *STORE, code=2),
    case("queue", "purge", "aside", *AWAY, "--yes", code=3),
    case("dead", "list", *STORE, "--json", code=0, keys={"letters", "next"}),
    case("dead", "list", *STORE, "--limit", "0", code=2),
    case("dead", "list", *AWAY, code=3),
    case(
        *("dead", "show", "{kept}", *STORE, "--json"),
        code=0,
        keys=LETTER | {"body", "call", "problem"},
    ),
    case("dead", "show", code=2),
    case("dead", "show", NOWHERE, *AWAY, code=3),
    case("dead", "show", NOWHERE, *STORE, code=4),
    case("dead", "requeue", "{again}", *STORE, "--json", code=0, keys={"requeued"}),
    case("dead", "requeue", "{kept}", *STORE, code=1, AIOQUEUE_MAX_QUEUE="1"),
    case("dead", "requeue", *STORE, code=2),
    case("dead", "requeue", NOWHERE, *AWAY, code=3),
    case("dead", "requeue", NOWHERE, *STORE, code=4),
    case("dead", "purge", "{dropped}", *STORE, "--json", code=0, keys={"dropped"}),
    case("dead", "purge", *STORE, code=2),
    case("dead", "purge", NOWHERE, *AWAY, code=3),
    case("dead", "purge", NOWHERE, *STORE, code=4),
    case("schedule", "list", *STORE, "--json", code=0, keys=SCHEDULE),
    case("schedule", "list", "--app", "nowhere:server", code=2),
    case("schedule", "list", *AWAY, code=3),
    case("schedule", "add", "more", "@daily", "sum", "[1]", *STORE, "--json", code=0, keys=SCHEDULE),
    case("schedule", "add", "more", "61 * * * *", "sum", "[1]", *STORE, code=2),
    case("schedule", "add", "more", "60", "sum", "[1]", *AWAY, code=3),
    *(
        each
        for verb, keys in (
            ("pause", {"schedule", "paused"}),
            ("resume", {"schedule", "paused"}),
            ("trigger", {"schedule", "id"}),
            ("remove", {"schedule", "removed"}),
            ("next", set[str]()),
        )
        for each in (
            case("schedule", verb, f"to-{verb}", *STORE, "--json", code=0, keys=keys),
            case("schedule", verb, code=2),
            case("schedule", verb, "nobodys", *AWAY, code=3),
            case("schedule", verb, "nobodys", *STORE, code=4),
        )
    ),
    case(
        *("schedule", "trigger", "to-trigger", *STORE),
        code=1,
        AIOQUEUE_MAX_QUEUE="1",
        AIOQUEUE_QUEUE="nobodys",
    ),
    case("schedule", "run", "nowhere:server", code=2),
    case("completion", "bash", code=0),
    case("completion", "tcsh", code=2),
    case("version", "--json", code=0, keys={"aioqueue", "python"}),
    case("version", "--jsn", code=2),
]

ELSEWHERE: Final = {
    *(("worker", 1), ("dev", 0), ("dev", 1), ("schedule run", 0)),
    *(("queue purge", 1), ("dead purge", 1)),
}
"""What tests of supervised processes, and of a terminal, show: a command and its code."""


async def prepared(shell: Shell) -> dict[str, str]:
    """Fill the store, and return the ids of what is in it."""
    shell.module("away", f"from aioqueue import Server\nserver = Server({AWAY[1]!r})\n")
    total = Signature[int](name="sum", args=[[1]], takes="none")
    failing = Signature[None](name="fail", args=["no luck"], takes="none")
    async with Server(shell.url) as server:
        ids = {
            "done": (await server.send(total)).id,
            "failed": (await server.send(failing)).id,
            "whole": (await server.send(Group(members=[total, total]))).id,
            "broken": (await server.send(Chain(steps=[failing, total]))).id,
        }
        assert (await shell.run("worker", APP, "--burst")).code == 0
        await buried(server, "kept", "again", "dropped")
        for name in ("waits", "spare"):
            ids[name] = (await server.send(total.options(queue="nobodys"))).id
        for verb in ("pause", "resume", "trigger", "remove", "next"):
            await server.schedules.add(f"to-{verb}", 86_400, total)
    return ids | {name: name for name in ("kept", "again", "dropped")}


async def buried(server: Server, *ids: str) -> None:
    """Put dead letters of these ids there."""
    broker = server.stores.broker
    async with broker.consume(["nobodys"], prefetch=1, lease=60, worker="w") as consumer:
        for id in ids:
            await broker.publish([Message(id, "sum", "nobodys", b'{"v":1,"a":[[1,2]]}')])
            await consumer.settle([Settlement(await one(consumer), dead="no luck")])


def data_of(case: Case, out: str) -> dict[str, Any]:
    """Return what a program reads, or the first of it; one line, and nothing beside it."""
    data = json.loads(out)
    assert len(out.splitlines()) == 1, case
    first: dict[str, Any] = data[0] if isinstance(data, list) else data
    return first


@pytest.mark.parametrize("control", [False, True], ids=["tasks", "control"])
async def test_every_verb_has_its_exit_codes_and_its_json(shell: Shell, control: bool) -> None:
    chosen = [each for each in CASES if (each.args[0] in CONTROL) is control]
    ids = await prepared(shell)
    slots = asyncio.Semaphore(2)

    async def come_to(case: Case) -> None:
        async with slots:
            done = await shell.run(*(arg.format(**ids) for arg in case.args), env=case.env)
        assert done.code == case.code, (case, done)
        assert "Traceback" not in done.err, (case, done)
        if case.keys:
            data = data_of(case, done.out)
            assert case.keys <= data.keys(), (case, data)
            if case.keys >= RECORD and data["error"] is not None:
                assert data["error"].keys() >= ERROR
        elif case.code:
            assert done.out == "", (case, done)
            assert done.err != "", (case, done)

    async with asyncio.TaskGroup() as cases:
        for each in chosen:
            cases.create_task(come_to(each))

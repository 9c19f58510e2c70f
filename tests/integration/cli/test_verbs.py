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
from tests.integration.cli.conftest import APP, Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NOWHERE: Final = "0199999999997000800000000000aaaa"
AWAY: Final = ("--broker", "redis://127.0.0.1:1/0?timeout=0.2")
STORE: Final = ("--app", APP)
RECORD: Final = frozenset(
    {
        *("id", "name", "queue", "state", "result", "error", "attempt", "losses", "worker", "plan"),
        *("sent_at", "started_at", "finished_at", "next_at"),
    }
)
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
        return " ".join(self.args[: 2 if self.args[0] == "config" else 1])


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
            *("executor", "retry", "timeout", "doc"),
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
    case("completion", "bash", code=0),
    case("completion", "tcsh", code=2),
    case("version", "--json", code=0, keys={"aioqueue", "python"}),
    case("version", "--jsn", code=2),
]

ELSEWHERE: Final = {("worker", 1), ("dev", 0)}
"""What tests of supervised processes show: a command and its code."""


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
        for name in ("waits", "spare"):
            ids[name] = (await server.send(total.options(queue="nobodys"))).id
    return ids


def data_of(case: Case, out: str) -> dict[str, Any]:
    """Return what a program reads, or the first of it; one line, and nothing beside it."""
    data = json.loads(out)
    assert len(out.splitlines()) == 1, case
    first: dict[str, Any] = data[0] if isinstance(data, list) else data
    return first


async def test_every_verb_has_its_exit_codes_and_its_json(shell: Shell) -> None:
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
        for each in CASES:
            cases.create_task(come_to(each))

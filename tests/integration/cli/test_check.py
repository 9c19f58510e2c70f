"""``aioqueue check``: what an operator is told before a deployment, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aioqueue import Server
from aioqueue.cli import checks
from aioqueue.cli.checks import Finding, findings
from aioqueue.models.stats import ServiceInfo
from tests.integration.cli.conftest import APP, Shell
from tests.support import redis_server
from tests.support.stores import missing


def rows(out: str) -> dict[str, list[dict[str, Any]]]:
    """Return what ``--json`` printed, by check."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(out)["checks"]:
        assert row.keys() == {"check", "status", "says", "data"}
        found.setdefault(row["check"], []).append(row)
    return found


def said(found: list[Finding], check: str) -> list[tuple[str, str]]:
    """Return status and text of what was found about one thing."""
    return [(finding.status, finding.says) for finding in found if finding.check == check]


@pytest.fixture
def redis() -> str:
    """A Redis server's URL, in a namespace that stays empty."""
    try:
        return redis_server.shared("redis").url(namespace="check")
    except LookupError as exc:
        missing("redis", exc)


async def test_store_of_an_app_is_told_with_what_waits_and_who_serves(shell: Shell) -> None:
    await shell.sent("sum", [1])
    async with shell.start("worker", APP, "-q", "other", "--name", "mine") as worker:
        await worker.line("is ready")
        data = await shell.run("check", "--app", APP, "--json")
        plain = await shell.run("check", "--app", APP)

    found = rows(data.out)
    assert (data.code, plain.code, json.loads(data.out)["ok"]) == (0, 0, True)
    assert found.keys() == {"versions", "settings", "app", "broker", "queues", "workers"}
    assert found["settings"][0]["data"]["from"] == {"code": ["broker", "sweep"]}
    assert found["app"][0]["data"]["queues"] == ["default"]
    broker = found["broker"][0]["data"]
    assert (broker["url"], broker["file"]) == (shell.url, f"{shell.folder}/tasks.db")
    assert broker["journal"] in {"wal", "persist"}
    assert broker["round_trip"] > 0
    assert [row["status"] for row in found["queues"]] == ["ok", "warn"]
    assert found["queues"][1]["data"] == {"queue": "default", "waiting": 1}
    assert found["workers"][0]["data"] == {"workers": ["mine"]}
    assert [line for line in plain.out.splitlines() if line.startswith("warn  queues")] == [
        "warn  queues    'default': 1 task waiting and no live worker serves it; start one: "
        f"aioqueue worker {APP} -q default"
    ]


@pytest.mark.parametrize(
    ("args", "env", "code", "text"),
    [
        (("--broker", "sqlite:///mistyped.db"), {}, 3, "there is no file "),
        ((), {}, 0, "aioqueue.db yet; the first send, or a worker, makes it"),
        (("--app", APP), {}, 0, "tasks.db yet; the first send, or a worker, makes it"),
        ((), {"AIOQUEUE_BROKER": "sqlite:///none/a.db"}, 3, "none is not there"),
        (("--broker", "redis://127.0.0.1:1?timeout=0.2"), {}, 3, "127.0.0.1:1"),
        (("--broker", "memory://x"), {}, 1, "memory://x lives within one process"),
        (("--broker", "sqlite:///tasks.py"), {}, 1, "is no SQLite database"),
        (("--broker", "nowhere://x"), {}, 2, "is no store's URL"),
        (("--app", "nowhere:server"), {}, 2, "there is no module 'nowhere'"),
        ((), {"AIOQUEUE_LEASE": "long"}, 2, "AIOQUEUE_LEASE: setting 'lease'"),
        (("--app", APP, "--broker", "sqlite:///a.db"), {}, 2, "leave out --broker"),
    ],
)
async def test_exit_code_says_what_is_wrong(
    shell: Shell, args: tuple[str, ...], env: dict[str, str], code: int, text: str
) -> None:
    before = set(shell.folder.iterdir())
    done = await shell.run("check", *args, env=env)

    assert done.code == code, done.err
    assert text in done.out + done.err
    assert {path for path in shell.folder.iterdir() if path.suffix == ".db"} <= before


async def test_redis_is_told_with_version_settings_and_clock(redis: str, tmp_path: Path) -> None:
    backend = f"sqlite:///{tmp_path / 'results.db'}"
    async with Server(backend):
        pass
    alone = await findings(Server(redis), None)
    beside = await findings(Server(redis, backend=backend), None)

    broker = next(finding for finding in alone if finding.check == "broker")
    assert broker.data["version"].startswith("Redis ")
    assert broker.data.keys() >= {"url", "round_trip", "mode", "appendonly", "maxmemory-policy"}
    assert ("warn" in dict(said(alone, "broker"))) == (broker.data["appendonly"] == "no")
    assert said(alone, "clock") == [("ok", "this host and the broker agree within 1 s")]
    assert said(alone, "backend") == []
    assert [status for status, _ in said(beside, "backend")] == ["ok"]
    assert said(alone, "settings") == [("ok", "broker from the command line")]
    assert {finding.status for finding in beside} <= {"ok", "warn"}


async def test_what_is_wrong_with_a_store_or_an_app_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(f"sqlite:///{tmp_path / 'tasks.db'}", lease=8.0)
    async with server:
        pass

    async def about() -> ServiceInfo:
        return ServiceInfo(version="1", time=0.0)

    monkeypatch.setattr(server.stores.broker, "about", about)
    bare = await findings(server, "ours:server")

    @server.task
    async def odd(x: "NoSuchType") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037 - that is the point

    found = await findings(server, "ours:server")

    assert said(bare, "app") == [("warn", "ours:server: no task is registered")]
    assert said(bare, "settings")[0][0] == "fail"
    assert said(bare, "clock")[0][0] == "warn"
    assert "behind this host; moments are told by the broker's clock" in said(bare, "clock")[0][1]
    assert said(bare, "workers") == [("warn", "no worker is alive")]
    assert said(found, "app")[0][0] == "fail"
    assert "annotation" in said(found, "app")[0][1]


async def test_store_that_does_not_answer_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(f"sqlite:///{tmp_path / 'tasks.db'}")
    async with server:
        pass

    async def about() -> ServiceInfo:
        raise TimeoutError

    monkeypatch.setattr(server.stores.broker, "about", about)
    found = await findings(server, None)

    assert [finding.says for finding in found if finding.unreachable] == [
        f"sqlite:///{tmp_path / 'tasks.db'}: no answer within {checks.PATIENCE:g} s"
    ]
    assert said(found, "queues") == []

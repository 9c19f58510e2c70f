"""A password, wherever it is said, is in nothing that any verb prints, logs, raises or keeps."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aioqueue import Server, Signature
from aioqueue.cli.banner import banner
from aioqueue.cli.checks import findings
from aioqueue.errors import AioqueueError, UnavailableError
from aioqueue.patience import CARDS
from tests.integration.cli.conftest import Shell
from tests.support import redis_server
from tests.support.redis_server import HOST, RedisServer
from tests.support.stores import missing
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CANARY = "xyzzyplugh"
NOWHERE = "0199999999997000800000000000aaaa"
KEY = f"ssl_keyfile_password={CANARY}&ssl_certfile=none.pem&ssl_keyfile=none.pem&timeout=0.2"
UNREACHABLE = f"redis://u:{CANARY}@127.0.0.1:1/0?timeout=0.2"
TLS = f"rediss://u:{CANARY}@127.0.0.1:1/0?{KEY}"
BAD = f"redis://u:{CANARY}@h/x"
APP = "ours:server"
ASKING = [
    ("result", NOWHERE),
    ("show", NOWHERE),
    ("cancel", NOWHERE),
    ("workflow", NOWHERE),
    ("status",),
    ("check",),
    ("queue", "list"),
    ("queue", "show", "default"),
    ("queue", "pause", "nobodys"),
    ("queue", "resume", "nobodys"),
    ("queue", "purge", "nobodys", "--yes"),
    ("dead", "list"),
    ("dead", "show", NOWHERE),
    ("dead", "requeue", NOWHERE),
    ("dead", "requeue", "--all"),
    ("dead", "purge", NOWHERE),
    ("dead", "purge", "--yes"),
    ("schedule", "list"),
    ("schedule", "add", "hourly", "3600", "add", "1"),
    ("schedule", "pause", "hourly"),
    ("schedule", "resume", "hourly"),
    ("schedule", "next", "hourly"),
    ("schedule", "remove", "hourly"),
    ("schedule", "trigger", "nobodys"),
]
VERBS = [
    *[(*asking, "--app", APP, *more) for asking in ASKING for more in ((), ("--json",))],
    ("send", APP, "add", "1", "--wait", "--timeout", "0", "--json"),
    ("send", APP, "nobodys", "1"),
    ("tasks", APP, "--json"),
    ("config", "show", "--app", APP),
    ("config", "show", "--app", APP, "--json"),
    ("config", "validate"),
    ("version",),
]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server that wants the password."""
    binary = redis_server.debian()
    if binary is None:
        missing("redis-server", "it is not installed")
    with RedisServer(binary) as server:
        server.command("CONFIG", "SET", "requirepass", CANARY)
        yield server


def app(shell: Shell, url: str | None) -> None:
    """Write the app; without a URL its settings say which store it has."""
    shell.module(
        "ours",
        "import logging\nfrom aioqueue import Server\n"
        f"server = Server({'' if url is None else repr(url)})\n"
        "@server.task\nasync def add(x: int) -> int:\n"
        "    logging.getLogger('theirs').debug('%r %r', server, server.settings)\n    return x\n",
    )


async def texts(shell: Shell, commands: list[tuple[str, ...]], env: dict[str, str]) -> dict[str, str]:
    """Return what each command writes."""
    slots, found = asyncio.Semaphore(2), dict[str, str]()

    async def one(args: tuple[str, ...]) -> None:
        async with slots:
            done = await shell.run(*args, env=env)
        found[" ".join(args)] = done.out + done.err

    async with asyncio.TaskGroup() as running:
        for args in commands:
            running.create_task(one(args))
    assert all(found.values()), found
    return found


def telling(found: dict[str, str]) -> list[str]:
    """Return which commands told the password."""
    return [command for command, text in found.items() if CANARY in text]


@pytest.mark.parametrize("place", ["variable", "file", "code"])
async def test_no_verb_tells_it_where_all_is_well(shell: Shell, redis: RedisServer, place: str) -> None:
    url = f"redis://:{CANARY}@{HOST}:{redis.port}/0"
    app(shell, url if place == "code" else None)
    env = (
        {"AIOQUEUE_BROKER": url, "AIOQUEUE_BACKEND": f"{url}?namespace=results"}
        if place == "variable"
        else {}
    )
    if place == "file":
        (shell.folder / "aioqueue.yaml").write_text(f"broker: {url}\n")
    some = [verb for number, verb in enumerate(VERBS) if number % 3 == 0 or verb[0] == "send"]
    found = await texts(shell, VERBS if place == "variable" else some, env)
    worker = ("worker", APP, "--burst", "--log-level", "debug")
    found |= await texts(shell, [worker, (*worker, "-p", "2"), (*worker, "--log-format", "json")], env)

    assert telling(found) == []
    assert any("Server object" in text for text in found.values())


@pytest.mark.parametrize("url", [UNREACHABLE, TLS, BAD, "wrong"])
async def test_no_verb_tells_it_where_something_is_wrong(shell: Shell, redis: RedisServer, url: str) -> None:
    url = f"redis://u:not-{CANARY}@{HOST}:{redis.port}/0" if url == "wrong" else url
    app(shell, None)
    by_flag = [(*asking, "--broker", url) for asking in ASKING]
    sending = ("send", APP, "add", "1")
    found = await texts(shell, by_flag, {}) | await texts(shell, [sending], {"AIOQUEUE_BROKER": url})
    async with shell.start("worker", APP, "--log-level", "debug", env={"AIOQUEUE_BROKER": url}) as worker:
        # one that is away is asked again, what is wrong ends it
        await eventually(
            lambda: any("cannot reach" in line or "Error" in line for line in worker.lines), deadline=60
        )
    (shell.folder / "aioqueue.yaml").write_text(f"broker: {url}\nquue: {url}\n")
    found |= await texts(shell, [("config", "validate"), ("config", "show"), ("tasks", APP)], {})

    assert telling(found) == []
    assert [line for line in worker.lines if CANARY in line] == []


@pytest.mark.parametrize("url", ["right", "wrong", UNREACHABLE, TLS])
async def test_nothing_in_this_process_tells_it(
    redis: RedisServer, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = {"right": f":{CANARY}", "wrong": f"u:not-{CANARY}"}
    url = f"redis://{passwords[url]}@{HOST}:{redis.port}/0" if url in passwords else url
    server = Server(url)
    shown = [
        repr(server),
        repr(server.settings),
        str(server.settings),
        repr(server.stores),
        repr(vars(server)),
    ]
    with caplog.at_level(logging.DEBUG):
        worker = server.worker()
        shown += [
            repr(worker),
            repr(worker.options),
            banner(server, worker.options, processes=1, loop="x").text,
        ]
        shown += [repr(await findings(server, None))]
        with suppress(UnavailableError):
            try:
                async with server, server.worker():
                    await server.send(Signature(name="add", args=[1]))
                    await eventually(lambda: _has_card(server))
                    cards = await server.stores.store.list(CARDS) if server.stores.store is not None else {}
                    shown += map(repr, cards.items())
            except AioqueueError as exc:
                shown += [str(exc), repr(exc), "".join(traceback.format_exception(exc))]

    assert [text for text in (*shown, caplog.text) if CANARY in text] == []
    assert len(shown) > 9


async def _has_card(server: Server) -> bool:
    return server.stores.store is not None and bool(await server.stores.store.list(CARDS))

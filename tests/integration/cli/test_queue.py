"""``aioqueue queue`` and ``aioqueue dead``: what people read, what programs read, exit codes."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from aioqueue import Server, Signature
from aioqueue.models.state import State
from aioqueue.protocols.messages import Message, Settlement
from tests.integration.cli.conftest import APP, Shell
from tests.support.waiting import one

pytestmark = pytest.mark.timeout(400)

ON = ("--app", APP)


async def bury(
    shell: Shell, *names: str, queue: str = "default", body: bytes = b'{"v":1,"a":[[1,2]]}'
) -> None:
    """Put dead letters there."""
    async with Server(shell.url) as server:
        broker = server.stores.broker
        async with broker.consume([queue], prefetch=1, lease=60, worker="w") as consumer:
            for name in names:
                await broker.publish([Message(name, "sum", queue, body, priority=3)])
                await consumer.settle([Settlement(await one(consumer), dead=f"no\n{name}")])


async def data(shell: Shell, *args: str) -> Any:
    done = await shell.run(*args, *ON, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


async def test_queues_are_listed_with_counts_and_whether_they_are_paused(shell: Shell) -> None:
    await shell.sent("sum", [1])
    paused = await shell.run("queue", "pause", "mail", *ON)
    plain = await shell.run("queue", "list", *ON)
    listed = await data(shell, "queue", "list")

    assert paused.code == plain.code == 0
    assert paused.out == f"mail is paused; aioqueue queue resume mail --app {APP} starts it again\n"
    assert [
        line.split() for line in plain.out.splitlines() if line.split()[:1] in (["default"], ["mail"])
    ] == [
        ["default", "1", "0", "0", "0"],
        ["mail", "0", "0", "0", "0", "paused"],
    ]
    assert listed["queues"] == [
        {"queue": "default", "ready": 1, "delayed": 0, "held": 0, "dead": 0, "paused": False},
        {"queue": "mail", "ready": 0, "delayed": 0, "held": 0, "dead": 0, "paused": True},
    ]


async def test_paused_queue_waits_until_it_is_resumed(shell: Shell) -> None:
    await shell.empty()
    assert await data(shell, "queue", "pause", "default") == {
        "queue": "default",
        "paused": True,
        "changed": True,
        "known": True,
    }
    id = await shell.sent("sum", [1, 2])
    async with shell.start("worker", APP) as worker:
        await worker.line("is ready")
        before = (await shell.state(id)).state
        assert (await data(shell, "queue", "pause", "default"))["changed"] is False
        resumed = await data(shell, "queue", "resume", "default")
        state = await shell.state(id, ended=60)

    assert before is State.PENDING
    assert resumed == {"queue": "default", "paused": False, "changed": True, "known": True}
    assert state.result == 3
    again = await shell.run("queue", "resume", "default", *ON)
    assert (again.code, again.out) == (0, "default was not paused\n")


async def test_queue_that_nobody_knows_is_told_with_the_nearest(shell: Shell) -> None:
    await shell.empty()
    shown = await shell.run("queue", "show", "defalt", *ON)
    purged = await data(shell, "queue", "purge", "defalt", "--yes")
    paused = await shell.run("queue", "pause", "defalt", "--broker", shell.url)
    again = await shell.run("queue", "pause", "defalt", *ON)

    assert (shown.code, shown.err) == (0, "Warning: no queue 'defalt' is known; did you mean default?\n")
    assert purged == {"queue": "defalt", "known": False, "removed": 0, "left": 0}
    assert (paused.code, paused.err) == (0, shown.err)
    assert (
        paused.out == f"defalt is paused; aioqueue queue resume defalt --broker {shell.url} starts it again\n"
    )
    assert (again.code, again.err) == (0, "")


async def test_what_is_in_a_queue_is_shown_page_by_page(shell: Shell) -> None:
    ids = [await shell.sent("sum", [n]) for n in range(3)]

    first = await data(shell, "queue", "show", "default", "--limit", "2")
    rest = await data(shell, "queue", "show", "default", "--after", first["next"])
    plain = await shell.run("queue", "show", "default", "--limit", "2", *ON)
    nothing = await shell.run("queue", "show", "default", "--where", "delayed", *ON)
    wrong = await shell.run("queue", "show", "default", "--after", "x", *ON)

    assert [entry["id"] for entry in (*first["entries"], *rest["entries"])] == ids
    assert first["entries"][0].keys() >= {"id", "name", "attempt", "priority", "due", "since", "worker"}
    assert (first["queue"], first["where"], rest["next"]) == ("default", "pending", None)
    assert ids[0] in plain.out
    assert "there is more: --after" in plain.out
    assert nothing.out == "there is nothing\n"
    assert (wrong.code, "is no cursor" in wrong.err) == (2, True)


async def test_purge_cancels_what_waits(shell: Shell) -> None:
    ids = [await shell.sent("sum", [n]) for n in range(2)]
    later = await shell.run("send", APP, "sum", "[1]", "--delay", "600", "--id", "later")

    done = await data(shell, "queue", "purge", "default", "--pending", "--yes")
    rest = await shell.run("queue", "purge", "default", "--yes", *ON)

    assert later.code == 0
    assert done == {"queue": "default", "known": True, "removed": 2, "left": 0}
    assert rest.out == "1 tasks of default were cancelled and taken out\n"
    assert [(await shell.state(id)).state for id in (*ids, "later")] == [State.CANCELLED] * 3


@pytest.mark.parametrize("args", [("queue", "purge", "default"), ("dead", "purge")])
async def test_purge_without_a_terminal_wants_a_yes(shell: Shell, args: tuple[str, ...]) -> None:
    id = await shell.sent("sum", [1])
    done = await shell.run(*args, *ON)

    assert done.code == 2
    assert "--yes says yes" in done.err
    assert (await shell.state(id)).state is State.PENDING


async def test_dead_letters_are_listed_and_shown(shell: Shell) -> None:
    await bury(shell, "one", "two")
    await bury(shell, "far", queue="far", body=b"\xff")

    listed = await data(shell, "dead", "list")
    first = await data(shell, "dead", "list", "--limit", "1", "--of", "default")
    plain = await shell.run("dead", "list", *ON)
    shown = await data(shell, "dead", "show", "one")
    odd = await data(shell, "dead", "show", "far")
    said = await shell.run("dead", "show", "one", *ON)

    assert [letter["id"] for letter in listed["letters"]] == ["far", "two", "one"]
    assert [letter["id"] for letter in first["letters"]] == ["two"]
    assert first["next"] is not None
    assert "no two" in plain.out
    assert (shown["reason"], shown["queue"], shown["priority"]) == ("no\none", "default", 3)
    assert (shown["call"]["name"], shown["call"]["args"], shown["problem"]) == ("sum", [[1, 2]], None)
    assert shown["body"] == '{"v":1,"a":[[1,2]]}'
    assert (odd["call"], odd["body_base64"]) == (None, "/w==")
    assert odd["problem"].startswith("the body is not JSON")
    assert said.out.startswith("sum[one] no\none\n")


async def test_dead_letter_is_sent_anew(shell: Shell) -> None:
    await bury(shell, "one", "two", "three")
    async with shell.start("worker", APP) as worker:
        await worker.line("is ready")
        done = await data(shell, "dead", "requeue", "one")
        rest = await shell.run("dead", "requeue", "--all", *ON)
        (sent,) = done["requeued"]
        state = await shell.state(sent["new_id"], ended=60)

    assert sent["id"] == "one"
    assert (state.result, state.queue) == (3, "default")
    assert [line.split()[0] for line in rest.out.splitlines()] == ["three", "two"]
    assert (await data(shell, "dead", "list"))["letters"] == []


async def test_dead_letter_is_sent_to_another_queue(shell: Shell) -> None:
    await bury(shell, "one")
    await shell.run("dead", "requeue", "one", "--queue", "aside", *ON)

    (entry,) = (await data(shell, "queue", "show", "aside"))["entries"]
    assert (entry["name"], entry["priority"]) == ("sum", 3)


async def test_one_that_is_unknown_hides_nothing_of_the_others(shell: Shell) -> None:
    await bury(shell, "one", "two")

    sent = await shell.run("dead", "requeue", "one", "nobody", "--json", *ON)
    dropped = await shell.run("dead", "purge", "two", "nobody", *ON)

    assert (sent.code, dropped.code) == (4, 4)
    (requeued,) = json.loads(sent.out)["requeued"]
    assert requeued["id"] == "one"
    assert [letter["id"] for letter in (await data(shell, "dead", "list"))["letters"]] == ["two"]


async def test_dead_letters_are_dropped(shell: Shell) -> None:
    await bury(shell, "one", "two")
    await bury(shell, "far", queue="far")

    named = await data(shell, "dead", "purge", "one")
    far = await data(shell, "dead", "purge", "--of", "far", "--yes")
    rest = await shell.run("dead", "purge", "--yes", *ON)

    assert (named, far) == ({"dropped": 1}, {"dropped": 1})
    assert rest.out == "1 dead letters were dropped\n"


@pytest.mark.parametrize("verb", ["show", "requeue", "purge"])
async def test_dead_letter_that_is_not_there_is_not_found(shell: Shell, verb: str) -> None:
    await shell.empty()
    done = await shell.run("dead", verb, "nobody", *ON)

    assert done.code == 4
    assert "there is no dead letter of a task 'nobody'" in done.err


@pytest.mark.parametrize(
    "args",
    [
        ("dead", "requeue"),
        ("dead", "requeue", "one", "--all"),
        ("dead", "requeue", "one", "--of", "default"),
        ("dead", "purge", "one", "--of", "default"),
        ("queue", "pause"),
        ("queue", "pause", "no queue"),
        ("queue", "show", "default", "--where", "nowhere"),
    ],
)
async def test_wrong_use_is_told(shell: Shell, args: tuple[str, ...]) -> None:
    await shell.empty()
    done = await shell.run(*args, *ON)

    assert done.code == 2
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "args",
    [
        ("queue", "list"),
        ("queue", "show", "a"),
        ("queue", "pause", "a"),
        ("queue", "resume", "a"),
        ("queue", "purge", "a", "--yes"),
        ("dead", "list"),
        ("dead", "show", "a"),
        ("dead", "requeue", "a"),
        ("dead", "purge", "--yes"),
    ],
)
async def test_store_that_is_away_exits_with_3(shell: Shell, args: tuple[str, ...]) -> None:
    done = await shell.run(*args, "--broker", "redis://127.0.0.1:1/0?timeout=0.5")

    assert done.code == 3, done.err


@pytest.mark.parametrize(
    ("verb", "under"),
    [
        *(("queue", under) for under in ("list", "show", "pause", "resume", "purge")),
        *(("dead", under) for under in ("list", "show", "requeue", "purge")),
    ],
)
async def test_help_has_an_example(shell: Shell, verb: str, under: str) -> None:
    done = await shell.run(verb, under, "--help")

    assert f"Example: aioqueue {verb} {under}" in done.out


async def test_worker_serves_queues_by_weight_or_strictly(shell: Shell) -> None:
    async with Server(shell.url) as server:
        for queue in ("a", "b"):
            await server.send(Signature(name="sum", args=([1],)).options(queue=queue))

    weighed = await shell.run("worker", APP, "-q", "a:5,b:1", "--burst")
    strict = await shell.run("worker", APP, "-q", "a", "-q", "b", "--strict", "--burst")
    both = await shell.run("worker", APP, "-q", "a:5,b", "--strict", "--burst")
    wrong = await shell.run("worker", APP, "-q", "a:0", "--burst")

    assert weighed.code == strict.code == 0
    assert "a:5, b:1" in weighed.err
    assert "tasks done: 2" in weighed.err
    assert (both.code, "have weights; leave out one of them" in both.err) == (2, True)
    assert (wrong.code, "a weight is a whole number" in wrong.err) == (2, True)


async def test_several_processes_are_told_the_order(shell: Shell) -> None:
    await shell.sent("sum", [1])

    done = await shell.run("worker", APP, "-q", "default:2,b:1", "-p", "2", "--burst")

    assert done.code == 0, done.err
    assert done.err.count("default:2, b:1") >= 2


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (("queue", "purge", "default", "--pending"), "Cancel 1 ready tasks of default?"),
        (("dead", "purge", "--of", "default"), "Drop all dead letters of default?"),
    ],
)
async def test_purge_asks_on_a_terminal_and_takes_a_no(
    shell: Shell, args: tuple[str, ...], asked: str
) -> None:
    await bury(shell, "one")
    id = await shell.sent("sum", [1])
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"n\n")
        done = await shell.run(*args, *ON, "--json", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.code == 1, done.err
    assert (done.out, asked in done.err) == ("", True)
    assert (await shell.state(id)).state is State.PENDING
    assert [letter["id"] for letter in (await data(shell, "dead", "list"))["letters"]] == ["one"]

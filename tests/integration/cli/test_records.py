"""``aioqueue show``, ``cancel`` and ``tasks``: what people read, what programs read, exit codes."""

from __future__ import annotations

import json

from aioqueue import Group, Server, Signature, State
from tests.integration.cli.conftest import APP, Shell

NOWHERE = "0199999999997000800000000000aaaa"


async def test_show_tells_the_whole_record(shell: Shell) -> None:
    id = await shell.sent("fail", "no luck")
    await shell.run("worker", APP, "-b", "--name", "mine")
    plain = await shell.run("show", id, "--app", APP)
    data = await shell.run("show", id, "--app", APP, "--json")

    state = json.loads(data.out)
    rows = {row[0]: row[1:] for line in plain.out.splitlines() if (row := line.split())}
    assert (plain.code, data.code) == (0, 0)
    assert state.keys() >= {
        *("id", "name", "queue", "state", "result", "error", "attempt", "losses", "worker", "plan"),
        *("sent_at", "started_at", "finished_at", "next_at"),
    }
    assert (state["id"], state["state"], state["worker"]) == (id, "FAILURE", "mine")
    assert state["error"].keys() >= {"type", "message", "traceback", "attempt", "worker"}
    assert rows["state"] == ["FAILURE"]
    assert (rows["attempt"], rows["losses"], rows["worker"]) == (["1"], ["0"], ["mine"])
    assert rows["error"] == ["ValueError:", "no", "luck"]
    assert rows.keys() >= {"id", "name", "queue", "sent", "due", "started", "finished", "took"}
    assert "raise ValueError(message)" in plain.out


async def test_show_of_what_is_not_there_is_not_found(shell: Shell) -> None:
    await shell.sent("sum", [1])
    done = await shell.run("show", NOWHERE, "--app", APP, "--json")

    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"Error: there is no task '{NOWHERE}'")


async def test_cancel_ends_tasks_and_workflows(shell: Shell) -> None:
    sums = [Signature[int](name="sum", args=[[n]], takes="none") for n in range(2)]
    async with Server(shell.url) as server:
        whole = (await server.send(Group(members=sums))).id
    first, second = await shell.sent("sum", [1]), await shell.sent("sum", [2])

    plain = await shell.run("cancel", first, whole, "--app", APP)
    data = await shell.run("cancel", second, "--broker", shell.url, "--json")

    assert (plain.code, data.code) == (0, 0)
    assert plain.out.splitlines() == [
        f"{first} CANCELLED",
        f"{whole} CANCELLED",
        f"  cancelled  2: {whole}.0, {whole}.1",
    ]
    (row,) = json.loads(data.out)
    assert {**row, "finished": []} == row
    assert (row["id"], row["outcome"], row["cancelled"]) == (second, "CANCELLED", [second])
    assert (await shell.state(first)).state is State.CANCELLED


async def test_cancel_says_what_had_ended_and_what_is_not_there(shell: Shell) -> None:
    ended = await shell.sent("sum", [1])
    await shell.run("worker", APP, "-b")
    waits = await shell.sent("sum", [1])

    known = await shell.run("cancel", ended, waits, "--app", APP, "--json")
    again = await shell.run("cancel", waits, "--app", APP, "--json")
    unknown = await shell.run("cancel", ended, NOWHERE, "not an id", "--app", APP)

    assert (known.code, unknown.code) == (1, 4)
    assert [(row["outcome"], row["finished"]) for row in json.loads(known.out)] == [
        ("ALREADY_DONE", [ended]),
        ("CANCELLED", []),
    ]
    (row,) = json.loads(again.out)
    assert (again.code, row["outcome"], row["cancelled"], row["finished"]) == (1, "ALREADY_DONE", [], [waits])
    assert unknown.out.splitlines() == [
        f"{ended} ALREADY DONE",
        f"{NOWHERE} NOT FOUND",
        "not an id NOT FOUND",
    ]


async def test_cancel_without_an_id_is_wrong_use(shell: Shell) -> None:
    assert (await shell.run("cancel", "--app", APP)).code == 2


async def test_tasks_are_listed_with_how_they_are_called_and_run(shell: Shell) -> None:
    shell.module(
        "mail",
        "from aioqueue import RetryPolicy, Server\n"
        "server = Server('redis://nowhere.invalid', queue='mail')\n"
        "@server.task(queue='slow', timeout=30, retry=RetryPolicy(max_retries=7))\n"
        "def post(to: str, /, *, copies: int = 1) -> list[str]:\n"
        "    '''Send a letter.\n\n    Twice.'''\n"
        "@server.task\nasync def tidy(): ...\n",
    )
    plain = await shell.run("tasks", "mail:server")
    data = await shell.run("tasks", "mail:server", "--json")

    post, tidy = json.loads(data.out)
    assert (plain.code, data.code) == (0, 0)
    assert post.pop("parameters") == [
        {"name": "to", "kind": "positional-only", "type": "str", "required": True, "default": None},
        {"name": "copies", "kind": "keyword-only", "type": "int", "required": False, "default": "1"},
    ]
    assert post.pop("retry")["max_retries"] == 7
    assert post == {
        "name": "post",
        "queue": "slow",
        "signature": "(to: str, /, *, copies: int = 1) -> list[str]",
        "returns": "list[str]",
        "executor": "thread",
        "timeout": 30.0,
        "schedules": [],
        "doc": "Send a letter.",
    }
    assert (tidy["queue"], tidy["executor"], tidy["retry"], tidy["doc"]) == ("mail", "loop", None, None)
    rows = [" ".join(line.split()) for line in plain.out.splitlines()]
    assert "post(to: str, /, *, copies: int = 1) -> list[str] slow thread 30 s 7 Send a letter." in rows
    assert "tidy() mail loop - 0 -" in rows


async def test_tasks_of_what_is_no_app_is_wrong_use(shell: Shell) -> None:
    shell.module("empty", "from aioqueue import Server\nserver = Server('memory://')\n")

    assert (await shell.run("tasks", "nowhere:server")).code == 2
    assert (await shell.run("tasks", "empty:server")).out == "no task is registered\n"

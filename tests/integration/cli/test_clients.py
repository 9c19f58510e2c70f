"""``aioqueue send``, ``result`` and ``status``: what people read, what programs read, exit codes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tests.integration.cli.conftest import APP, Shell

NOWHERE = "0199999999997000800000000000aaaa"


async def test_receipt_names_task_and_queue(shell: Shell) -> None:
    done = await shell.run("send", APP, "sum", "[1, 2]", "--queue", "slow", "--id", "mine")

    assert done.code == 0
    assert done.out == "sent sum[mine] to queue slow\n"


async def test_receipt_is_json_for_programs(shell: Shell) -> None:
    done = await shell.run("send", APP, "sum", "[1]", "--id", "mine", "--json")

    assert json.loads(done.out) == {"id": "mine", "name": "sum", "queue": "default", "created": True}


async def test_waiting_prints_the_value(shell: Shell) -> None:
    async with shell.start("worker", APP) as worker:
        await worker.line("is ready")
        plain = await shell.run("send", APP, "sum", "[1,2]", "--id", "a", "--wait")
        data = await shell.run("send", APP, "day_after", "2026-02-28", "--kw", "days=2", "--wait", "--json")

    assert plain.out.splitlines() == ["sent sum[a] to queue default", "sum[a] SUCCESS: 3"]
    assert json.loads(data.out)["result"] == "2026-03-02"
    assert json.loads(data.out)["state"] == "SUCCESS"
    assert json.loads(data.out)["timed_out"] is False
    assert data.err == f"sent day_after[{json.loads(data.out)['id']}] to queue default\n"


async def test_waiting_for_a_task_that_fails_exits_with_1(shell: Shell) -> None:
    async with shell.start("worker", APP) as worker:
        await worker.line("is ready")
        plain = await shell.run("send", APP, "fail", "no luck", "--id", "a", "--wait")
        data = await shell.run("send", APP, "fail", "no luck", "--wait", "--json")

    assert (plain.code, data.code) == (1, 1)
    assert plain.out.splitlines()[-1] == "fail[a] FAILURE: ValueError: no luck"
    assert json.loads(data.out)["error"]["type"] == "ValueError"


async def test_waiting_ends_after_its_timeout(shell: Shell) -> None:
    wait = ("--wait", "--timeout", "0.2")
    plain = await shell.run("send", APP, "sum", "[1]", "--id", "a", *wait)
    data = await shell.run("result", "a", "--app", APP, *wait, "--json")

    said = "Error: sum[a] is PENDING after 0.2 s, and goes on; wait again: "
    said += f"aioqueue result a --wait --app {APP}\n"
    assert [(done.code, done.err) for done in (plain, data)] == [(1, said), (1, said)]
    assert plain.out == "sent sum[a] to queue default\n"
    state = json.loads(data.out)
    assert (state["id"], state["state"], state["timed_out"]) == ("a", "PENDING", True)


async def test_delayed_task_waits(shell: Shell) -> None:
    await shell.run("send", APP, "sum", "[1]", "--delay", "600")
    status = await shell.run("status", "--app", APP, "--json")

    assert json.loads(status.out)["queues"][0]["delayed"] == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("sum",), "sum() argument 'numbers'"),
        (("sum", '["a"]'), "sum() argument 'numbers.0'"),
        (("sum", "[1]", "--kw", "more=1"), "sum() argument 'more'"),
        (("sum", "[1]", "--kw", "more"), "'more' is not of the form name=value"),
        (("sum", "[1]", "--queue", "a queue"), "option 'queue'"),
        (("sum", "[1]", "--quue", "x"), "No such option"),
        (("sum", "[1]", "--delay", "-1"), "--delay"),
        (("sum", "[1]", "--wait", "--timeout", "nan"), "nan is no finite number"),
        (("sum", "[1]", "--timeout", "1"), "--timeout says how long --wait waits"),
    ],
)
async def test_call_that_does_not_fit_is_wrong_use(shell: Shell, args: tuple[str, ...], said: str) -> None:
    done = await shell.run("send", APP, *args)

    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


async def test_result_that_nobody_keeps_is_not_waited_for(shell: Shell) -> None:
    shell.module(
        "quiet",
        f"from aioqueue import Server\nserver = Server({shell.url!r})\n"
        "@server.task(ignore_result=True)\nasync def one() -> int:\n    return 1\n",
    )
    refused = await shell.run("send", "quiet:server", "one", "--wait")
    sent = await shell.run("send", "quiet:server", "one", "--wait", "--timeout", "0", "--id", "a")

    assert (refused.code, refused.out) == (2, "")
    assert (
        "one is registered with ignore_result=True: there is no result to wait for, and nothing"
        in refused.err
    )
    assert (sent.code, sent.out) == (1, "sent one[a] to queue default\n")


async def test_task_of_another_app_is_sent_by_name(shell: Shell) -> None:
    sent = ("send", APP, "theirs", "-1", "-2.5", "x", "--id", "a", "--by-name", "--", "--flag")
    done = await shell.run(*sent)
    found = await shell.run("result", "a", "--app", APP)

    behind = await shell.run("send", "--id", "b", "--by-name", "--", APP, "theirs", "--flag")

    assert done.code == 0
    assert found.out.startswith("theirs[a] PENDING\n")
    assert (behind.code, behind.out) == (0, "sent theirs[b] to queue default\n")


async def test_misspelled_task_is_wrong_use_and_names_what_is_there(shell: Shell) -> None:
    done = await shell.run("send", APP, "smu", "[1]")

    assert done.code == 2
    assert "this app has no task 'smu'; there is sum;" in done.err
    assert not (shell.folder / "tasks.db").exists()


async def test_known_id_is_told_and_nothing_is_sent(shell: Shell) -> None:
    first = await shell.run("send", APP, "sum", "[1]", "--id", "a", "--json")
    second = await shell.run("send", APP, "sum", "[2]", "--id", "a")

    assert json.loads(first.out)["created"] is True
    assert second.out == "the id a is known; nothing was sent\n"


async def test_full_queue_is_told_and_exits_with_1(shell: Shell) -> None:
    await shell.sent("sum", [1])
    done = await shell.run("send", APP, "sum", "[1]", env={"AIOQUEUE_MAX_QUEUE": "1"})

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: queue 'default' holds 1 of at most 1 tasks (max_queue)")
    assert len(done.err.splitlines()) == 1


async def test_call_that_is_too_large_is_told_and_exits_with_1(shell: Shell) -> None:
    done = await shell.run("send", APP, "fail", "x" * 2_000, env={"AIOQUEUE_MAX_PAYLOAD": "1024"})

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: fail: the call has ")
    assert len(done.err.splitlines()) == 1


async def test_result_shows_value_and_times(shell: Shell) -> None:
    id = await shell.sent("sum", [20, 22])
    await shell.run("worker", APP, "-b", "--name", "mine")
    plain = await shell.run("result", id, "--app", APP)
    data = await shell.run("result", id, "--app", APP, "--json")

    rows = dict(line.split(maxsplit=1) for line in plain.out.splitlines()[1:])
    state = json.loads(data.out)
    assert (plain.code, data.code) == (0, 0)
    assert plain.out.splitlines()[0] == f"sum[{id}] SUCCESS: 42"
    assert rows["queue"] == "default"
    assert rows["worker"] == "mine"
    assert rows.keys() >= {"attempt", "sent", "started", "finished"}
    assert (state["result"], state["state"], state["id"]) == (42, "SUCCESS", id)
    assert state["sent_at"] <= state["started_at"] <= state["finished_at"]


async def test_result_of_a_failed_task_has_the_error_and_exits_with_1(shell: Shell) -> None:
    id = await shell.sent("fail", "no luck")
    await shell.run("worker", APP, "-b")
    done = await shell.run("result", id, "--app", APP)

    assert done.code == 1
    assert done.out.splitlines()[0] == f"fail[{id}] FAILURE: ValueError: no luck"
    assert "raise ValueError(message)" in done.out


async def test_result_waits_until_the_task_has_ended(shell: Shell) -> None:
    id = await shell.sent("nap", 0.5)
    async with shell.start("worker", APP) as worker:
        await worker.line("nap has begun")
        done = await shell.run("result", id, "--app", APP, "--wait", "--timeout", "20")

    assert done.out.splitlines()[0] == f'nap[{id}] SUCCESS: "rested"'


async def test_unknown_result_is_not_found(shell: Shell) -> None:
    await shell.empty()
    done = await shell.run("result", NOWHERE, "--app", APP, "--json")

    assert (done.code, done.out) == (4, "")
    assert done.err.startswith(f"Error: there is no task '{NOWHERE}'")


async def test_dropped_call_is_said_to_be_so(shell: Shell) -> None:
    shell.module(
        "single",
        f"from aioqueue import Server\nserver = Server({shell.url!r})\n"
        "@server.task(unique='until_done', on_conflict='drop')\nasync def one() -> int:\n    return 1\n",
    )
    first = await shell.run("send", "single:server", "one", "--id", "first")
    second = await shell.run("send", "single:server", "one")

    assert (first.code, first.out) == (0, "sent one[first] to queue default\n")
    assert (second.code, second.out) == (0, "its key is held by first; nothing was sent\n")


async def test_factory_that_raises_is_shown_from_its_own_line_on(shell: Shell) -> None:
    shell.module("made", "def create():\n    return {}['broker']\n")
    done = await shell.run("tasks", "made:create()")

    assert done.code == 2
    assert "KeyError: 'broker'" in done.err
    assert "Error: 'made:create()' makes no Server" in done.err
    assert "apps.py" not in done.err


async def test_store_may_be_named_by_url_or_by_the_settings(shell: Shell) -> None:
    id = await shell.sent("sum", [1])
    url = shell.url
    by_flag = await shell.run("result", id, "--broker", url)
    by_variable = await shell.run("result", id, env={"AIOQUEUE_BROKER": url})
    (shell.folder / "aioqueue.yaml").write_text("broker: sqlite:///tasks.db\n")
    by_file = await shell.run("result", id)
    beside = await shell.run("result", id, "--broker", url, env={"AIOQUEUE_BACKEND": "memory://other"})

    assert [done.code for done in (by_flag, by_variable, by_file, beside)] == [0, 0, 0, 0]
    assert (await shell.run("result", id, "--broker", url, "--app", APP)).code == 2


async def test_status_shows_queues_and_live_workers(shell: Shell) -> None:
    await shell.sent("sum", [1])
    await shell.run("send", APP, "sum", "[1]", "--delay", "600")
    async with shell.start("worker", APP, "-q", "other", "--name", "mine") as worker:
        await worker.line("is ready")
        data = await shell.run("status", "--app", APP, "--json")
        plain = await shell.run("status", "--app", APP)

    status = json.loads(data.out)
    queues = {stats.pop("queue"): stats for stats in status["queues"]}
    assert (data.code, plain.code) == (0, 0)
    assert queues["default"] == {"ready": 1, "delayed": 1, "held": 0, "dead": 0, "paused": False}
    assert queues["other"] == {"ready": 0, "delayed": 0, "held": 0, "dead": 0, "paused": False}
    assert [(card["name"], card["pid"]) for card in status["workers"]] == [("mine", worker.pid)]
    rows = [line.split() for line in plain.out.splitlines()]
    assert ["default", "1", "1", "0", "0", "0"] in rows
    assert ["other", "0", "0", "0", "0", "1"] in rows
    assert any(row[:1] == ["mine"] for row in rows)


async def test_status_of_an_empty_store_says_so(shell: Shell) -> None:
    await shell.empty()
    plain = await shell.run("status", "--app", APP)
    data = await shell.run("status", "--app", APP, "--json")

    assert plain.out.splitlines() == [f"broker {shell.url}", "no queue holds anything", "no worker is alive"]
    assert json.loads(data.out) == {"broker": shell.url, "queues": [], "workers": []}


async def test_path_of_the_default_store_is_told_in_full(shell: Shell) -> None:
    done = await shell.run("status")

    assert done.err.startswith(f"Error: sqlite:///{shell.folder}/aioqueue.db: there is no file ")


@pytest.mark.parametrize("verb", ["result", "show", "cancel", "workflow", "status"])
async def test_mistyped_path_makes_no_file(shell: Shell, verb: str) -> None:
    id = () if verb == "status" else (NOWHERE,)
    done = await shell.run(verb, *id, "--broker", "sqlite:///mistyped.db", "--json")

    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"Error: sqlite:///{shell.folder}/mistyped.db: there is no file ")
    assert [path.name for path in shell.folder.iterdir() if "mistyped" in path.name] == []


@pytest.mark.parametrize("args", [("status",), ("result", NOWHERE), ("status", "--json")])
async def test_store_that_cannot_be_reached_exits_with_3(shell: Shell, args: tuple[str, ...]) -> None:
    file = shell.folder / "tasks.db"
    await shell.sent("sum", [1])
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = await shell.run(*args, "--broker", f"sqlite:///{file}?timeout=0.2")

    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("Error: ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("args", [("status",), ("result", NOWHERE)])
async def test_store_of_one_process_cannot_be_asked(shell: Shell, args: tuple[str, ...]) -> None:
    done = await shell.run(*args, "--broker", "memory://x")

    assert done.code == 2
    assert "lives within one process" in done.err

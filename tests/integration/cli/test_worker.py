"""``aioqueue worker``: it serves, says what it is, and leaves when it is told to."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from importlib.util import find_spec

import pytest

from aioqueue import State
from tests.integration.cli.conftest import APP, Shell

READY = "is ready"


async def test_worker_serves_until_it_is_told_to_stop(shell: Shell) -> None:
    async with shell.start("worker", APP) as worker:
        await worker.line(READY)
        sent = await shell.run("send", APP, "sum", "[1,2,3,4,5,6,7,8,9,10]", "--wait")
        worker.signal(signal.SIGTERM)

        assert await worker.wait() == 0
    assert sent.out.splitlines()[-1].endswith("SUCCESS: 55")


async def test_banner_says_what_starts(shell: Shell) -> None:
    done = await shell.run("worker", APP, "-b", "-q", "high,low", "-q", "high", "-c", "7", "--name", "mine")
    lines = done.err.splitlines()
    said = dict(line.split(maxsplit=1) for line in lines[1 : lines.index("  tasks")])

    assert done.code == 0
    assert said["worker"] == "mine"
    assert said["broker"].endswith(f"{shell.folder}/tasks.db")
    assert said["backend"] == said["broker"]
    assert said["queues"] == "high, low"
    assert said["concurrency"] == "7"
    assert said["processes"] == "1"
    assert int(said["pid"]) > 0
    assert "    sum(numbers: list[int]) -> int" in lines
    assert "    day_after(day: date, *, days: int = 1) -> date" in lines


HEALTH = """
from aioqueue.errors import ConfigurationError
from tasks import server

async def health():
    {}

server.stores.broker.health = health
"""


async def test_what_the_store_says_of_itself_is_noted_once(shell: Shell) -> None:
    shell.module("noted", HEALTH.format("return ['it keeps nothing through a power cut']"))
    alone = await shell.run("worker", "noted:server", "-b")
    several = await shell.run("worker", "noted:server", "-b", "-p", "2")

    said = "  note         it keeps nothing through a power cut\n"
    assert (alone.code, several.code) == (0, 0)
    assert (alone.err.count(said), several.err.count(said)) == (1, 1)


async def test_store_that_could_drop_tasks_is_wrong_set_up(shell: Shell) -> None:
    shell.module("leaky", HEALTH.format("raise ConfigurationError('it evicts; set noeviction')"))
    done = await shell.run("worker", "leaky:server", "-b")

    assert (done.code, done.err) == (2, "Error: it evicts; set noeviction\n")


async def test_store_that_is_away_is_noted_and_waited_for(shell: Shell) -> None:
    shell.module(
        "away",
        "from aioqueue import Server\n"
        f"server = Server('sqlite:///{shell.folder}/tasks.db?timeout=0.2')\n"
        "@server.task\nasync def one() -> int:\n    return 1\n",
    )
    id = await shell.sent("one")
    with closing(sqlite3.connect(shell.folder / "tasks.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with shell.start("worker", "away:server") as worker:
            note = await worker.line("  note         cannot be reached: ")
            await worker.line("cannot reach the store, trying again")
            other.execute("ROLLBACK")
            await worker.line(READY)
            state = await shell.state(id, ended=20)

    assert "locked" in note
    assert state.result == 1


async def test_store_that_does_not_answer_is_not_waited_for_before_the_banner(shell: Shell) -> None:
    shell.module("mute", HEALTH.format("import asyncio; await asyncio.Event().wait()"))
    done = await shell.run("worker", "mute:server", "-b")

    assert done.code == 0
    assert "  note         cannot be reached: no answer within 3 s\n" in done.err


async def test_options_are_read_from_variables(shell: Shell) -> None:
    env = {"AIOQUEUE_QUEUES": "a,b", "AIOQUEUE_CONCURRENCY": "3", "AIOQUEUE_WORKER_BURST": "1"}
    done = await shell.run("worker", APP, env=env)

    assert done.code == 0
    assert "  queues       a, b\n  concurrency  3\n" in done.err


APART = """
import os
from aioqueue import Server
server = Server({url!r})
@server.task(executor="process")
def pid() -> int:
    return os.getpid()
"""


async def test_several_processes_run_what_wants_one_of_its_own_and_tell_of_a_misspelled_variable_once(
    shell: Shell,
) -> None:
    shell.module("apart", APART.format(url=shell.url))
    id = await shell.sent("pid")
    done = await shell.run("worker", "apart:server", "-b", "-p", "2", env={"AIOQUEUE_WORKER_PROCESES": "3"})

    assert (done.code, (await shell.state(id)).state) == (0, State.SUCCESS), done.err
    assert done.err.count("AIOQUEUE_WORKER_PROCESES") == 1
    assert "did you mean AIOQUEUE_WORKER_PROCESSES" in done.err


async def test_burst_ends_when_all_is_done(shell: Shell) -> None:
    ids = [await shell.sent("sum", [number, 1]) for number in range(3)]
    done = await shell.run("worker", APP, "--burst")

    assert done.code == 0
    assert [(await shell.state(id)).result for id in ids] == [1, 2, 3]


async def test_max_tasks_ends_the_worker(shell: Shell) -> None:
    for _ in range(3):
        await shell.sent("sum", [1])
    done = await shell.run("worker", APP, "--max-tasks", "2", "-c", "1")
    left = await shell.run("status", "--app", APP, "--json")

    assert done.code == 0
    assert "tasks done: 2" in done.err
    assert json.loads(left.out)["queues"][0]["ready"] == 1


async def test_logs_are_one_json_object_a_line(shell: Shell) -> None:
    id, telling = await shell.sent("fail", "no"), await shell.sent("tell", "hello")
    done = await shell.run(
        "worker", APP, "-b", "--log-format", "json", env={"AIOQUEUE_WORKER_CONCURENCY": "1"}
    )
    lines = [json.loads(line) for line in done.err.splitlines()]
    task = {"id": id, "name": "fail", "queue": "default", "attempt": 1}

    assert "AIOQUEUE_WORKER_CONCURENCY is no setting" in lines[0]["message"]
    assert "did you mean AIOQUEUE_CONCURRENCY" in lines.pop(0)["message"]
    of_fail = [line for line in lines if "fail[" in line["message"]]
    assert [line["task"] for line in of_fail] == [task] * 2
    (told,) = [line for line in lines if line["logger"] == "their.code"]
    assert (told["message"], told["task"]) == ("they say hello", {**task, "id": telling, "name": "tell"})
    assert [line for line in lines if "is ready" in line["message"] and "task" in line] == []

    assert all(line.keys() >= {"ts", "level", "logger", "message"} for line in lines)
    assert lines[0]["data"]["tasks"]["sum"] == "(numbers: list[int]) -> int"
    assert [line["level"] for line in lines if "ValueError: no" in line["message"]] == ["error"]


async def test_what_is_wrong_is_one_json_object_too(shell: Shell) -> None:
    (shell.folder / "broken.py").write_text("raise ValueError('their own')\n")

    done = await shell.run("worker", "broken:server", "--json")
    (line,) = [json.loads(each) for each in done.err.splitlines()]

    assert (done.code, line["level"]) == (2, "error")
    assert line["message"] == "the module 'broken' cannot be imported"
    assert line["exc"].endswith("ValueError: their own")


async def test_log_level_is_kept(shell: Shell) -> None:
    await shell.sent("sum", [1])
    done = await shell.run("worker", APP, "-b", "--log-level", "warning", "--log-format", "json")

    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("tasks:missing", "there is no 'missing' in the module 'tasks'; there is tasks:server"),
        ("tasks", "'tasks' names no Server: write module:attribute; there is tasks:server"),
        ("tasks:nothing", "'tasks:nothing' is no Server but of type dict; there is tasks:server"),
        ("tasks:total", "'tasks:total' is no Server but of type AsyncTask"),
        ("nowhere:server", "there is no module 'nowhere', looked for in"),
        ("tasks.py:server", "'tasks.py' in 'tasks.py:server' is no module's name"),
        ("empty:server", "there is no 'server' in the module 'empty'; the module 'empty' holds no Server"),
    ],
)
async def test_app_that_is_not_there_is_told_in_one_line(shell: Shell, app: str, said: str) -> None:
    shell.module("empty", "")
    done = await shell.run("worker", app)

    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("app", ["tasks:create", "tasks:create()", "tasks:server"])
async def test_app_may_be_a_factory(shell: Shell, app: str) -> None:
    done = await shell.run("worker", app, "-b")

    assert done.code == 0


@pytest.mark.parametrize(
    "fault", ["import nowhere_at_all", "from tasks import nobody", "def broken(:", "x = 1 / 0"]
)
async def test_fault_within_the_users_module_is_shown_where_it_is(shell: Shell, fault: str) -> None:
    shell.module("broken", f"import os\n{fault}\n")
    done = await shell.run("worker", "broken:server")

    assert done.code == 2
    assert 'broken.py", line 2' in done.err
    assert fault in done.err
    assert "aioqueue/cli" not in done.err


async def test_wrong_setting_in_the_users_module_is_told_in_one_line(shell: Shell) -> None:
    shell.module("wrong", "from aioqueue import Server\nserver = Server('nosuch://', queue='x')\n")
    done = await shell.run("worker", "wrong:server")

    assert done.code == 2
    assert done.err.startswith("Error: 'nosuch://' is no store's URL")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
async def test_store_of_one_process_is_refused(shell: Shell, more: tuple[str, ...]) -> None:
    shell.module("alone", "from aioqueue import Server\nserver = Server('memory://x')\n")
    done = await shell.run("worker", "alone:server", *more)

    assert done.code == 2
    assert "memory://x lives within one process" in done.err
    assert "sqlite:///" in done.err


async def test_loop_that_is_not_installed_is_wrong_set_up(shell: Shell) -> None:
    # a module of that name that cannot be found
    shell.module("hidden", "import sys\nsys.modules['uvloop'] = None\nfrom tasks import server\n")
    chosen = await shell.run("worker", "hidden:server", "-b", "--loop", "uvloop")
    auto = await shell.run("worker", "hidden:server", "-b")

    assert (chosen.code, auto.code) == (2, 0)
    assert "uvloop is not installed; run: pip install" in chosen.err
    assert "  loop         asyncio\n" in auto.err


async def test_loop_is_uvloop_where_it_is_installed_unless_another_is_chosen(shell: Shell) -> None:
    auto = await shell.run("worker", APP, "-b")
    chosen = await shell.run("worker", APP, "-b", "--loop", "asyncio")

    installed = "uvloop" if find_spec("uvloop") is not None else "asyncio"
    assert f"  loop         {installed}\n" in auto.err
    assert "  loop         asyncio\n" in chosen.err


async def test_running_task_may_end_after_the_first_signal(shell: Shell) -> None:
    id = await shell.sent("nap", 0.5)
    async with shell.start("worker", APP) as worker:
        await worker.line("nap has begun")
        worker.signal(signal.SIGINT)

        assert await worker.wait() == 0
    assert (await shell.state(id)).state is State.SUCCESS


async def test_second_signal_gives_back_at_once(shell: Shell) -> None:
    id = await shell.sent("nap", 60.0)
    async with shell.start("worker", APP) as worker:
        await worker.line("nap has begun")
        worker.signal(signal.SIGTERM)
        await worker.line("stopping; what runs gets 25 s")
        worker.signal(signal.SIGTERM)

        assert await worker.wait() == 0
    assert (await shell.state(id)).state is State.PENDING


@pytest.mark.parametrize(("name", "args"), [("block", (60.0,)), ("stubborn", ())])
async def test_process_does_not_wait_for_what_does_not_end(
    shell: Shell, name: str, args: tuple[float, ...]
) -> None:
    id = await shell.sent(name, *args)
    took: list[float] = []
    # the grace and one second, and what a busy machine adds, in one of some rounds
    while len(took) < 4 and min(took, default=60.0) > 0.3 + 1.0 + 1.5:
        async with shell.start("worker", APP, "--shutdown-timeout", "0.3") as worker:
            await worker.line(f"{name} has begun")
            worker.signal(signal.SIGTERM)
            told = time.monotonic()

            assert await worker.wait() == 0
            took.append(time.monotonic() - told)
        assert (await shell.state(id)).state is State.PENDING
    assert min(took) <= 0.3 + 1.0 + 1.5


async def test_stop_while_the_app_is_imported_is_a_stop_too(shell: Shell) -> None:
    shell.module("slow", "import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    async with shell.start("worker", "slow:server") as worker:
        await worker.line("importing")
        worker.signal(signal.SIGTERM)

        assert await worker.wait() == 0

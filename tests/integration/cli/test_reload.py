"""``aioqueue worker --reload`` and ``aioqueue dev``: new code is taken up, and no task is lost."""

from __future__ import annotations

import json
import os
import signal

import pytest

from aioqueue import Server, Signature, State
from tests.integration.cli.conftest import APP, Shell
from tests.support import redis_server
from tests.support.processes import AIOQUEUE, Process
from tests.support.stores import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NEW = """
from tasks import server

@server.task
async def version() -> int:
    return {}
"""


async def test_changed_code_is_taken_up_and_what_runs_may_end(shell: Shell) -> None:
    shell.module("fresh", NEW.format(1))
    async with shell.start("worker", "fresh:server", "--reload", "--name", "mine") as worker:
        await worker.line("is ready", deadline=30)
        first = await shell.state(await shell.sent("version"), ended=20)
        nap = await shell.sent("nap", 1.0)
        await worker.line("nap has begun")
        shell.module("fresh", NEW.format(2))
        await worker.line("fresh.py changed: the worker starts anew", deadline=30)
        await worker.line("is ready", deadline=30)
        second = await shell.state(await shell.sent("version"), ended=20)
        worker.signal(signal.SIGINT)

        assert await worker.wait(deadline=20) == 0
        await worker.end_of_output()
    rested = await shell.state(nap)
    assert (first.result, second.result, first.worker) == (1, 2, "mine")
    assert (rested.state, rested.attempt, rested.losses) == (State.SUCCESS, 1, 0)


async def test_code_that_cannot_be_imported_is_waited_for(shell: Shell) -> None:
    shell.module("fresh", "def broken(:")
    async with shell.start("worker", "fresh:server", "--reload", "--reload-dir", ".") as worker:
        await worker.line("SyntaxError", deadline=30)
        await worker.line("cannot run as it is; started again after a change", deadline=30)
        shell.module("fresh", NEW.format(1))
        await worker.line("is ready", deadline=30)
        worker.signal(signal.SIGTERM)

        assert await worker.wait(deadline=20) == 0


async def test_dev_works_on_the_embedded_store_and_says_so_shortly(shell: Shell) -> None:
    shell.module(
        "plain", "from aioqueue import Server\nserver = Server()\n" + NEW[NEW.index("@") :].format(3)
    )
    async with shell.start("dev", "plain:server") as worker:
        await worker.line(f"sqlite:///{shell.folder}/aioqueue.db", deadline=30)
        ready = await worker.line("is ready", deadline=30)
        sent = await shell.run("send", "plain:server", "version", "--wait", "--timeout", "20", "--json")
        worker.signal(signal.SIGINT)

        assert await worker.wait(deadline=20) == 0
    assert json.loads(sent.out)["result"] == 3
    assert ready.split()[1] == "INFO"
    assert len(ready.split()[0]) == len("12:34:56")


async def test_reload_without_its_package_or_with_burst_is_wrong_set_up(shell: Shell) -> None:
    burst = await shell.run("worker", APP, "--reload", "--burst")
    shell.module("watchfiles", "raise ImportError")
    hidden = await shell.run("worker", APP, "--reload")

    assert (burst.code, hidden.code) == (2, 2)
    assert "leave out --burst" in burst.err
    assert "watchfiles is not installed; run: pip install 'aioqueue-tasks[reload]'" in hidden.err


@pytest.mark.parametrize("store", ["sqlite", "redis"])
@pytest.mark.parametrize("times", [1, 2])
async def test_ctrl_c_loses_nothing(shell: Shell, store: str, times: int) -> None:
    url = shell.url
    if store == "redis":
        try:
            url = redis_server.shared("redis").url(namespace=f"ctrl-c-{times}")
        except LookupError as exc:
            missing("redis", exc)
    shell.module(
        "ours",
        f"from aioqueue import Server\nimport tasks\nserver = Server({url!r}, sweep=0.2)\n"
        "server.register_tasks({'until': tasks.until.definition.function})\n",
    )
    file = shell.folder / "go"
    async with Server(url) as server:
        calls = [Signature[str](name="until", args=[str(file)]) for _ in range(3)]
        results = [await server.send(call) for call in calls]
        async with shell.start("worker", "ours:server", "-c", "2") as worker:
            for _ in range(2):
                await worker.line("until has begun", deadline=30)
            worker.signal(signal.SIGINT)
            await worker.line("stopping; what runs gets 25 s")
            if times == 1:
                file.touch()
            else:
                worker.signal(signal.SIGINT)

            assert await worker.wait(deadline=20) == 0
        after = [(await result.state()).state for result in results]
        file.touch()
        assert (await shell.run("worker", "ours:server", "--burst")).code == 0
        states = [await result.state() for result in results]

    assert after.count(State.SUCCESS) == (2 if times == 1 else 0)
    assert [(s.state, s.attempt, s.losses) for s in states] == [(State.SUCCESS, 1, 0)] * 3


async def test_what_a_child_held_that_was_killed_runs_again_at_once(shell: Shell) -> None:
    async with shell.start("worker", APP, "--reload", "--shutdown-timeout", "0.2") as worker:
        pid = int((await worker.line("started, pid ", deadline=30)).rpartition(" ")[2])
        id = await shell.sent("hang", 60.0)
        await worker.line("hang has begun", deadline=30)
        os.kill(pid, signal.SIGKILL)
        await worker.line("handed on 1 tasks of a worker process that died", deadline=30)
        await worker.line("hang has begun", deadline=30)
        state = await shell.state(id)
        worker.signal(signal.SIGTERM)
        assert await worker.wait(deadline=30) == 1

    assert (state.state, state.losses) == (State.STARTED, 1)


async def test_changes_that_cannot_be_seen_end_it(shell: Shell) -> None:
    shell.module(
        "watchfiles",
        "def PythonFilter(**how): ...\n"
        "async def awatch(*folders, **how):\n    raise OSError('OS file watch limit reached')\n    yield\n",
    )
    done = await shell.run("dev", APP)

    assert done.code == 1
    assert "changes below . cannot be seen any more, so all ends: OS file watch limit reached" in done.err


async def test_burst_that_a_variable_names_is_not_for_dev(shell: Shell) -> None:
    async with shell.start("dev", APP, "--json", env={"AIOQUEUE_WORKER_BURST": "1"}) as worker:
        await worker.line("is ready", deadline=30)
        done = await shell.state(await shell.sent("sum", [1]), ended=20)
        worker.signal(signal.SIGINT)
        assert await worker.wait(deadline=20) == 0

    assert done.result == 1
    assert all(json.loads(line)["message"] for line in worker.lines)
    assert not any("another takes its place" in line for line in worker.lines)


APART = """
import logging
import time
from pathlib import Path
from aioqueue import Server
server = Server({url!r})
@server.task(executor="process")
def waits(folder: str) -> str:
    logging.getLogger("their.code").warning("it has begun")
    while not Path(folder, "go").exists():
        time.sleep(0.05)
    return "it is there"
"""


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_ctrl_c_goes_to_the_whole_group_and_a_process_task_may_end(
    shell: Shell, processes: str
) -> None:
    shell.module("apart", APART.format(url=shell.url))
    id = await shell.sent("waits", str(shell.folder))
    async with Process.start(
        [*AIOQUEUE, "worker", "apart:server", "-p", processes, "--json"], cwd=shell.folder, session=True
    ) as worker:
        begun = json.loads(await worker.line("it has begun", deadline=60))
        os.killpg(worker.pid, signal.SIGINT)
        await worker.line("stopping; what runs gets 25 s")
        (shell.folder / "go").touch()

        assert await worker.wait(deadline=30) == 0
        await worker.end_of_output()
    state = await shell.state(id)
    assert (state.state, state.attempt, state.losses) == (State.SUCCESS, 1, 0)
    assert begun["task"] == {"id": id, "name": "waits", "queue": "default", "attempt": 1}
    assert (begun["level"], begun["logger"]) == ("warning", "their.code")

"""``aioqueue worker --processes``: several processes, kept alive and ended together."""

from __future__ import annotations

import os
import signal

from tests.integration.cli.conftest import APP, Shell
from tests.support.processes import Process

STARTED = "started, pid "


async def child(supervisor: Process) -> int:
    """Return the pid of the next child that is started."""
    return int((await supervisor.line(STARTED, deadline=20)).rpartition(" ")[2])


async def ready(supervisor: Process, count: int) -> list[int]:
    """Return the pids of *count* children once they serve."""
    pids = [await child(supervisor) for _ in range(count)]
    for _ in pids:
        await supervisor.line("is ready", deadline=20)
    return pids


async def test_processes_share_the_work(shell: Shell) -> None:
    meeting = shell.folder / "meeting"
    meeting.mkdir()
    async with shell.start("worker", APP, "-p", "2", "-c", "1", "--name", "mine") as supervisor:
        pids = await ready(supervisor, 2)
        ids = [await shell.sent("meet", str(meeting), 2) for _ in pids]
        met = [await shell.state(id, ended=20) for id in ids]
        supervisor.signal(signal.SIGTERM)

        assert await supervisor.wait() == 0
    assert {state.result for state in met} == set(pids)
    assert {state.worker for state in met} == {"mine.1", "mine.2"}


async def test_killed_child_is_replaced(shell: Shell) -> None:
    async with shell.start("worker", APP, "-p", "2") as supervisor:
        pids = await ready(supervisor, 2)
        os.kill(pids[0], signal.SIGKILL)
        await supervisor.line("was ended by SIGKILL")
        new = await child(supervisor)
        done = await shell.state(await shell.sent("sum", [1, 2]), ended=20)
        supervisor.signal(signal.SIGTERM)

        assert await supervisor.wait() == 0
    assert new not in pids
    assert done.result == 3


async def test_signal_reaches_every_child_and_none_is_left(shell: Shell) -> None:
    async with shell.start("worker", APP, "-p", "2") as supervisor:
        await ready(supervisor, 2)
        supervisor.signal(signal.SIGINT)

        assert await supervisor.wait() == 0
        await supervisor.end_of_output()
    assert len([line for line in supervisor.lines if "has ended; tasks done: 0" in line]) == 2


async def test_children_of_a_killed_supervisor_end_by_themselves(shell: Shell) -> None:
    async with shell.start("worker", APP, "-p", "2") as supervisor:
        await ready(supervisor, 2)
        supervisor.signal(signal.SIGKILL)
        await supervisor.wait()
        await supervisor.end_of_output()
    assert len([line for line in supervisor.lines if "has ended; tasks done: 0" in line]) == 2


async def test_child_that_has_done_its_tasks_is_replaced(shell: Shell) -> None:
    async with shell.start("worker", APP, "-p", "1", "--max-tasks", "1") as single:
        await single.line("is ready")
        await shell.sent("pid")
        assert await single.wait() == 0
    async with shell.start("worker", APP, "-p", "2", "--max-tasks", "1") as supervisor:
        pids = await ready(supervisor, 2)
        await shell.sent("pid")
        await supervisor.line("another takes its place")
        new = await child(supervisor)
        supervisor.signal(signal.SIGTERM)

        assert await supervisor.wait() == 0
    assert new not in pids


async def test_burst_ends_when_all_children_have_and_the_banner_is_printed_once(shell: Shell) -> None:
    ids = [await shell.sent("sum", [1]) for _ in range(4)]
    done = await shell.run("worker", APP, "-p", "2", "-c", "1", "--burst")

    assert done.code == 0
    assert [(await shell.state(id)).result for id in ids] == [1, 1, 1, 1]
    assert done.err.count("Launching") == 1
    assert "  processes    2\n" in done.err


async def test_child_that_does_not_stop_is_killed(shell: Shell) -> None:
    await shell.sent("hang", 60.0)
    async with shell.start("worker", APP, "-p", "2", "--shutdown-timeout", "0.2") as supervisor:
        await supervisor.line("hang has begun", deadline=20)
        supervisor.signal(signal.SIGTERM)

        assert await supervisor.wait() == 1
        await supervisor.end_of_output()
    assert len([line for line in supervisor.lines if "does not stop; killing pid" in line]) == 1


async def test_third_signal_kills_the_children(shell: Shell) -> None:
    await shell.sent("hang", 60.0)
    async with shell.start("worker", APP, "-p", "2") as supervisor:
        await supervisor.line("hang has begun", deadline=20)
        for said in ("the worker processes stop", "stop at once", "killing pid"):
            supervisor.signal(signal.SIGTERM)
            await supervisor.line(said)

        assert await supervisor.wait() == 1
        await supervisor.end_of_output()


async def test_setting_that_no_child_can_use_ends_all(shell: Shell) -> None:
    shell.module(
        "typed", "from tasks import server\n@server.task\nasync def odd(x: 'NoSuchType') -> None: ...\n"
    )
    done = await shell.run("worker", "typed:server", "-p", "2")

    assert done.code == 2
    assert "annotation" in done.err

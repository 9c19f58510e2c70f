"""``aioqueue schedule``: what people read, what programs read, exit codes, and its process."""

from __future__ import annotations

import json
import signal

import pytest

from aioqueue import Server
from tests.integration.cli.conftest import APP, Shell
from tests.support.waiting import eventually, one

pytestmark = pytest.mark.timeout(400)

PLANNED = "planned:server"
MODULE = """
from tasks import server

@server.periodic("30 12 * * *", tz="Europe/London")
async def tidy() -> None: ...
"""


@pytest.fixture
def planned(shell: Shell) -> Shell:
    shell.module("planned", MODULE)
    return shell


async def test_schedules_of_code_and_data_are_listed(planned: Shell) -> None:
    added = await planned.run("schedule", "add", "totals", "@hourly", "sum", "[1]", "--app", PLANNED)
    plain = await planned.run("schedule", "list", "--app", PLANNED)
    data = await planned.run("schedule", "list", "--broker", planned.url, "--json")

    assert (added.code, plain.code, data.code) == (0, 0, 0), added.err
    header, _, tidy, totals = (line for line in plain.out.splitlines() if line.strip())
    assert header.split() == ["schedule", "when", "zone", "sends", "from", "next", "last"]
    assert tidy.split()[:9] == ["tidy", "30", "12", "*", "*", "*", "Europe/London", "tidy", "code"]
    assert totals.split()[:9] == ["totals", "0", "*", "*", "*", "*", "UTC", "sum", "data"]
    (only,) = json.loads(data.out)
    assert (only["name"], only["when"], only["source"]) == ("totals", "0 * * * *", "data")


async def test_tasks_tell_when_they_are_scheduled(planned: Shell) -> None:
    plain = await planned.run("tasks", PLANNED)
    data = await planned.run("tasks", PLANNED, "--json")
    without = await planned.run("tasks", APP)

    (tidy,) = (row for row in json.loads(data.out) if row["name"] == "tidy")
    assert tidy["schedules"] == [{"name": "tidy", "when": "30 12 * * *", "tz": "Europe/London"}]
    assert "30 12 * * *" in plain.out
    assert " when " not in without.out


async def test_store_of_an_app_is_made_and_one_that_is_mistyped_is_not(planned: Shell) -> None:
    url = f"sqlite:///{planned.folder}/mistyped.db"
    mistyped = await planned.run("schedule", "add", "totals", "@hourly", "sum", "[1]", "--broker", url)
    added = await planned.run("schedule", "add", "totals", "@hourly", "sum", "[1]", "--app", PLANNED)

    assert mistyped.code == 3
    assert not (planned.folder / "mistyped.db").exists()
    assert added.code == 0
    assert "totals" in added.out


async def test_no_schedule_is_told(shell: Shell) -> None:
    await shell.empty()
    done = await shell.run("schedule", "list", "--app", APP)

    assert (done.code, done.out) == (0, "there is no schedule\n")


async def test_schedule_is_paused_resumed_triggered_and_removed(planned: Shell) -> None:
    await planned.run(
        "schedule", "add", "totals", "0.5", "sum", "[1, 2]", "--app", PLANNED, "--overlap", "skip"
    )
    paused = await planned.run("schedule", "pause", "totals", "--broker", planned.url)
    listed = await planned.run("schedule", "list", "--app", PLANNED, "--json")
    resumed = await planned.run("schedule", "resume", "totals", "--app", PLANNED)
    sent = await planned.run("schedule", "trigger", "totals", "--app", PLANNED, "--json")
    removed = await planned.run("schedule", "remove", "totals", "--app", PLANNED)
    gone = await planned.run("schedule", "pause", "totals", "--app", PLANNED)

    assert (paused.out, resumed.out) == ("schedule totals is paused\n", "schedule totals goes on\n")
    state = next(state for state in json.loads(listed.out) if state["name"] == "totals")
    assert (state["paused"], state["next_at"], state["overlap"]) == (True, None, "skip")
    assert (await planned.state(json.loads(sent.out)["id"])).name == "sum"
    assert removed.out == "schedule totals is removed\n"
    assert gone.code == 4
    assert gone.err == "Error: there is no schedule 'totals', in this app's code or in the store\n"


async def test_next_slots_are_told_in_the_zone(planned: Shell) -> None:
    await planned.empty()
    plain = await planned.run("schedule", "next", "tidy", "-n", "2", "--app", PLANNED)
    data = await planned.run("schedule", "next", "tidy", "--app", PLANNED, "--json")

    assert ["T12:30:00+0" in line for line in plain.out.splitlines()] == [True, True]
    assert len(json.loads(data.out)) == 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("add", "a", "61 * * * *", "sum", "[1]"), "'cron': is no cron line"),
        (("add", "a", "10", "sum", '["x"]'), "sum() argument 'numbers.0'"),
        (("add", "a", "10", "nobody"), "this app has no task 'nobody'"),
        (("add", "a", "10", "sum", "[1]", "--tz", "UTC"), "only a cron line is read in a time zone"),
        (("add", "a", "10", "sum", "[1]", "--misfire", "never"), "--misfire"),
        (("add", "a", "10", "nobody", "-1", "--by-nmae"), "No such option '--by-nmae'"),
        (("add", "tidy", "10", "sum", "[1]"), "schedule 'tidy' is declared in code"),
        (("remove", "tidy"), "schedule 'tidy' is declared in code"),
    ],
)
async def test_what_cannot_be_is_wrong_use(planned: Shell, args: tuple[str, ...], said: str) -> None:
    await planned.empty()
    done = await planned.run("schedule", *args, "--app", PLANNED)

    assert done.code == 2
    assert said in done.err


async def test_negative_numbers_are_arguments_as_of_send(planned: Shell) -> None:
    args = ("add", "theirs", "10", "theirs", "-1", "-2.5", "--by-name", "--app", PLANNED, "--", "--flag")
    added = await planned.run("schedule", *args)
    sent = await planned.run("schedule", "trigger", "theirs", "--app", PLANNED, "--json")
    async with Server(planned.url) as server:
        async with server.stores.broker.consume(["default"], prefetch=1, lease=60, worker="w") as consumer:
            message = (await one(consumer)).message

    assert (added.code, sent.code) == (0, 0), added.err
    assert (message.name, json.loads(message.body)["a"]) == ("theirs", [-1, -2.5, "--flag"])


async def test_store_that_is_away_is_told(shell: Shell) -> None:
    done = await shell.run("schedule", "list", "--broker", "redis://127.0.0.1:1")

    assert done.code == 3


async def test_process_that_only_schedules_fires_for_workers_that_do_not(planned: Shell) -> None:
    async with (
        planned.start("worker", PLANNED, "--no-scheduler") as worker,
        planned.start("schedule", "run", PLANNED, env={"AIOQUEUE_WORKER_LOG_FORMAT": "short"}) as scheduler,
    ):
        await worker.line("is ready", deadline=30)
        await scheduler.line("is ready", deadline=30)
        await planned.run("schedule", "add", "totals", "0.2", "sum", "[1, 2]", "--app", PLANNED)
        async with Server(planned.url) as server:

            async def fired() -> bool:
                return (await server.schedules.get("totals")).last_id is not None

            await eventually(fired, deadline=30)
            state = await server.schedules.get("totals")
        assert state.last_id is not None
        assert (await planned.state(state.last_id, ended=30)).result == 3
        scheduler.signal(signal.SIGTERM)
        assert await scheduler.wait() == 0

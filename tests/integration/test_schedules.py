"""Schedules as people have them: declared in code or kept as data, on every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from aioqueue import Chain, Router, Server, Signature, chain, chord, current, group
from aioqueue.errors import ConfigurationError, ScheduleNotFoundError
from tests.support.waiting import eventually, pause, within

pytestmark = pytest.mark.anyio


async def test_periodic_task_runs_at_each_slot_with_the_slot_at_hand(server: Server) -> None:
    ran: list[tuple[str, str]] = []

    @server.periodic(0.2)
    async def beat() -> None:
        ran.append((current().task_id, current().headers["aioqueue-slot"]))

    async with server, server.worker():
        await eventually(lambda: len(ran) >= 3)

    assert len(set(ran)) == len(ran)
    moments = [datetime.fromisoformat(slot) for _, slot in ran]
    assert all(moment.microsecond % 200_000 == 0 for moment in moments)


async def test_chain_group_and_chord_are_sent_as_they_are(server: Server) -> None:
    seen: set[str] = set()

    @server.task
    async def add(x: int, y: int) -> int:
        return x + y

    @server.task
    async def note(name: str, value: int | list[int]) -> None:
        seen.add(f"{name} {value}")

    members = group([add.s(n, n) for n in range(3)])
    server.schedule("a", 0.2, chain(add.s(1, 2), add.p(10), note.p("chain")))
    server.schedule("b", 0.2, chord(members, note.p("chord")))
    server.schedule("c", 0.2, group([note.s("group", 1), note.s("group", 2)]))
    async with server, server.worker():
        await eventually(lambda: seen >= {"chain 13", "chord [0, 2, 4]", "group 1", "group 2"})


async def test_schedule_that_is_added_while_workers_run_fires_and_is_data(server: Server) -> None:
    ran: list[int] = []

    @server.task
    async def note(n: int) -> None:
        ran.append(n)

    async with server, server.worker():
        state = await server.schedules.add("tidy", 0.2, note.s(1), misfire="all", catch_up=5)
        await eventually(lambda: ran.count(1) >= 2)
        await server.schedules.add("tidy", 0.2, note.s(2))
        await eventually(lambda: ran.count(2) >= 2)
        await server.schedules.remove("tidy")
        after = await server.schedules.list()

    assert (state.name, state.when, state.task, state.source) == ("tidy", "every 0.2 s", "note", "data")
    assert (state.misfire, state.catch_up, state.paused) == ("all", 5, False)
    assert state.next_at is not None
    assert after == []


async def test_pause_and_resume_hold_in_a_worker_within_a_second(server: Server) -> None:
    ran: list[float] = []

    @server.periodic(0.2, misfire="all")
    async def beat() -> None:
        ran.append(1)

    async with server, server.worker():
        await eventually(lambda: len(ran) >= 1)
        await server.schedules.pause("beat")
        state = await server.schedules.get("beat")
        # what was under way by then may still run
        await within(_quiet(ran))
        count = len(ran)
        await server.schedules.resume("beat")
        await eventually(lambda: len(ran) > count)
        resumed = await server.schedules.get("beat")

    assert (state.paused, state.next_at) == (True, None)
    assert (resumed.paused, resumed.source) == (False, "code")
    assert resumed.last_id is not None
    assert resumed.last_at is not None


async def test_change_by_another_process_is_told_to_a_worker_that_does_not_look(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.worker.ticker.LOOK", 3_600.0)
    monkeypatch.setattr("aioqueue.worker.ticker._AGAIN", 3_600.0)
    ran: list[tuple[str, datetime | None]] = []

    @server.task
    async def note(name: str) -> None:
        slot = current().headers.get("aioqueue-slot")
        ran.append((name, None if slot is None else datetime.fromisoformat(slot)))

    def slots(name: str) -> list[datetime]:
        return [slot for each, slot in ran if each == name and slot is not None]

    async def witness(name: str) -> datetime:
        """Return the first slot of one more schedule: what was changed before it is known by then."""
        await other.schedules.add(name, 0.1, note.s(name))
        await eventually(lambda: len(slots(name)) >= 3)
        return min(slots(name))

    other = Server(server.settings.broker, backend=server.settings.backend)
    async with server, server.worker(), other:
        await witness("tidy")
        await other.schedules.pause("tidy")
        paused = await witness("paused")
        held = [slot for slot in slots("tidy") if slot > paused]
        await other.schedules.trigger("tidy")
        await eventually(lambda: ("tidy", None) in ran)
        await other.schedules.resume("tidy")
        await eventually(lambda: max(slots("tidy")) > paused)
        await other.schedules.remove("tidy")
        removed = await witness("removed")

    assert held == []
    assert [slot for slot in slots("tidy") if slot > removed] == []


async def _quiet(ran: list[float]) -> None:
    """Return once nothing has run for a while."""
    before = -1
    while before != len(ran):
        before = len(ran)
        await pause(0.8)


async def test_trigger_sends_once_more_paused_or_not(server: Server) -> None:
    @server.periodic("@yearly")
    async def tidy() -> str:
        return current().headers["aioqueue-schedule"]

    async with server, server.worker():
        await server.schedules.pause("tidy")
        result = await server.schedules.trigger("tidy")

        assert await within(result.get()) == "tidy"
        assert (await server.schedules.get("tidy")).paused


async def test_next_slots_are_told_in_the_schedule_s_zone(opened: Server) -> None:
    call = Signature(name="tidy")
    await opened.schedules.add("tidy", "30 12 * * *", call, tz="Europe/London")
    coming = await opened.schedules.next("tidy", 3)

    assert [(moment.hour, moment.minute) for moment in coming] == [(12, 30)] * 3
    assert str(coming[0].tzinfo) == "Europe/London"
    assert [later.date() - moment.date() for moment, later in pairwise(coming)] == [timedelta(days=1)] * 2


async def test_workflow_is_kept_as_data_with_all_it_has(opened: Server) -> None:
    step = Signature[int](name="one", args=(1,), takes="none", queue="q", priority=3, timeout=2.0)
    call = Chain[int](steps=(step, Signature(name="two", on_error=(step,))), headers={"a": "b"})
    await opened.schedules.add("flow", datetime(2099, 1, 1, tzinfo=UTC), call)
    (state,) = await opened.schedules.list()
    sent = await opened.schedules.trigger("flow")
    tree = await opened.workflow(sent.id)

    assert (state.when, state.task) == ("at 2099-01-01T00:00:00+00:00", "chain")
    assert state.next_at == datetime(2099, 1, 1, tzinfo=UTC).timestamp()
    first = tree.parts[0].parts[0].task
    assert first is not None
    assert (first.name, first.queue) == ("one", "q")


async def test_schedule_that_code_does_not_declare_any_more_does_not_fire(opened: Server) -> None:
    opened.schedule("tidy", 3600, Signature(name="tidy"))
    await opened.schedules.pause("tidy")
    other = Server(opened.settings.broker, backend=opened.settings.backend)
    async with other:
        assert await other.schedules.list() == []
        with pytest.raises(ScheduleNotFoundError, match="no schedule 'tidy'"):
            await other.schedules.resume("tidy")


async def test_name_that_code_declares_cannot_be_added_or_removed(opened: Server) -> None:
    opened.schedule("tidy", 3600, Signature(name="tidy"))

    with pytest.raises(ConfigurationError, match="declared in code; choose another name"):
        await opened.schedules.add("tidy", 10, Signature(name="tidy"))
    with pytest.raises(ConfigurationError, match="declared in code; remove it there, or pause it here"):
        await opened.schedules.remove("tidy")


@pytest.mark.parametrize("verb", ["get", "pause", "resume", "trigger", "remove", "next"])
async def test_unknown_name_is_told(opened: Server, verb: str) -> None:
    for name in ("nobody", "no name"):
        with pytest.raises(ScheduleNotFoundError):
            await getattr(opened.schedules, verb)(name)


async def test_definition_that_cannot_be_read_is_left_out(
    opened: Server, caplog: pytest.LogCaptureFixture
) -> None:
    assert opened.stores.store is not None
    await opened.stores.store.put("schedule:def:odd", b'{"v":9}')
    await opened.schedules.add("tidy", 10, Signature(name="tidy"))

    assert [state.name for state in await opened.schedules.list()] == ["tidy"]
    assert "schedule odd is left out, it cannot be read: v" in caplog.text


def test_periodic_keeps_a_task_and_makes_one_of_a_function() -> None:
    server = Server("memory://periodic")

    @server.periodic("*/5 * * * *", tz="Europe/London")
    @server.task(queue="slow")
    async def tidy() -> int:
        return 1

    @server.periodic(timedelta(hours=1))
    def sweep() -> int:
        return 2

    assert server.scheduled["tidy"].make().queue == "slow"
    assert (server.scheduled["tidy"].timing.tz, sweep.name, sweep()) == ("Europe/London", "sweep", 2)


def test_router_brings_its_schedules() -> None:
    server, router = Server("memory://routed"), Router("mail.")

    @router.periodic("@daily")
    async def digest() -> None: ...

    server.include(router)
    router.schedule("later", 60, digest)

    assert sorted(server.scheduled) == ["later", "mail.digest"]


def test_wrong_schedules_are_refused_where_they_are_written() -> None:
    server = Server("memory://wrong")

    @server.periodic("@daily")
    async def tidy(n: int = 0) -> int:
        return n

    @server.task
    async def other() -> None: ...

    with pytest.raises(ConfigurationError, match="there is a schedule 'tidy' already"):
        server.schedule("tidy", 10, tidy.s())
    with pytest.raises(ConfigurationError, match="id= is the schedule's to give"):
        server.schedule("a", 10, tidy.s().options(id="x"))
    with pytest.raises(ConfigurationError, match=r"tidy\.p\(\.\.\.\) still wants a previous result"):
        server.schedule("a", 10, tidy.p())  # type: ignore[arg-type]  # that is what is refused
    with pytest.raises(ConfigurationError, match="it sends a task, a call or a workflow, not 3"):
        server.schedule("a", 10, 3)  # type: ignore[arg-type]  # that is what is refused
    with pytest.raises(ConfigurationError, match="cannot name a schedule"):
        server.schedule("a b", 10, tidy.s())
    with pytest.raises(ConfigurationError, match="only a cron line is read in a time zone"):
        server.periodic(10, tz="UTC")(other)

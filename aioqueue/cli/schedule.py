"""``aioqueue schedule``: the schedules of an app's code and of its store, and a process that fires them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack, cast

import click

from aioqueue.cli.group import Group
from aioqueue.cli.options import (
    Asked,
    CallCommand,
    LogFormat,
    Seconds,
    json_logs_option,
    json_option,
    log_format_option,
    log_level_option,
    option,
    pair,
    store_options,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aioqueue.models.schedule import ScheduleOptions, ScheduleState, When
    from aioqueue.schedules import Schedules
    from aioqueue.server import Server

_OPTIONS: Final = ("tz", "misfire", "catch_up", "overlap", "jitter")


class Given(TypedDict):
    """What click hands over to ``add``."""

    kw: tuple[str, ...]
    by_name: bool
    store: Asked
    json: bool
    tz: str | None
    misfire: Literal["skip", "once", "all"] | None
    catch_up: int | None
    overlap: Literal["allow", "skip", "cancel_previous"] | None
    jitter: float | None


@click.group(cls=Group, name="schedule", short_help="Show and change schedules; fire them.")
def command() -> None:
    """Show, add, pause and trigger schedules, or run a process that fires them.

    With --app those of its code are known too; what is changed holds in every worker within a second.

    Example: aioqueue schedule list --app tasks:server
    """


@command.command(name="list", short_help="List all schedules.")
@store_options
@json_option
def list_(store: Asked, json: bool) -> None:
    """List every schedule with its next slot and its last one.

    Example: aioqueue schedule list --app tasks:server
    """

    states = _asked(store.server(), lambda schedules: schedules.list())
    _print(states, json=json)


@command.command(cls=CallCommand, short_help="Keep a schedule as data.")
@click.argument("name")
@click.argument("when")
@click.argument("task")
@click.argument("args", nargs=-1)
@option("--kw", multiple=True, metavar="NAME=VALUE", help="Argument by name; repeatable.")
@option("--by-name", is_flag=True, help="Keep it although the app has no such task.")
@option("--tz", metavar="ZONE", help="Time zone a cron line is read in.  [default: UTC]")
@option(
    "--misfire", type=click.Choice(["skip", "once", "all"]), help="Missed slots that run.  [default: once]"
)
@option("--catch-up", type=click.IntRange(min=1), help="Most missed slots that run, with --misfire all.")
@option(
    "--overlap",
    type=click.Choice(["allow", "skip", "cancel_previous"]),
    help="While the last one has not ended.  [default: allow]",
)
@option("--jitter", type=Seconds(), metavar="SECONDS", help="Put each slot off by up to that.")
@store_options
@json_option
def add(name: str, when: str, task: str, args: tuple[str, ...], **given: Unpack[Given]) -> None:
    """Keep the schedule NAME, which sends TASK with ARGS at each slot of WHEN, in place of one of that name.

    WHEN is a cron line of 5 or 6 fields, @daily and the like, seconds, or a moment as
    2026-12-31T12:00+00:00. Each of ARGS is JSON, or else a string; what begins with a dash stands after --.

    Example: aioqueue schedule add tidy '*/5 * * * *' tidy --app tasks:server
    """
    from aioqueue.cli.apps import shared
    from aioqueue.cli.send import call_of

    store = given["store"]
    # the store of an app is made by what is put into it, as by a send; a path on a command line may be wrong
    server = store.server() if store.app is None else shared(store.named())
    kwargs = dict(map(pair, given["kw"]))
    call = call_of(server, task, [value(arg) for arg in args], kwargs, {}, by_name=given["by_name"])
    told = {key: given[key] for key in _OPTIONS if given[key] is not None}
    options = cast("ScheduleOptions", told)
    state = _asked(server, lambda schedules: schedules.add(name, _when(when), call, **options))
    _print([state], json=given["json"])


@command.command(short_help="Let no slot fire.")
@click.argument("name")
@store_options
@json_option
def pause(name: str, store: Asked, json: bool) -> None:
    """Let no slot of the schedule NAME fire from now on. Exits with 4 if there is none.

    Example: aioqueue schedule pause tidy --app tasks:server
    """

    _asked(store.server(), lambda schedules: schedules.pause(name))
    _tell(name, "is paused", {"paused": True}, json=json)


@command.command(short_help="Let slots fire again.")
@click.argument("name")
@store_options
@json_option
def resume(name: str, store: Asked, json: bool) -> None:
    """Let slots of the schedule NAME fire again; those of the pause never do. Exits with 4 if there is none.

    Example: aioqueue schedule resume tidy --app tasks:server
    """

    _asked(store.server(), lambda schedules: schedules.resume(name))
    _tell(name, "goes on", {"paused": False}, json=json)


@command.command(short_help="Send what it sends, now.")
@click.argument("name")
@store_options
@json_option
def trigger(name: str, store: Asked, json: bool) -> None:
    """Send what the schedule NAME sends once, now; its slots stay as they are. Exits with 4 if there is none.

    Example: aioqueue schedule trigger tidy --app tasks:server
    """
    from aioqueue.cli.record import as_json

    sent = _asked(store.server(), lambda schedules: schedules.trigger(name))
    click.echo(as_json({"schedule": name, "id": sent.id}) if json else f"sent {sent.id}")


@command.command(short_help="Drop a schedule.")
@click.argument("name")
@store_options
@json_option
def remove(name: str, store: Asked, json: bool) -> None:
    """Drop the schedule NAME, which is data. One that is declared in code ends with the code: that is 2.

    Exits with 4 if there is none.

    Example: aioqueue schedule remove tidy --app tasks:server
    """

    _asked(store.server(), lambda schedules: schedules.remove(name))
    _tell(name, "is removed", {"removed": True}, json=json)


@command.command(name="next", short_help="Tell the next slots.")
@click.argument("name")
@option("-n", "--count", type=click.IntRange(min=1, max=1000), default=5, help="How many.")
@store_options
@json_option
def next_(*, name: str, count: int, store: Asked, json: bool) -> None:
    """Tell the next slots of the schedule NAME, in its time zone. Exits with 4 if there is none.

    Example: aioqueue schedule next tidy -n 10 --app tasks:server
    """
    from aioqueue.cli.record import as_json

    moments = _asked(store.server(), lambda schedules: schedules.next(name, count))
    lines = [moment.isoformat() for moment in moments]
    click.echo(as_json(lines) if json else "\n".join(lines))


@command.command(short_help="Fire schedules, and run no task.")
@click.argument("app")
@option("--name", help="Name in the log.  [default: host:pid]")
@log_level_option
@log_format_option
@json_logs_option
def run(app: str, name: str | None, log_level: str, log_format: LogFormat, *, json: bool) -> None:
    """Fire the schedules of APP and of its store until SIGINT or SIGTERM; workers do so too, by default.

    As many of these as one likes may run, on any machine: each slot fires once.

    Example: aioqueue schedule run tasks:server
    """
    from aioqueue.cli import apps, logs
    from aioqueue.cli.serve import quit_at_signals

    quit_at_signals()
    logs.configure(log_level, "json" if json else log_format)
    server = apps.shared(apps.load(app))
    asyncio.run(server.scheduler(name=name).run())


def _tell(name: str, said: str, data: dict[str, bool], *, json: bool) -> None:
    from aioqueue.cli.record import as_json

    click.echo(as_json({"schedule": name, **data}) if json else f"schedule {name} {said}")


def _asked(server: Server, ask: Callable[[Schedules], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        async with server:
            return await ask(server.schedules)

    return asyncio.run(asked())


def _when(text: str) -> When:
    """Return what *text* means: seconds, a moment, else a cron line."""
    from datetime import datetime

    for read in (float, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _print(states: Sequence[ScheduleState], *, json: bool) -> None:
    from aioqueue.cli.record import as_json, moment
    from aioqueue.cli.screen import console, table

    if json:
        click.echo(as_json([state.model_dump(mode="json") for state in states]))
        return
    made = table("schedule", "when", "zone", "sends", "from", "next", "last")
    for state in states:
        coming = "paused" if state.paused else _moment(state.next_at, moment)
        last = _moment(state.last_at, moment)
        made.add_row(state.name, state.when, state.tz, state.task, state.source, coming, last)
    console().print(made if states else "there is no schedule")


def _moment(at: float | None, told: Callable[[float], str]) -> str:
    return "-" if at is None else told(at)

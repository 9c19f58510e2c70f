"""``aioqueue worker``: its flags. What it does is in ``aioqueue.cli.serve``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack

import click

from aioqueue.cli.options import (
    LogFormat,
    Seconds,
    by_variable,
    exclude_queue_option,
    json_logs_option,
    log_format_option,
    log_level_option,
    option,
    reload_dir_option,
    split,
)

Loop = Literal["auto", "asyncio", "uvloop"]


class Given(TypedDict):
    """What click hands over."""

    queue: tuple[str, ...]
    strict: bool
    exclude_queue: tuple[str, ...]
    concurrency: int | None
    processes: int
    burst: bool
    max_tasks: int | None
    name: str | None
    log_level: str
    log_format: LogFormat
    shutdown_timeout: float | None
    loop: Loop
    no_scheduler: bool
    reload: bool
    reload_dir: tuple[str, ...]
    supervised_by: int | None
    birth: str | None
    bury: tuple[str, ...]
    announce: bool


@dataclass(frozen=True, slots=True)
class Flags:
    """What a worker process is told. None: the app's settings say. supervised_by: its parent's pid.

    queue, exclude_queue: names, or lists of them with commas, perhaps with weights. reload_dir: folders whose
    changes start it anew. birth: by what its parent finds what it held. bury: the births of those before it,
    which are dead. announce: it says what starts though it has a parent.
    """

    app: str
    queue: tuple[str, ...] = ()
    strict: bool = False
    exclude_queue: tuple[str, ...] = ()
    concurrency: int | None = None
    processes: int = 1
    burst: bool = False
    max_tasks: int | None = None
    name: str | None = None
    log_level: str = "info"
    log_format: LogFormat = "plain"
    shutdown_timeout: float | None = None
    loop: Loop = "auto"
    no_scheduler: bool = False
    reload: bool = False
    reload_dir: tuple[str, ...] = ()
    supervised_by: int | None = None
    birth: str | None = None
    bury: tuple[str, ...] = ()
    announce: bool = False

    @property
    def queues(self) -> tuple[str, ...]:
        """Return the names of the queues, each once; none where the settings say."""
        return split(self.queue)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Return the names of the queues that are left out, each once."""
        return split(self.exclude_queue)

    def child(self, name: str, supervisor: int, birth: str) -> Flags:
        """Return the flags of one of several processes, or of one that is started anew."""
        return replace(
            self, name=name, processes=1, reload=False, reload_dir=(), supervised_by=supervisor, birth=birth
        )

    def argv(self) -> list[str]:
        """Return the command that starts a worker with these flags."""
        values: dict[str, object] = {
            "--queue": ",".join(self.queues) or None,
            "--exclude-queue": ",".join(self.excluded) or None,
            "--concurrency": self.concurrency,
            # stated, as the environment may name another number
            "--processes": self.processes,
            "--max-tasks": self.max_tasks,
            "--name": self.name,
            "--log-level": self.log_level,
            "--log-format": self.log_format,
            "--shutdown-timeout": self.shutdown_timeout,
            "--loop": self.loop,
            "--supervised-by": self.supervised_by,
            "--birth": self.birth,
        }
        options = [f"{key}={value}" for key, value in values.items() if value is not None]
        options += [f"--bury={birth}" for birth in self.bury]
        flags = {
            "--burst": self.burst,
            "--strict": self.strict,
            "--no-scheduler": self.no_scheduler,
            "--announce": self.announce,
        }
        options += [name for name, is_set in flags.items() if is_set]
        return [sys.executable, "-m", "aioqueue", "worker", *options, "--", self.app]


@click.command(name="worker", short_help="Run the tasks of an app.")
@click.argument("app")
@option(
    "-q",
    "--queue",
    setting="queues",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    help="Queue to serve; repeatable, or a,b; with weights a:5,b:1.",
)
@exclude_queue_option
@option(
    "--strict",
    setting="strict",
    is_flag=True,
    help="Serve the queues in their order: the first that has work first.",
)
@option(
    "-c",
    "--concurrency",
    setting="concurrency",
    type=click.IntRange(min=1),
    help="Tasks that run at once, in each process.",
)
@option(
    "-p",
    "--processes",
    variable="AIOQUEUE_WORKER_PROCESSES",
    type=click.IntRange(min=1),
    default=1,
    help="Processes, each started again if it dies.",
)
@option(
    "-b",
    "--burst",
    variable="AIOQUEUE_WORKER_BURST",
    is_flag=True,
    help="End when nothing is ready and nothing runs.",
)
@option(
    "--max-tasks",
    variable="AIOQUEUE_WORKER_MAX_TASKS",
    type=click.IntRange(min=1),
    help="End after so many tasks; --processes replaces it.",
)
@option("--name", variable="AIOQUEUE_WORKER_NAME", help="Name in records and listings.  [default: host:pid]")
@log_level_option
@log_format_option
@json_logs_option
@option(
    "--shutdown-timeout",
    setting="grace",
    type=Seconds(),
    metavar="SECONDS",
    help="What running tasks get on a stop.",
)
@option(
    "--loop",
    variable="AIOQUEUE_WORKER_LOOP",
    type=click.Choice(["auto", "asyncio", "uvloop"]),
    default="auto",
    help="auto: uvloop if installed.",
)
@option(
    "--no-scheduler",
    variable="AIOQUEUE_WORKER_NO_SCHEDULER",
    is_flag=True,
    help="Fire no schedules; other workers do, or `schedule run`.",
)
@option(
    "--reload",
    variable="AIOQUEUE_WORKER_RELOAD",
    is_flag=True,
    help="Start anew when the code changes; for development.",
)
@reload_dir_option
@click.option("--supervised-by", type=int, hidden=True)
@click.option("--birth", hidden=True)
@click.option("--bury", multiple=True, hidden=True)
@click.option("--announce", is_flag=True, hidden=True)
def command(app: str, *, json: bool, **given: Unpack[Given]) -> None:
    """Run the tasks of APP, a Server named as module:attribute or module:factory().

    The first Ctrl-C, SIGINT or SIGTERM, lets running tasks end, the second gives them back at once;
    nothing is lost either way.

    Without -q it serves the queue of the settings. --exclude-queue leaves queues out of those of -q, or
    else out of that of the settings and those of the app's tasks.

    Example: aioqueue worker tasks:server -q high,default -c 50
    """
    from aioqueue.cli.serve import serve

    # a child is told all in words: what its parent left aside of the variables counts for it no more
    said: dict[str, Any] = {
        name: value
        for name, value in given.items()
        if given["supervised_by"] is None or not by_variable(name)
    }
    flags = Flags(app, **said)
    serve(replace(flags, log_format="json") if json else flags)

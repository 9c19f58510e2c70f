"""``aioqueue worker``: its flags. What it does is in ``aioqueue.cli.serve``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Final, Literal, TypedDict, Unpack

import click

from aioqueue.cli.options import option, split

LogFormat = Literal["plain", "json"]
Loop = Literal["auto", "asyncio", "uvloop"]

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Given(TypedDict):
    """What click hands over."""

    queue: tuple[str, ...]
    strict: bool
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
    supervised_by: int | None
    birth: str | None


@dataclass(frozen=True, slots=True)
class Flags:
    """What a worker process is told. None: the app's settings say. supervised_by: its parent's pid.

    queue: names, or lists of them with commas, perhaps with weights. birth: by what its parent finds what it
    held.
    """

    app: str
    queue: tuple[str, ...] = ()
    strict: bool = False
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
    supervised_by: int | None = None
    birth: str | None = None

    @property
    def queues(self) -> tuple[str, ...]:
        """Return the names of the queues, each once; none where the settings say."""
        return split(self.queue)

    def child(self, name: str, supervisor: int, birth: str) -> Flags:
        """Return the flags of one of several processes."""
        return replace(self, name=name, processes=1, supervised_by=supervisor, birth=birth)

    def argv(self) -> list[str]:
        """Return the command that starts a worker with these flags."""
        values: dict[str, object] = {
            "--queue": ",".join(self.queues) or None,
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
        flags = [*(["--burst"] if self.burst else []), *(["--strict"] if self.strict else [])]
        flags += ["--no-scheduler"] if self.no_scheduler else []
        return [sys.executable, "-m", "aioqueue", "worker", *options, *flags, "--", self.app]


@click.command(name="worker", short_help="Run the tasks of an app.")
@click.argument("app")
@option(
    "-q",
    "--queue",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    help="Queue to serve; repeatable, or a,b; with weights a:5,b:1.",
)
@option("--strict", is_flag=True, help="Serve the queues in their order: the first that has work first.")
@option("-c", "--concurrency", type=click.IntRange(min=1), help="Tasks that run at once, in each process.")
@option(
    "-p",
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="Processes, each started again if it dies.",
)
@option("-b", "--burst", is_flag=True, help="End when nothing is ready and nothing runs.")
@option("--max-tasks", type=click.IntRange(min=1), help="End after so many tasks; --processes replaces it.")
@option("--name", help="Name in records and listings.  [default: host:pid]")
@option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), default="info")
@option("--log-format", type=click.Choice(["plain", "json"]), default="plain")
@option(
    "--shutdown-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="What running tasks get on a stop.",
)
@option(
    "--loop",
    type=click.Choice(["auto", "asyncio", "uvloop"]),
    default="auto",
    help="auto: uvloop if installed.",
)
@option("--no-scheduler", is_flag=True, help="Fire no schedules; other workers do, or `schedule run`.")
@click.option("--supervised-by", type=int, hidden=True, allow_from_autoenv=False)
@click.option("--birth", hidden=True, allow_from_autoenv=False)
def command(app: str, **given: Unpack[Given]) -> None:
    """Run the tasks of APP, a Server named as module:attribute or module:factory().

    The first SIGINT or SIGTERM lets running tasks end, the second gives them back at once.

    Example: aioqueue worker tasks:server -q high,default -c 50
    """
    from aioqueue.cli.serve import serve

    serve(Flags(app, **given))

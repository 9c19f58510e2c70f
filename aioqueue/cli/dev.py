"""``aioqueue dev``: a worker for the desk: it starts anew when the code changes, and its logs are short."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from aioqueue.cli.options import (
    Seconds,
    exclude_queue_option,
    json_logs_option,
    log_level_option,
    option,
    reload_dir_option,
)
from aioqueue.cli.worker import Flags


class Given(TypedDict):
    """What click hands over."""

    queue: tuple[str, ...]
    exclude_queue: tuple[str, ...]
    concurrency: int | None
    reload_dir: tuple[str, ...]
    shutdown_timeout: float | None
    log_level: str


@click.command(name="dev", short_help="Run a worker that reloads when the code changes.")
@click.argument("app")
@option(
    "-q",
    "--queue",
    setting="queues",
    multiple=True,
    metavar="NAME[:WEIGHT]",
    help="Queue to serve; repeatable, or a,b.",
)
@exclude_queue_option
@option(
    "-c", "--concurrency", setting="concurrency", type=click.IntRange(min=1), help="Tasks that run at once."
)
@reload_dir_option
@option(
    "--shutdown-timeout",
    type=Seconds(),
    metavar="SECONDS",
    help="What running tasks get before a reload.  [default: 5]",
)
@log_level_option
@json_logs_option
def command(app: str, *, json: bool, **given: Unpack[Given]) -> None:
    """Run the tasks of APP while you work on them: as `worker --reload`, with short logs.

    An app that names no store works on its SQLite file, so nothing else has to run.

    Example: aioqueue dev tasks:server
    """
    from aioqueue.cli.serve import serve

    serve(Flags(app, reload=True, log_format="json" if json else "short", **given))

"""``aioqueue tasks``: what an app can run. No store is asked."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from aioqueue.cli.options import json_option

if TYPE_CHECKING:
    from aioqueue.router import AnyTask
    from aioqueue.server import Server


@click.command(name="tasks", short_help="List the tasks of an app.")
@click.argument("app")
@json_option
def command(app: str, json: bool) -> None:
    """List the tasks of APP, a Server named as module:attribute: how each is called and how it is run.

    Example: aioqueue tasks tasks:server
    """
    from aioqueue.cli.apps import load
    from aioqueue.cli.record import as_json

    server = load(app)
    rows = [_row(server, task) for task in sorted(server, key=lambda task: task.name)]
    if json:
        click.echo(as_json(rows))
        return
    from aioqueue.cli.screen import console, table

    if not rows:
        click.echo("no task is registered")
        return
    timed = any(row["schedules"] for row in rows)
    made = table("task", "queue", "executor", "timeout", "retries", *["when"] * timed, "what it does")
    for row in rows:
        made.add_row(
            row["name"] + row["signature"],
            row["queue"],
            row["executor"],
            "-" if row["timeout"] is None else f"{row['timeout']:g} s",
            _retries(row["retry"]),
            *["; ".join(each["when"] for each in row["schedules"]) or "-"] * timed,
            row["doc"] or "-",
        )
    console().print(made)


def _row(server: Server, task: AnyTask) -> dict[str, Any]:
    from aioqueue.cli.apps import queue_of
    from aioqueue.cli.signatures import parameters_of, returns_of, signature_of

    options, definition = server.registered(task.name), task.definition
    timeout = options.get("timeout", server.settings.timeout)
    return {
        "name": task.name,
        "queue": queue_of(server, task.name),
        "signature": signature_of(task),
        "parameters": parameters_of(task),
        "returns": returns_of(task),
        "executor": definition.executor,
        "retry": None if definition.retry is None else definition.retry.model_dump(mode="json"),
        "timeout": timeout,
        "schedules": [
            {"name": schedule.name, "when": str(schedule.timing), "tz": schedule.timing.tz}
            for schedule in server.scheduled.values()
            if schedule.make().name == task.name
        ],
        "doc": (inspect.getdoc(definition.function) or "").partition("\n")[0] or None,
    }


def _retries(policy: dict[str, Any] | None) -> str:
    if policy is None:
        return "0"
    most = policy["max_retries"]
    return "for ever" if most is None else str(most)

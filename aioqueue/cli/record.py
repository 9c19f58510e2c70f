"""Record: how what is known of a task is shown: lines for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

import click

from aioqueue.cli.group import FAILED
from aioqueue.cli.options import advised
from aioqueue.errors import ResultTimeoutError, TaskError
from aioqueue.models.state import State, TaskState
from aioqueue.server import Server


async def ended(server: Server, id: str, timeout: float | None) -> TaskState:
    """Return a task's record once it has ended, or as it stands after *timeout* s.

    Raises as ``AsyncResult.get``, but for no TaskError and no ResultTimeoutError.
    """
    result = server.result(id)
    # what it ended with, or that it has not, is in the record
    with suppress(TaskError, ResultTimeoutError):
        await result.get(timeout=timeout)
    return await result.state()


def print_waited(state: TaskState, text: str, timeout: float | None, *, json: bool) -> int:
    """Print what a wait has come to and return the exit code; *text* is for people, if it has ended."""
    late = not state.state.final
    if json:
        click.echo(as_json({**state.model_dump(mode="json"), "timed_out": late}))
    elif not late:
        click.echo(text)
    if late:
        said = f"{state.name}[{state.id}] is {state.state} after {timeout:g} s, and goes on"
        click.echo(f"Error: {said}; wait again: {advised('result', state.id, '--wait')}", err=True)
        return FAILED
    return exit_code(state)


def exit_code(state: TaskState) -> int:
    """Return 1 for a task that has ended without a value, else 0."""
    return FAILED if state.state.final and state.state is not State.SUCCESS else 0


def as_json(data: object) -> str:
    """Return one line of JSON."""
    return json.dumps(data, ensure_ascii=False)


def headline(state: TaskState) -> str:
    """Return what became of a task, in one line but for a message of several."""
    line = f"{state.name}[{state.id}] {state.state}"
    if state.state is State.SUCCESS:
        return f"{line}: {as_json(state.result)}"
    if state.error is not None:
        return f"{line}: {state.error.type}: {state.error.message}"
    return line


def text_of(state: TaskState) -> str:
    """Return what became of a task, with its times and its traceback."""
    return "\n".join(_lines(state))


def moment(seconds: float) -> str:
    """Return Unix seconds as the local time."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="milliseconds")


def _lines(state: TaskState) -> Iterator[str]:
    yield headline(state)
    yield f"  queue     {state.queue}"
    yield f"  attempt   {state.attempt}"
    if state.losses:
        yield f"  losses    {state.losses}"
    if state.worker is not None:
        yield f"  worker    {state.worker}"
    moments = {
        "sent": state.sent_at,
        "due": state.next_at,
        "started": state.started_at,
        "finished": state.finished_at,
    }
    for name, at in moments.items():
        if at is not None:
            yield f"  {name:<9} {moment(at)}"
    if state.error is not None and state.error.traceback:
        yield state.error.traceback.rstrip()

"""``aioqueue workflow``: a workflow as a tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from aioqueue.cli.group import FAILED
from aioqueue.cli.options import Asked, json_option, option, store_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.tree import Tree

    from aioqueue.models.tree import Branch, WorkflowTree
    from aioqueue.server import Server

_MOST: Final = 20


@click.command(name="workflow", short_help="Show a workflow as a tree.")
@click.argument("id")
@store_options
@option("--all", "everything", is_flag=True, help="Show every member of a group, however many there are.")
@json_option
def command(*, id: str, store: Asked, everything: bool, json: bool) -> None:
    """Show the workflow ID: its parts, and of each task the state, attempts and times.

    Exits with 0 if there is one, 1 if it has ended without a value, 4 if there is none.

    Example: aioqueue workflow 019a2b… --app tasks:server
    """
    from aioqueue.cli.record import as_json
    from aioqueue.models.state import State

    tree = asyncio.run(_read(store.server(), id))
    if json:
        click.echo(as_json(tree.model_dump(mode="json")))
    else:
        _print(tree, most=None if everything else _MOST)
    ended = tree.state is not None and tree.state.final
    click.get_current_context().exit(FAILED if ended and tree.state is not State.SUCCESS else 0)


async def _read(server: Server, id: str) -> WorkflowTree:
    async with server:
        return await server.workflow(id)


def _print(tree: WorkflowTree, *, most: int | None) -> None:
    from rich.tree import Tree

    from aioqueue.cli.screen import console

    counts = ", ".join(f"{count} {state}" for state, count in tree.counts.items())
    drawn = Tree(f"workflow {tree.id} {tree.state or 'of which no result is kept'} ({counts})")
    _draw(drawn, tree.parts, most)
    console().print(drawn)


def _draw(into: Tree, parts: Iterable[Branch], most: int | None) -> None:
    """Draw parts; of more than *most* of them only as many, and how many more there are."""
    parts = list(parts)
    for part in parts[:most]:
        _draw(into.add(_line(part)), part.parts, most)
    if most is not None and len(parts) > most:
        into.add(f"… {len(parts) - most} more; --all shows them")


def _line(part: Branch) -> str:
    from aioqueue.cli.record import headline, moment

    if part.kind != "task":
        return part.kind
    task = part.task
    if task is None:
        return f"[{part.id}] is not kept any more"
    line = headline(task)
    if task.attempt > 1:
        line += f", attempt {task.attempt}"
    if task.started_at is not None and task.finished_at is not None:
        return f"{line}, {task.finished_at - task.started_at:.3f} s"
    return line if task.started_at is None else f"{line} since {moment(task.started_at)}"

"""Tree: reads a workflow with all its nodes, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, cast

from aioqueue.errors import ResultNotFoundError
from aioqueue.ids import is_name
from aioqueue.models.state import TaskState
from aioqueue.models.tree import Branch, WorkflowTree
from aioqueue.outline import Outline, nodes_of, outline_of, row_of
from aioqueue.protocols.backend import Backend
from aioqueue.results import task_state

_PAGE: Final = 200


async def tree(backend: Backend, id: str) -> WorkflowTree:
    """Return the workflow *id*, and what runs in place of its nodes.

    Raises ResultNotFoundError, BackendUnavailableError.
    """
    whole = await backend.workflow(id) if is_name(id) else None
    if whole is None:
        raise ResultNotFoundError(f"there is no workflow {id!r}: it is unknown, not open yet, or expired")
    outlines, states = {id: outline_of(whole)}, dict[str, TaskState]()
    level = [id]
    while level:
        nodes = [node for workflow in level for node in nodes_of(workflow, outlines[workflow])]
        found = await _states(backend, nodes)
        states |= found
        level = list[str]()
        for state in found.values():
            inner = None if state.plan is None else await backend.workflow(state.plan)
            if state.plan is not None and inner is not None:
                outlines[state.plan] = outline_of(inner)
                level.append(state.plan)
    (result,) = await backend.get([whole.result])
    counts = Counter(state.state for state in states.values())
    parts = tuple(_branches(id, outlines[id], outlines, states))
    return WorkflowTree(id=id, state=None if result is None else result.state, counts=counts, parts=parts)


async def _states(backend: Backend, nodes: list[str]) -> dict[str, TaskState]:
    states: dict[str, TaskState] = {}
    for first in range(0, len(nodes), _PAGE):
        page = nodes[first : first + _PAGE]
        records = await backend.get(page)
        states |= {record.id: task_state(record) for record in records if record is not None}
    return states


def _branches(
    workflow: str, outline: Outline, outlines: dict[str, Outline], states: dict[str, TaskState]
) -> Iterator[Branch]:
    for part in outline:
        if isinstance(part, list):
            kind, *inner = cast("Outline", part)
            yield Branch(kind=kind, parts=tuple(_branches(workflow, inner, outlines, states)))
        else:
            yield from (_node(f"{workflow}.{number}", outlines, states) for number in row_of(part))


def _node(id: str, outlines: dict[str, Outline], states: dict[str, TaskState]) -> Branch:
    state = states.get(id)
    plan = None if state is None else state.plan
    inner = outlines.get(plan, []) if plan is not None else []
    return Branch(kind="task", id=id, task=state, parts=tuple(_branches(plan or "", inner, outlines, states)))

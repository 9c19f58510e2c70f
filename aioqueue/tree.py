"""Tree: reads a workflow with all its nodes, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from aioqueue.errors import ResultNotFoundError
from aioqueue.ids import is_name
from aioqueue.models.state import Cancellation, CancelOutcome, State, TaskState
from aioqueue.models.tree import Branch, WorkflowTree
from aioqueue.outline import Outline, nodes_of, outline_of, row_of
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import PAGE
from aioqueue.states import task_state


async def tree(backend: Backend, id: str) -> WorkflowTree:
    """Return the workflow *id*, or the one that runs in place of a task of that id, and of its nodes.

    Raises ResultNotFoundError, BackendUnavailableError.
    """
    own = await _known(backend, id) if is_name(id) else None
    whole = None if own is None else await backend.workflow(own)
    if own is None or whole is None:
        raise ResultNotFoundError(f"there is no workflow {id!r}: it is unknown, not open yet, or expired")
    outlines = {own: outline_of(whole)}
    states = await _all_states(backend, outlines)
    (result,) = await backend.get([whole.result])
    counts = Counter(state.state for state in states.values())
    parts = tuple(_branches(own, outlines[own], outlines, states))
    return WorkflowTree(id=id, state=None if result is None else result.state, counts=counts, parts=parts)


async def _known(backend: Backend, id: str) -> str | None:
    """Return the id by which the workflow is kept: its own, or that of the plan of a task."""
    if await backend.workflow(id) is not None:
        return id
    (record,) = await backend.get([id])
    return None if record is None else record.plan


async def cancellation(backend: Backend, id: str, outcome: CancelOutcome) -> Cancellation:
    """Return what a cancel of a task, or of a workflow, has come to: which of its tasks had ended before.

    Of what was done already nothing ended by this cancel, also where an earlier one did it.
    """
    whole = await backend.workflow(id)
    states = {} if whole is not None else await _states(backend, [id])
    plan = states[id].plan if id in states else None
    inner = whole if whole is not None else None if plan is None else await backend.workflow(plan)
    if inner is not None:
        states |= await _all_states(backend, {plan or id: outline_of(inner)})
    ended = [state for state in states.values() if state.state.final]
    now = outcome is CancelOutcome.CANCELLED
    by_it = {state.id for state in ended if now and state.state is State.CANCELLED}
    return Cancellation(
        outcome=outcome,
        cancelled=tuple(state.id for state in ended if state.id in by_it),
        finished=tuple(state.id for state in ended if state.id not in by_it),
    )


async def _all_states(backend: Backend, outlines: dict[str, Outline]) -> dict[str, TaskState]:
    """Return the nodes of workflows and of what runs in their place, whose outlines are added."""
    states, level = dict[str, TaskState](), list(outlines)
    while level:
        found = await _states(backend, [node for id in level for node in nodes_of(id, outlines[id])])
        states |= found
        level = list[str]()
        for plan in [state.plan for state in found.values() if state.plan is not None]:
            inner = await backend.workflow(plan)
            if inner is not None:
                outlines[plan] = outline_of(inner)
                level.append(plan)
    return states


async def _states(backend: Backend, nodes: list[str]) -> dict[str, TaskState]:
    states: dict[str, TaskState] = {}
    for first in range(0, len(nodes), PAGE):
        page = nodes[first : first + PAGE]
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

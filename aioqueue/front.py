"""Front: which part of what is awaited waits for a worker, in workflows and in what goes on as one."""

from __future__ import annotations

from collections import deque
from typing import Final

from aioqueue.clock import Clock
from aioqueue.models.state import State
from aioqueue.protocols.backend import Backend
from aioqueue.protocols.flow import PAGE
from aioqueue.protocols.messages import Record

_PAGES: Final = 5
"""Most pages of nodes that one look reads."""


class Front:
    """Looks where work stands still. A page of nodes that have all ended is read once."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._ended: dict[str, int] = {}

    async def waiting(self, record: Record, *, whole: bool) -> Record | None:
        """Return what could run now, if a worker took it; None if something runs, or waits for a moment.

        whole: *record* is the outcome of a workflow. Raises BackendUnavailableError.
        """
        now, due, unreleased = self._clock.time(), None, None
        workflows = deque[str]()
        if whole:
            workflows.append(record.id.rpartition(".")[0])
        nodes, read = [] if whole else [record], 0
        while True:
            for node in nodes:
                if node.state.final:
                    continue
                if node.plan is not None:
                    workflows.append(node.plan)
                elif node.state is State.STARTED or (node.due is not None and node.due > now):
                    return None
                elif node.due is None:
                    # released by a message that waits itself
                    unreleased = unreleased or node
                else:
                    due = due or node
            if not workflows or read == _PAGES:
                return due or unreleased
            nodes = await self._page(workflows)
            read += 1

    async def _page(self, workflows: deque[str]) -> list[Record]:
        """Return the next nodes to look at; what is looked through is taken out."""
        workflow = workflows[0]
        first = self._ended.get(workflow, 0)
        found = await self._backend.get([f"{workflow}.{number}" for number in range(first, first + PAGE)])
        # behind the nodes stand joins, whose records have no queue, and scopes, which have none
        nodes = [node for node in found if node is not None and node.queue]
        if len(nodes) == PAGE and all(node.state.final for node in nodes):
            self._ended[workflow] = first + PAGE
        else:
            workflows.popleft()
        return nodes

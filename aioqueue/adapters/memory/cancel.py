"""Cancel: ends tasks, nodes and whole workflows in one step, with what runs in place of tasks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from aioqueue.adapters.memory.flows import Flow, Flows
from aioqueue.adapters.memory.move import Move
from aioqueue.adapters.memory.records import Row
from aioqueue.advance import cancelled, failed
from aioqueue.models.state import CancelOutcome, State
from aioqueue.protocols.flow import PAGE
from aioqueue.protocols.messages import Cancelled, Record


class Cancel:
    """Cancels one after the other. ttl: seconds their records are shown.

    here: messages are in this store. overtaken: records as they stood of tasks whose messages are then to be
    withdrawn. spared: tells which tasks run, and are not to be cancelled.
    """

    def __init__(
        self, flows: Flows, *, ttl: float, here: bool = False, spared: Callable[[Row], bool] | None = None
    ) -> None:
        self._spared = spared
        self.overtaken: list[Record] = []
        self._flows = flows
        self._ttl = ttl
        self._here = here

    def cancel(self, id: str) -> Cancelled:
        """Cancel one of them; one that is no record, or shown no more, may be a whole workflow."""
        move = Move(self._flows, self._ttl)
        row = self._flows.records.row(id)
        record = self._flows.records.shown(id)
        if row is None or record is None:
            outcome = self._whole(move, id)
            answer = Cancelled(outcome, tuple(move.done()))
        elif record.state.final:
            if self._spared is not None and not self._spared(row) and not row.record.state.final:
                # nothing was written of it yet, and its message is about to go
                move.bar(id)
                move.done()
            answer = Cancelled(CancelOutcome.ALREADY_DONE, row.moved)
        elif self._spared is not None and self._spared(row):
            answer = Cancelled(CancelOutcome.RUNNING)
        else:
            self._task(move, row)
            answer = Cancelled(CancelOutcome.CANCELLED, row.moved)
        self.overtaken += move.overtaken
        return answer

    def _task(self, move: Move, row: Row) -> None:
        id, name = row.record.id, row.record.name
        error = cancelled(id, name)
        move.decide(Record(id, name, row.record.queue, State.CANCELLED), ttl=self._ttl)
        if row.record.plan is not None:
            self._call_off(move, self._flows.whole(row.record.plan), error)
        step = self._flows.step(id)
        if step is not None:
            move.leave(id)
            failed(move, step.node.scope, error)
        elif (scope := self._flows.scope_of_group(id)) is not None:
            move.cancel(scope, error, State.CANCELLED)
            self._bar_some(move, self._flows.find(id))
        row.moved = tuple(move.done())

    def _whole(self, move: Move, id: str) -> CancelOutcome:
        flow = self._flows.whole(id)
        if flow is None or flow.opening is None:
            return CancelOutcome.NOT_FOUND
        result = self._flows.records.shown(flow.opening.result)
        if flow.opening.root not in flow.cancelled and (result is None or not result.state.final):
            self._call_off(move, flow, cancelled(id, "the workflow"))
            return CancelOutcome.CANCELLED
        move.tell_again(flow.opening.root)
        return CancelOutcome.ALREADY_DONE

    def _call_off(self, move: Move, flow: Flow | None, error: bytes) -> None:
        """Cancel a whole workflow, if it is open."""
        if flow is None or flow.opening is None:
            return
        move.touch(flow)
        move.cancel(flow.opening.root, error, State.CANCELLED)
        self._bar_some(move, flow)

    def _bar_some(self, move: Move, flow: Flow | None) -> None:
        """End nodes of which no attempt runs, a page of them at most; others are barred when they come up."""
        if flow is None or not self._here:
            return
        for id in list(islice(flow.life.released, PAGE)):
            row = self._flows.records.row(id)
            runs = row is None or (row.record.state is State.STARTED and not row.ended)
            if row is not None and not runs and self._flows.barred_at(row.record) is not None:
                move.bar(id)

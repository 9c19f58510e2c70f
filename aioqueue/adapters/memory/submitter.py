"""MemorySubmitter: sends, cancels and reschedules where broker and backend are one memory store."""

from __future__ import annotations

from collections.abc import Sequence

from aioqueue.adapters.memory import moment, move
from aioqueue.adapters.memory.cancel import Cancel
from aioqueue.adapters.memory.core import MemoryCore
from aioqueue.models.state import CancelOutcome, RescheduleOutcome
from aioqueue.protocols.flow import Opening
from aioqueue.protocols.messages import Message, When
from aioqueue.protocols.unique import Answer, Held


class MemorySubmitter:
    """Record and message in one step."""

    def __init__(self, core: MemoryCore) -> None:
        self._core = core

    async def submit(self, messages: Sequence[Message], *, limit: int | None = None) -> Sequence[Answer]:
        if [message for message in messages if message.unique is not None]:
            return self._admit(messages, limit)
        if limit is not None:
            self._core.require_room(messages, limit)
        return self._core.submit(messages)

    async def open_workflow(self, opening: Opening) -> bool:
        first, messages = move.started(self._core.flows, opening)
        self._core.add(messages)
        return first

    async def cancel(
        self, ids: Sequence[str], *, ttl: float, waiting: bool = False
    ) -> Sequence[CancelOutcome]:
        return self._cancel(ids, ttl=ttl, waiting=waiting)

    async def reschedule(self, id: str, when: When) -> RescheduleOutcome:
        answer = moment.waiting(self._core, id)
        if answer.outcome is not RescheduleOutcome.RESCHEDULED:
            return answer.outcome
        if not moment.move_message(self._core, answer.queue, id, answer.attempt, when):
            return RescheduleOutcome.NOT_WAITING
        moment.move_record(self._core, id, when)
        return RescheduleOutcome.RESCHEDULED

    def _cancel(self, ids: Sequence[str], *, ttl: float, waiting: bool = False) -> Sequence[CancelOutcome]:
        step = Cancel(self._core.flows, ttl=ttl, here=True, spared=self._core.runs if waiting else None)
        answers = [step.cancel(id) for id in ids]
        self._core.withdraw(step.overtaken)
        self._core.add([message for answer in answers for message in answer.released])
        return [answer.outcome for answer in answers]

    def _admit(self, messages: Sequence[Message], limit: int | None) -> Sequence[Answer]:
        """Submit one after the other, so that each key is claimed before the next one is looked at."""
        if limit is not None:
            self._core.require_room([message for message in messages if not self._gives_way(message)], limit)
        answers: list[Answer] = []
        for message in messages:
            holder, unique = self._core.records.holder(message), message.unique
            if holder is not None and unique is not None:
                if unique.collapse is not None:
                    moment.collapse(self._core, holder, unique, message)
                if unique.replace is None:
                    answers.append(Held(holder))
                    continue
                self._cancel([holder], ttl=unique.replace)
            answers += self._core.submit([message])
        return answers

    def _gives_way(self, message: Message) -> bool:
        held = self._core.records.holder(message) is not None
        return held and message.unique is not None and message.unique.replace is None

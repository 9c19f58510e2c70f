"""Logs: which task a log record is of. Nothing is configured here: a filter that a handler may be given.

A record that aioqueue writes about an attempt has it among its arguments; what a task's own code logs, and
the libraries it calls, is told by the context they run in. A handler's filter sees all records; a logger's
would miss those of its children.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from aioqueue.context import running
from aioqueue.protocols.messages import Message

ATTEMPT: Final = "aioqueue_attempt"
"""Where a record of another process has its attempt."""

OWN: Final = frozenset(vars(logging.makeLogRecord({})))
"""What every record has; the rest are extras, of whoever logs or of a filter."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as logs call it; a log message is given one, and not its text."""

    id: str
    name: str
    queue: str
    attempt: int

    @classmethod
    def of(cls, message: Message) -> Attempt:
        """Return that of a message."""
        return cls(message.id, message.name, message.queue, message.attempt)

    def __str__(self) -> str:
        again = f" attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.name}[{self.id}]{again} from {self.queue}"


class TaskFilter(logging.Filter):
    """Lets everything pass; gives each record ``task_id``, ``task_name``, ``task_queue``, ``task_attempt``.

    They are None where no task runs. ``task`` has all of it in words, for a format, or ``-``:
    ``handler.addFilter(TaskFilter())`` and ``logging.Formatter("%(levelname)s %(task)s: %(message)s")``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mark *record*; return True."""
        attempt = attempt_of(record)
        record.task = "-" if attempt is None else str(attempt)
        record.task_id = None if attempt is None else attempt.id
        record.task_name = None if attempt is None else attempt.name
        record.task_queue = None if attempt is None else attempt.queue
        record.task_attempt = None if attempt is None else attempt.attempt
        return True


def attempt_of(record: logging.LogRecord) -> Attempt | None:
    """Return the attempt that *record* is about or, now, is written in; one from elsewhere says it itself."""
    told = getattr(record, ATTEMPT, None)
    if isinstance(told, Attempt):
        return told
    if isinstance(record.args, tuple):
        for argument in record.args:
            if isinstance(argument, Attempt):
                return argument
    context = running.get(None)
    if context is None:
        return None
    return Attempt(context.task_id, context.task_name, context.queue, context.attempt)

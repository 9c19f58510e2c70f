"""Events: a task's story, told of its record, its attempts and its log.

No state is written for it: they are told of what is on record anyway. A run is known by attempt, losses and
start, which stand on record and on each of its notes, so that both fall into one order, and an event's id
says where in it one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from aioqueue import codec
from aioqueue.errors import ConfigurationError
from aioqueue.models.event import Event, ProgressEvent, StateEvent, ValueEvent
from aioqueue.models.state import ErrorInfo, State
from aioqueue.protocols.log import Log, LogEntry, Standing, standing, thousandths
from aioqueue.protocols.messages import Attempt, Record

_Mark = tuple[int, int, int, int]
"""A place in the order: attempt, losses and start of a run, and where in it."""

_SENT: Final[_Mark] = (0, 0, 0, 0)
_STARTED, _TOLD, _FOLLOWED = range(3)
_END: Final[_Mark] = (10**15, 0, 0, 0)


def encode_progress(done: float | None, total: float | None, message: str | None) -> bytes:
    """Return progress as it is kept."""
    return codec.encode_value([done, total, message])


class Story:
    """What is told from event *after* on, or from the beginning. load: makes of JSON what a task yielded.

    number: of the last entry of the log that was told. seen: how the record stood. over: the end was told.
    Raises ConfigurationError for a text that is no event's id.
    """

    def __init__(self, after: str | None = None, load: Callable[[Any], Any] | None = None) -> None:
        self.number: int = 0
        self.seen: Standing | None = None
        self._load = load
        self._mark: _Mark = (-1, 0, 0, 0)
        if after is not None:
            self._mark, self.number = _read(after)
        self.over: bool = self._mark == _END

    def go_on(self, log: Log) -> Iterator[Event[Any]]:
        """Yield what *log*, a page behind ``number``, tells that was not told yet."""
        self.seen = standing(log.record)
        states = _states(log)
        for entry in log.entries:
            run = (entry.attempt, entry.losses, entry.started)
            yield from self._up_to((*run, _TOLD), states)
            self.number = entry.number
            yield self._told(entry)
        if not log.more:
            yield from self._up_to(_END, states)
            self.over = log.record.state.final

    def _up_to(self, mark: _Mark, states: dict[_Mark, dict[str, Any]]) -> Iterator[Event[Any]]:
        """Yield the states before a place, and go there; the end is a state itself."""
        for at in sorted(states):
            if self._mark < at <= mark:
                self._mark = at
                yield StateEvent(id=self._id, **states[at])
        if mark != _END:
            self._mark = max(self._mark, mark)

    def _told(self, entry: LogEntry) -> Event[Any]:
        where: dict[str, Any] = {"attempt": entry.attempt, "losses": entry.losses, "at": entry.at}
        data = codec.decode_value(entry.data)
        if entry.value:
            value = data if self._load is None else self._load(data)
            return ValueEvent[Any](id=self._id, value=value, **where)
        done, total, message = data
        return ProgressEvent(id=self._id, done=done, total=total, message=message, **where)

    @property
    def _id(self) -> str:
        return ".".join(map(str, (*self._mark, self.number)))


def _read(after: str) -> tuple[_Mark, int]:
    """Return the place and the number that an event's id names."""
    parts = after.split(".")
    if len(parts) != 5 or not all(part.isdecimal() and len(part) <= 18 for part in parts):
        raise ConfigurationError(f"{after!r} is no event's id; leave it out to begin at the first event")
    attempt, losses, started, where, number = map(int, parts)
    return (attempt, losses, started, where), number


def _states(log: Log) -> dict[_Mark, dict[str, Any]]:
    """Return the states of a task by their places: what an event of each says."""
    record = log.record
    found: dict[_Mark, dict[str, Any]] = {_SENT: {"state": State.PENDING, "attempt": 1, "at": record.sent}}
    losses = record.losses - sum(attempt.error is None for attempt in log.before)
    for attempt in log.before:
        run = (attempt.number, losses, thousandths(attempt.started))
        _start(found, run, attempt.started, attempt.worker)
        found[*run, _FOLLOWED] = _followed(attempt, losses)
        losses += attempt.error is None
    for entry in log.entries:
        # one that was given back, nothing counted, is remembered by nobody else
        _start(found, (entry.attempt, entry.losses, entry.started), entry.started / 1000, None)
    if record.started is not None and record.plan is None:
        run = (record.attempt, record.losses, thousandths(record.started))
        _start(found, run, record.started, record.worker)
    if record.state.final:
        found[_END] = _ended(record)
    return found


def _start(
    found: dict[_Mark, dict[str, Any]], run: tuple[int, int, int], at: float | None, worker: str | None
) -> None:
    """Add the start of a run, unless it never started; who knows its worker has the word."""
    if at is not None and (worker is not None or (*run, _STARTED) not in found):
        attempt, losses, _ = run
        state: dict[str, Any] = {"state": State.STARTED, "attempt": attempt, "losses": losses}
        found[*run, _STARTED] = {**state, "at": at, "worker": worker}


def _followed(attempt: Attempt, losses: int) -> dict[str, Any]:
    """Return that another attempt follows."""
    return {
        "state": State.RETRY,
        "attempt": attempt.number,
        "losses": losses,
        "at": attempt.ended,
        "worker": attempt.worker,
        "error": died(attempt) if attempt.error is None else codec.decode_error(attempt.error),
        "next_at": attempt.next_at,
    }


def died(attempt: Attempt) -> ErrorInfo:
    """Return the error of an attempt whose worker died."""
    return ErrorInfo(
        type="WorkerLost", message="its worker died", attempt=attempt.number, worker=attempt.worker
    )


def _ended(record: Record) -> dict[str, Any]:
    return {
        "state": record.state,
        "attempt": record.attempt,
        "losses": record.losses,
        "at": record.finished,
        "worker": record.worker,
        "error": None if record.error is None else codec.decode_error(record.error),
    }

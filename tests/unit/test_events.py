"""The story of a task is told in one order, from any place, whatever is read of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from aioqueue import codec
from aioqueue.errors import ConfigurationError
from aioqueue.events import Story, encode_progress
from aioqueue.models.event import ProgressEvent, StateEvent, ValueEvent
from aioqueue.models.state import ErrorInfo, State
from aioqueue.protocols.log import Log, LogEntry
from aioqueue.protocols.messages import Attempt, Record

SENT = Record("t", "rows", "default", sent=1.0)
LOST = Attempt(1, None, "w1", 2.0, 5.0)
NO = codec.encode_error(ErrorInfo(type="ValueError", message="no"))
FAILED = Attempt(1, NO, "w2", 6.0, 7.0, 8.0)
DONE = replace(
    SENT, state=State.SUCCESS, attempt=2, losses=1, started=8.0, finished=9.0, worker="w3", value=b"1"
)


def entry(number: int, attempt: int, losses: int, started: float, data: object) -> LogEntry:
    value = codec.encode_value(data)
    return LogEntry(number, attempt, losses, round(started * 1000), started + number / 100, True, value)


ENTRIES = (
    entry(1, 1, 0, 2.0, "a"),
    entry(2, 1, 1, 6.0, "b"),
    entry(4, 1, 1, 6.0, "c"),
    entry(5, 2, 1, 8.0, "d"),
)
ALL = Log(DONE, (LOST, FAILED), ENTRIES)
TOLD = [
    "1.0 PENDING",
    "1.0 STARTED",
    "1.0 a",
    "1.0 RETRY WorkerLost",
    "1.1 STARTED",
    "1.1 b",
    "1.1 c",
    "1.1 RETRY ValueError",
    "2.1 STARTED",
    "2.1 d",
    "2.1 SUCCESS",
]


def lines(story: Story, log: Log) -> Iterator[tuple[str, str]]:
    """Yield the id and a line of each event."""
    for event in story.go_on(log):
        run = f"{event.attempt}.{event.losses}"
        match event:
            case StateEvent():
                error = "" if event.error is None else f" {event.error.type}"
                yield event.id, f"{run} {event.state}{error}"
            case ProgressEvent():
                yield event.id, f"{run} {event.done}"
            case ValueEvent():
                yield event.id, f"{run} {event.value}"


def told(story: Story, log: Log) -> list[str]:
    return [line for _, line in lines(story, log)]


def test_all_of_it_is_told_in_order_at_once() -> None:
    story = Story()

    assert told(story, ALL) == TOLD
    assert story.over


def test_any_event_is_a_place_to_go_on_from() -> None:
    ids = [id for id, _ in lines(Story(), ALL)]

    for number, id in enumerate(ids):
        story = Story(id)
        left = tuple(e for e in ENTRIES if e.number > story.number)
        assert (story.over and number == len(ids) - 1) or told(story, replace(ALL, entries=left)) == TOLD[
            number + 1 :
        ]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_tell_the_same(size: int) -> None:
    story, found = Story(), list[str]()
    while not story.over:
        left = [e for e in ENTRIES if e.number > story.number]
        found += told(story, replace(ALL, entries=tuple(left[:size]), more=len(left) > size))

    assert found == TOLD


def test_who_follows_from_the_start_is_told_the_same() -> None:
    first = replace(SENT, state=State.STARTED, started=2.0, worker="w1")
    second = replace(first, started=6.0, losses=1, worker="w2")
    seen: Sequence[Log] = [
        Log(SENT),
        Log(first),
        Log(first, (), ENTRIES[:1]),
        Log(replace(SENT, losses=1), (LOST,)),
        Log(second, (LOST,), ENTRIES[1:2]),
        Log(replace(second, state=State.RETRY, due=8.0), (LOST, FAILED), ENTRIES[2:3]),
        Log(replace(DONE, state=State.STARTED, finished=None), (LOST, FAILED)),
        Log(DONE, (LOST, FAILED), ENTRIES[3:]),
    ]
    story = Story()

    assert [line for log in seen for line in told(story, log)] == TOLD


def test_run_that_was_given_back_is_known_by_what_it_told() -> None:
    entries = (entry(1, 1, 0, 2.0, "a"), entry(2, 1, 0, 3.0, "a"))
    record = replace(SENT, state=State.STARTED, started=3.0, worker="w2")

    assert told(Story(), Log(record, (), entries)) == [
        "1.0 PENDING",
        "1.0 STARTED",
        "1.0 a",
        "1.0 STARTED",
        "1.0 a",
    ]


def test_clock_that_was_set_back_costs_no_value() -> None:
    later, earlier = entry(1, 1, 0, 9.0, "a"), entry(2, 1, 0, 3.0, "b")
    record = replace(SENT, state=State.SUCCESS, started=3.0, finished=4.0)

    found = told(Story(), Log(record, (), (later, earlier)))
    assert [line for line in found if line.endswith(("a", "b"))] == ["1.0 a", "1.0 b"]
    assert found[-1] == "1.0 SUCCESS"


def test_task_that_never_ran_is_told_its_end() -> None:
    record = replace(SENT, state=State.CANCELLED, finished=4.0)

    assert told(Story(), Log(record)) == ["1.0 PENDING", "1.0 CANCELLED"]


def test_progress_is_told_as_it_was_given() -> None:
    data = encode_progress(1, None, "half")
    (*_, event) = Story().go_on(
        Log(replace(SENT, state=State.STARTED, started=2.0), (), (LogEntry(1, 1, 0, 2000, 2.5, False, data),))
    )

    assert isinstance(event, ProgressEvent)
    assert (event.done, event.total, event.message, event.at) == (1, None, "half", 2.5)


@pytest.mark.parametrize("text", ["", "1", "1.2.3.4", "1.2.3.4.x", "1.2.3.4.5.6", "1.2.-3.4.5", "9" * 99])
def test_text_that_is_no_id_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no event's id"):
        Story(text)

"""Rows: what goes into a script's arguments comes back out of its rows."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioqueue.adapters.redis.rows import Receipt, delivery, ended, message_args, milliseconds, moment, record
from aioqueue.models.state import State
from aioqueue.protocols.messages import Message, Record

NAMES = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=1, max_size=30)
MOMENTS = st.floats(min_value=0, max_value=4e9, allow_nan=False)
MESSAGES = st.builds(
    Message,
    id=st.text("abcdefghij0123456789-_.:", min_size=1, max_size=40),
    name=NAMES,
    queue=NAMES,
    body=st.binary(max_size=200),
    attempt=st.integers(1, 10_000),
    hop=st.integers(0, 100),
    priority=st.integers(0, 9),
    eta=st.none() | MOMENTS,
    delay=st.floats(min_value=0, max_value=1e8, allow_nan=False),
    tracked=st.booleans(),
    sent=MOMENTS,
)


def lent(message: Message, *, losses: int, seen: int, marked: bool) -> list[bytes]:
    """Return the row that hands out what was sent, as the scripts pack it."""
    id, name, _, meta, body = message_args([message])
    attempt, hop, priority, tracked, _, _, sent = str(meta).split(" ")
    packed = f"{attempt} {hop} {priority} {tracked} {losses} {seen} {marked:d} {sent}"
    assert isinstance(body, bytes)
    place = f"{priority}/17-0/{message.queue}".encode()
    return [place, str(id).encode(), str(name).encode(), packed.encode(), body, str(losses).encode()]


@given(MESSAGES, st.integers(0, 9), st.booleans(), st.booleans())
def test_message_comes_back_as_it_was_sent(message: Message, losses: int, marked: bool, begun: bool) -> None:
    row = lent(message, losses=losses, seen=1_500, marked=marked)
    found = delivery(row, at=12.5, begun=begun)

    m = found.message
    assert (m.id, m.name, m.queue, m.body) == (message.id, message.name, message.queue, message.body)
    assert (m.attempt, m.hop, m.priority) == (message.attempt, message.hop, message.priority)
    assert (m.tracked, m.sent) == (message.tracked, message.sent)
    assert (found.at, found.losses, found.begun, found.first_seen) == (12.5, losses, begun, 1.5)
    assert found.receipt == Receipt(row[0].decode(), marked)


@given(MESSAGES)
def test_arguments_are_five_and_name_what_the_server_reads(message: Message) -> None:
    id, name, queue, meta, body = message_args([message])

    assert (id, name, queue, body) == (message.id, message.name, message.queue, message.body)
    words = str(meta).split(" ")
    assert len(words) == 7
    assert words[:4] == [
        str(message.attempt),
        str(message.hop),
        str(message.priority),
        f"{message.tracked:d}",
    ]
    assert int(words[4]) == (0 if message.eta is None else milliseconds(message.eta))
    assert int(words[5]) == milliseconds(message.delay)


@given(st.lists(MESSAGES, max_size=4))
def test_many_messages_are_their_arguments_in_order(messages: list[Message]) -> None:
    assert message_args(messages) == [value for message in messages for value in message_args([message])]


def test_message_that_was_never_put_off_has_not_been_seen() -> None:
    message = Message(id="i", name="n", queue="q", body=b"")

    assert delivery(lent(message, losses=0, seen=0, marked=False), at=0.0, begun=False).first_seen is None


def test_queue_of_a_receipt_may_hold_slashes() -> None:
    message = Message(id="i", name="n", queue="a/b/c", body=b"")

    assert (
        delivery(lent(message, losses=0, seen=0, marked=False), at=0.0, begun=False).message.queue == "a/b/c"
    )


@given(st.floats(min_value=0, max_value=4e9, allow_nan=False))
def test_milliseconds_are_not_early_and_less_than_one_late(seconds: float) -> None:
    exact = Fraction(seconds) * 1000

    # a float of today is exact to a quarter of a microsecond
    assert exact - Fraction("0.011") <= milliseconds(seconds) < exact + 1


@given(st.integers(0, 4_000_000_000_000))
def test_whole_milliseconds_stay_what_they_are(value: int) -> None:
    assert milliseconds(value / 1000) == value
    assert milliseconds(moment(str(value).encode())) == value


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 0), (0.0001, 1), (0.001, 1), (0.0011, 2), (0.1 + 0.2, 300), (5, 5_000)]
)
def test_milliseconds_are_rounded_up(seconds: float, expected: int) -> None:
    assert milliseconds(seconds) == expected


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_time_that_is_none_has_no_milliseconds(seconds: float) -> None:
    with pytest.raises((OverflowError, ValueError)):
        milliseconds(seconds)


def row(**fields: bytes) -> list[bytes | None]:
    """Return a row of a record with these fields."""
    names = [
        *("state", "attempt", "name", "queue", "sent", "due"),
        *("begun", "finished", "worker", "losses", "value", "error", "plan", "joined"),
    ]
    return [fields.get(name) for name in names]


def test_empty_row_is_no_record() -> None:
    assert record("i", []) is None


def test_record_that_waits_tells_when_it_is_due() -> None:
    found = record("i", row(state=b"PENDING", attempt=b"1", name=b"n", queue=b"q", sent=b"1.25", due=b"2500"))

    assert found == Record("i", "n", "q", State.PENDING, sent=1.25, due=2.5)


@pytest.mark.parametrize("state", [b"STARTED", b"SUCCESS"])
def test_record_that_has_begun_is_due_no_more(state: bytes) -> None:
    found = record("i", row(state=state, name=b"n", queue=b"q", due=b"2500", begun=b"3000", finished=b"4000"))

    assert found is not None
    assert (found.due, found.started) == (None, 3.0)
    assert found.finished == (4.0 if state == b"SUCCESS" else None)


def test_record_tells_all_that_is_known() -> None:
    known = row(
        state=b"FAILURE", attempt=b"3", name="größe".encode(), queue=b"q", sent=b"1.0", begun=b"2000",
        finished=b"3000", worker=b"host:1", losses=b"2", value=b"v", error=b"e", plan=b"i.3", joined=b"i.3.4",
    )  # fmt: skip

    assert record("i", known) == Record(
        "i", "größe", "q", State.FAILURE, attempt=3, losses=2, sent=1.0, started=2.0, finished=3.0,
        worker="host:1", value=b"v", error=b"e", plan="i.3", joined="i.3.4",
    )  # fmt: skip


@pytest.mark.parametrize("sent", [None, b"", b"0.0"])
def test_moment_of_sending_may_be_unknown(sent: bytes | None) -> None:
    found = record("i", row(state=b"PENDING", **({} if sent is None else {"sent": sent})))

    assert found is not None
    assert found.sent is None


SEEN = Record("i", "n", "q", State.STARTED, sent=1.5, started=2.0, worker="w", due=2.0)


def test_an_end_that_is_told_is_the_record_that_was_seen_with_its_value() -> None:
    found = ended(SEEN, b"SUCCESS 2500 3500 1 a worker\n[1,\n2]")

    assert found == replace(
        SEEN,
        state=State.SUCCESS,
        losses=1,
        started=2.5,
        finished=3.5,
        due=None,
        worker="a worker",
        value=b"[1,\n2]",
    )


STRANGE = [
    b"",
    b"FAILURE 2500 3500 0 w\n1",
    b"SUCCESS 2500\n1",
    b"SUCCESS x 3500 0 w\n1",
    b"SUCCESS 1 2 0 \xff\n1",
]


@pytest.mark.parametrize("said", STRANGE)
def test_an_end_that_says_something_else_has_the_record_read(said: bytes) -> None:
    assert ended(SEEN, said) is None

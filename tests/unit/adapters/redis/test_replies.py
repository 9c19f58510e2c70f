"""Replies: what a sender expects to be told of, which is never more than so much."""

from __future__ import annotations

from typing import Any, cast

import pytest

from aioqueue.adapters.redis import replies
from aioqueue.adapters.redis.listener import Listener, Told
from aioqueue.adapters.redis.replies import Replies
from aioqueue.models.state import State
from aioqueue.protocols.messages import Message, Record


class Channel:
    """Stands for a listener with one channel."""

    def __init__(self) -> None:
        self.stands = False
        self.told: list[Told] = []

    def subscribe(self, channel: str, told: Told) -> None:
        """Note who is to be told."""
        self.told.append(told)

    def confirmed(self, channel: str) -> bool:
        """Tell whether the subscription stands."""
        return self.stands

    def stand(self) -> None:
        """Confirm it."""
        self.stands = True
        self.say(None)

    def say(self, what: bytes | None) -> None:
        """Say something on the channel."""
        for told in self.told:
            told(what)


@pytest.fixture
def channel() -> Channel:
    """The channel."""
    return Channel()


@pytest.fixture
def heard() -> list[tuple[str, Record | None]]:
    """What was told of."""
    return []


@pytest.fixture
def expecting(channel: Channel, heard: list[tuple[str, Record | None]]) -> Replies:
    """Replies over the channel, which stands."""
    made = Replies(cast(Listener, channel), "aq:{x}:")
    made.begin(lambda id, record: heard.append((id, record)))
    channel.stand()
    return made


def message(id: str, **facts: Any) -> Message:
    """Return a message of that id."""
    return Message(id, "work", "default", b"{}", sent=5.0, **facts)


def test_nobody_is_told_before_anybody_waits_and_the_channel_stands(channel: Channel) -> None:
    made = Replies(cast(Listener, channel), "aq:{x}:")
    assert made.expect([message("a")]) == ""
    made.begin(lambda id, record: None)
    made.begin(lambda id, record: None)
    assert (made.expect([message("a")]), made.expects("a"), len(channel.told)) == ("", False, 1)
    channel.stand()
    assert made.expect([message("a")]) != ""
    assert made.expects("a")


def test_end_is_told_once_with_the_record(
    expecting: Replies, channel: Channel, heard: list[tuple[str, Record | None]]
) -> None:
    expecting.expect([message("a")])
    for _ in range(2):
        channel.say(b"a\nSUCCESS 1000 2000 0 host:1\n7")
    ((id, record),) = heard
    assert record is not None
    assert (id, record.state, record.value, record.name, record.sent) == (
        "a",
        State.SUCCESS,
        b"7",
        "work",
        5.0,
    )
    assert not expecting.expects("a")


@pytest.mark.parametrize("said", [b"a\n", b"a", b"a\nFAILURE", b"a\nSUCCESS x y z w\n7"])
def test_end_of_which_no_record_is_told_is_to_be_read(
    expecting: Replies, channel: Channel, heard: list[tuple[str, Record | None]], said: bytes
) -> None:
    expecting.expect([message("a")])
    channel.say(said)
    assert heard == [("a", None)]


def test_what_is_not_expected_is_for_nobody(
    expecting: Replies, channel: Channel, heard: list[tuple[str, Record | None]]
) -> None:
    expecting.expect([message("a"), message("b")])
    expecting.drop(["a", "never"])
    channel.say(b"a\n")
    channel.say(b"z\n")
    assert heard == []
    assert expecting.expects("b")


def test_only_what_runs_at_once_and_has_a_record_is_expected(expecting: Replies) -> None:
    later = [message("e", eta=9.0), message("d", delay=1.0), message("u", tracked=False)]
    expecting.expect([*later, message("r", attempt=2), message("a")])
    assert [id for id in "eduar" if expecting.expects(id)] == ["a"]


def test_nothing_is_expected_any_more_after_the_channel_was_cut(expecting: Replies, channel: Channel) -> None:
    expecting.expect([message("a")])
    channel.stand()
    assert not expecting.expects("a")


def test_those_of_a_great_send_are_waited_for_as_by_anybody(expecting: Replies) -> None:
    many = [message(f"m{n}") for n in range(101)]
    assert (expecting.expect(many), expecting.expects("m0")) == ("", False)
    assert (expecting.expect(many[:100]) != "", expecting.expects("m99")) == (True, True)


def test_expected_are_no_more_than_some(expecting: Replies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_MOST", 2)
    expecting.expect([message("a"), message("b"), message("c")])
    assert [id for id in "abc" if expecting.expects(id)] == ["b", "c"]

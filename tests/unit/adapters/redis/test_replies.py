"""Replies: what a sender expects to be told of, which is never more than so much."""

from __future__ import annotations

from typing import Any, cast

import pytest

from aioqueue.adapters.redis import replies
from aioqueue.adapters.redis.listener import Listener, Told
from aioqueue.adapters.redis.replies import Replies
from aioqueue.models.state import State
from aioqueue.protocols.messages import Message, Record

pytestmark = pytest.mark.anyio


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
async def expecting(channel: Channel, heard: list[tuple[str, Record | None]]) -> Replies:
    """Replies over the channel, which stands."""
    made = Replies(cast(Listener, channel), "aq:{x}:")
    made.begin(lambda id, record: heard.append((id, record)))
    channel.stand()
    return made


def message(id: str, **facts: Any) -> Message:
    """Return a message of that id."""
    return Message(id, "work", "default", b"{}", **{"sent": 5.0, **facts})


async def test_nobody_is_told_before_anybody_waits_and_the_channel_stands(channel: Channel) -> None:
    made = Replies(cast(Listener, channel), "aq:{x}:")
    assert made.expect([message("a")]) == ""
    made.begin(lambda id, record: None)
    made.begin(lambda id, record: None)
    assert (made.expect([message("a")]), made.left("a"), len(channel.told)) == ("", 0.0, 1)
    channel.stand()
    assert made.expect([message("a")]) != ""
    assert made.left("a") > 0


async def test_end_is_told_once_with_the_record(
    expecting: Replies, channel: Channel, heard: list[tuple[str, Record | None]]
) -> None:
    expecting.expect([message("a")])
    for _ in range(2):
        channel.say(b"a 5.0\nSUCCESS 1000 2000 0 host:1\n7")
    ((id, record),) = heard
    assert record is not None
    assert (id, record.state, record.value, record.name, record.sent) == (
        "a",
        State.SUCCESS,
        b"7",
        "work",
        5.0,
    )
    assert expecting.left("a") == 0.0


@pytest.mark.parametrize("said", [b"a 5.0\n", b"a 5.0", b"a 5.0\nFAILURE", b"a 5.0\nSUCCESS x y z w\n7"])
async def test_end_of_which_no_record_is_told_is_to_be_read(
    expecting: Replies, channel: Channel, heard: list[tuple[str, Record | None]], said: bytes
) -> None:
    expecting.expect([message("a")])
    channel.say(said)
    assert heard == [("a", None)]


@pytest.mark.parametrize("said", [b"a 4.0\n", b"a\n", b"z 5.0\n", b""])
async def test_what_is_not_expected_is_for_nobody(
    expecting: Replies, channel: Channel, heard: list[tuple[str, Record | None]], said: bytes
) -> None:
    expecting.expect([message("a")])
    channel.say(said)
    assert (heard, expecting.left("a") > 0) == ([], True)


async def test_call_that_was_known_is_expected_no_more_unless_it_was_sent_before(expecting: Replies) -> None:
    expecting.expect([message("a")])
    expecting.expect([message("a", sent=6.0), message("b", sent=6.0)])
    for known in (message("a", sent=6.0), message("b", sent=6.0), message("never")):
        expecting.drop(known)
    assert (expecting.left("a") > 0, expecting.left("b")) == (True, 0.0)


async def test_only_what_runs_at_once_and_has_a_record_is_expected(expecting: Replies) -> None:
    later = [message("e", eta=9.0), message("d", delay=1.0), message("u", tracked=False)]
    expecting.expect([*later, message("r", attempt=2), message("a")])
    assert [id for id in "eduar" if expecting.left(id)] == ["a"]


async def test_nothing_is_expected_any_more_after_the_channel_was_cut(
    expecting: Replies, channel: Channel
) -> None:
    expecting.expect([message("a")])
    channel.stand()
    assert expecting.left("a") == 0.0


async def test_nothing_is_expected_for_long(
    expecting: Replies, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "_SOON", 0.0)
    expecting.expect([message("a"), message("b")])
    assert expecting.left("a") == 0.0
    monkeypatch.setattr(replies, "_SOON", 60.0)
    expecting.expect([message("c")])
    assert list(expecting._expected) == ["c"]  # pyright: ignore[reportPrivateUsage]  # that nothing gathers


async def test_those_of_a_great_send_are_waited_for_as_by_anybody(expecting: Replies) -> None:
    many = [message(f"m{n}") for n in range(201)]
    assert (expecting.expect(many), expecting.left("m0")) == ("", 0.0)
    assert (expecting.expect(many[:200]) != "", expecting.left("m199") > 0) == (True, True)

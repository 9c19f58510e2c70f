"""Listener: one subscription for any number of channels, told again whenever it stands anew."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from aioqueue.adapters.redis.listener import Listener
from tests.support.waiting import eventually, pause, within
from tests.unit.adapters.redis.fake import Command, Fake, array, running

pytestmark = pytest.mark.anyio


def subscription(command: Command) -> bytes:
    """Answer as a server does to who is subscribed."""
    verb, *channels = command
    if verb == b"PING":
        return array(b"pong", b"")
    confirmed = (b"*3\r\n" + _strings(verb.lower(), channel) + b":1\r\n" for channel in channels)
    return b"".join(confirmed)


def _strings(*values: bytes) -> bytes:
    return array(*values).partition(b"\r\n")[2]


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """A server of channels."""
    async with running() as fake:
        fake.answer = subscription
        yield fake


@pytest.fixture
async def listener(fake: Fake) -> AsyncIterator[Listener]:
    """A listener to it."""
    listener = Listener(fake.make, timeout=1.0)
    yield listener
    await listener.close()


class Told:
    """What each channel's subscriber was told."""

    def __init__(self, listener: Listener) -> None:
        self.told: dict[str, list[bytes | None]] = defaultdict(list)
        self._listener = listener

    def subscribe(self, *channels: str) -> None:
        """Subscribe to each."""
        for channel in channels:
            self._listener.subscribe(channel, self.told[channel].append)

    def unsubscribe(self, channel: str) -> None:
        """Take that back."""
        self._listener.unsubscribe(channel, self.told[channel].append)

    async def hears(self, channel: str, *told: bytes | None) -> None:
        """Return once a channel was told just that."""
        await eventually(lambda: self.told[channel] == list(told))


async def test_nobody_connects_before_somebody_subscribes(fake: Fake, listener: Listener) -> None:
    await pause(0.02)

    assert fake.connections == []


async def test_subscriber_is_told_when_it_stands_and_of_each_message(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    told.subscribe("a", "b")
    await told.hears("b", None)
    fake.last.send(
        array(b"message", b"a", b"1") + array(b"message", b"b", b"2") + array(b"message", b"a", b"")
    )

    await told.hears("a", None, b"1", b"")
    await told.hears("b", None, b"2")
    assert listener.confirmed("a")
    assert not listener.confirmed("c")


async def test_many_subscriptions_of_one_moment_are_one_command(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    names = [f"channel {n}" for n in range(1_000)]
    told.subscribe(*names)
    await told.hears(names[-1], None)

    assert len(fake.connections) == 1
    assert fake.last.commands == [[b"SUBSCRIBE", *(name.encode() for name in names)]]


async def test_who_unsubscribes_is_told_no_more(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    told.subscribe("a", "b")
    await told.hears("b", None)
    told.unsubscribe("a")
    await fake.heard(2)
    fake.last.send(array(b"message", b"a", b"late") + array(b"message", b"b", b"2"))

    await told.hears("b", None, b"2")
    assert told.told["a"] == [None]
    assert fake.last.commands[-1] == [b"UNSUBSCRIBE", b"a"]
    assert not listener.confirmed("a")
    told.unsubscribe("a")


async def test_channel_is_heard_until_its_last_subscriber_leaves(fake: Fake, listener: Listener) -> None:
    one, other = Told(listener), Told(listener)
    one.subscribe("a")
    await one.hears("a", None)
    other.subscribe("a")
    await other.hears("a", None)
    fake.last.send(array(b"message", b"a", b"1"))
    await one.hears("a", None, b"1")
    one.unsubscribe("a")
    fake.last.send(array(b"message", b"a", b"2"))
    await other.hears("a", None, b"1", b"2")

    assert one.told["a"] == [None, b"1"]
    assert fake.last.commands == [[b"SUBSCRIBE", b"a"]]
    other.unsubscribe("a")
    await fake.heard(2)


async def test_news_of_one_channel_go_in_their_order(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)
    told.unsubscribe("a")
    told.subscribe("a", "b")
    told.unsubscribe("b")
    await told.hears("a", None, None)
    await fake.heard(4)

    assert fake.last.commands[1:] == [
        [b"UNSUBSCRIBE", b"a"],
        [b"SUBSCRIBE", b"a", b"b"],
        [b"UNSUBSCRIBE", b"b"],
    ]
    assert listener.confirmed("a")
    assert not listener.confirmed("b")


async def test_cut_tells_every_subscriber_again(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    told.subscribe("a", "b")
    await told.hears("b", None)
    told.unsubscribe("b")

    fake.last.cut()
    await told.hears("a", None, None)

    assert len(fake.connections) == 2
    assert fake.last.commands == [[b"SUBSCRIBE", b"a"]]
    assert told.told["b"] == [None]


async def test_nothing_is_confirmed_while_it_is_away(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)
    fake.refuses = True
    fake.last.cut()
    await eventually(lambda: not listener.confirmed("a"))
    told.subscribe("b")
    fake.refuses = False

    await told.hears("b", None)
    await told.hears("a", None, None)
    assert listener.confirmed("a")


async def test_reconnect_that_fails_at_first_is_soon(fake: Fake, listener: Listener) -> None:
    loop = asyncio.get_running_loop()
    told = Told(listener)
    told.subscribe("a")
    for number in range(1, 11):
        await told.hears("a", *[None] * number)
        began = loop.time()
        fake.last.cut()
        await told.hears("a", *[None] * (number + 1))
        assert loop.time() - began < 2.0


async def test_silent_server_is_left(fake: Fake, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioqueue.adapters.redis.listener._PING", 0.1)
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)
    fake.answer = lambda command: b"" if command == [b"PING"] else subscription(command)

    await told.hears("a", None, None)

    assert len(fake.connections) == 2


async def test_sign_of_life_keeps_a_quiet_connection(
    fake: Fake, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioqueue.adapters.redis.listener._PING", 0.05)
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)
    await eventually(lambda: fake.last.commands.count([b"PING"]) >= 10)

    assert len(fake.connections) == 1


async def test_error_of_the_server_is_a_cut(fake: Fake, listener: Listener) -> None:
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)
    fake.last.send(b"-ERR out of sorts\r\n")

    await told.hears("a", None, None)


async def test_close_tells_nobody_and_hangs_up(fake: Fake) -> None:
    listener = Listener(fake.make, timeout=0.3)
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)

    await within(listener.close(), deadline=1.0)

    assert not listener.confirmed("a")
    assert told.told["a"] == [None]
    await listener.close()


async def test_listener_without_a_channel_keeps_its_connection(
    fake: Fake, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no channel left it is an ordinary connection, on which a sign of life is answered as such."""
    monkeypatch.setattr("aioqueue.adapters.redis.listener._PING", 0.02)
    told = Told(listener)
    told.subscribe("a")
    await told.hears("a", None)
    fake.answer = lambda command: b"+PONG\r\n" if command == [b"PING"] else subscription(command)
    told.unsubscribe("a")
    await eventually(lambda: fake.last.commands.count([b"PING"]) >= 10)

    assert len(fake.connections) == 1

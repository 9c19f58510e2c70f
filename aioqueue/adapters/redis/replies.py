"""Replies: how the tasks of one sender tell it that they have ended, all on one channel.

Who waits for a task that this process has just sent subscribes to nothing then, and reads nothing. It is a
short way and no more: what has not been told soon is waited for as by anybody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aioqueue.adapters.redis.listener import Listener
from aioqueue.adapters.redis.rows import ended
from aioqueue.ids import new_id
from aioqueue.protocols.messages import Message, Record

_MOST: Final = 200
"""Messages of one step: whether anybody waits for all of more is not known."""
_SOON: Final = 0.05
"""Seconds from its sending for which a task is expected."""

Told = Callable[[str, Record | None], None]
"""Called with the id of a task that has ended, and its record if that was told."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """A task that was sent. until: when it is waited for as by anybody else, by the loop's time."""

    name: str
    queue: str
    sent: float
    until: float


class Replies:
    """What one session has sent and expects to be told of. prefix: of the namespace."""

    def __init__(self, listener: Listener, prefix: str) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._sender = new_id()[-12:]
        self._channel = f"{prefix}to:{self._sender}"
        self._expected: OrderedDict[str, _Expected] = OrderedDict()
        self._told: Told | None = None

    def begin(self, told: Told) -> None:
        """Be told from now on, once the server has confirmed it."""
        if self._told is None:
            self._told = told
            self._listener.subscribe(self._channel, self._hear)

    def expect(self, messages: Sequence[Message]) -> str:
        """Expect these tasks, which are about to be sent; return whom they tell, '' for nobody."""
        now = self._loop.time()
        while self._expected and next(iter(self._expected.values())).until <= now:
            self._expected.popitem(last=False)
        if len(messages) > _MOST or not self._listener.confirmed(self._channel):
            return ""
        for m in messages:
            if m.tracked and m.attempt == 1 and m.eta is None and not m.delay:
                # one that is expected already has been sent
                self._expected.setdefault(m.id, _Expected(m.name, m.queue, m.sent, now + _SOON))
        return self._sender

    def left(self, id: str) -> float:
        """Return for how many seconds more a task is expected, 0 if it is not."""
        expected = self._expected.get(id)
        return 0.0 if expected is None else max(0.0, expected.until - self._loop.time())

    def drop(self, message: Message) -> None:
        """Expect a task no more, as it was known before: somebody else may be told of it."""
        expected = self._expected.get(message.id)
        if expected is not None and expected.sent == message.sent:
            del self._expected[message.id]

    def _hear(self, said: bytes | None) -> None:
        if said is None:
            # what was said before is lost
            self._expected.clear()
            return
        head, _, rest = said.partition(b"\n")
        name, _, sent = head.partition(b" ")
        id = name.decode()
        expected = self._expected.get(id)
        # what had this id before may have been forgotten
        if expected is None or sent != repr(expected.sent).encode():
            return
        del self._expected[id]
        if self._told is not None:
            self._told(id, ended(Record(id, expected.name, expected.queue, sent=expected.sent), rest))

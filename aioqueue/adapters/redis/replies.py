"""Replies: how the tasks of one sender tell it that they have ended, all on one channel.

Who sends a task and waits for it subscribes to nothing then, and reads nothing. It is a short way and no
more: what has not been told soon is waited for as by anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from aioqueue.adapters.redis.listener import Listener
from aioqueue.adapters.redis.rows import ended
from aioqueue.ids import new_id
from aioqueue.protocols.messages import Message, Record

_FEW: Final = 100
"""Tasks of one send: whether anybody waits for more is not known, and many are subscribed to in one go."""
_MOST: Final = 10_000
"""Tasks that are expected at most; of others the older are waited for as by anybody else."""

Told = Callable[[str, Record | None], None]
"""Called with the id of a task that has ended, and its record if that was told."""


class Replies:
    """What one session has sent and expects to be told of. prefix: of the namespace."""

    def __init__(self, listener: Listener, prefix: str) -> None:
        self._listener = listener
        self._sender = new_id()[-12:]
        self._channel = f"{prefix}to:{self._sender}"
        self._expected: dict[str, tuple[str, str, float]] = {}
        self._told: Told | None = None

    def begin(self, told: Told) -> None:
        """Be told from now on, once the server has confirmed it."""
        if self._told is None:
            self._told = told
            self._listener.subscribe(self._channel, self._hear)

    def expect(self, messages: Sequence[Message]) -> str:
        """Expect these tasks, which are about to be sent; return whom they tell, '' for nobody."""
        if len(messages) > _FEW or not self._listener.confirmed(self._channel):
            return ""
        for m in messages:
            if m.tracked and m.attempt == 1 and m.eta is None and not m.delay:
                self._expected[m.id] = (m.name, m.queue, m.sent)
        while len(self._expected) > _MOST:
            del self._expected[next(iter(self._expected))]
        return self._sender

    def expects(self, id: str) -> bool:
        """Tell whether the end of a task is still to be told."""
        return id in self._expected

    def drop(self, ids: Iterable[str]) -> None:
        """Expect these no more, as somebody else has sent them."""
        for id in ids:
            self._expected.pop(id, None)

    def _hear(self, said: bytes | None) -> None:
        if said is None:
            # what was said before is lost
            self._expected.clear()
            return
        head, _, rest = said.partition(b"\n")
        id = head.decode()
        expected = self._expected.pop(id, None)
        if expected is not None and self._told is not None:
            name, queue, sent = expected
            self._told(id, ended(Record(id, name, queue, sent=sent), rest))

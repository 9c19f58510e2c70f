"""News: what a transaction changed that somebody may wait for, in this process or another.

It only spares questions: whoever is told looks for itself, so more than happened does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import orjson

_LARGEST: Final = 16_384


@dataclass(slots=True)
class News:
    """queues: where messages wait that did not before. ended: tasks that ended or are gone.

    flows: workflows of which tasks may have been cancelled. values: keys of the shared map that were
    written. everything: what happened is not known, or too much to tell.
    """

    queues: set[str] = field(default_factory=set[str])
    ended: set[str] = field(default_factory=set[str])
    flows: set[str] = field(default_factory=set[str])
    values: set[str] = field(default_factory=set[str])
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or any((self.queues, self.ended, self.flows, self.values))

    def add(self, other: News) -> None:
        self.queues |= other.queues
        self.ended |= other.ended
        self.flows |= other.flows
        self.values |= other.values
        self.everything |= other.everything

    def encoded(self) -> bytes:
        """Return a datagram; one that says *everything* if the news are long."""
        if self.everything:
            return b"null"
        data = orjson.dumps([list(self.queues), list(self.ended), list(self.flows), list(self.values)])
        return data if len(data) <= _LARGEST else b"null"

    @classmethod
    def decoded(cls, data: bytes) -> News:
        """Return the news of a datagram; what cannot be read says *everything*."""
        try:
            queues, ended, flows, values = orjson.loads(data)
            return cls(set(queues), set(ended), set(flows), set(values))
        except (ValueError, TypeError):
            return cls(everything=True)


LONGEST_DATAGRAM: Final = _LARGEST

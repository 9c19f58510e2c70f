"""Unique: a key that one task has at a time, as a send claims it and as a store answers.

Nobody gives a key back. A store reads who has one from the record of the task that claimed it last, so
whatever ends that task frees the key in the same step, and no crash can leave one taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from aioqueue.protocols.messages import OPEN_TTL


@dataclass(frozen=True, slots=True)
class Unique:
    """A key, and how long the task that is sent with it has it: no other task is accepted meanwhile.

    until_done: until it has ended for good, retries included; else while its first attempt waits to start.
    replace: the task that has the key is cancelled for this one, running or not, and its record shown for so
    many seconds; None where this one gives way. ttl: seconds, past the moment it is due, after which it has
    the key no more, whatever has become of it. collapse: the task that has the key, and waits, takes this
    one's body, queue and moment, which is at most so many seconds after that one was sent; None where it does
    not. One store alone can do that; *until_done* is false then. stands_in: what is not accepted may run in
    the place of the task that has the key, should that never have been published.
    """

    key: str
    until_done: bool = True
    replace: float | None = None
    ttl: float = OPEN_TTL
    collapse: float | None = None
    stands_in: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """The answer to a send that was not accepted, as the task *id* has its key. It is false."""

    id: str

    def __bool__(self) -> bool:
        return False


Answer: TypeAlias = bool | Held
"""Whether a send was accepted; false if it was not, for its id or for its key."""

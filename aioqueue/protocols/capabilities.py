"""Capabilities: what a service can do. Differences are values here, never special cases.

Every True has a conformance test that proves it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service promises.

    shared: other processes see it. durable: what was acknowledged survives ``kill -9`` of every
    process. deduplicates: publish drops copies of a waiting (id, attempt, hop). priorities: higher
    ones are handed out first. fenced: at most one attempt of a task commits. recovery: seconds,
    at default timings, within which a dead worker's tasks run elsewhere. max_delay: longest delay
    it holds in one leg, in seconds; None has no limit. limits: it admits tasks by rates and slots.
    note: what a person who starts a worker should know of it, or nothing.
    """

    name: str
    shared: bool = True
    durable: bool = True
    deduplicates: bool = True
    priorities: bool = True
    fenced: bool = True
    recovery: float = 22.0
    max_delay: float | None = None
    limits: bool = True
    note: str = ""

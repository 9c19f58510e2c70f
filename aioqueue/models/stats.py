"""Counts and listings that people ask for: queues, dead letters, workers, and the service itself.

``None`` in a count means that the service cannot tell.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class QueueStats(BaseModel):
    """How many tasks of a queue wait, wait for a moment, and are held by workers."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    queue: str
    ready: int | None = 0
    delayed: int | None = 0
    held: int | None = 0
    dead: int | None = 0


class DeadLetter(BaseModel):
    """A task that could not be decoded, found or survived, or was rejected. at: Unix seconds."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    name: str
    queue: str
    reason: str
    body: bytes
    attempt: int
    at: float


class ServiceInfo(BaseModel):
    """What a service says of itself. version: of its server or library; empty where it cannot be told.

    time: Unix seconds by its own clock, None where it goes by that of its callers. details: more, by name.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    version: str = ""
    time: float | None = None
    details: dict[str, str] = {}


class GroupCounts(BaseModel):
    """How many members of a group there are, have ended with a value, and have failed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    total: int
    completed: int
    failed: int


class WorkerCard(BaseModel):
    """What a live worker process says of itself. started_at, seen_at: Unix seconds."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    running: int
    done: int
    started_at: float
    seen_at: float

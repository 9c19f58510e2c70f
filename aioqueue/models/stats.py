"""Counts and listings that people ask for: queues, dead letters, workers, and the service itself.

``None`` in a count means that the service cannot tell.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class QueueStats(BaseModel):
    """How many tasks of a queue wait, wait for a moment, and are held by workers.

    paused: nothing of it is started until it is resumed.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    queue: str
    ready: int | None = 0
    delayed: int | None = 0
    held: int | None = 0
    dead: int | None = 0
    paused: bool = False


class Where(StrEnum):
    """Where in a queue a task is: ready, due later, or held by a worker."""

    PENDING = "pending"
    DELAYED = "delayed"
    RUNNING = "running"


class QueueEntry(BaseModel):
    """A task in a queue. sent, due, since: Unix seconds; due of a delayed one, since of one that runs.

    id, attempt and hop name its message, place is the store's own handle to it. tracked: it has a record.
    losses: workers that died with it. holder: the consumer that holds it; worker: the name of that, where
    the task has a record. body: only where it was asked for.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    name: str
    queue: str
    place: str
    attempt: int = 1
    hop: int = 0
    priority: int = 0
    losses: int = 0
    tracked: bool = True
    sent: float | None = None
    due: float | None = None
    since: float | None = None
    holder: str | None = None
    worker: str | None = None
    body: bytes | None = None


class QueuePage(BaseModel):
    """Some of a queue. next: where the next page begins; None at the end."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    entries: tuple[QueueEntry, ...] = ()
    next: str | None = None


class DeadLetter(BaseModel):
    """A task that could not be decoded, found or survived, or was rejected. at: Unix seconds.

    key: by which the store knows it; two letters may be of one task.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    name: str
    queue: str
    reason: str
    body: bytes
    attempt: int
    at: float
    priority: int = 0
    key: str = ""


class LetterPage(BaseModel):
    """Some dead letters, newest first. next: where the next page begins; None at the end."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    letters: tuple[DeadLetter, ...] = ()
    next: str | None = None


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
    """What a live worker process says of itself. started_at, seen_at: Unix seconds.

    stuck: all its slots have waited for long for tasks that only such slots could run.
    """

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
    stuck: bool = False

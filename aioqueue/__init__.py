"""aioqueue: an asyncio-native distributed task framework.

The names below are the public API; each is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aioqueue.context import Context, current
    from aioqueue.errors import Reject, Retry
    from aioqueue.group_result import GroupResult
    from aioqueue.middleware import Middleware
    from aioqueue.models.event import ProgressEvent, StateEvent, ValueEvent
    from aioqueue.models.retry import RetryPolicy
    from aioqueue.models.settings import Settings
    from aioqueue.models.signature import Link, Signature
    from aioqueue.models.state import State, TaskState
    from aioqueue.models.workflow import Chain, Chord, Group, chain, chord, group
    from aioqueue.results import AsyncResult
    from aioqueue.router import Router
    from aioqueue.server import Server
    from aioqueue.stream_result import StreamResult
    from aioqueue.task import Task
    from aioqueue.worker import Worker

_HOMES = {
    "AsyncResult": "aioqueue.results",
    "Chain": "aioqueue.models.workflow",
    "Chord": "aioqueue.models.workflow",
    "Context": "aioqueue.context",
    "Group": "aioqueue.models.workflow",
    "GroupResult": "aioqueue.group_result",
    "Link": "aioqueue.models.signature",
    "Middleware": "aioqueue.middleware",
    "ProgressEvent": "aioqueue.models.event",
    "Reject": "aioqueue.errors",
    "Retry": "aioqueue.errors",
    "RetryPolicy": "aioqueue.models.retry",
    "Router": "aioqueue.router",
    "Server": "aioqueue.server",
    "Settings": "aioqueue.models.settings",
    "Signature": "aioqueue.models.signature",
    "State": "aioqueue.models.state",
    "StateEvent": "aioqueue.models.event",
    "StreamResult": "aioqueue.stream_result",
    "Task": "aioqueue.task",
    "TaskState": "aioqueue.models.state",
    "ValueEvent": "aioqueue.models.event",
    "Worker": "aioqueue.worker",
    "chain": "aioqueue.models.workflow",
    "chord": "aioqueue.models.workflow",
    "current": "aioqueue.context",
    "group": "aioqueue.models.workflow",
}

__all__ = [
    "AsyncResult",
    "Chain",
    "Chord",
    "Context",
    "Group",
    "GroupResult",
    "Link",
    "Middleware",
    "ProgressEvent",
    "Reject",
    "Retry",
    "RetryPolicy",
    "Router",
    "Server",
    "Settings",
    "Signature",
    "State",
    "StateEvent",
    "StreamResult",
    "Task",
    "TaskState",
    "ValueEvent",
    "Worker",
    "chain",
    "chord",
    "current",
    "group",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'aioqueue' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Leavings: what stands in a file or a server when all that was sent has ended, seen past the adapter.

What moved workflows is gone: messages, and who was still to end; the rest is what they came to, and lapses.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from aioqueue.adapters.sqlite.options import parse
from tests.integration.redis.apparatus import Namespace
from tests.support import redis_server
from tests.support.leaks import TWO_DAYS, lasting_keys

TABLES: Final = ("messages", "tasks", "attempts", "log", "flows", "nodes", "joins", "members", "scopes")

_MOVE: Final = {
    "a message": "SELECT id FROM messages",
    "a node that is released": "SELECT id FROM nodes WHERE stage = 1",
    "values that were taken": "SELECT join_id FROM members JOIN joins ON id = join_id WHERE freed",
    "a workflow": "SELECT id FROM flows WHERE coalesce(kept, 0) > :until",
    # what was never released goes with its workflow
    "a record": "SELECT id FROM tasks WHERE kept > :until"
    " AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = tasks.id AND stage = 0)",
}


def moving(url: str, now: float) -> list[str]:
    """Return what is kept in a store as if it might move on, or for longer than any result. now: its time."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(parse(url).path)) as file:
            return [
                f"{what}: {id}"
                for what, query in _MOVE.items()
                for (id,) in file.execute(query, {"until": now + TWO_DAYS} if ":until" in query else {})
            ]
    if not url.startswith("redis:"):
        return []
    namespace = Namespace(redis_server.shared("redis"), url)
    entries = [f"{count} messages in {stream}" for stream, count in namespace.entries().items()]
    return [*entries, *namespace.keys("[oimd]:*"), *lasting_keys(url, ended=True)]


def rows(url: str) -> list[str]:
    """Return what a file has rows of, by their table."""
    if not url.startswith("sqlite:"):
        return []
    with closing(sqlite3.connect(parse(url).path)) as file:
        return [table for table in TABLES if file.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()]

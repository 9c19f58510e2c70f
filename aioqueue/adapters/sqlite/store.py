"""SqliteStore: the small shared map, in a table."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from aioqueue.adapters.sqlite.core import Access, Core
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.errors import BrokerUnavailableError
from aioqueue.protocols.store import ANYTHING, Anything


class SqliteStore:
    """Key to bytes, some for a time. Open while the broker or the backend is."""

    def __init__(self, core: Core) -> None:
        self._access = Access(core, BrokerUnavailableError)

    async def get(self, key: str) -> bytes | None:
        return await self._access.read(lambda tx: get(tx, key))

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        return await self._access.write(lambda tx: put(tx, key, value, expected, ttl))

    async def delete(self, key: str) -> bool:
        return await self._access.write(lambda tx: delete(tx, key))

    async def list(self, prefix: str) -> dict[str, bytes]:
        return await self._access.read(lambda tx: below(tx, prefix))

    def watch(self, key: str, event: asyncio.Event) -> AbstractContextManager[None]:
        return self._access.listeners.watcher(key, event)


def get(tx: Transaction, key: str) -> bytes | None:
    row = tx.db.execute(
        "SELECT value FROM store WHERE key = ? AND (until IS NULL OR until > ?)", (key, tx.now)
    ).fetchone()
    return None if row is None else bytes(row[0])


def put(
    tx: Transaction, key: str, value: bytes, expected: bytes | Anything | None, ttl: float | None
) -> bool:
    if expected is not ANYTHING and get(tx, key) != expected:
        return False
    tx.db.execute(
        "INSERT OR REPLACE INTO store (key, value, until) VALUES (?, ?, ?)",
        (key, value, None if ttl is None else tx.now + ttl),
    )
    tx.news.values.add(key)
    return True


def delete(tx: Transaction, key: str) -> bool:
    there = get(tx, key) is not None
    tx.db.execute("DELETE FROM store WHERE key = ?", (key,))
    tx.news.values.add(key)
    return there


def below(tx: Transaction, prefix: str) -> dict[str, bytes]:
    found = tx.db.execute(
        "SELECT key, value FROM store WHERE key >= :prefix AND substr(key, 1, length(:prefix)) = :prefix"
        " AND key < :prefix || char(1114111) AND (until IS NULL OR until > :now) ORDER BY key",
        {"prefix": prefix, "now": tx.now},
    )
    return {key: bytes(value) for key, value in found}

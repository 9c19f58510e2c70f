"""Upkeep: hands on what dead owners held, and drops what is past its time, in small steps.

Each step is a transaction of its own, so that no upkeep keeps others from writing for long, and
a crash in between leaves the rest to the next round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from aioqueue.adapters.sqlite import attempts, flows, joins, keys, limits, messages, records
from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite.core import Access
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.lease import ALIVE
from aioqueue.adapters.sqlite.rows import LISTED, listed
from aioqueue.clock import ClockDoubt

_HANDED_ON: Final = 200
_DROPPED: Final = 1_000
_FLOWS: Final = 100
_STEPS: Final = 50
_DEAD_KEPT: Final = 10_000
_DEAD_SECONDS: Final = 180 * 86_400.0

_LAPSED: Final = f"NOT EXISTS (SELECT 1 FROM leases WHERE leases.owner = messages.owner AND {ALIVE})"


class Upkeep:
    """One adapter's rounds, and its doubts between two of them.

    If the clock was set, leases look lapsed that are not; if the file was locked for half a lease,
    or the last round failed, nobody could beat. Then nobody is judged for one whole lease.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._doubt = ClockDoubt(access.core.clock)
        self._failed = False
        self._after = ""

    async def maintain(self) -> int:
        """Do one round; return how many messages were handed on."""
        failed, self._failed = self._failed, True
        asked = self._doubt.passed()
        lease = await self._access.read(shortest_lease)
        moved = 0
        if not self._doubt.lasts(lease, stuck=failed or self._doubt.passed() - asked > lease / 2):
            moved = await self._hand_on()
            await self._access.write(drop_leases)
        for drop in (drop_records, drop_dead_letters, drop_values, drop_freed, drop_flows, limits.sweep):
            for _ in range(_STEPS):
                if await self._access.write(drop) < _DROPPED:
                    break
        await self._drop_keys()
        self._failed = False
        return moved

    async def _drop_keys(self) -> None:
        """Drop unique keys that nobody has: of many a page a round, as the rest is in nobody's way."""
        after = self._after
        last = await self._access.write(lambda tx: keys.drop(tx, after, _DROPPED))
        self._after = last or ""

    async def _hand_on(self) -> int:
        # Who is lost is judged once: a round must not move again what it has moved already.
        return await self._empty(await self._access.write(judge))

    async def bury(self, owner: str) -> int:
        """End the lease of *owner*, who is dead, and hand on what it holds; return how many messages."""
        # without a lease, what a crash leaves unmoved here is for the next round to judge
        await self._access.write(lambda tx: leases.drop(tx, owner))
        moved = await self._empty([owner])
        await self._access.write(limits.sweep)
        return moved

    async def _empty(self, lost: Sequence[str]) -> int:
        moved = 0
        while lost and (step := await self._access.write(lambda tx: hand_on(tx, lost))) > 0:
            moved += step
        return moved


def shortest_lease(tx: Transaction) -> float:
    """Return the length of the shortest lease there is, in seconds."""
    row = tx.db.execute("SELECT min(seconds) FROM leases").fetchone()
    return float(row[0] or 0.0)


def judge(tx: Transaction) -> list[str]:
    """End the leases of all who hold messages and gave no sign in time; return them."""
    found = tx.db.execute(
        f"SELECT DISTINCT owner FROM messages WHERE state = 2 AND {_LAPSED}", {"now": tx.now}
    ).fetchall()
    lost = [owner for (owner,) in found]
    for owner in lost:
        # Whose messages are handed on must not find its lease alive again, nor take more under it.
        leases.drop(tx, owner)
    return lost


def hand_on(tx: Transaction, lost: Sequence[str]) -> int:
    """Make ready some of what *lost* owners hold, each a loss, with its record; return how many."""
    held = tx.db.execute(
        f"SELECT seq, id, owner FROM messages WHERE state = 2 AND owner IN {LISTED} LIMIT ?",
        (listed(lost), _HANDED_ON),
    ).fetchall()
    tasks: dict[str, list[str]] = defaultdict(list)
    for _, id, owner in held:
        tasks[owner].append(id)
    for owner, ids in tasks.items():
        entries = records.load(tx, ids).values()
        attempts.lost(tx, [entry for entry in entries if entry.running and entry.owner == owner])
        records.stop(tx, ids, owner=owner, losses=1)
    messages.lose(tx, [seq for seq, _, _ in held])
    return len(held)


def drop_leases(tx: Transaction) -> None:
    """Drop lapsed leases under which nothing is held."""
    tx.db.execute(
        f"DELETE FROM leases WHERE owner IN (SELECT owner FROM leases WHERE NOT {ALIVE} AND NOT EXISTS"
        " (SELECT 1 FROM messages WHERE state = 2 AND messages.owner = leases.owner) LIMIT :most)",
        {"now": tx.now, "most": _DROPPED},
    )


def drop_records(tx: Transaction) -> int:
    """Drop records past their time, and the values of commit records that outlive theirs; return how many."""
    found = tx.db.execute("SELECT id, kept FROM tasks WHERE look <= ? LIMIT ?", (tx.now, _DROPPED)).fetchall()
    records.remove(tx, [id for id, kept in found if kept <= tx.now])
    records.empty(tx, [id for id, kept in found if kept > tx.now])
    return len(found)


def drop_dead_letters(tx: Transaction) -> int:
    """Drop dead letters that are too old, and the oldest of too many; return how many."""
    old = tx.db.execute(
        "DELETE FROM dead WHERE seq IN (SELECT seq FROM dead WHERE at <= ? ORDER BY at LIMIT ?)",
        (tx.now - _DEAD_SECONDS, _DROPPED),
    ).rowcount
    (count,) = tx.db.execute("SELECT count(*) FROM dead").fetchone()
    many: int = min(max(count - _DEAD_KEPT, 0), _DROPPED)
    tx.db.execute("DELETE FROM dead WHERE seq IN (SELECT seq FROM dead ORDER BY seq LIMIT ?)", (many,))
    return max(old, many)


def drop_values(tx: Transaction) -> int:
    """Drop values of the shared map that are past their time; return how many."""
    dropped = tx.db.execute(
        "DELETE FROM store WHERE key IN (SELECT key FROM store WHERE until <= ? LIMIT ?)", (tx.now, _DROPPED)
    )
    return dropped.rowcount


def drop_freed(tx: Transaction) -> int:
    """Drop values of joins that nobody reads any more; return how many, or as many as there may be."""
    freed = joins.freed(tx, _FLOWS)
    if freed:
        joins.empty(tx, freed, _DROPPED)
    return _DROPPED if freed else 0


def drop_flows(tx: Transaction) -> int:
    """Drop workflows past their time, with the records that will not end; return how many rows."""
    past = flows.over(tx, _FLOWS)
    if not past:
        return 0
    dropped, never = flows.drop(tx, past, _DROPPED)
    records.remove(tx, never)
    tx.news.ended.update(never)
    return _DROPPED if len(past) == _FLOWS else dropped

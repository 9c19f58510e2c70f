"""Upkeep: hands on what dead owners held, and drops what is past its time, in small steps.

Each step is a transaction of its own, so that no upkeep keeps others from writing for long, and
a crash in between leaves the rest to the next round.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from aioqueue.adapters.sqlite import lease as leases
from aioqueue.adapters.sqlite import messages, records
from aioqueue.adapters.sqlite.core import Access
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.lease import ALIVE, passing

_HANDED_ON: Final = 200
_DROPPED: Final = 1_000
_STEPS: Final = 50
_DEAD_KEPT: Final = 10_000
_DEAD_SECONDS: Final = 180 * 86_400.0

_LAPSED: Final = f"NOT EXISTS (SELECT 1 FROM leases WHERE leases.owner = messages.owner AND {ALIVE})"


class Upkeep:
    """One adapter's rounds, and its doubts between two of them.

    If the wall clock and the time that has passed disagree by more than half a lease, the clock was
    set; if the file was locked for as long, or the last round failed, nobody could beat. Leases
    look lapsed then that are not, so nobody is judged for one whole lease, in which the living
    give their next sign.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._passed = passing(access.core.clock)
        self._offset: float | None = None
        self._doubt_until = 0.0
        self._failed = False

    async def maintain(self) -> int:
        """Do one round; return how many messages were handed on."""
        failed, self._failed = self._failed, True
        asked = self._passed()
        lease = await self._access.read(shortest_lease)
        moved = 0
        if not self._doubts(lease, stuck=failed or self._passed() - asked > lease / 2):
            while (step := await self._access.write(hand_on)) > 0:
                moved += step
            await self._access.write(drop_leases)
        for drop in (drop_records, drop_dead_letters, drop_values):
            for _ in range(_STEPS):
                if await self._access.write(drop) < _DROPPED:
                    break
        self._failed = False
        return moved

    def _doubts(self, lease: float, *, stuck: bool) -> bool:
        passed = self._passed()
        offset = self._access.core.clock.time() - passed
        if stuck or (self._offset is not None and abs(offset - self._offset) > lease / 2):
            self._doubt_until = passed + lease
        self._offset = offset
        return passed < self._doubt_until


def shortest_lease(tx: Transaction) -> float:
    """Return the length of the shortest lease there is, in seconds."""
    row = tx.db.execute("SELECT min(seconds) FROM leases").fetchone()
    return float(row[0] or 0.0)


def hand_on(tx: Transaction) -> int:
    """Make ready what owners without a lease hold, each a loss, with their records; return how many."""
    lost = tx.db.execute(
        f"SELECT seq, id, owner FROM messages WHERE state = 2 AND {_LAPSED} LIMIT :most",
        {"now": tx.now, "most": _HANDED_ON},
    ).fetchall()
    tasks: dict[str, list[str]] = defaultdict(list)
    for _, id, owner in lost:
        tasks[owner].append(id)
    for owner, ids in tasks.items():
        records.stop(tx, ids, owner=owner, losses=1)
        # Whose messages are gone must not find its lease alive again.
        leases.drop(tx, owner)
    messages.lose(tx, [seq for seq, _, _ in lost])
    return len(lost)


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

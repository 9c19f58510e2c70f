"""Keys: which task has claimed which unique key last. Whether it has it still, its record tells."""

from __future__ import annotations

from typing import Final

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.models.state import FINAL
from aioqueue.protocols.unique import Unique

_OPEN: Final = "state NOT IN ({})".format(", ".join(f"'{state.value}'" for state in sorted(FINAL)))
_HELD: Final = f"(CASE WHEN until_done THEN {_OPEN} ELSE state = 'PENDING' AND attempt = 1 END)"


def holder(tx: Transaction, unique: Unique, id: str) -> str | None:
    """Return the task that has a key which *id* wants; None where no other has it."""
    found = tx.db.execute(
        "SELECT tasks.id FROM uniques JOIN tasks ON tasks.id = uniques.id"
        f" WHERE key = :key AND uniques.id <> :id AND until > :now AND kept > :now AND {_HELD}",
        {"key": unique.key, "id": id, "now": tx.now},
    ).fetchone()
    return None if found is None else str(found[0])


def take(tx: Transaction, unique: Unique, id: str, due: float) -> None:
    """Let *id*, which is due then, have a key, whoever has had it."""
    tx.db.execute(
        "INSERT OR REPLACE INTO uniques (key, id, until_done, until, latest) VALUES (?, ?, ?, ?, ?)",
        (
            unique.key,
            id,
            int(unique.until_done),
            max(due, tx.now) + unique.ttl,
            max(due, tx.now + (unique.collapse or 0.0)),
        ),
    )


def put_off(tx: Transaction, unique: Unique, due: float) -> float:
    """Let who has a key be due at another moment, as far as it may be put off; return the moment."""
    (moment,) = tx.db.execute(
        "UPDATE uniques SET until = min(:due, latest) + :ttl WHERE key = :key RETURNING min(:due, latest)",
        {"key": unique.key, "due": due, "ttl": unique.ttl},
    ).fetchone()
    return float(moment)


def drop(tx: Transaction, after: str, most: int) -> str | None:
    """Look at *most* keys behind *after*, drop those that nobody has; return the last, None at the end."""
    found = tx.db.execute(
        "SELECT key FROM uniques WHERE key > ? ORDER BY key LIMIT ?", (after, most)
    ).fetchall()
    if not found:
        return None
    tx.db.execute(
        "DELETE FROM uniques WHERE key > :after AND key <= :last AND (until <= :now OR NOT EXISTS"
        f" (SELECT 1 FROM tasks WHERE tasks.id = uniques.id AND kept > :now AND {_OPEN}))",
        {"after": after, "last": found[-1][0], "now": tx.now},
    )
    return str(found[-1][0]) if len(found) == most else None

"""Joins: every statement that touches joins and their members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.flows import ALIVE, THESE, columns, place
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.protocols.flow import Join, Kind, Member, Members, Place, Range

_PAIRS: Final = (
    "(SELECT json_extract(value, '$[0]') AS a, json_extract(value, '$[1]') AS b FROM json_each(:pairs))"
)
_JOIN: Final = """id, flow, size, single, then_first, then_count, into_join, into_number, shown, frees, scope,
  task, joined, freed"""


@dataclass(slots=True)
class Filling:
    """A join as it stands. joined: how many members it has. freed: nobody reads it any more."""

    join: Join
    flow: str
    joined: int = 0
    freed: int = 0


def load(tx: Transaction, ids: Iterable[str]) -> dict[str, Filling]:
    """Return joins."""
    found = tx.db.execute(
        f"SELECT {_JOIN} FROM joins WHERE id IN {THESE} AND {ALIVE.format('joins')}",
        {"ids": listed(ids), "now": tx.now},
    )
    return {row[0]: _filling(row) for row in found}


def save(tx: Transaction, changed: Iterable[Filling], *, new: bool = False) -> None:
    """Write joins; *new* ones leave those that are there alone."""
    rows: list[tuple[Value, ...]] = []
    for filling in changed:
        join = filling.join
        rows.append(
            (
                join.id,
                filling.flow,
                join.size,
                int(join.single),
                join.then.first,
                join.then.count,
                *columns(join.into),
                int(join.shown),
                join.frees,
                join.scope,
                join.task,
                filling.joined,
                filling.freed,
            )
        )
    insert(tx.db, f"INSERT OR {'IGNORE' if new else 'REPLACE'} INTO joins ({_JOIN})", rows)


def joined(tx: Transaction, places: Sequence[Place]) -> set[Place]:
    """Return those of *places* that are taken."""
    pairs = orjson.dumps([(place.join, place.number) for place in places]).decode()
    found = tx.db.execute(
        f"SELECT join_id, number FROM {_PAIRS} CROSS JOIN members ON join_id = a AND number = b",
        {"pairs": pairs},
    )
    return {Place(join, number) for join, number in found}


def add_members(tx: Transaction, members: Iterable[tuple[Place, Member]]) -> None:
    """Write members."""
    rows = [(place.join, place.number, member.kind.value, member.data) for place, member in members]
    insert(tx.db, "INSERT OR IGNORE INTO members (join_id, number, kind, data)", rows)


def members(tx: Transaction, id: str, first: int, count: int) -> Members | None:
    """Return some members of a join, if it is still read."""
    found = load(tx, [id]).get(id)
    if found is None or found.freed:
        return None
    end = min(first + count, found.join.size)
    rows = tx.db.execute(
        "SELECT number, kind, data FROM members WHERE join_id = ? AND number >= ? AND number < ?",
        (id, first, end),
    )
    there = {number: Member(Kind(kind), bytes(data)) for number, kind, data in rows}
    return Members(found.join.size, found.join.single, tuple(there.get(n) for n in range(first, end)))


def empty(tx: Transaction, ids: Sequence[str], most: int) -> int:
    """Drop values of joins nobody reads any more, at most so many; return how many.

    What only they had led to is freed too.
    """
    gone = tx.db.execute(
        "DELETE FROM members WHERE (join_id, number) IN"
        f" (SELECT join_id, number FROM members WHERE join_id IN {LISTED} LIMIT ?) RETURNING kind, data",
        (listed(ids), most),
    ).fetchall()
    inner = [bytes(data).decode() for kind, data in gone if kind == Kind.JOIN.value]
    tx.db.execute(
        f"UPDATE joins SET freed = 1 WHERE id IN {LISTED} AND NOT freed AND NOT shown AND then_count = 0",
        (listed(inner),),
    )
    if len(gone) < most:
        tx.db.execute(f"UPDATE joins SET freed = 2 WHERE id IN {LISTED}", (listed(ids),))
    return len(gone)


def freed(tx: Transaction, most: int) -> list[str]:
    """Return joins that are to be emptied."""
    return [id for (id,) in tx.db.execute("SELECT id FROM joins WHERE freed = 1 LIMIT ?", (most,))]


def _filling(row: tuple[Any, ...]) -> Filling:
    id, flow, size, single, first, count, into, number, shown, frees, scope, task, joined, freed = row
    join = Join(
        id, size, bool(single), Range(first, count), place(into, number), bool(shown), frees, scope, task
    )
    return Filling(join, flow, joined, freed)

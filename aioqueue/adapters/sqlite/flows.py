"""Flows: every statement that touches workflows: their nodes, joins, members and scopes.

What belongs to a workflow whose time is over is as if it were gone, though upkeep has not come to it yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.advance import numbered
from aioqueue.codec import decode_messages, encode_messages
from aioqueue.protocols.flow import Join, Kind, Member, Members, Node, Place, Range, Scope
from aioqueue.protocols.messages import Message

WAITING, RELEASED, ENDED = 0, 1, 2
"""Stages of a node."""

_ALIVE: Final = "EXISTS (SELECT 1 FROM flows WHERE flows.id = {}.flow AND flows.kept > :now)"
_THESE: Final = LISTED.replace("?", ":ids")
_PAIRS: Final = "(SELECT value ->> 0 AS a, value ->> 1 AS b FROM json_each(:pairs))"
_NODE: Final = "id, flow, stage, into_join, into_number, scope"
_JOIN: Final = """id, flow, size, single, then_first, then_count, into_join, into_number, shown, frees, scope,
  joined, freed"""
_SCOPE: Final = "id, flow, fails, then_first, then_count, into_join, into_number, around, closed"


@dataclass(slots=True)
class Step:
    """A node as it stands."""

    id: str
    flow: str
    stage: int
    into: Place | None
    scope: str | None


@dataclass(slots=True)
class Filling:
    """A join as it stands. joined: how many members it has. freed: nobody reads it any more."""

    join: Join
    flow: str
    joined: int = 0
    freed: int = 0


@dataclass(slots=True)
class Fence:
    """A scope as it stands. closed: when, Unix seconds."""

    scope: Scope
    flow: str
    closed: float | None = None


@dataclass(slots=True)
class Flow:
    """A workflow. moving: a node of it is released and has not ended."""

    id: str
    kept: float
    shown: float
    moving: bool = False


def parts(id: str) -> tuple[str, int]:
    """Return workflow and number of the id of a node, join or scope. Raises ValueError."""
    found = numbered(id)
    if found is None:
        raise ValueError(f"{id!r} is not <workflow>.<number>")
    return found


def candidates(ids: Iterable[str]) -> list[str]:
    """Return those of *ids* that may be of a workflow."""
    return [id for id in ids if numbered(id) is not None]


def flows(tx: Transaction, ids: Iterable[str]) -> dict[str, Flow]:
    """Return workflows, also those whose time is over."""
    found = tx.db.execute(
        "SELECT id, kept, shown, EXISTS (SELECT 1 FROM nodes WHERE nodes.flow = flows.id AND stage = 1)"
        f" FROM flows WHERE id IN {LISTED}",
        (listed(ids),),
    )
    return {id: Flow(id, kept, shown, bool(moving)) for id, kept, shown, moving in found}


def keep(tx: Transaction, kept: Iterable[Flow]) -> None:
    """Write until when workflows are kept."""
    insert(
        tx.db,
        "INSERT OR REPLACE INTO flows (id, kept, shown)",
        [(flow.id, flow.kept, flow.shown) for flow in kept],
    )


def renew(tx: Transaction, ids: Iterable[str], until: float) -> None:
    """Keep the workflows of nodes that have started until a moment at least."""
    workflows = {parts(id)[0] for id in candidates(ids)}
    if workflows:
        tx.db.execute(
            f"UPDATE flows SET kept = ? WHERE id IN {LISTED} AND kept > ? AND kept < ?",
            (until, listed(workflows), tx.now, until),
        )


def steps(tx: Transaction, ids: Iterable[str]) -> dict[str, Step]:
    """Return nodes."""
    found = tx.db.execute(
        f"SELECT {_NODE} FROM nodes WHERE id IN {_THESE} AND {_ALIVE.format('nodes')}",
        {"ids": listed(ids), "now": tx.now},
    )
    return {row[0]: _step(row) for row in found}


def page(tx: Transaction, workflow: str, nodes: Range) -> list[Step]:
    """Return nodes by their numbers."""
    found = tx.db.execute(
        f"SELECT {_NODE} FROM nodes WHERE flow = :flow AND number >= :first AND number < :end"
        f" AND {_ALIVE.format('nodes')} ORDER BY number",
        {"flow": workflow, "first": nodes.first, "end": nodes.first + nodes.count, "now": tx.now},
    )
    return [_step(row) for row in found]


def messages(tx: Transaction, ids: Iterable[str]) -> dict[str, Message]:
    """Return the messages that are kept for nodes."""
    found = tx.db.execute(
        f"SELECT id, message FROM nodes WHERE id IN {LISTED} AND message IS NOT NULL", (listed(ids),)
    )
    return {id: decode_messages(data)[0] for id, data in found}


def add_steps(tx: Transaction, nodes: Iterable[Node]) -> None:
    """Write nodes that wait."""
    rows: list[tuple[Value, ...]] = []
    for node in nodes:
        message = node.message
        rows.append(
            (
                message.id,
                *parts(message.id),
                WAITING,
                *_place(node.into),
                node.scope,
                encode_messages([message]),
            )
        )
    into = "INSERT INTO nodes (id, flow, number, stage, into_join, into_number, scope, message)"
    insert(tx.db, into, rows)


def add_openers(tx: Transaction, openers: Iterable[tuple[str, str, int]]) -> None:
    """Write that OPEN messages are on their way: id, workflow, and the first node each stands for."""
    rows = [(id, flow, -first, RELEASED) for id, flow, first in openers]
    insert(tx.db, "INSERT OR REPLACE INTO nodes (id, flow, number, stage)", rows)


def move_steps(tx: Transaction, moved: Iterable[Step]) -> None:
    """Write how far nodes have come."""
    stages: dict[int, list[str]] = {}
    for step in moved:
        stages.setdefault(step.stage, []).append(step.id)
    for stage, ids in stages.items():
        tx.db.execute(
            f"UPDATE nodes SET stage = ?, message = iif(? = {ENDED}, NULL, message) WHERE id IN {LISTED}",
            (stage, stage, listed(ids)),
        )


def joins(tx: Transaction, ids: Iterable[str]) -> dict[str, Filling]:
    """Return joins."""
    found = tx.db.execute(
        f"SELECT {_JOIN} FROM joins WHERE id IN {_THESE} AND {_ALIVE.format('joins')}",
        {"ids": listed(ids), "now": tx.now},
    )
    return {row[0]: _filling(row) for row in found}


def save_joins(tx: Transaction, changed: Iterable[Filling], *, new: bool = False) -> None:
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
                *_place(join.into),
                int(join.shown),
                join.frees,
                join.scope,
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
    found = joins(tx, [id]).get(id)
    if found is None or found.freed:
        return None
    end = min(first + count, found.join.size)
    rows = tx.db.execute(
        "SELECT number, kind, data FROM members WHERE join_id = ? AND number >= ? AND number < ?",
        (id, first, end),
    )
    there = {number: Member(Kind(kind), bytes(data)) for number, kind, data in rows}
    return Members(found.join.size, found.join.single, tuple(there.get(n) for n in range(first, end)))


def scopes(tx: Transaction, ids: Iterable[str]) -> dict[str, Fence]:
    """Return scopes."""
    found = tx.db.execute(f"SELECT {_SCOPE} FROM scopes WHERE id IN {LISTED}", (listed(ids),))
    return {row[0]: _fence(row) for row in found}


def add_scopes(tx: Transaction, new: Iterable[Scope]) -> None:
    """Write scopes; leave those that are there alone."""
    rows: list[tuple[Value, ...]] = [
        (
            scope.id,
            parts(scope.id)[0],
            scope.fails,
            scope.then.first,
            scope.then.count,
            *_place(scope.into),
            scope.around,
            None,
        )
        for scope in new
    ]
    insert(tx.db, f"INSERT OR IGNORE INTO scopes ({_SCOPE})", rows)


def close_scopes(tx: Transaction, ids: Iterable[str]) -> None:
    """Write that scopes are closed."""
    tx.db.execute(f"UPDATE scopes SET closed = ? WHERE id IN {LISTED}", (tx.now, listed(ids)))


_BARRED: Final = f"""WITH RECURSIVE up (id, scope) AS (
    SELECT id, scope FROM nodes WHERE id IN {_THESE} AND scope IS NOT NULL AND {_ALIVE.format("nodes")}
    UNION ALL
    SELECT id, scope FROM joins WHERE id IN {_THESE} AND scope IS NOT NULL AND {_ALIVE.format("joins")}
    UNION ALL
    SELECT up.id, around FROM up CROSS JOIN scopes ON scopes.id = up.scope
      WHERE closed IS NULL AND around IS NOT NULL
  )
  SELECT up.id, closed FROM up CROSS JOIN scopes ON scopes.id = up.scope WHERE closed IS NOT NULL"""


def barred(tx: Transaction, ids: Iterable[str]) -> dict[str, float]:
    """Return nodes and joins, of *ids*, that stand in a scope that was closed, and when: none may begin."""
    possible = candidates(ids)
    if not possible:
        return {}
    return dict(tx.db.execute(_BARRED, {"ids": listed(possible), "now": tx.now}))


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


def over(tx: Transaction, most: int) -> list[str]:
    """Return workflows whose time is over."""
    return [id for (id,) in tx.db.execute("SELECT id FROM flows WHERE kept <= ? LIMIT ?", (tx.now, most))]


def drop(tx: Transaction, ids: Sequence[str], most: int = -1) -> tuple[int, list[str]]:
    """Drop at most so many rows of workflows; return how many, and the nodes that never were released."""
    of_these, left = listed(ids), most
    dropped = tx.db.execute(
        "DELETE FROM members WHERE (join_id, number) IN (SELECT join_id, members.number FROM joins"
        f" CROSS JOIN members ON join_id = id WHERE flow IN {LISTED} LIMIT ?)",
        (of_these, left),
    ).rowcount
    never: list[str] = []
    for table in ("nodes", "joins", "scopes"):
        left = most if most < 0 else most - dropped
        rows = tx.db.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE flow IN {LISTED} LIMIT ?)"
            f" RETURNING id, {'stage' if table == 'nodes' else '-1'}",
            (of_these, left),
        ).fetchall()
        dropped += len(rows)
        never += [id for id, stage in rows if stage == WAITING]
    if most < 0 or dropped < most:
        tx.db.execute(f"DELETE FROM flows WHERE id IN {LISTED}", (of_these,))
    return dropped, never


def _step(row: tuple[Any, ...]) -> Step:
    id, flow, stage, join, number, scope = row
    return Step(id, flow, stage, None if join is None else Place(join, number), scope)


def _filling(row: tuple[Any, ...]) -> Filling:
    id, flow, size, single, first, count, join, number, shown, frees, scope, joined, freed = row
    place = None if join is None else Place(join, number)
    join = Join(id, size, bool(single), Range(first, count), place, bool(shown), frees, scope)
    return Filling(join, flow, joined, freed)


def _fence(row: tuple[Any, ...]) -> Fence:
    id, flow, fails, first, count, join, number, around, closed = row
    place = None if join is None else Place(join, number)
    return Fence(Scope(id, fails, Range(first, count), place, around), flow, closed)


def _place(into: Place | None) -> tuple[Value, Value]:
    return (None, None) if into is None else (into.join, into.number)

"""Flows: every statement that touches workflows and their nodes.

What belongs to a workflow whose time is over is as if it were gone, though upkeep has not come to it yet.
A workflow in place of a node has the time of the outermost one around it, its home: values of each may be
read by what comes after in another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.advance import numbered
from aioqueue.codec import decode_messages, encode_messages
from aioqueue.protocols.flow import Node, Opening, Place, Range
from aioqueue.protocols.messages import Message

WAITING, RELEASED, ENDED, NEVER = 0, 1, 2, 3
"""Stages of a node; NEVER is ended, and not released before."""

THESE: Final = LISTED.replace("?", ":ids")
"""LISTED where arguments have names."""

_UNTIL: Final = "coalesce(flows.kept, (SELECT home.kept FROM flows AS home WHERE home.id = flows.home))"
ALIVE: Final = f"EXISTS (SELECT 1 FROM flows WHERE flows.id = {{}}.flow AND {_UNTIL} > :now)"
"""SQL that holds while the workflow of a row is kept."""

_HOME: Final = "coalesce(flows.home, flows.id)"
# of two terms of an OR SQLite works out both; what is inside is looked through only if need be
_MOVING: Final = f"""iif(EXISTS (SELECT 1 FROM nodes WHERE nodes.flow = {_HOME} AND stage = {RELEASED}), 1,
  EXISTS (SELECT 1 FROM flows AS within CROSS JOIN nodes ON nodes.flow = within.id AND stage = {RELEASED}
    WHERE within.home = {_HOME}))"""
_NODE: Final = "id, flow, stage, into_join, into_number, scope"


@dataclass(slots=True)
class Step:
    """A node as it stands."""

    id: str
    flow: str
    stage: int
    into: Place | None
    scope: str | None

    @property
    def over(self) -> bool:
        """True when it has ended."""
        return self.stage >= ENDED


@dataclass(slots=True)
class Flow:
    """A home. moving: a node of it, or of a workflow inside it, is released and has not ended."""

    id: str
    kept: float
    shown: float = 0.0
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


def homes(tx: Transaction, ids: Iterable[str]) -> dict[str, Flow]:
    """Return the homes of workflows, also those whose time is over: one object for all that share it."""
    found = tx.db.execute(
        f"SELECT flows.id, home.id, home.kept, home.shown, {_MOVING}"
        f" FROM flows CROSS JOIN flows AS home ON home.id = {_HOME} WHERE flows.id IN {LISTED}",
        (listed(ids),),
    )
    made: dict[str, Flow] = {}
    return {
        id: made.setdefault(home, Flow(home, kept, shown, bool(moving)))
        for id, home, kept, shown, moving in found
    }


def keep(tx: Transaction, kept: Iterable[Flow]) -> None:
    """Write until when workflows are kept, with all that run inside them."""
    insert(
        tx.db,
        "INSERT INTO flows (id, kept, shown)",
        [(flow.id, flow.kept, flow.shown) for flow in kept],
        clash="ON CONFLICT (id) DO UPDATE SET kept = excluded.kept, shown = excluded.shown",
    )


def settle(tx: Transaction, id: str, *, task: str, home: str | None) -> None:
    """Write in whose place a workflow runs; from then on it is kept as long as its *home*, if it has one."""
    insert(
        tx.db,
        "INSERT INTO flows (id, task, home)",
        [(id, task, home)],
        clash="ON CONFLICT (id) DO UPDATE SET task = excluded.task, home = excluded.home,"
        " kept = iif(excluded.home IS NULL, kept, NULL), shown = iif(excluded.home IS NULL, shown, NULL)",
    )


def is_other(tx: Transaction, id: str, digest: str) -> bool:
    """Tell whether there is a workflow of that id whose pages have another digest."""
    row = tx.db.execute("SELECT coalesce(digest, '') FROM flows WHERE id = ?", (id,)).fetchone()
    return row is not None and row[0] != digest


def mark(tx: Transaction, id: str, digest: str, keeper: str) -> None:
    """Write the digest of a workflow's pages, and, until it is open, who has kept some."""
    tx.db.execute("UPDATE flows SET digest = ? WHERE id = ?", (digest, id))
    there = keepers(tx, id)
    if there is not None and keeper not in there:
        tx.db.execute("UPDATE flows SET keepers = ? WHERE id = ?", (listed([*there, keeper]), id))


def keepers(tx: Transaction, id: str) -> list[str] | None:
    """Return who has kept some of a workflow; None if it is open, or there is none."""
    row = tx.db.execute("SELECT keepers FROM flows WHERE id = ? AND result IS NULL", (id,)).fetchone()
    names: list[str] | None = None if row is None else json.loads(row[0] or "[]")
    return names


def retract(tx: Transaction, id: str, keeper: str) -> bool:
    """Forget one who kept some of a workflow; tell whether that was the last one."""
    there = keepers(tx, id)
    if there is None or keeper not in there:
        return False
    there.remove(keeper)
    tx.db.execute("UPDATE flows SET keepers = ? WHERE id = ?", (listed(there), id))
    return not there


def renew(tx: Transaction, ids: Iterable[str], until: float) -> None:
    """Keep the workflows of nodes that have started, and the tasks they run for, until a moment at least."""
    workflows = {parts(id)[0] for id in candidates(ids)}
    if not workflows:
        return
    of_these = listed(workflows)
    tx.db.execute(
        f"UPDATE flows SET kept = ? WHERE id IN (SELECT {_HOME} FROM flows WHERE id IN {LISTED})"
        " AND kept > ? AND kept < ?",
        (until, of_these, tx.now, until),
    )
    tx.db.execute(_RENEW_TASKS, {"ids": of_these, "until": until})


_RENEW_TASKS: Final = f"""WITH RECURSIVE up (task) AS (
    SELECT task FROM flows WHERE id IN {THESE} AND task IS NOT NULL
    UNION
    SELECT flows.task FROM up CROSS JOIN nodes ON nodes.id = up.task CROSS JOIN flows ON flows.id = nodes.flow
      WHERE flows.task IS NOT NULL
  )
  UPDATE tasks SET shown = :until, kept = :until, look = :until
    WHERE id IN (SELECT task FROM up) AND state = 'STARTED' AND plan IS NOT NULL AND kept < :until"""


def inside(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Return the workflows that share their homes with *ids*."""
    found = tx.db.execute(
        f"SELECT id FROM flows WHERE home IN (SELECT {_HOME} FROM flows WHERE id IN {LISTED})", (listed(ids),)
    )
    return {id for (id,) in found}


def open_whole(tx: Transaction, opening: Opening) -> bool:
    """Write that a workflow is open; False if it was, or there is none."""
    opened = tx.db.execute(
        "UPDATE flows SET result = ?, root = ?, outline = ?"
        f" WHERE id = ? AND result IS NULL AND {_UNTIL} > ?",
        (opening.result, opening.root, opening.outline, opening.workflow, tx.now),
    )
    return opened.rowcount == 1


def whole(tx: Transaction, id: str) -> Opening | None:
    """Return how a workflow was opened, but for its start; None if it was not, or is kept no more."""
    row = tx.db.execute(
        f"SELECT result, root, outline FROM flows WHERE id = ? AND result IS NOT NULL AND {_UNTIL} > ?",
        (id, tx.now),
    ).fetchone()
    return None if row is None else Opening(id, Range(), result=row[0], root=row[1], outline=bytes(row[2]))


def discard(tx: Transaction, id: str) -> None:
    """Let a workflow lapse that will not be opened: the task that was to go on as it has ended."""
    tx.db.execute(
        "UPDATE flows SET kept = ?, shown = ?, home = NULL WHERE id = ? AND result IS NULL", (tx.now, 0.0, id)
    )


def quiet(tx: Transaction, ids: Iterable[str]) -> list[str]:
    """Return the tasks in whose place workflows run of which nothing is released any more."""
    found = tx.db.execute(
        f"SELECT task FROM flows WHERE id IN {LISTED} AND task IS NOT NULL AND result IS NOT NULL"
        f" AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.flow = flows.id AND stage = {RELEASED})",
        (listed(ids),),
    )
    return [task for (task,) in found]


def steps(tx: Transaction, ids: Iterable[str]) -> dict[str, Step]:
    """Return nodes."""
    found = tx.db.execute(
        f"SELECT {_NODE} FROM nodes WHERE id IN {THESE} AND {ALIVE.format('nodes')}",
        {"ids": listed(ids), "now": tx.now},
    )
    return {row[0]: _step(row) for row in found}


def page(tx: Transaction, workflow: str, nodes: Range) -> list[Step]:
    """Return nodes by their numbers."""
    found = tx.db.execute(
        f"SELECT {_NODE} FROM nodes WHERE flow = :flow AND number >= :first AND number < :end"
        f" AND {ALIVE.format('nodes')} ORDER BY number",
        {"flow": workflow, "first": nodes.first, "end": nodes.first + nodes.count, "now": tx.now},
    )
    return [_step(row) for row in found]


def waiting(tx: Transaction, workflow: str, most: int) -> list[Step]:
    """Return released nodes of a workflow, and of those around and inside it, of which no attempt runs."""
    found = tx.db.execute(
        f"SELECT {_NODE} FROM nodes WHERE flow IN {LISTED} AND stage = {RELEASED} AND EXISTS"
        " (SELECT 1 FROM tasks WHERE tasks.id = nodes.id AND (state <> 'STARTED' OR plan IS NOT NULL))"
        " LIMIT ?",
        (listed({workflow} | inside(tx, [workflow])), most),
    )
    return [_step(row) for row in found]


def messages(tx: Transaction, ids: Iterable[str]) -> dict[str, Message]:
    """Return the messages that are kept for nodes."""
    found = tx.db.execute(
        f"SELECT id, message FROM nodes WHERE id IN {LISTED} AND message IS NOT NULL", (listed(ids),)
    )
    return {id: decode_messages(data)[0] for id, data in found}


def queues(tx: Transaction, last: str) -> list[str]:
    """Return the queues in which the nodes of a range are to wait, by its last one, if there are several."""
    row = tx.db.execute("SELECT queues FROM nodes WHERE id = ?", (last,)).fetchone()
    return [] if row is None or row[0] is None else str(row[0]).split()


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
                *columns(node.into),
                node.scope,
                " ".join(node.queues) or None,
                encode_messages([message]),
            )
        )
    into = "INSERT INTO nodes (id, flow, number, stage, into_join, into_number, scope, queues, message)"
    insert(tx.db, into, rows)


def add_openers(tx: Transaction, openers: Mapping[str, tuple[str, int]]) -> None:
    """Write that OPEN messages are on their way, by their ids: workflow, and first node each stands for."""
    rows = [(id, flow, -first, RELEASED) for id, (flow, first) in openers.items()]
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


def over(tx: Transaction, most: int) -> list[str]:
    """Return workflows whose time is over."""
    return [id for (id,) in tx.db.execute("SELECT id FROM flows WHERE kept <= ? LIMIT ?", (tx.now, most))]


_OPEN: Final = {
    "nodes": f"stage = {WAITING}",
    "joins": "shown AND EXISTS (SELECT 1 FROM tasks WHERE tasks.id = joins.id AND finished IS NULL)",
    "scopes": "0",
}


def drop(tx: Transaction, ids: Iterable[str], most: int = -1) -> tuple[int, list[str]]:
    """Drop at most so many rows of workflows, and of those inside them.

    Return how many, and the nodes and joins whose records are open and will not end.
    """
    there = {*ids}
    of_these, left = listed(there | inside(tx, there)), most
    dropped = tx.db.execute(
        "DELETE FROM members WHERE (join_id, number) IN (SELECT join_id, members.number FROM joins"
        f" CROSS JOIN members ON join_id = id WHERE flow IN {LISTED} LIMIT ?)",
        (of_these, left),
    ).rowcount
    never: list[str] = []
    for table, open in _OPEN.items():
        left = most if most < 0 else most - dropped
        rows = tx.db.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE flow IN {LISTED} LIMIT ?)"
            f" RETURNING id, {open}",
            (of_these, left),
        ).fetchall()
        dropped += len(rows)
        never += [id for id, open in rows if open]
    if most < 0 or dropped < most:
        tx.db.execute(f"DELETE FROM flows WHERE id IN {LISTED}", (of_these,))
    return dropped, never


def columns(into: Place | None) -> tuple[Value, Value]:
    """Return a place as two columns."""
    return (None, None) if into is None else (into.join, into.number)


def place(join: str | None, number: int) -> Place | None:
    """Return the place of two columns."""
    return None if join is None else Place(join, number)


def _step(row: tuple[Any, ...]) -> Step:
    id, flow, stage, join, number, scope = row
    return Step(id, flow, stage, place(join, number), scope)

"""Scopes: every statement that touches scopes, and what a closed or cancelled one keeps from going on.

What is around a workflow that runs in place of a node is the scope of that node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.flows import ALIVE, THESE, candidates, columns, place
from aioqueue.adapters.sqlite.rows import Value, insert, listed
from aioqueue.protocols.flow import Range, Scope

_ABOVE: Final = "coalesce(around, (SELECT nodes.scope FROM nodes WHERE nodes.id = scopes.task))"
_SCOPE: Final = """id, flow, fails, then_first, then_count, into_join, into_number, around, task, first,
  hangs, closed, cancelled, error"""


@dataclass(slots=True)
class Fence:
    """A scope as it stands. above: the one around it, in whichever workflow.

    closed, cancelled: when it was; Unix seconds. error: it was closed with, for who is told, or takes it.
    """

    scope: Scope
    flow: str
    above: str | None = None
    closed: float | None = None
    cancelled: float | None = None
    error: bytes | None = None


class Bar(NamedTuple):
    """When a scope around a task was closed, and when a whole around it was cancelled; Unix seconds."""

    closed: float | None
    cancelled: float | None

    def since(self, *, running: bool) -> float | None:
        """Return from when on a record that is not final reads CANCELLED.

        One that runs is cancelled with a whole alone: a failure elsewhere lets it run on.
        """
        return self.cancelled if running else self.closed


def load(tx: Transaction, ids: Iterable[str]) -> dict[str, Fence]:
    """Return scopes with all around them."""
    found = tx.db.execute(
        f"WITH RECURSIVE up (id) AS (SELECT value FROM json_each(?) UNION SELECT {_ABOVE}"
        " FROM up CROSS JOIN scopes ON scopes.id = up.id WHERE around IS NOT NULL OR task IS NOT NULL)"
        f" SELECT {_SCOPE}, {_ABOVE} FROM scopes WHERE id IN (SELECT id FROM up)",
        (listed(ids),),
    )
    return {row[0]: _fence(row) for row in found}


def save(tx: Transaction, changed: Iterable[Fence], *, new: bool = False) -> None:
    """Write scopes; *new* ones leave those that are there alone."""
    rows: list[tuple[Value, ...]] = []
    for fence in changed:
        scope = fence.scope
        rows.append(
            (
                scope.id,
                fence.flow,
                scope.fails,
                scope.then.first,
                scope.then.count,
                *columns(scope.into),
                scope.around,
                scope.task,
                scope.first,
                scope.hangs,
                fence.closed,
                fence.cancelled,
                fence.error,
            )
        )
    insert(tx.db, f"INSERT OR {'IGNORE' if new else 'REPLACE'} INTO scopes ({_SCOPE})", rows)


def any_cancelled(tx: Transaction) -> bool:
    """Tell whether any whole that is still kept was cancelled: mostly none, and then no task has to ask."""
    row = tx.db.execute("SELECT EXISTS (SELECT 1 FROM scopes WHERE cancelled IS NOT NULL)").fetchone()
    return bool(row[0])


def fault(tx: Transaction, id: str) -> bytes | None:
    """Return the error with which a scope was closed that releases nodes."""
    row = tx.db.execute(
        f"SELECT error FROM scopes WHERE id = :id AND {ALIVE.format('scopes')}", {"id": id, "now": tx.now}
    ).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


_BARRED: Final = f"""WITH RECURSIVE up (id, scope) AS (
    SELECT id, scope FROM nodes WHERE id IN {THESE} AND scope IS NOT NULL AND {ALIVE.format("nodes")}
    UNION ALL
    SELECT id, scope FROM joins WHERE id IN {THESE} AND scope IS NOT NULL AND {ALIVE.format("joins")}
    UNION ALL
    SELECT up.id, {_ABOVE} FROM up CROSS JOIN scopes ON scopes.id = up.scope
      WHERE around IS NOT NULL OR task IS NOT NULL
  )
  SELECT up.id, min(closed), min(cancelled) FROM up CROSS JOIN scopes ON scopes.id = up.scope
    WHERE closed IS NOT NULL OR cancelled IS NOT NULL GROUP BY up.id"""


def barred(tx: Transaction, ids: Iterable[str]) -> dict[str, Bar]:
    """Return nodes and joins, of *ids*, that stand in a closed scope, or in a whole that was cancelled."""
    possible = candidates(ids)
    if not possible:
        return {}
    found = tx.db.execute(_BARRED, {"ids": listed(possible), "now": tx.now})
    return {id: Bar(closed, cancelled) for id, closed, cancelled in found}


def _fence(row: tuple[Any, ...]) -> Fence:
    (
        id,
        flow,
        fails,
        first,
        count,
        join,
        number,
        around,
        task,
        begins,
        hangs,
        closed,
        cancelled,
        error,
        above,
    ) = row
    scope = Scope(id, fails, Range(first, count), place(join, number), around, task, begins, hangs)
    return Fence(scope, flow, above, closed, cancelled, None if error is None else bytes(error))

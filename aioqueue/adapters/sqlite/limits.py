"""Limits: whose turn it is to start, and who has a slot.

A slot is a row that names a receipt, and counts as long as its message is held under that. So whatever
ends a task frees its slot by it; who is parked is woken in the same transaction where the consumer knows of
the slot, and by upkeep where it has died.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from aioqueue.adapters.sqlite import messages, records
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.messages import Receipt
from aioqueue.adapters.sqlite.rows import insert
from aioqueue.models.rate import next_turn
from aioqueue.protocols.limits import EARLY, LATE, PARKED, Limits
from aioqueue.protocols.messages import Delivery

_SLOT, _PARKED, _TURN, _FREED = 0, 1, 2, 3
_SWEPT: Final = 1_000
_HELD: Final = (
    "EXISTS (SELECT 1 FROM messages WHERE messages.seq = limited.seq AND messages.taken = limited.taken"
    " AND +messages.state = 2)"
)


class Slots:
    """Which of what a consumer holds has a slot, and of which scope."""

    def __init__(self) -> None:
        self._scopes: dict[Receipt, str] = {}

    def took(self, asks: Sequence[tuple[Delivery, Limits]], answers: Sequence[bool]) -> None:
        """Remember who was admitted."""
        for (delivery, limits), admitted in zip(asks, answers, strict=True):
            receipt = messages.receipt_of(delivery)
            if admitted and receipt is not None and limits.running is not None:
                self._scopes[receipt] = limits.scope

    def of(self, deliveries: Iterable[Delivery]) -> list[str]:
        """Return the scopes of those that have a slot, each as often."""
        if not self._scopes:
            return []
        receipts = (messages.receipt_of(delivery) for delivery in deliveries)
        scopes = (None if receipt is None else self._scopes.get(receipt) for receipt in receipts)
        return [scope for scope in scopes if scope is not None]

    def left(self, deliveries: Iterable[Delivery]) -> None:
        """Forget these."""
        for delivery in deliveries if self._scopes else ():
            receipt = messages.receipt_of(delivery)
            if receipt is not None:
                self._scopes.pop(receipt, None)


def ask(tx: Transaction, asks: Sequence[tuple[Delivery, Limits]]) -> list[float | None]:
    """Tell of each delivery, which is held, None where it may start now, else until when it is put off."""
    moments: list[float | None] = []
    for delivery, limits in asks:
        receipt = messages.receipt_of(delivery)
        until = None if receipt is None else _ask(tx, receipt, limits)
        if receipt is not None and until is not None:
            messages.put_off(tx, receipt.seq, until)
        moments.append(until)
    return moments


def wake(tx: Transaction, scopes: Iterable[str]) -> None:
    """Forget the slots of *scopes* that were left, and make a parked message ready for each."""
    for scope, left in Counter(scopes).items():
        tx.db.execute(f"DELETE FROM limited WHERE scope = ? AND kind = {_SLOT} AND NOT {_HELD}", (scope,))
        _wake(tx, scope, left)


def sweep(tx: Transaction) -> int:
    """Wake whoever could start, and forget what is over; return how much, of each at most so much."""
    dropped = tx.db.execute(f"DELETE FROM limited WHERE kind = {_SLOT} AND NOT {_HELD}").rowcount
    for kind, before in ((_PARKED, tx.now), (_TURN, tx.now - LATE), (_FREED, tx.now - LATE)):
        dropped += tx.db.execute(
            "DELETE FROM limited WHERE seq IN"
            " (SELECT seq FROM limited WHERE kind = ? AND at < ? ORDER BY at LIMIT ?)",
            (kind, before, _SWEPT),
        ).rowcount
    left = _SWEPT
    for scope in _scopes(tx):
        left -= _wake(tx, scope, left)
        if left <= 0:
            break
    tx.db.execute("DELETE FROM rates WHERE mark <= ?", (tx.now,))
    return dropped


def _scopes(tx: Transaction) -> list[str]:
    """Return the scopes of which anything is parked: one look into the index each, however much that is."""
    found: list[str] = []
    look = f"SELECT min(scope) FROM limited WHERE kind = {_PARKED} AND scope > ?"
    while (scope := tx.db.execute(look, (found[-1] if found else "",)).fetchone()[0]) is not None:
        found.append(scope)
    return found


def _ask(tx: Transaction, receipt: Receipt, limits: Limits) -> float | None:
    """Return None where a message may start, else until when it is to be put off. It may ask again."""
    row = tx.db.execute("SELECT kind, taken, at, scope FROM limited WHERE seq = ?", (receipt.seq,)).fetchone()
    kind, taken, turn, scope = row or (None, 0, 0.0, "")
    if kind == _SLOT and taken == receipt.taken:
        return None
    if limits.running is not None and _running(tx, limits.scope) >= limits.running:
        _write(tx, receipt, limits, _PARKED, tx.now + PARKED)
        return tx.now + PARKED
    if kind != _TURN or scope != limits.paced or tx.now - turn > LATE:
        turn = _next(tx, limits)
    if turn - tx.now > EARLY:
        _write(tx, receipt, limits, _TURN, turn)
        return min(turn, tx.now + PARKED)
    if limits.running is not None:
        _write(tx, receipt, limits, _SLOT, tx.now)
    elif row is not None:
        tx.db.execute("DELETE FROM limited WHERE seq = ?", (receipt.seq,))
    return None


def _next(tx: Transaction, limits: Limits) -> float:
    scope, rates = limits.scope, limits.rates
    if not rates:
        return tx.now
    freed = tx.db.execute(
        "DELETE FROM limited WHERE seq = (SELECT seq FROM limited WHERE scope = ? AND kind = ? AND at >= ?"
        " ORDER BY at LIMIT 1) RETURNING at",
        (limits.paced, _FREED, tx.now - LATE),
    ).fetchall()
    if freed:
        return float(freed[0][0])
    marks: dict[str, float] = dict(
        tx.db.execute("SELECT name, mark FROM rates WHERE scope = ?", (scope,)).fetchall()
    )
    turn = next_turn(rates, marks, tx.now)
    insert(
        tx.db,
        "INSERT OR REPLACE INTO rates (scope, name, mark)",
        [(scope, rate.name, marks[rate.name]) for rate in rates],
    )
    return turn


def _write(tx: Transaction, receipt: Receipt, limits: Limits, kind: int, at: float) -> None:
    tx.db.execute(
        "INSERT OR REPLACE INTO limited (seq, scope, kind, taken, at, most) VALUES (?, ?, ?, ?, ?, ?)",
        (
            receipt.seq,
            limits.paced if kind == _TURN else limits.scope,
            kind,
            receipt.taken,
            at,
            limits.running,
        ),
    )


def _running(tx: Transaction, scope: str) -> int:
    row = tx.db.execute(
        f"SELECT count(*) FROM limited WHERE scope = ? AND kind = {_SLOT} AND {_HELD}", (scope,)
    ).fetchone()
    return int(row[0])


def _wake(tx: Transaction, scope: str, most: int) -> int:
    """Make at most *most* ready that are parked, as there are slots; return how many."""
    woken = 0
    parked = (
        f"SELECT seq, at, most FROM limited WHERE scope = ? AND kind = {_PARKED} ORDER BY at, seq LIMIT 1"
    )
    while woken < most and (first := tx.db.execute(parked, (scope,)).fetchone()) is not None:
        seq, until, slots = first
        if _running(tx, scope) >= slots:
            break
        tx.db.execute("DELETE FROM limited WHERE seq = ?", (seq,))
        if messages.make_ready(tx, seq, until):
            records.is_due(tx, seq)
            woken += 1
    return woken

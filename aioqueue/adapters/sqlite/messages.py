"""Messages: every statement that touches what waits and what is held.

A message is delayed until its moment has come, then ready until it is handed out, then held
until it is settled or given back. Delayed ones become ready when somebody asks for messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.rows import LISTED, Value, insert, listed
from aioqueue.protocols.messages import SUSPECT, Delivery, Message, When


class Receipt(NamedTuple):
    """Which handing out of which message: seq, and how often it had been handed out."""

    seq: int
    taken: int


Key = tuple[str, int, int]

PROMOTED: Final = 500
"""Most delayed messages of a queue that one receive makes ready."""

_GROUPED: Final = 100
_ABOVE: Final = 10
"""Above all priorities."""
_READY: Final = f"iif(losses >= {SUSPECT}, 3, 1)"
_ADD: Final = """INSERT INTO messages
  (id, attempt, hop, queue, priority, state, due, losses, name, tracked, eta, delay, sent, body)"""
_BURY: Final = "INSERT INTO dead (id, name, queue, priority, attempt, reason, at, body)"
_HANDED: Final = """seq, taken, losses, first_seen,
  id, name, queue, body, attempt, hop, priority, eta, delay, tracked, sent"""


def publish(tx: Transaction, messages: Sequence[Message]) -> list[bool]:
    """Add messages; False for each copy of one that waits or is held."""
    there = copies(tx, messages)
    added: list[bool] = []
    for message in messages:
        key = key_of(message)
        added.append(key not in there)
        there.add(key)
    add(tx, [(message, 0) for message, new in zip(messages, added, strict=True) if new])
    return added


def add(tx: Transaction, messages: Sequence[tuple[Message, int]]) -> None:
    """Add messages that are known to be no copies, each with its losses."""
    rows: list[tuple[Value, ...]] = []
    for message, losses in messages:
        due = message.due(tx.now)
        rows.append(
            (
                message.id,
                message.attempt,
                message.hop,
                message.queue,
                message.priority,
                0 if due > tx.now else 1 if losses < SUSPECT else 3,
                due,
                losses,
                message.name,
                int(message.tracked),
                message.eta,
                message.delay,
                message.sent,
                message.body,
            )
        )
        tx.news.queues.add(message.queue)
    insert(tx.db, _ADD, rows)


def key_of(message: Message) -> Key:
    """Return what names a message."""
    return message.id, message.attempt, message.hop


def receipt_of(delivery: Delivery) -> Receipt | None:
    """Return the receipt of a delivery of ours; None for another store's."""
    return delivery.receipt if isinstance(delivery.receipt, Receipt) else None


def copies(tx: Transaction, messages: Iterable[Message]) -> set[Key]:
    """Return the keys of all messages there are with these ids."""
    ids = listed({message.id for message in messages})
    return set(tx.db.execute(f"SELECT id, attempt, hop FROM messages WHERE id IN {LISTED}", (ids,)))


def promote(tx: Transaction, queues: Sequence[str]) -> None:
    """Make ready what is due."""
    for queue in queues:
        tx.db.execute(
            f"UPDATE messages SET state = {_READY} WHERE seq IN (SELECT seq FROM messages"
            " WHERE state = 0 AND queue = ? AND due <= ? ORDER BY due LIMIT ?)",
            (queue, tx.now, PROMOTED),
        )


def claim(
    tx: Transaction, queues: Sequence[str], owner: str, limit: int, *, lane: int, suspects: int
) -> list[Delivery]:
    """Hand the next *limit* ready messages of a priority to *owner*, the oldest first.

    suspects: how many of them may be suspects.
    """
    walks = [value for queue in queues for value in (queue, lane, limit)]
    suspected = [value for queue in queues for value in (queue, lane, suspects)]
    taken = tx.db.execute(_claim(len(queues)), [owner, *walks, *suspected, suspects, limit]).fetchall()
    deliveries = [_delivery(row, tx.now) for row in taken]
    # RETURNING promises no order.
    deliveries.sort(key=_seq)
    return deliveries


def waiting(tx: Transaction, queues: Sequence[str], *, suspects: bool) -> list[int]:
    """Return the priorities in which messages of *queues* are ready, from the highest; also *suspects*."""
    found: set[int] = set()
    for queue in queues:
        for state in (1, 3) if suspects else (1,):
            # from one priority to the next: one look into the index each, however many messages there are
            lane = _first(tx, queue, state, _ABOVE)
            while lane is not None:
                found.add(lane)
                lane = _first(tx, queue, state, lane)
    return sorted(found, reverse=True)


def _first(tx: Transaction, queue: str, state: int, below: int) -> int | None:
    row = tx.db.execute(
        f"SELECT priority FROM messages WHERE state = {state} AND queue = ? AND priority < ?"
        " ORDER BY priority DESC LIMIT 1",
        (queue, below),
    ).fetchone()
    return None if row is None else int(row[0])


def _delivery(row: tuple[Any, ...], now: float) -> Delivery:
    seq, taken, losses, first_seen, id, name, queue, body, attempt, hop, *rest = row
    priority, eta, delay, tracked, sent = rest
    return Delivery(
        message=Message(
            id, name, queue, body, attempt, hop, priority, eta, delay, tracked=bool(tracked), sent=sent
        ),
        receipt=Receipt(seq, taken),
        at=now,
        first_seen=first_seen,
        losses=losses,
    )


def _seq(delivery: Delivery) -> int:
    receipt = receipt_of(delivery)
    return 0 if receipt is None else receipt.seq


@lru_cache(maxsize=64)
def _claim(queues: int) -> str:
    # One ordered walk a queue: over several at once SQLite would sort all that is ready.
    walk = (
        "SELECT * FROM (SELECT seq FROM messages WHERE state = {} AND queue = ? AND priority = ?"
        " ORDER BY seq LIMIT ?)"
    )
    innocent = _union([walk.format(1)] * queues)
    suspected = _union([walk.format(3)] * queues)
    return (
        "UPDATE messages SET state = 2, owner = ?, taken = taken + 1 WHERE seq IN (SELECT seq FROM ("
        f"{innocent} UNION ALL"
        f" SELECT * FROM (SELECT * FROM ({suspected}) ORDER BY seq LIMIT ?)"
        f") ORDER BY seq LIMIT ?) RETURNING {_HANDED}"
    )


def _union(walks: list[str]) -> str:
    # SQLite takes at most 500 terms a compound; a group with a LIMIT stays a compound of its own.
    groups = [" UNION ALL ".join(walks[i : i + _GROUPED]) for i in range(0, len(walks), _GROUPED)]
    if len(groups) == 1:
        return groups[0]
    return _union([f"SELECT * FROM ({group} LIMIT -1)" for group in groups])


def pause(tx: Transaction, queue: str, *, on: bool) -> bool:
    """Pause a queue, or resume it; False if it was so before."""
    if (queue in paused(tx)) is on:
        return False
    write = "INSERT INTO paused (queue) VALUES (?)" if on else "DELETE FROM paused WHERE queue = ?"
    tx.db.execute(write, (queue,))
    tx.news.queues.add(queue)
    return True


def paused(tx: Transaction) -> set[str]:
    """Return the queues that are paused."""
    return {queue for (queue,) in tx.db.execute("SELECT queue FROM paused")}


def next_due(tx: Transaction, queues: Sequence[str]) -> float | None:
    """Return the moment the next delayed message of *queues* is due."""
    moments = [
        tx.db.execute("SELECT min(due) FROM messages WHERE state = 0 AND queue = ?", (queue,)).fetchone()[0]
        for queue in queues
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def count_held(tx: Transaction, owner: str) -> tuple[int, int]:
    """Return how many messages *owner* holds, and how many of them are suspects."""
    row = tx.db.execute(
        f"SELECT count(*), count(iif(losses >= {SUSPECT}, 1, NULL)) FROM messages"
        " WHERE state = 2 AND owner = ?",
        (owner,),
    ).fetchone()
    return int(row[0]), int(row[1])


def held(tx: Transaction, owner: str, deliveries: Iterable[Delivery]) -> dict[Receipt, int]:
    """Return the receipts of *deliveries* under which *owner* still holds them, with their losses."""
    receipts: set[Receipt] = {r for r in map(receipt_of, deliveries) if r is not None}
    seqs = listed(seq for seq, _ in receipts)
    found = tx.db.execute(
        f"SELECT seq, taken, losses FROM messages WHERE seq IN {LISTED} AND +state = 2 AND +owner = ?",
        (seqs, owner),
    )
    return {Receipt(seq, taken): losses for seq, taken, losses in found if (seq, taken) in receipts}


def all_held(tx: Transaction, owner: str) -> dict[int, str]:
    """Return seq and task id of all that *owner* holds."""
    return dict(tx.db.execute("SELECT seq, id FROM messages WHERE state = 2 AND owner = ?", (owner,)))


def delete(tx: Transaction, seqs: Iterable[int]) -> None:
    """Forget messages."""
    tx.db.execute(f"DELETE FROM messages WHERE seq IN {LISTED}", (listed(seqs),))


def withdraw(tx: Transaction, ids: Iterable[str]) -> None:
    """Forget messages of tasks, but for those that are held."""
    gone = tx.db.execute(
        f"DELETE FROM messages WHERE id IN {LISTED} AND +state <> 2 RETURNING seq", (listed(ids),)
    )
    give_up(tx, [seq for (seq,) in gone.fetchall()])


def give_up(tx: Transaction, seqs: Sequence[int]) -> None:
    """Forget that messages which are gone waited for slots; let others have their turns."""
    if seqs:
        gone = listed(seqs)
        tx.db.execute(f"UPDATE limited SET kind = 3 WHERE seq IN {LISTED} AND kind = 2", (gone,))
        tx.db.execute(f"DELETE FROM limited WHERE seq IN {LISTED} AND kind = 1", (gone,))


def reschedule(tx: Transaction, queue: str, id: str, attempt: int, when: When) -> bool:
    """Give the delayed message of *attempt*, or of the next one, another moment; False if there is none."""
    moved = tx.db.execute(
        f"UPDATE messages SET due = :due, state = iif(:due <= :now, {_READY}, 0)"
        " WHERE id = :id AND attempt IN (:attempt, :attempt + 1) AND hop = 0 AND +state = 0 AND due > :now",
        {"due": when.due(tx.now), "now": tx.now, "id": id, "attempt": attempt},
    )
    if moved.rowcount:
        tx.news.queues.add(queue)
    return moved.rowcount > 0


def give_back(tx: Transaction, seqs: Iterable[int], *, delay: float = 0.0) -> None:
    """Put held messages back where they stood, for *delay* s as delayed ones."""
    given = tx.db.execute(
        f"UPDATE messages SET state = iif(:delay > 0, 0, {_READY}), owner = NULL, due = :now + :delay,"
        " first_seen = iif(:delay > 0, coalesce(first_seen, :now), first_seen)"
        f" WHERE seq IN {LISTED.replace('?', ':seqs')} RETURNING queue",
        {"seqs": listed(seqs), "now": tx.now, "delay": delay},
    )
    tx.news.queues.update(queue for (queue,) in given.fetchall())


def put_off(tx: Transaction, seq: int, until: float) -> None:
    """Put a held message back until a moment, as if it had been sent with that."""
    put = tx.db.execute(
        "UPDATE messages SET state = 0, owner = NULL, due = ? WHERE seq = ? RETURNING queue", (until, seq)
    )
    tx.news.queues.update(queue for (queue,) in put.fetchall())


def make_ready(tx: Transaction, seq: int, due: float) -> bool:
    """Make ready now what is put off until *due*; False if it is not, or is not there any more."""
    made = tx.db.execute(
        f"UPDATE messages SET state = {_READY}, due = :now"
        " WHERE seq = :seq AND +state = 0 AND due = :due AND due > :now RETURNING queue",
        {"seq": seq, "due": due, "now": tx.now},
    ).fetchall()
    tx.news.queues.update(queue for (queue,) in made)
    return bool(made)


def lose(tx: Transaction, seqs: Iterable[int]) -> None:
    """Put messages back whose holders died, each a loss."""
    ids = listed(seqs)
    tx.db.execute(f"UPDATE messages SET losses = losses + 1 WHERE seq IN {LISTED}", (ids,))
    give_back(tx, seqs)


def bury(tx: Transaction, letters: Sequence[tuple[Message, str]]) -> None:
    """Write dead letters, each with its reason."""
    rows = [(m.id, m.name, m.queue, m.priority, m.attempt, reason, tx.now, m.body) for m, reason in letters]
    insert(tx.db, _BURY, rows)


def size(tx: Transaction, queue: str) -> int:
    """Return how many messages *queue* holds: those that wait, the delayed ones and the held ones."""
    # one count a state: each is a walk along an index, and no row is looked at
    states = (0, 1, 2, 3)
    counted = "SELECT count(*) FROM messages WHERE state = {} AND queue = :queue"
    terms = " + ".join(f"({counted.format(state)})" for state in states)
    return int(tx.db.execute(f"SELECT {terms}", {"queue": queue}).fetchone()[0])


def counts(tx: Transaction) -> Mapping[str, list[int]]:
    """Return ready, delayed, held and dead for every queue that has any."""
    total: dict[str, list[int]] = {}
    queries = (
        (0, "SELECT queue, count(*) FROM messages WHERE state = 1 GROUP BY queue", ()),
        (0, "SELECT queue, count(*) FROM messages WHERE state = 3 GROUP BY queue", ()),
        (0, "SELECT queue, count(*) FROM messages WHERE state = 0 AND due <= ? GROUP BY queue", (tx.now,)),
        (1, "SELECT queue, count(*) FROM messages WHERE state = 0 AND due > ? GROUP BY queue", (tx.now,)),
        (2, "SELECT queue, count(*) FROM messages WHERE state = 2 GROUP BY queue", ()),
        (3, "SELECT queue, count(*) FROM dead GROUP BY queue", ()),
    )
    for place, query, arguments in queries:
        for queue, count in tx.db.execute(query, arguments):
            total.setdefault(queue, [0, 0, 0, 0])[place] += count
    return total

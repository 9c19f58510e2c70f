"""Plan: keeps workflows, page by page, before any of it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aioqueue.adapters.sqlite import flows, joins, records, scopes
from aioqueue.adapters.sqlite.database import Transaction
from aioqueue.adapters.sqlite.flows import Flow
from aioqueue.adapters.sqlite.joins import Filling
from aioqueue.adapters.sqlite.records import Entry
from aioqueue.adapters.sqlite.scopes import Fence
from aioqueue.protocols.flow import Node, Page, Scope
from aioqueue.protocols.messages import OPEN_TTL, Record

_DROPPED: Final = 1_000


def plan(tx: Transaction, page: Page) -> list[str]:
    """Keep some of a workflow; what is kept already stays as it is. Return what is a task of its own."""
    homes = _homes(tx, page)
    workflow = flows.parts(page.first)[0] if page.first is not None else ""
    if page.first is not None and flows.is_other(tx, workflow, page.digest):
        return [page.first]
    names = [node.message.id for node in page.nodes]
    shown = [join.id for join in page.joins if join.shown]
    there = flows.steps(tx, names)
    entries = records.load(tx, [*names, *shown])
    fresh: list[Entry] = []
    new: list[Node] = []
    foreign: list[str] = []
    for node in page.nodes:
        message, entry = node.message, entries.get(node.message.id)
        until = message.due(tx.now) + OPEN_TTL
        home = homes[flows.parts(message.id)[0]]
        home.kept = max(home.kept, until)
        if message.id in there:
            continue
        if entry is not None and (not entry.state.final or entry.visible(tx.now)):
            foreign.append(message.id)
            continue
        new.append(node)
        record = Record(message.id, message.name, message.queue, sent=message.sent or tx.now)
        fresh.append(records.opened(record, until=until))
    for id in shown:
        if id not in entries:
            fresh.append(records.opened(Record(id, "group", ""), until=homes[flows.parts(id)[0]].kept))
    flows.add_steps(tx, new)
    joins.save(tx, [Filling(join, flows.parts(join.id)[0]) for join in page.joins], new=True)
    scopes.save(tx, [Fence(scope, flows.parts(scope.id)[0]) for scope in page.scopes], new=True)
    flows.keep(tx, {home.id: home for home in homes.values()}.values())
    if page.digest:
        flows.mark(tx, workflow, page.digest, page.keeper)
    records.save(tx, fresh)
    return foreign


def retract(tx: Transaction, workflow: str, keeper: str) -> None:
    """Take back what a keeper has kept; what is much of what the last one leaves goes with upkeep."""
    if flows.retract(tx, workflow, keeper):
        flows.discard(tx, workflow)
        never = flows.drop(tx, [workflow], _DROPPED)[1]
        records.remove(tx, never)
        tx.news.ended.update(never)


def _homes(tx: Transaction, page: Page) -> dict[str, Flow]:
    """Return the homes of workflows that are there, or begin; what is left of one whose time is over goes."""
    ids = [*(n.message.id for n in page.nodes), *(j.id for j in page.joins), *(s.id for s in page.scopes)]
    workflows = {flows.parts(id)[0] for id in ids}
    homes = flows.homes(tx, workflows)
    past = {home.id for home in homes.values() if home.kept <= tx.now}
    if past:
        records.remove(tx, flows.drop(tx, past)[1])
    found = {id: home for id, home in homes.items() if home.id not in past}
    found |= _instead(tx, (scope for scope in page.scopes if scope.task is not None), found)
    return {id: found[id] if id in found else Flow(id, tx.now + OPEN_TTL) for id in workflows}


def _instead(tx: Transaction, roots: Iterable[Scope], homes: dict[str, Flow]) -> dict[str, Flow]:
    """Write in whose place workflows run; return the homes of those that run inside another."""
    found: dict[str, Flow] = {}
    for root in roots:
        id, task = flows.parts(root.id)[0], root.task or ""
        if id in homes and homes[id].id != id:
            continue
        step = flows.steps(tx, [task]).get(task)
        home = None if step is None else flows.homes(tx, [step.flow])[step.flow]
        flows.settle(tx, id, task=task, home=None if home is None else home.id)
        if home is not None:
            found[id] = home
    return found

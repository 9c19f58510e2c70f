"""A model of a store that runs a plan: the rules of workflows, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aioqueue.canvas import Plan
from aioqueue.protocols.flow import Join, Node, Place, Range


@dataclass
class Model:
    """A store that runs a plan, node by node in any order; *failing* are numbers of nodes that fail."""

    plan: Plan
    failing: frozenset[int]
    order: random.Random
    records: dict[str, Any] = field(default_factory=dict[str, Any])
    values: dict[str, dict[int, Any]] = field(default_factory=dict[str, dict[int, Any]])
    freed: set[str] = field(default_factory=set[str])
    closed: set[str] = field(default_factory=set[str])
    ran: Counter[str] = field(default_factory=Counter[str])

    def begin(self) -> None:
        """Open the plan."""
        self.joins = {join.id: join for join in self.plan.joins}
        self.scopes = {scope.id: scope for scope in self.plan.scopes}
        self.ready: list[Node] = []
        for id in self.plan.full:
            self.fill(self.joins[id])
        self.release(self.plan.start)

    def run(self) -> None:
        """Run all of it."""
        self.begin()
        while self.ready:
            self.attempt(self.ready.pop(self.order.randrange(len(self.ready))))

    def attempt(self, node: Node) -> None:
        if self.is_closed(node.scope):
            return
        id = node.message.id
        self.ran[id] += 1
        taken, source = None, node.message.body.decode()
        if source.startswith("error:"):
            taken = self.records[self.scopes[source.removeprefix("error:")].fails or ""]
            assert isinstance(taken, Exception)
        elif source:
            assert source not in self.freed
            taken = self.value(self.joins[source])
        if int(id.rpartition(".")[2]) in self.failing:
            self.records[id] = ValueError(id)
            self.close(node.scope, self.records[id])
        else:
            self.records[id] = self.made(node, taken)
            self.put(node.into, self.records[id])

    def made(self, node: Node, taken: Any) -> Any:
        """Return what a node that goes well comes to."""
        return node.message.name, taken

    def put(self, place: Place | None, value: Any) -> None:
        if place is None or self.is_closed(self.joins[place.join].scope):
            return
        join = self.joins[place.join]
        held = self.values.setdefault(join.id, {})
        assert place.number not in held
        held[place.number] = value
        if len(held) >= join.size:
            self.fill(join)

    def fill(self, join: Join) -> None:
        if join.shown:
            self.records[join.id] = self.value(join)
        if join.frees is not None:
            self.freed.add(join.frees)
        self.release(join.then)
        self.put(join.into, self.value(join))

    def close(self, id: str | None, error: Exception) -> None:
        if id is None or id in self.closed:
            return
        scope = self.scopes[id]
        assert scope.fails is not None
        self.closed.add(id)
        self.records[scope.fails] = error
        self.release(scope.then)
        if scope.into is not None:
            self.put(scope.into, error)
        else:
            self.close(scope.around, error)

    def is_closed(self, id: str | None) -> bool:
        while id is not None:
            if id in self.closed:
                return True
            id = self.scopes[id].around
        return False

    def value(self, join: Join) -> Any:
        held = self.values.get(join.id, {})
        values = [held[number] for number in range(join.size)]
        return values[0] if join.single else values

    def release(self, nodes: Range) -> None:
        self.ready.extend(self.plan.nodes[nodes.first : nodes.first + nodes.count])

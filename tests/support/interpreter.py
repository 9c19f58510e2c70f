"""A reference interpreter of workflows: what awaiting one may come to, and which of its calls run.

It knows nothing of plans, stores or workers. Which of several failures is the first is open, and so is who
is still stopped by it: hence sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

from tests.support.trees import Call, Tree, made

Outcome = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """outcomes: ("value", JSON) or ("error", label of who failed). sure, maybe: labels of who runs."""

    outcomes: frozenset[Outcome]
    sure: frozenset[str] = frozenset()
    maybe: frozenset[str] = frozenset()

    @property
    def fails(self) -> bool:  # whether it does is never open
        return any(kind == "error" for kind, _ in self.outcomes)

    def then(self, tree: Tree | None, consumed: bool, collects: bool = False) -> Reading:
        if self.fails or tree is None:
            return self
        after = [read(tree, value, consumed, collects) for _, value in self.outcomes]
        outcomes = frozenset(outcome for each in after for outcome in each.outcomes)
        return Reading(outcomes, self.sure | after[0].sure, self.maybe | after[0].maybe)


def read(tree: Tree, taken: str | None = None, consumed: bool = False, collects: bool = False) -> Reading:
    """consumed: somebody takes its value, so a group fails as a whole. collects: errors are values in it."""
    if isinstance(tree, Call):
        return _call(tree, taken)
    consumed = consumed or tree.on_success is not None or tree.on_error is not None
    reading = Reading(frozenset({("value", taken)}))
    if tree.kind == "group":
        reading = _group([read(member, taken, consumed) for member in tree.parts], consumed, collects)
    for at, part in enumerate(() if tree.kind == "group" else tree.parts, 1):
        reading = reading.then(part, consumed or at < len(tree.parts), tree.kind == "collect" and at == 1)
    ended = replace(reading, outcomes=frozenset({("value", None)})) if reading.fails else reading
    told = ended.then(tree.on_error if reading.fails else tree.on_success, consumed=False)
    return replace(told, outcomes=reading.outcomes)


def _call(call: Call, taken: str | None) -> Reading:
    ran = frozenset({call.label})
    if call.does in ("fail", "exhaust"):
        return Reading(frozenset({("error", call.label)}), ran, ran)
    value = None if call.returns else json.dumps(made(call.label, call.does, taken if call.takes else None))
    return Reading(frozenset({("value", value)}), ran, ran).then(call.returns, consumed=True)


def _group(members: list[Reading], consumed: bool, collects: bool) -> Reading:
    maybe, failing = _all(m.maybe for m in members), [m for m in members if m.fails]
    if not failing or collects:
        lists = product(
            *([v if kind == "value" else json.dumps({"error": v}) for kind, v in m.outcomes] for m in members)
        )
        outcomes = frozenset(("value", f"[{', '.join(map(str, values))}]") for values in lists)
        return Reading(outcomes, _all(m.sure for m in members), maybe)
    # of several failures the first one stops the others, and the members beside it
    sure = members if not consumed else failing if len(failing) == 1 else []
    return Reading(
        frozenset(error for m in failing for error in m.outcomes), _all(m.sure for m in sure), maybe
    )


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(label for each in sets for label in each)

"""Workflows made at random, in a store and in a model of one: both release and decide the same."""

from __future__ import annotations

import random
from typing import Any

import pytest

from aioqueue.codec import decode_error, encode_value
from aioqueue.models.signature import Signature
from aioqueue.models.state import State
from aioqueue.models.workflow import Chain, Chord, Group
from aioqueue.protocols.flow import Node
from tests.support.flows import Works
from tests.support.model import Model

pytestmark = pytest.mark.anyio


class Named(Model):
    """A model whose nodes come to their own ids."""

    def made(self, node: Node, taken: Any) -> Any:
        return node.message.id


def some(chance: random.Random, depth: int, least: int = 0) -> tuple[Signature[Any], ...]:
    return tuple(any_call(chance, depth) for _ in range(chance.randint(least, 3)))


def any_call(chance: random.Random, depth: int) -> Signature[Any]:
    """Return a call, or a workflow at most so deep."""
    kind = chance.choice(("call", "group", "chain", "chord")) if depth else "call"
    whole: Signature[Any]
    match kind:
        case "group":
            whole = Group[Any](members=some(chance, depth - 1))
        case "chain":
            whole = Chain[Any](steps=some(chance, depth - 1, least=1))
        case "chord":
            members = Group[Any](members=some(chance, depth - 1))
            callback = any_call(chance, depth - 1)
            whole = Chord[Any](
                group=members, callback=callback, errors=chance.choice(("fail_fast", "collect"))
            )
        case _:
            return Signature(name=chance.choice("abc"), takes=chance.choice((None, "none")))
    on_success, on_error = (some(chance, 0) if chance.random() < 0.3 else () for _ in range(2))
    return whole.options(on_success=on_success, on_error=on_error)


def told_of(value: Any) -> Any:
    """Return a value of the model as it is read from a store."""
    if isinstance(value, Exception):
        return (str(value),)
    return [told_of(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(12))
async def test_store_and_model_agree(works: Works, seed: int) -> None:
    chance = random.Random(seed)
    plan = works.compiled(any_call(chance, 3))
    failing = frozenset(n for n in range(len(plan.nodes)) if seed % 3 and chance.random() < 0.2)
    model = Named(plan, failing, chance)
    model.begin()
    await works.keep(plan)
    await works.open(plan)

    async with works.crew(prefetch=1) as crew:
        while taken := await crew.take_all():
            id = taken[0].message.id
            node = model.ready.pop([node.message.id for node in model.ready].index(id))
            model.attempt(node)
            assert model.ran[id] == 1
            came = model.records[id]
            if isinstance(came, Exception):
                await crew.fail(taken[0], str(came))
            else:
                await crew.end(taken[0], value=encode_value(came))

    assert all(model.is_closed(node.scope) for node in model.ready)
    for node in model.ready:
        (record,) = await works.backend.get([node.message.id])
        assert record is not None
        assert record.state.final
    for id, came in model.records.items():
        (record,) = await works.backend.get([id])
        assert record is not None
        assert record.state is (State.FAILURE if isinstance(came, Exception) else State.SUCCESS)
        if record.error is not None:
            assert decode_error(record.error).message == str(came)
    assert plan.result in model.records
    for join in plan.joins:
        if join.id in model.freed:
            assert await works.value(join.id) is None
        elif join.shown and not isinstance(model.records.get(join.id, ValueError()), Exception):
            assert await works.value(join.id) == told_of(model.records[join.id])

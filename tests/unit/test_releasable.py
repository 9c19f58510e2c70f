"""What a call releases when it has ended is looked at when it is sent, however deep it lies."""

from __future__ import annotations

from typing import Any

import pytest

from aioqueue import Chain, Chord, Group, Server, Signature
from aioqueue.errors import SignatureError

pytestmark = pytest.mark.anyio

A, B, C = (Signature(name=name) for name in "abc")
WITH_ID = Group(members=(A,)).options(on_success=B.options(id="k"))
LONG = "x" * 124


def deep(levels: int) -> Signature:
    call: Signature = A
    for _ in range(levels):
        call = Group(members=(call,))
    return call


async def send(call: Signature) -> None:
    async with Server("memory://releasable") as server:
        await server.send(call)


@pytest.mark.parametrize(
    "call",
    [
        A.options(on_success=WITH_ID),
        A.options(on_error=WITH_ID),
        A.options(on_success=B.options(on_error=[C, C.options(on_success=WITH_ID)])),
        A.options(on_success=Chain(steps=(B, C.options(on_error=WITH_ID)))),
        Chain(steps=(A, B)).options(on_success=WITH_ID),
        Chain(steps=(A, B.options(on_success=WITH_ID), C)),
        Chord(group=Group(members=(A.options(on_error=WITH_ID),)), callback=B),
        Group(members=(A,)).options(on_error=Chain(steps=(A.options(on_success=WITH_ID),))),
    ],
)
async def test_id_inside_a_workflow_is_refused_at_any_depth(call: Signature) -> None:
    with pytest.raises(SignatureError, match="b: a call that a workflow releases gets its id from it"):
        await send(call)


async def test_workflow_that_is_too_deep_is_refused() -> None:
    with pytest.raises(SignatureError, match="workflows are nested more than 100 deep"):
        await send(A.options(on_success=deep(101)))


async def test_id_that_leaves_no_room_for_a_workflow_is_refused() -> None:
    call = A.options(id=LONG, on_success=Chain(steps=(A, B)))

    with pytest.raises(SignatureError, match="is too long for a workflow"):
        await send(call)


async def test_nothing_is_written_of_what_is_refused() -> None:
    async with Server("memory://releasable") as server:
        with pytest.raises(SignatureError):
            await server.send_many([A.options(id="fine"), B.options(on_success=WITH_ID)])

        (counts,) = await server.stores.broker.stats(["default"])

    assert counts.ready == 0


@pytest.mark.parametrize(
    "call",
    [
        A.options(on_success=B.options(id="k"), on_error=deep(100)),
        A.options(id=LONG, on_success=B),
        Chain(steps=(A, B)).options(on_success=Chain(steps=(C, WITH_ID.options(on_success=B)))),
        Chain(steps=(A,)).options(on_success=[Group(members=()), Chord(group=Group(members=()), callback=B)]),
    ],
)
async def test_what_can_be_released_is_sent(call: Signature) -> None:
    async with Server("memory://releasable") as server:
        result: Any = await server.send(call)

    assert result.id


async def test_a_hundred_callbacks_deep_is_not_too_deep() -> None:
    call = A
    for _ in range(100):
        call = B.options(on_success=Chain(steps=(A, call)) if call is A else call)

    await send(call)

    assert call.on_success

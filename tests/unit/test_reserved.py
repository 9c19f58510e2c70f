"""Names that begin with ``aioqueue.`` are the stores' own: no task has one, and no call."""

from __future__ import annotations

import pytest

from aioqueue import Chain, Chord, Group, Router, Server, Signature
from aioqueue.errors import ConfigurationError, SignatureError
from aioqueue.protocols.flow import OPEN

pytestmark = pytest.mark.anyio

PLAIN, OWN = Signature(name="a"), Signature(name=OPEN)


async def work() -> None: ...


def test_task_cannot_have_a_reserved_name() -> None:
    server = Server("memory://reserved")

    with pytest.raises(
        ConfigurationError, match=r"'aioqueue.open' cannot name a task: aioqueue.\* is reserved"
    ):
        server.register_task(OPEN, work)
    with pytest.raises(ConfigurationError, match="is reserved; give another name="):
        Router(prefix="aioqueue.").task(work)


@pytest.mark.parametrize("name", ["aioqueue", "aioqueues.work", "my.aioqueue.work"])
def test_names_like_it_are_free(name: str) -> None:
    server = Server("memory://reserved")

    assert server.register_task(name, work).name == name


@pytest.mark.parametrize(
    "call",
    [
        OWN,
        PLAIN.options(on_success=OWN),
        PLAIN.options(on_error=Chain(steps=(PLAIN, OWN))),
        Chain(steps=(PLAIN, OWN)),
        Chord(group=Group(members=(PLAIN.options(on_success=OWN),)), callback=PLAIN),
    ],
)
async def test_call_of_a_reserved_name_is_not_sent(call: Signature) -> None:
    async with Server("memory://reserved") as server:
        with pytest.raises(SignatureError, match=r"aioqueue.open: no task has such a name"):
            await server.send(call)

        assert (await server.stores.broker.stats(["default"]))[0].ready == 0

"""Released: a range of a workflow is released again and again, as after crashes; nobody joins twice by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aioqueue import Router, Signature, chain, chord
from aioqueue.protocols.flow import OPEN, PAGE
from tests.chaos.crashes import Pair, World
from tests.support.flows import ended, many, names_of, works_of_two

TIMES = 3


async def released_again(pair: Pair, folder: Path) -> None:
    """A member was cancelled before its turn, and its turn comes several times: its error is put once."""
    world = World(pair, folder, Router())
    server = world.process()
    members: list[Signature[Any]] = [Signature(name=f"n{number}", takes="none") for number in range(PAGE + 2)]
    whole = chain(Signature(name="first"), chord(many(*members), Signature(name="after"), errors="collect"))
    async with server:
        works = works_of_two(server.stores.broker, server.stores.backend, world.clock, "default")
        plan = await works.send(whole)
        async with works.crew() as crew:
            first = (await crew.take())["first"]
            await works.submitter.cancel([works.nodes(plan)[f"n{PAGE}"]], ttl=60)
            await crew.end(first)
            batch = await crew.take_all()
            (opening,) = (delivery for delivery in batch if delivery.message.name == OPEN)
            page = [delivery for delivery in batch if delivery is not opening]
            for _ in range(TIMES):
                await works.backend.release_more(opening.message)
            await crew.end(opening)
            await crew.finisher.finish([ended(delivery) for delivery in page[:-1]])
            following = await crew.take_all()
            assert names_of(following) == [f"n{PAGE + 1}"], "the callback was released before all had joined"
            await crew.finisher.finish([ended(delivery) for delivery in [page[-1], *following]])
            assert await crew.run() == ["after"], "the callback was not released"
            values = await works.value(plan.joins[1].id)
        assert values == [f"n{n}" if n != PAGE else (f"n{n} was cancelled",) for n in range(PAGE + 2)]
    await world.clear_up()

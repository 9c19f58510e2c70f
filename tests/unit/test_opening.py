"""Writing a workflow down: some pages at a time, and opened once all of them are kept."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from aioqueue import Chain, Group, Server, Signature
from aioqueue.canvas import Plan
from aioqueue.errors import BackendUnavailableError, QueueFullError, SignatureError
from aioqueue.opener import Opener
from aioqueue.packing import Packer
from aioqueue.protocols.flow import Opening, Page
from tests.support.waiting import eventually, under_way, within

pytestmark = pytest.mark.anyio

WIDE: Group[Any] = Group(members=[Signature(name="one")] * 1_999)


class Desk:
    """A store whose writing of pages is let go on by a test; it fails from page *fails* on."""

    def __init__(self, *, fails: int | None = None) -> None:
        self.go = asyncio.Event()
        self.fails = fails
        self.writing = self.most = self.begun = self.kept = 0
        self.opened: list[int] = []

    async def plan(self, page: Page) -> list[str]:
        self.begun += 1
        number = self.begun
        self.writing += 1
        self.most = max(self.most, self.writing)
        try:
            if self.fails is not None and number >= self.fails:
                raise BackendUnavailableError("the cable is out")
            await self.go.wait()
            self.kept += 1
            return []
        finally:
            self.writing -= 1

    async def open_workflow(self, opening: Opening) -> bool:
        self.opened.append(self.kept)
        return True

    @property
    def opener(self) -> Opener:
        return Opener(cast(Any, self), cast(Any, self), Packer("default", 1_000_000))

    @property
    def plan_of_ten_pages(self) -> Plan:
        return self.opener.compile(WIDE, id="wide", now=0.0)


class Refusing:
    """A store that refuses the second page. unavailable: it cannot be told to take anything back.

    keepers: who has kept pages. retracted: who has taken them back.
    """

    def __init__(self, refusal: Exception | str, *, unavailable: bool = False) -> None:
        self.keepers: set[str] = set()
        self.retracted: list[tuple[str, str]] = []
        self._refusal = refusal
        self._unavailable = unavailable

    async def plan(self, page: Page) -> list[str]:
        self.keepers.add(page.keeper)
        if page.first != "wide.200":
            return []
        if isinstance(self._refusal, Exception):
            raise self._refusal
        return [self._refusal]

    async def retract(self, workflow: str, keeper: str) -> None:
        if self._unavailable:
            raise BackendUnavailableError("the cable is out")
        self.retracted.append((workflow, keeper))

    async def keep(self, *, chosen: bool = True) -> None:
        """Keep a workflow, under an id that the sender has chosen."""
        opener = Opener(cast(Any, self), cast(Any, self), Packer("default", 1_000_000))
        call = WIDE.options(id="wide") if chosen else WIDE
        await opener.keep(opener.compile(call, id="wide", now=0.0))


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (3, 3), (50, 10)])
async def test_no_more_pages_than_that_are_written_at_a_time(concurrency: int, most: int) -> None:
    desk = Desk()
    plan = desk.plan_of_ten_pages

    sending = asyncio.create_task(desk.opener.start(plan, concurrency=concurrency))
    await eventually(lambda: desk.writing == most)
    desk.go.set()
    await within(sending)

    assert desk.most == most
    assert (desk.kept, desk.opened) == (10, [10])


async def test_four_pages_are_written_at_a_time_where_nobody_says() -> None:
    desk = Desk()

    sending = await under_way(desk.opener.start(desk.plan_of_ten_pages))
    desk.go.set()
    await within(sending)

    assert (desk.most, desk.opened) == (4, [10])


async def test_error_opens_nothing_and_leaves_nobody_writing() -> None:
    desk = Desk(fails=3)
    plan = desk.plan_of_ten_pages

    sending = await under_way(desk.opener.start(plan, concurrency=3))
    assert desk.writing == 2
    desk.go.set()
    with pytest.raises(BackendUnavailableError, match="the cable is out"):
        await within(sending)

    assert (desk.writing, desk.begun, desk.opened) == (0, 3, [])


async def test_sender_that_is_cancelled_leaves_nobody_writing() -> None:
    desk = Desk()

    sending = await under_way(desk.opener.start(desk.plan_of_ten_pages, concurrency=3))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(sending)

    assert (desk.writing, desk.kept, desk.opened) == (0, 0, [])


@pytest.mark.parametrize("refusal", ["wide.201", QueueFullError("full")])
async def test_sender_that_is_refused_takes_back_what_it_has_kept(refusal: Exception | str) -> None:
    store = Refusing(refusal)
    with pytest.raises((SignatureError, QueueFullError)):
        await store.keep()

    assert store.retracted == [("wide", keeper) for keeper in store.keepers]
    assert store.keepers != {""}


async def test_refusal_is_told_though_nothing_can_be_taken_back() -> None:
    with pytest.raises(SignatureError, match="choose another id"):
        await Refusing("wide.201", unavailable=True).keep()


async def test_sender_that_may_send_again_takes_nothing_back() -> None:
    store = Refusing(BackendUnavailableError("the cable is out"))
    with pytest.raises(BackendUnavailableError):
        await store.keep()

    assert store.retracted == []


async def test_nothing_is_taken_back_under_an_id_that_cannot_come_again() -> None:
    store = Refusing("wide.201")
    with pytest.raises(SignatureError):
        await store.keep(chosen=False)

    assert (store.keepers, store.retracted) == ({""}, [])


async def test_fewer_than_one_page_at_a_time_is_refused() -> None:
    call: Chain[Any] = Chain(steps=[Signature(name="one")])
    async with Server("memory://opening") as server:

        @server.task
        async def one() -> int:
            return 1

        sends = [
            server.send(call, concurrency=0),
            Group(members=[one.s()]).send(concurrency=0),
            Chain(steps=[one.s()]).send(concurrency=-1),
        ]
        for send in sends:
            with pytest.raises(SignatureError, match="at least one page is written at a time"):
                await send


async def test_workflow_that_is_written_one_page_at_a_time_is_kept_whole() -> None:
    async with Server("memory://opening") as server:
        result = await server.send(WIDE.options(id="all"), concurrency=1)
        (counts,) = await server.stores.broker.stats(["default"])

        assert (await result.counts()).total == 1_999
    assert counts.ready is not None
    assert counts.ready >= 200

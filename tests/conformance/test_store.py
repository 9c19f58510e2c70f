"""Store: the small map that processes share."""

from __future__ import annotations

import asyncio

import pytest

from aioqueue.ids import new_id
from aioqueue.protocols.store import Store
from tests.support.clocks import MovableClock
from tests.support.stores import Place, store_of
from tests.support.waiting import within

pytestmark = pytest.mark.anyio


@pytest.fixture
def key() -> str:
    """A key no other test uses, below a prefix no other test uses."""
    return f"{new_id()}:key"


async def test_value_is_what_was_put(store: Store, key: str) -> None:
    assert await store.put(key, b"\x00\xff")
    assert await store.get(key) == b"\x00\xff"


async def test_empty_value_is_a_value(store: Store, key: str) -> None:
    await store.put(key, b"")

    assert await store.get(key) == b""
    assert not await store.put(key, b"1", expected=None)
    assert await store.put(key, b"1", expected=b"")


async def test_unknown_key_has_no_value(store: Store, key: str) -> None:
    assert await store.get(key) is None


async def test_put_replaces_whatever_stands_there(store: Store, key: str) -> None:
    await store.put(key, b"1")

    assert await store.put(key, b"2")
    assert await store.get(key) == b"2"


async def test_put_that_expects_no_value_writes_once(store: Store, key: str) -> None:
    first, second = await store.put(key, b"1", expected=None), await store.put(key, b"2", expected=None)

    assert (first, second) == (True, False)
    assert await store.get(key) == b"1"


async def test_put_that_expects_a_value_needs_that_value(store: Store, key: str) -> None:
    nothing = await store.put(key, b"2", expected=b"1")
    await store.put(key, b"1")
    other = await store.put(key, b"2", expected=b"0")
    same = await store.put(key, b"2", expected=b"1")

    assert (nothing, other, same) == (False, False, True)
    assert await store.get(key) == b"2"


async def test_of_many_puts_that_expect_the_same_one_writes(store: Store, key: str) -> None:
    values = [f"{number}".encode() for number in range(20)]

    written = await asyncio.gather(*(store.put(key, value, expected=None) for value in values))

    assert written.count(True) == 1
    assert await store.get(key) == values[written.index(True)]


async def test_value_is_kept_for_its_time(store: Store, key: str, clock: MovableClock) -> None:
    await store.put(key, b"1", ttl=2)

    await clock.advance(1)
    before = await store.get(key)
    await clock.advance(1.1)

    assert before == b"1"
    assert await store.get(key) is None


async def test_value_whose_time_is_over_is_no_value(store: Store, key: str, clock: MovableClock) -> None:
    await store.put(key, b"1", ttl=1)
    await clock.advance(1.1)

    assert await store.list(key) == {}
    assert not await store.delete(key)
    assert not await store.put(key, b"2", expected=b"1")
    assert await store.put(key, b"2", expected=None)


async def test_last_put_says_how_long_a_value_is_kept(store: Store, key: str, clock: MovableClock) -> None:
    await store.put(key, b"1", ttl=1)
    await store.put(key, b"2")
    await clock.advance(1.1)

    assert await store.get(key) == b"2"


async def test_deleted_value_is_gone(store: Store, key: str) -> None:
    await store.put(key, b"1")

    first, second = await store.delete(key), await store.delete(key)

    assert (first, second) == (True, False)
    assert await store.get(key) is None


async def test_list_gives_what_stands_below_a_prefix_in_order(store: Store, key: str) -> None:
    for name in ("c", "a", "b"):
        await store.put(f"{key}:{name}", name.encode())
    await store.put(f"{key[:-1]}z:a", b"no")

    found = await store.list(f"{key}:")

    assert list(found.items()) == [(f"{key}:a", b"a"), (f"{key}:b", b"b"), (f"{key}:c", b"c")]


@pytest.mark.parametrize("letter", ["%", "_", "*", "?", "[a]", "\\", "'"])
async def test_prefix_is_taken_literally(store: Store, key: str, letter: str) -> None:
    await store.put(f"{key}{letter}x", b"yes")
    await store.put(f"{key}ax", b"no")

    assert await store.list(f"{key}{letter}") == {f"{key}{letter}x": b"yes"}


async def test_prefix_keeps_its_case(store: Store, key: str) -> None:
    await store.put(f"{key}A", b"upper")
    await store.put(f"{key}a", b"lower")

    assert await store.list(f"{key}A") == {f"{key}A": b"upper"}


async def test_another_adapter_sees_the_same_values(site: Place, store: Store, key: str) -> None:
    await store.put(key, b"1")

    async with site.opened() as other:
        seen = await store_of(other).get(key)
        written = await store_of(other).put(key, b"2", expected=b"1")

    assert (seen, written) == (b"1", True)
    assert await store.get(key) == b"2"


async def test_who_watches_is_told_of_what_another_adapter_writes(
    site: Place, store: Store, key: str
) -> None:
    event = asyncio.Event()
    async with site.opened() as other:
        with store.watch(key, event):
            for number in range(5):
                event.clear()
                await store_of(other).put(key, b"%d" % number)
                await within(event.wait())
                seen = await store.get(key)

                assert seen == b"%d" % number


async def test_who_watches_is_told_of_what_is_removed(store: Store, key: str) -> None:
    event = asyncio.Event()
    with store.watch(key, event):
        for _ in range(3):
            await store.put(key, b"1")
            event.clear()
            await store.delete(key)
            await within(event.wait())


async def test_several_watch_and_each_until_it_leaves(store: Store, key: str) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    with store.watch(key, first):
        with store.watch(key, second):
            await store.put(key, b"1")
            await within(asyncio.gather(first.wait(), second.wait()))
        second.clear()
        for _ in range(3):
            first.clear()
            await store.put(key, b"2")
            await within(first.wait())

    assert not second.is_set()

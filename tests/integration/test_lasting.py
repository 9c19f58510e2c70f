"""How long a chord whose results are brief leaves anything: until every result is there, and no longer.

On Redis every key is looked at, in the file every row; only what is no workflow's may stay.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from aioqueue import Server, chord, group
from aioqueue.errors import ResultNotFoundError
from aioqueue.testing import VirtualClock
from tests.support.leaks import LASTING
from tests.support.stores import BUILT_IN, Implementation, clock_for, named_pair
from tests.support.waiting import eventually, within

pytestmark = pytest.mark.anyio

ID: Final = "brief"
TTL: Final = 1.0
LASTS: Final = 3.0
GRACE: Final = 2.0
"""Seconds after the time of the last result at which all has gone."""

TABLES: Final = ("flows", "nodes", "joins", "members", "scopes", "messages")
WORKER: Final = re.compile(r"(l:.+|s:.+|store)")
"""Keys of the worker that is there."""

_MEMORY, _SQLITE, _REDIS = BUILT_IN
_OF_TWO: Final = ((_REDIS, _SQLITE), (_SQLITE, _REDIS))
PAIRS: Final = ((_MEMORY, _MEMORY), (_SQLITE, _SQLITE), (_REDIS, _REDIS), *_OF_TWO)


@pytest.mark.parametrize("pair", [pytest.param(pair, id=named_pair(pair)) for pair in PAIRS])
async def test_brief_chord_has_every_result_and_leaves_nothing(
    pair: tuple[Implementation, Implementation], tmp_path: Path
) -> None:
    clock, began = clock_for(*pair), asyncio.Event()
    got: list[list[int]] = []
    urls = [store.url(tmp_path) for store in dict.fromkeys(pair)]
    server = Server(
        urls[0],
        backend=urls[1] if len(urls) > 1 else None,
        clock=clock if isinstance(clock, VirtualClock) else None,
        result_ttl=TTL,
    )

    @server.task
    async def quick(n: int) -> int:
        return n

    @server.task
    async def slow(n: int) -> int:
        began.set()
        await clock.wait(asyncio.Event(), until=clock.time() + LASTS)
        return n

    @server.task
    async def total(values: list[int]) -> None:
        got.append(values)

    async with server, server.worker():
        whole = chord(group([quick.s(1), slow.s(2), quick.s(3)]), total.p())
        result = await server.send(whole.options(id=ID))
        waiting = asyncio.ensure_future(result.get())
        await within(began.wait())
        await clock.advance(LASTS)
        # a machine under load may come too late to read it
        with suppress(ResultNotFoundError):
            await within(waiting)
        await clock.advance(TTL + GRACE)
        await eventually(lambda: is_gone(server))
        for broker in server.stores.upkeep:
            await broker.maintain()
        left = [what for url in urls for what in remains(url, one_store=len(urls) == 1)]

    assert got == [[1, 2, 3]]
    assert left == []


async def is_gone(server: Server) -> bool:
    """Tell whether nothing of the chord is there to be read."""
    backend = server.stores.results().required()
    ids = [f"{ID}.{number}" for number in range(12)]
    records = await backend.get(ids)
    values = [await backend.members(id, 0, 3) for id in ids]
    return await backend.workflow(ID) is None and [*records, *values] == [None] * 24


def remains(url: str, *, one_store: bool) -> list[str]:
    """Return what stands in a store that other processes can look into: rows of a file, keys of a server.

    one_store: else a record without a value stays for a day, for a late copy of its message.
    """
    if url.startswith("sqlite:"):
        tables = (*TABLES, "tasks") if one_store else TABLES
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            counts = {table: file.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
        return [f"{table}: {count}" for table, count in counts.items() if count]
    if not url.startswith("redis:"):
        return []
    prefix = f"aq:{{{parse_qs(urlsplit(url).query)['namespace'][0]}}}:"
    with redis.Redis.from_url(url.partition("?")[0], protocol=2, decode_responses=True) as client:
        names = [str(key).removeprefix(prefix) for key in client.scan_iter(f"{prefix}*", count=1_000)]
    commits = re.compile(r"t:.+") if not one_store else re.compile("(?!)")
    return sorted(
        name for name in names if not any(kind.fullmatch(name) for kind in (LASTING, WORKER, commits))
    )

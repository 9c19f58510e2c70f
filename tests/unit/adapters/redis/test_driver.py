"""Driver: connections do not look up, each for itself, which library they are of."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from aioqueue.adapters.redis.driver import driver
from aioqueue.adapters.redis.link import Links
from aioqueue.adapters.redis.options import parse
from aioqueue.adapters.redis.route import Route

pytestmark = pytest.mark.anyio


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A line for each time the library looks for its version, of which nothing is known yet."""
    seen = list[str]()

    def look() -> str:
        seen.append("looked")
        return "1.2.3"

    monkeypatch.setattr("redis.utils.get_lib_version", look)
    driver.cache_clear()
    yield seen
    driver.cache_clear()


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://localhost", "redis+unix:///tmp/none.sock"])
async def test_version_is_looked_up_once(looked: list[str], url: str) -> None:
    links = Links(Route(parse(url)))

    for _ in range(3):
        await links.link()

    assert looked == ["looked"]


async def test_older_library_is_told_nothing(looked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.driver_info", None)

    assert driver() == {}

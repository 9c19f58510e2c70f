"""Leaks: what a test has left in Redis that would stay for ever.

Keys without a time to live are on a short list: what waits, and what every process shares. All
others must lapse by themselves, whoever dies; and once nothing runs any more, within two days.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from aioqueue.adapters.redis.driver import driver

LASTING: Final = re.compile(r"(q:.+|d:.+|dead|buried|queues|paused|consumers|store|s:.+)")
"""Keys that may stay, without the namespace's prefix."""


TWO_DAYS: Final = 2 * 86_400
"""Seconds that anything is kept of what has ended: results at most a day, and a day to write them seldom."""


def lasting_keys(url: str, *, ended: bool = False) -> list[str]:
    """Return the keys of *url*'s namespace that have no time to live and are not on the list.

    ended: nothing runs or waits any more; also those that are kept as if anything did.
    """
    prefix = f"aq:{{{parse_qs(urlsplit(url).query)['namespace'][0]}}}:"
    with redis.Redis.from_url(url.partition("?")[0], protocol=2, decode_responses=True, **driver()) as client:
        names = [str(key) for key in client.scan_iter(f"{prefix}*", count=1_000)]
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.ttl(name)
        ttls = cast("list[Any]", pipeline.execute())
    return sorted(
        name
        for name, ttl in zip(names, ttls, strict=True)
        if (ttl == -1 or (ended and ttl > TWO_DAYS)) and LASTING.fullmatch(name.removeprefix(prefix)) is None
    )


def check(url: str, *, ended: bool = False) -> None:
    """Fail if a key of *url*'s namespace would stay for ever. ended: as ``lasting_keys``."""
    left = lasting_keys(url, ended=ended)
    if left:
        pytest.fail(f"these keys would stay for {'longer than two days' if ended else 'ever'}: {left}")

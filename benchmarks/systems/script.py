"""No system: one script called by redis-py's client, which writes what a send must write at the least."""

from __future__ import annotations

import os
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.systems import CONCURRENCY, STORE, Sent

_SEND: Final = """
local entry = redis.call('XADD', KEYS[1], '*', 'i', ARGV[1], 'b', ARGV[2])
redis.call('HSET', KEYS[2], 's', 'PENDING', 'e', entry)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
"""
_BODY: Final = b'{"v":1,"n":"noop","a":[1]}'
_OPEN_TTL: Final = 2_592_000_000


class Client:
    """Only sends."""

    async def open(self) -> None:
        client: Any = Redis
        self._redis = client.from_url(STORE, max_connections=2 * CONCURRENCY)
        self._script = self._redis.register_script(_SEND)

    async def close(self) -> None:
        await self._redis.aclose()

    async def send(self, number: int) -> Sent:
        id = os.urandom(16).hex()
        await self._script(keys=["script:{x}:q", f"script:{{x}}:t:{id}"], args=[id, _BODY, _OPEN_TTL])
        return _nothing


async def _nothing() -> int:
    raise NotImplementedError("nobody works here")

"""The limit: the least that can be done for what aioqueue promises of a task, in Python on redis-py.

A task's record is there from its send on; a script hands out and writes STARTED; a script ends what ends
together: fence, result in the record, acknowledgement, deletion, the word to who waits. It has one queue, one
function, and no attempts, delays, workflows or outages: what it is faster by is the price of those.

``python -m benchmarks.systems.limit`` is its worker.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, cast

import hiredis
import orjson
from pydantic import TypeAdapter
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import NoScriptError, ResponseError

from benchmarks import marks
from benchmarks.systems import CONCURRENCY, RESULT_TTL, STORE, TIMEOUT, Sent

_pack: Any = cast(Any, hiredis).pack_command

_PREFIX: Final = "limit:{x}:"
_STREAM: Final = _PREFIX + "queue"
_BLOCK: Final = 1000
_LOOK: Final = 0.0005
_OPEN_TTL: Final = 2_592_000_000

_SEND: Final = """
for i = 3, #ARGV, 2 do
  local entry = redis.call('XADD', KEYS[1], '*', 'i', ARGV[i], 'w', ARGV[1], 'b', ARGV[i + 1])
  local key = 'limit:{x}:t:' .. ARGV[i]
  redis.call('HSET', key, 's', 'PENDING', 'e', entry)
  redis.call('PEXPIRE', key, ARGV[2])
end
"""
_FETCH: Final = """
local found = redis.call('XREADGROUP', 'GROUP', 'w', ARGV[1], 'COUNT', ARGV[2], 'STREAMS', KEYS[1], '>')
local entries = found and found[1][2] or {}
for _, entry in ipairs(entries) do
  redis.call('HSET', 'limit:{x}:t:' .. entry[2][2], 's', 'STARTED', 'a', '1', 'o', ARGV[1], 'e', entry[1])
end
return entries
"""
_BEGIN: Final = """
for i = 2, #ARGV, 2 do
  redis.call('HSET', 'limit:{x}:t:' .. ARGV[i + 1], 's', 'STARTED', 'a', '1', 'o', ARGV[1], 'e', ARGV[i])
end
"""
_FINISH: Final = """
local ended = {}
for i = 3, #ARGV, 4 do
  local entry, key = ARGV[i], 'limit:{x}:t:' .. ARGV[i + 1]
  local record = redis.call('HMGET', key, 's', 'a', 'o', 'e')
  local mine = record[1] == 'STARTED' and record[2] == '1' and record[3] == ARGV[1] and record[4] == entry
  if mine and #redis.call('XPENDING', KEYS[1], 'w', entry, entry, 1, ARGV[1]) == 1 then
    ended[#ended + 1] = entry
    redis.call('HSET', key, 's', 'SUCCESS', 'v', ARGV[i + 2])
    redis.call('PEXPIRE', key, ARGV[2])
    redis.call('PUBLISH', 'limit:{x}:done:' .. ARGV[i + 3], ARGV[i + 1] .. ARGV[i + 2])
  end
end
redis.call('XACK', KEYS[1], 'w', unpack(ended))
redis.call('XDEL', KEYS[1], unpack(ended))
return #ended
"""


async def noop(number: int) -> int:
    marks.ran(number)
    return number


class Wire:
    """One of redis-py's connections, and hiredis' packing; one caller at a time."""

    def __init__(self) -> None:
        pool: Any = ConnectionPool
        self.connection: Any = pool.from_url(STORE, protocol=2).make_connection()

    async def call(self, *command: str | bytes | int) -> Any:
        await self.say(*command)
        return await self.connection.read_response()

    async def say(self, *command: str | bytes | int) -> None:
        await self.connection.send_packed_command([_pack(command)], check_health=False)

    async def script(self, text: str, *args: str | bytes | int) -> Any:
        try:
            return await self.call("EVALSHA", _digest(text), 1, _STREAM, *args)
        except NoScriptError:
            return await self.call("EVAL", text, 1, _STREAM, *args)


class Client:
    """Sends what gathers in one turn of the loop in one script; hears of all results on one channel."""

    def __init__(self) -> None:
        self._name = os.urandom(8).hex()
        self._gathered: list[tuple[str, bytes]] = []
        self._sent: asyncio.Future[None] | None = None
        self._waiting: dict[str, asyncio.Future[int]] = {}

    async def open(self) -> None:
        self._sending, self._hearing, self._reading = Wire(), Wire(), Wire()
        for wire in (self._sending, self._hearing, self._reading):
            await wire.connection.connect()
        await _make_group(self._reading)
        await self._hearing.call("SUBSCRIBE", f"{_PREFIX}done:{self._name}")
        self._turn, self._reads = asyncio.Lock(), asyncio.Lock()
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        self._listener.cancel()
        for wire in (self._sending, self._hearing, self._reading):
            await wire.connection.disconnect()

    async def send(self, number: int) -> Sent:
        id, body = _packed(number)
        told = self._waiting[id] = asyncio.get_running_loop().create_future()
        self._gathered.append((id, body))
        if self._sent is None:
            self._sent = asyncio.ensure_future(self._flush())
        await self._sent
        return partial(asyncio.wait_for, told, TIMEOUT)

    async def send_many(self, numbers: Sequence[int]) -> list[Sent]:
        calls = [_packed(number) for number in numbers]
        await self._submit(calls, "")
        return [partial(self._read, id) for id, _ in calls]

    async def _flush(self) -> None:
        async with self._turn:
            calls, self._gathered, self._sent = self._gathered, [], None
            await self._submit(calls, self._name)

    async def _submit(self, calls: Sequence[tuple[str, bytes]], name: str) -> None:
        await self._sending.script(_SEND, name, _OPEN_TTL, *(part for call in calls for part in call))

    async def _listen(self) -> None:
        while True:
            _, _, said = await self._hearing.connection.read_response()
            self._waiting.pop(said[:32].decode()).set_result(orjson.loads(said[32:]))

    async def _read(self, id: str) -> int:
        state: Any = None
        value: Any = None
        while state != b"SUCCESS":
            async with self._reads:
                state, value = await self._reading.call("HMGET", f"{_PREFIX}t:{id}", "s", "v")
            if state != b"SUCCESS":
                await asyncio.sleep(_LOOK)
        number: int = orjson.loads(value)
        return number


class Worker:
    """Fetches while what was fetched before runs and is ended; as many at once as there are slots."""

    def __init__(self) -> None:
        self._me = os.urandom(8).hex()
        self._validate = TypeAdapter(tuple[int]).validate_python
        self._ended: list[tuple[bytes, bytes, bytes, bytes]] = []
        self._free = CONCURRENCY
        self._some, self._slot = asyncio.Event(), asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        fetching, finishing, bell = Wire(), Wire(), Wire()
        for wire in (fetching, finishing, bell):
            await wire.connection.connect()
        await _make_group(fetching)
        async with asyncio.TaskGroup() as duties:
            duties.create_task(self._fetch(fetching, bell))
            duties.create_task(self._finish(finishing))

    async def _fetch(self, wire: Wire, bell: Wire) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._free:
                self._slot.clear()
                await self._slot.wait()
            entries = await wire.script(_FETCH, self._me, self._free)
            entries = entries or await self._wait(wire, bell)
            self._free -= len(entries)
            for entry, fields in entries:
                task = loop.create_task(self._execute(entry, fields[1], fields[3], fields[5]))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _wait(self, wire: Wire, bell: Wire) -> Any:
        reply = await bell.call(
            "XREADGROUP", "GROUP", "w", self._me, "COUNT", self._free, "BLOCK", _BLOCK,
            "STREAMS", _STREAM, ">",
        )  # fmt: skip
        entries: Any = reply[0][1] if reply else ()
        if entries:
            await wire.script(
                _BEGIN, self._me, *(part for entry, fields in entries for part in (entry, fields[1]))
            )
        return entries

    async def _execute(self, entry: bytes, id: bytes, waiter: bytes, body: bytes) -> None:
        args = self._validate(orjson.loads(body)["a"])
        value = await noop(*args)
        self._ended.append((entry, id, orjson.dumps(value), waiter))
        self._some.set()

    async def _finish(self, wire: Wire) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            batch, self._ended = self._ended, []
            await wire.script(
                _FINISH, self._me, 1000 * RESULT_TTL, *(part for ending in batch for part in ending)
            )
            self._free += len(batch)
            self._slot.set()


def _packed(number: int) -> tuple[str, bytes]:
    return os.urandom(16).hex(), orjson.dumps({"v": 1, "n": "noop", "a": [number]})


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


async def _make_group(wire: Wire) -> None:
    try:
        await wire.call("XGROUP", "CREATE", _STREAM, "w", "0", "MKSTREAM")
    except ResponseError as exc:
        if not str(exc).startswith("BUSYGROUP"):
            raise


if __name__ == "__main__":
    from benchmarks.client import loop_factory

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(Worker().run())

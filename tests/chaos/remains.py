"""What stands in Redis when all is done, looked at without the adapter."""

from __future__ import annotations

from aioqueue.adapters.redis.options import parse
from tests.chaos.copies import COUNTERS
from tests.support.leaks import lasting_keys
from tests.support.redis_server import RedisServer


class Keys:
    """One namespace's keys. url: names it."""

    def __init__(self, redis: RedisServer, url: str) -> None:
        self._redis = redis
        self._url = url
        self.prefix = parse(url).prefix

    def hash(self, name: str) -> dict[str, str]:
        """Return a hash."""
        found: dict[bytes, bytes] = self._redis.command("HGETALL", self.prefix + name)
        return {key.decode(): value.decode() for key, value in found.items()}

    def told(self, what: str) -> int:
        """Return one of the numbers that a copy with counters keeps."""
        return int(self.hash("told").get(what, "0"))

    def names(self, pattern: str) -> list[str]:
        """Return the keys that match, without the prefix."""
        found: set[bytes] = set()
        cursor = 0
        while True:
            cursor, some = self._redis.command("SCAN", cursor, "MATCH", self.prefix + pattern, "COUNT", 1_000)
            found.update(some)
            if not cursor:
                return sorted(name.decode().removeprefix(self.prefix) for name in found)

    def left_over(self) -> list[str]:
        """Return what is still there of messages: entries, what is held of them, what is delayed, marks."""
        found = [f"{name} of a message" for name in self.names("m:*")]
        for name in self.names("q:*"):
            entries = self._redis.command("XLEN", self.prefix + name)
            groups: list[dict[str, int]] = self._redis.command("XINFO GROUPS", self.prefix + name)
            held = sum(group["pending"] for group in groups)
            found += [f"{name}: {entries} entries, {held} held"] if entries or held else []
        for name in self.names("d:*"):
            found.append(f"{name}: {self._redis.command('ZCARD', self.prefix + name)} delayed")
        return found

    def leaks(self) -> list[str]:
        """Return the keys that would stay for ever and are not meant to."""
        return [name for name in lasting_keys(self._url) if name.removeprefix(self.prefix) not in COUNTERS]

"""Health: what the server's own settings mean for the tasks it keeps."""

from __future__ import annotations

from redis.exceptions import NoPermissionError

from aioqueue.adapters.redis.core import Access
from aioqueue.errors import ConfigurationError


async def health(access: Access) -> list[str]:
    """Return a sentence for each thing to know. Raises ConfigurationError where tasks could be evicted."""
    memory, persistence = await info(access, "memory"), await info(access, "persistence")
    _refuse_eviction(access.core.options.shown, memory)
    said: list[str] = []
    if persistence and persistence.get("aof_enabled") != "1":
        said.append(
            "Redis writes no append-only file: what was sent since its last snapshot is lost if it dies;"
            " set appendonly yes"
        )
    return said


def _refuse_eviction(shown: str, memory: dict[str, str]) -> None:
    policy, limit = memory.get("maxmemory_policy", "noeviction"), memory.get("maxmemory", "0")
    if policy == "noeviction" or limit == "0":
        return
    raise ConfigurationError(
        f"{shown}: with maxmemory-policy {policy} Redis would drop tasks and leases;"
        " set maxmemory-policy noeviction"
    )


async def info(access: Access, section: str) -> dict[str, str]:
    """Return a section of INFO; nothing where it may not be asked for."""
    try:
        text: bytes = await access.command("INFO", section)
    except access.unavailable as exc:
        if isinstance(exc.__cause__, NoPermissionError):
            # not ours to see
            return {}
        raise
    pairs = (line.partition(":") for line in text.decode().splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}

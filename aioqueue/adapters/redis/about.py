"""About: what the server is, as far as it may be asked."""

from __future__ import annotations

from typing import Final

from aioqueue.adapters.redis.core import Access
from aioqueue.adapters.redis.health import info
from aioqueue.adapters.redis.rows import moment
from aioqueue.models.stats import ServiceInfo

_NAMES: Final = ("valkey_version", "redis_version")
_AOF: Final = {"0": "no", "1": "yes"}


async def about(access: Access) -> ServiceInfo:
    """Return version and time of the server, and the settings of it that tasks depend on."""
    _, now = await access.script("clock")
    server, memory, persistence = [await info(access, name) for name in ("server", "memory", "persistence")]
    version = next((f"{name.partition('_')[0]} {server[name]}" for name in _NAMES if name in server), "")
    details = {
        "mode": server.get("server_mode") or server.get("redis_mode"),
        "appendonly": _AOF.get(persistence.get("aof_enabled", "")),
        "maxmemory": memory.get("maxmemory_human"),
        "maxmemory-policy": memory.get("maxmemory_policy"),
    }
    return ServiceInfo(
        version=version.capitalize(),
        time=moment(now),
        details={name: value for name, value in details.items() if value},
    )

"""Driver: what redis-py tells a server of itself.

It looks its own version up for each connection that is told nothing, which takes longer than to connect.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def driver() -> dict[str, Any]:
    """Return the options of a connection that say which library asks, looked up once in a process."""
    try:
        known: Any = import_module("redis.driver_info")
    except ImportError:
        # one that is older takes no such option
        return {}
    return {"driver_info": known.DriverInfo()}

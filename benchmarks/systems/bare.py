"""No system: what a worker on Redis cannot do without, imported, and one model of 20 fields.

``python -m benchmarks.systems.bare`` tells that it is there, and waits.
"""

from __future__ import annotations

import sys
from typing import Any

import pydantic
import redis.asyncio

_FIELDS: Any = {f"field_{number}": (int, number) for number in range(20)}


def main() -> None:
    model: Any = pydantic.create_model("Bare", **_FIELDS)
    client = redis.asyncio.Redis
    print(f'{{"fields": {len(model().model_dump())}, "clients": {len([client])}}}', flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()

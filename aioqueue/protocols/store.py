"""Store: small state that processes share: worker cards, births, schedules.

Values are opaque bytes; a change may demand the value it replaces.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from enum import Enum
from typing import Final, Protocol


class Anything(Enum):
    """The type of ANYTHING."""

    ANYTHING = "anything"


ANYTHING: Final = Anything.ANYTHING
"""*expected* of a put that does not care what stands there."""


class Store(Protocol):
    """A small shared map. Methods raise BrokerUnavailableError or BackendUnavailableError."""

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or its time is over."""
        ...

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        expected: bytes | Anything | None = ANYTHING,
        ttl: float | None = None,
    ) -> bool:
        """Write; False if the value was not *expected* (None: no value). ttl: seconds to keep it."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove; False if there was nothing."""
        ...

    async def list(self, prefix: str) -> dict[str, bytes]:
        """Return all that stands below *prefix*, in the order of the keys."""
        ...

    def watch(self, key: str, event: asyncio.Event) -> AbstractContextManager[None]:
        """Set *event* in here whenever another value may stand at *key*, but not as its time is over.

        Who is woken reads it. Word may be lost while a service is away, so look now and then as well.
        """
        ...

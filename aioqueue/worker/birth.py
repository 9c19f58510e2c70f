"""Birth: by what a supervisor finds the tasks of a process that died.

The supervisor gives each process it starts an id; the process writes into the shared map under
which consumer id it holds tasks, each time that changes. When it has died, its supervisor reads
that and buries the consumer, and nobody waits for a lease to lapse. Without a shared map, or while
it is away, they wait.
"""

from __future__ import annotations

import logging
from typing import Final

from aioqueue.errors import UnavailableError
from aioqueue.protocols.store import Store
from aioqueue.stores import Stores

_log = logging.getLogger("aioqueue.worker")

BIRTHS: Final = "birth:"
"""Prefix under which stands, for each birth, the id of the consumer that lives."""

TTL: Final = 86_400.0
"""Seconds an entry is kept that nobody renews: longer than any loop stands still or store is away."""


class Birth:
    """What a process says of itself. store, id: None where there is nothing to tell by, or nobody to tell."""

    def __init__(self, store: Store | None, id: str | None) -> None:
        self._store = store
        self._id = id
        self._consumer: str | None = None

    async def tell(self, consumer: str) -> None:
        """Write that the process holds its tasks as *consumer* from now on. Raises nothing."""
        self._consumer = consumer
        try:
            await self.renew()
        except UnavailableError as exc:
            _log.info("the supervisor is told later which consumer this is: %s", exc)

    async def renew(self) -> None:
        """Write it again, for another day. Raises UnavailableError."""
        if self._store is not None and self._id is not None and self._consumer is not None:
            await self._store.put(BIRTHS + self._id, self._consumer.encode(), ttl=TTL)

    async def forget(self) -> None:
        """Take it away: the process ends well, and holds nothing. Raises UnavailableError."""
        if self._store is not None and self._id is not None:
            await self._store.delete(BIRTHS + self._id)


async def bury(stores: Stores, birth: str) -> bool:
    """End the lease of the process of *birth*, which is dead, in *stores*, which are open.

    Returns whether it had begun to take tasks, as far as is known.

    The claims first, so that whoever is handed a task then finds nobody in its way; the entry last.
    Raises UnavailableError; what is left then is handed on when the lease has lapsed.
    """
    if stores.store is None:
        _log.info("no shared map tells what the process held: it is handed on when its lease has lapsed")
        return False
    found = await stores.store.get(BIRTHS + birth)
    if found is None:
        _log.debug("the process had not begun to take tasks, or had ended well")
        return False
    consumer = found.decode()
    if not stores.one_step:
        await stores.backend.bury(consumer)
    moved = await stores.broker.bury(consumer)
    if moved:
        _log.warning("handed on %d tasks of a worker process that died", moved)
    await stores.store.delete(BIRTHS + birth)
    return True

"""Adapter: one technology's broker, backend and store, opened by one URL.

A technology that cannot play a role leaves it None.
"""

from __future__ import annotations

from dataclasses import dataclass

from aioqueue.protocols.backend import Backend
from aioqueue.protocols.broker import Broker
from aioqueue.protocols.store import Store


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a URL stands for. url: as it may be shown, without credentials."""

    url: str
    broker: Broker | None = None
    backend: Backend | None = None
    store: Store | None = None

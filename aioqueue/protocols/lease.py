"""Lease: a process's sign of life, given from a thread so that a blocked loop does not end it.

The process holds the lease, not the message: one beat keeps everything it holds.
"""

from __future__ import annotations

from typing import Protocol


class Lease(Protocol):
    """The right of one consumer, or one claimant, to what it holds. Called from a thread."""

    def beat(self) -> bool:
        """Extend it; False if it had lapsed: what was held may be running elsewhere.

        Raises UnavailableError; the caller tries again while the lease may still be alive.
        """
        ...

    def drop(self) -> None:
        """End it at once, so that others need not wait for it to lapse."""
        ...

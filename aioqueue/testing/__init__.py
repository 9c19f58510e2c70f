"""What tests of your own tasks need: time that is held in the hand."""

from __future__ import annotations

from aioqueue.testing.clock import VirtualClock

__all__ = ["VirtualClock"]

"""What ``Retry`` takes as a pause, and what it refuses."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from aioqueue import Retry
from aioqueue.errors import ConfigurationError


@pytest.mark.parametrize("delay", [math.inf, -math.inf, math.nan, -1, -0.5, timedelta(seconds=-1), True, "5"])
def test_delay_that_makes_no_sense_is_refused(delay: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Retry\(delay=...\) takes"):
        Retry(delay=delay)


@pytest.mark.parametrize(("delay", "seconds"), [(None, None), (0, 0), (1.5, 1.5), (timedelta(minutes=1), 60)])
def test_delay_is_kept_in_seconds(delay: Any, seconds: float | None) -> None:
    assert Retry(delay=delay).delay == seconds

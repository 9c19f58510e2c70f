"""RetryPolicy: how often a failed task is tried again, and after how long.

Pure: the random number is handed in, so every schedule can be told in a test.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from aioqueue.models.types import Seconds

Backoff = Literal["constant", "fibonacci", "exponential"]


class RetryPolicy(BaseModel):
    """When a failed attempt is followed by another.

    max_retries: further attempts after the first; None is for ever. backoff: how the pauses grow
    from *delay* seconds (fibonacci: the next Fibonacci number above the last pause). delays: the
    pauses themselves, the last one repeating. max_delay: longest pause in seconds. jitter: draw
    each pause uniformly from 0 up to it.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    max_retries: Annotated[int, Field(ge=0, strict=True)] | None = 3
    backoff: Backoff = "exponential"
    delay: Seconds = 1.0
    delays: tuple[Seconds, ...] = ()
    max_delay: Seconds = 3600.0
    jitter: Annotated[bool, Field(strict=True)] = True

    def allows(self, retries: int) -> bool:
        """Tell whether another attempt may follow after *retries* of them."""
        return self.max_retries is None or retries < self.max_retries

    def pause(self, retry: int, random: float) -> float:
        """Return the seconds before retry number *retry* (from 1); *random* is from [0, 1)."""
        seconds = min(self._grown(retry), self.max_delay)
        return seconds * random if self.jitter else seconds

    def _grown(self, retry: int) -> float:
        if self.delays:
            return self.delays[min(retry, len(self.delays)) - 1]
        match self.backoff:
            case "constant":
                return self.delay
            case "exponential":
                return self.delay * 2.0 ** min(retry - 1, 64)
            case "fibonacci":
                return _fibonacci_above(self.delay, retry, self.max_delay)
            case _:
                assert_never(self.backoff)


def _fibonacci_above(value: float, steps: int, limit: float) -> float:
    low, high = 0, 1
    for _ in range(steps):
        while high <= value:
            low, high = high, low + high
        value = float(high)
        if value > limit:
            break
    return value

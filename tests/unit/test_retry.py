"""RetryPolicy: every schedule, told without waiting."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from aioqueue import RetryPolicy


def pauses(policy: RetryPolicy, count: int, random: float = 0.0) -> list[float]:
    return [policy.pause(retry, random) for retry in range(1, count + 1)]


def test_fibonacci_goes_on_from_the_first_pause() -> None:
    assert pauses(RetryPolicy(backoff="fibonacci", delay=0, jitter=False), 5) == [1, 2, 3, 5, 8]
    assert pauses(RetryPolicy(backoff="fibonacci", delay=100, jitter=False), 3) == [144, 233, 377]


def test_exponential_doubles_up_to_its_cap() -> None:
    policy = RetryPolicy(backoff="exponential", delay=1, max_delay=10, jitter=False)

    assert pauses(policy, 6) == [1, 2, 4, 8, 10, 10]
    assert policy.pause(10_000, 0.0) == 10


def test_constant_and_listed_pauses_are_as_they_say() -> None:
    assert pauses(RetryPolicy(backoff="constant", delay=3, jitter=False), 3) == [3, 3, 3]
    assert pauses(RetryPolicy(delays=(1, 5), jitter=False), 4) == [1, 5, 5, 5]


def test_full_jitter_is_anything_up_to_the_pause() -> None:
    policy = RetryPolicy(backoff="constant", delay=8)

    assert [policy.pause(1, random) for random in (0.0, 0.25, 0.999)] == [0.0, 2.0, 7.992]


def test_retries_are_counted() -> None:
    assert [RetryPolicy(max_retries=2).allows(retries) for retries in range(4)] == [True, True, False, False]
    assert RetryPolicy(max_retries=None).allows(10**9)
    assert not RetryPolicy(max_retries=0).allows(0)


@pytest.mark.parametrize("field", [{"delay": -1}, {"delay": float("inf")}, {"max_retries": -1}, {"often": 1}])
def test_policy_that_makes_no_sense_is_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RetryPolicy.model_validate(field)

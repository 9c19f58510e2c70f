"""RetryPolicy: every schedule, told without waiting."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from aioqueue import RetryPolicy, Signature, chain
from aioqueue.errors import SignatureError, TaskTimeoutError


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


def test_ways_to_write_a_policy_come_to_what_they_say() -> None:
    assert RetryPolicy.forever(delay=5) == RetryPolicy(max_retries=None, delay=5)
    assert pauses(RetryPolicy.fibonacci(3), 3) == [1, 2, 3]
    assert RetryPolicy.fibonacci(3, 100).max_retries == 3
    listed = RetryPolicy.listed(1, timedelta(minutes=1), max_delay=30)
    assert (listed.max_retries, pauses(listed, 2)) == (2, [1, 30])


def test_thousand_samples_of_full_jitter_are_uniform_up_to_the_cap() -> None:
    policy, chance = RetryPolicy(delay=1, max_delay=20), random.Random(1)
    drawn = sorted(policy.pause(30, chance.random()) / 20 for _ in range(1_000))

    # Kolmogorov and Smirnov: of 1,000 uniform ones the distance is below this in 999 of 1,000 cases
    assert max(abs(value - n / 1_000) for n, value in enumerate(drawn)) < 1.95 / 1_000**0.5
    assert 0 <= drawn[0] < drawn[-1] < 1


def test_what_is_named_is_tried_again_with_its_subclasses_and_nothing_else() -> None:
    policy = RetryPolicy(on=(OSError, "asyncio.exceptions.InvalidStateError"), not_on="FileNotFoundError")

    assert policy.on == ("OSError", "asyncio.exceptions.InvalidStateError")
    assert [
        policy.covers(exc) for exc in (OSError(), ConnectionResetError(), asyncio.InvalidStateError())
    ] == [True] * 3
    assert [policy.covers(exc) for exc in (FileNotFoundError(), ValueError(), KeyboardInterrupt())] == [
        False
    ] * 3


def test_exception_of_a_script_is_the_one_of_its_module() -> None:
    def kind(module: str) -> type[Exception]:
        return type("Busy", (Exception,), {"__module__": module, "__qualname__": "Busy"})

    assert RetryPolicy(on=kind("__main__")).covers(kind("app")())
    assert RetryPolicy(on=kind("app")).covers(kind("__main__")())
    assert not RetryPolicy(on=kind("app")).covers(kind("other")())


@pytest.mark.parametrize(
    ("policy", "covered"),
    [
        (RetryPolicy(), True),
        (RetryPolicy(on=ValueError), False),
        (RetryPolicy(on=(ValueError, TaskTimeoutError)), True),
        (RetryPolicy(on=ValueError, on_timeout=True), True),
        (RetryPolicy(on_timeout=False), False),
        (RetryPolicy(not_on=TaskTimeoutError), False),
    ],
)
def test_whether_a_timeout_is_tried_again_can_be_said(policy: RetryPolicy, covered: bool) -> None:
    assert policy.covers(TaskTimeoutError("late"), timed_out=True) is covered


def test_function_says_how_long_or_gives_up() -> None:
    def backoff(retry: int, exc: Exception) -> timedelta | None:
        return timedelta(seconds=retry) if isinstance(exc, OSError) else None

    policy = RetryPolicy(backoff=backoff, max_delay=1)

    assert policy.after(OSError(), 7, 0.5) == 7.0
    assert policy.after(ValueError(), 7, 0.5) is None
    assert policy.after(KeyboardInterrupt(), 7, 0.5) is None
    assert not policy.travels
    assert policy.sendable() == RetryPolicy(max_delay=1)


@pytest.mark.parametrize("pause", [True, "1", -1, float("nan"), 1e12])
def test_function_that_returns_no_pause_is_told_so(pause: Any) -> None:
    with pytest.raises(ValueError, match="it returned"):
        RetryPolicy(backoff=lambda retry, exc: pause).after(OSError(), 1, 0.5)


async def _slow(retry: int, exc: Exception) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"on": "Busy"}, "'Busy' is no built-in exception; write it with its module"),
        ({"on": "print"}, "'print' is no built-in exception"),
        ({"on": [int]}, "takes exception types"),
        ({"not_on": 3}, "tuple"),
        ({"backoff": "linear"}, "one of constant, fibonacci, exponential, or a function"),
        ({"backoff": _slow}, "write it with def"),
        ({"on_timeout": 1}, "boolean"),
    ],
)
def test_what_is_written_wrong_is_told(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RetryPolicy(**fields)


def test_policy_with_a_function_is_not_sent_and_its_call_says_so() -> None:
    policy = RetryPolicy(backoff=lambda retry, exc: 1.0)

    with pytest.raises(SignatureError, match=r"option 'retry': .* cannot be sent; register it"):
        Signature(name="add").options(retry=policy)
    with pytest.raises(SignatureError, match="cannot be sent"):
        chain(Signature(name="add")).options(retry=policy)

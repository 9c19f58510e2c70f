"""Outcome: what an attempt came to, told without a store or a loop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aioqueue import Reject, Retry, RetryPolicy, Signature, State, codec
from aioqueue.errors import SignatureError, TaskTimeoutError
from aioqueue.packing import Packer
from aioqueue.protocols.messages import Delivery, Ending, Message
from aioqueue.worker import outcome
from aioqueue.worker.outcome import Job, Rules

RULES = Rules(Packer("default", 10_000), "w1", result_ttl=3600.0, failure_ttl=86_400.0, max_payload=10_000)
NOW = 1_000.0


def job(call: Signature | None = None, *, attempt: int = 1, **changes: Any) -> Job:
    call = call or Signature(name="add", args=[1, 2])
    message = Message("id1", call.name, "default", codec.encode(call), attempt=attempt, sent=900.0)
    plain = Job(
        Delivery(message, receipt=1, at=NOW),
        call,
        retry=None,
        result_ttl=None,
        rules=RULES,
        now=NOW,
        random=0.5,
    )
    return replace(plain, **changes)


def said(ending: Ending) -> str:
    assert ending.error is not None
    return codec.decode_error(ending.error).message


def test_value_is_kept_for_an_hour() -> None:
    ending = outcome.succeeded(job(), 3)

    assert (ending.state, ending.value, ending.ttl, ending.dead) == (State.SUCCESS, b"3", 3600.0, None)


def test_failure_without_a_policy_is_final_and_kept_for_a_day() -> None:
    ending = outcome.failed(job(), ValueError("no"))

    assert (ending.state, ending.ttl, ending.dead, ending.follow) == (State.FAILURE, 86_400.0, None, ())
    assert said(ending) == "no"


def test_error_without_text_is_called_by_its_type() -> None:
    assert said(outcome.failed(job(), LookupError())) == "LookupError"


def test_call_says_how_long_its_value_is_kept() -> None:
    assert outcome.succeeded(job(result_ttl=5.0), 3).ttl == 5.0
    assert outcome.failed(job(result_ttl=5.0), ValueError()).ttl == 5.0


def test_policy_makes_another_attempt_of_the_same_task() -> None:
    policy = RetryPolicy(max_retries=2, backoff="constant", delay=4.0)
    ending = outcome.failed(job(retry=policy), ValueError("no"))
    (again,) = ending.follow

    assert (ending.state, ending.next_at) == (State.RETRY, NOW + 2.0)
    assert (again.id, again.attempt, again.hop, again.delay) == ("id1", 2, 0, 2.0)
    assert again.body == job().delivery.message.body


def test_last_retry_used_up_is_a_failure_and_a_dead_letter() -> None:
    ending = outcome.failed(job(attempt=3, retry=RetryPolicy(max_retries=2)), ValueError("no"))

    assert ending.state is State.FAILURE
    assert ending.dead == "retries used up: ValueError: no"


def test_retry_for_ever_has_no_last_attempt() -> None:
    ending = outcome.failed(job(attempt=1_000, retry=RetryPolicy(max_retries=None)), ValueError("no"))

    assert ending.state is State.RETRY


def test_explicit_retry_without_a_policy_is_allowed_ten_times() -> None:
    assert outcome.failed(job(attempt=10), Retry()).state is State.RETRY
    assert outcome.failed(job(attempt=11), Retry()).state is State.FAILURE


def test_explicit_retry_is_bounded_by_the_policy_and_says_when() -> None:
    policy = RetryPolicy(max_retries=1)
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    assert outcome.failed(job(retry=policy), Retry(delay=timedelta(seconds=7))).next_at == NOW + 7
    assert outcome.failed(job(retry=policy), Retry(eta=moment)).next_at == moment.timestamp()
    assert outcome.failed(job(attempt=2, retry=policy), Retry(delay=7)).state is State.FAILURE


def raised(exc: BaseException, cause: BaseException) -> BaseException:
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    "exc",
    [
        raised(ValueError("no"), Retry(delay=7)),
        raised(Retry(delay=7), ValueError("no")),
        raised(OSError(), raised(ValueError("no"), Retry(delay=7))),
        ExceptionGroup("of a task group", [ValueError("no"), Retry(delay=7)]),
    ],
)
def test_wrapped_retry_is_one_and_counts(exc: BaseException) -> None:
    policy = RetryPolicy(max_retries=1, on=KeyError)

    assert outcome.failed(job(retry=policy), exc).next_at == NOW + 7
    assert outcome.failed(job(attempt=2, retry=policy), exc).state is State.FAILURE
    assert outcome.failed(job(attempt=10), exc).state is State.RETRY
    assert outcome.failed(job(attempt=11), exc).state is State.FAILURE


def test_wrapped_reject_is_a_dead_letter_of_its_reason() -> None:
    ending = outcome.failed(job(retry=RetryPolicy()), raised(ValueError("no"), Reject("of no use")))

    assert (ending.state, ending.dead, said(ending)) == (State.FAILURE, "of no use", "no")


def test_chain_of_causes_that_has_no_end_is_looked_through_once() -> None:
    first, second = ValueError("no"), OSError()
    first.__cause__, second.__cause__ = second, first

    assert outcome.steering(first) is None


def test_failure_that_a_policy_does_not_name_is_final_and_no_dead_letter() -> None:
    ending = outcome.failed(job(retry=RetryPolicy(on=OSError)), ValueError("no"))

    assert (ending.state, ending.dead) == (State.FAILURE, None)
    assert outcome.failed(job(retry=RetryPolicy(on=OSError)), ConnectionError()).state is State.RETRY


def test_timeout_is_tried_again_unless_the_policy_says_no() -> None:
    late = raised(TaskTimeoutError("late"), Retry())

    assert outcome.failed(job(retry=RetryPolicy()), late, timed_out=True).state is State.RETRY
    never = RetryPolicy(on_timeout=False)
    assert outcome.failed(job(retry=never), late, timed_out=True).state is State.FAILURE


def test_backoff_function_says_when_gives_up_or_is_told_to_be_wrong() -> None:
    pauses: dict[int, Any] = {1: 5, 2: None}
    policy = RetryPolicy(backoff=lambda retry, exc: pauses[retry], max_retries=None)

    assert outcome.failed(job(retry=policy), ValueError("no")).next_at == NOW + 5
    gave_up = outcome.failed(job(retry=policy, attempt=2), ValueError("no"))
    wrong = outcome.failed(job(retry=policy, attempt=3), ValueError("no"))
    assert gave_up.dead == "its backoff function gave up: ValueError: no"
    assert (wrong.state, said(wrong)) == (
        State.FAILURE,
        "no (and its backoff function raised KeyError: 3)",
    )
    assert wrong.dead == said(wrong)
    assert outcome.failed(job(retry=policy, attempt=3), Retry(delay=2)).next_at == NOW + 2


def test_rejected_task_is_not_retried_and_is_a_dead_letter() -> None:
    ending = outcome.failed(job(retry=RetryPolicy()), Reject("no"))

    assert (ending.state, ending.dead) == (State.FAILURE, "no")


def test_call_that_does_not_fit_is_not_retried_and_is_no_dead_letter() -> None:
    ending = outcome.refused(job(retry=RetryPolicy()), SignatureError("x() argument 'n': no"))

    assert (ending.state, ending.dead, said(ending)) == (State.FAILURE, None, "x() argument 'n': no")


def test_error_of_ours_that_user_code_raises_is_retried_like_any_other() -> None:
    ending = outcome.failed(job(retry=RetryPolicy()), SignatureError("y() argument 'n': no"))

    assert ending.state is State.RETRY


def test_reasons_can_be_written_whatever_they_hold() -> None:
    ending = outcome.failed(job(), Reject("caf\udce9" + "x" * 100_000))

    assert ending.dead is not None
    assert ending.dead.encode().startswith(b"caf\\udce9xxx")
    assert len(ending.dead) < 9_000


def test_success_releases_each_callback_with_an_id_of_its_owner() -> None:
    call = Signature(
        name="add", on_success=(Signature(name="a"), Signature(name="b", queue="q", takes="none"))
    )
    first, second = outcome.succeeded(job(call), 3).follow

    assert (first.id, first.name, first.queue) == ("id1.s0", "a", "default")
    assert (second.id, second.name, second.queue) == ("id1.s1", "b", "q")
    assert codec.decode(first).args == (3,)
    assert codec.decode(second).args == ()
    assert outcome.succeeded(job(call), 3).follow == (first, second)


def test_final_failure_releases_error_callbacks_with_the_message() -> None:
    by_hand, partial = Signature(name="alert", args=["x"]), Signature(name="alert", args=["x"], takes="last")
    call = Signature(name="add", on_error=(by_hand, partial))
    first, second = outcome.failed(job(call), ValueError("no")).follow

    assert codec.decode(first).args == ("no", "x")
    assert codec.decode(second).args == ("x", "no")
    assert [m.id for m in (first, second)] == ["id1.e0", "id1.e1"]


def test_retry_releases_no_error_callback() -> None:
    call = Signature(name="add", on_error=(Signature(name="alert"),))
    ending = outcome.failed(job(call, retry=RetryPolicy()), ValueError("no"))

    assert [message.name for message in ending.follow] == ["add"]


def test_result_that_is_too_large_is_a_failure_that_is_not_retried() -> None:
    ending = outcome.succeeded(job(retry=RetryPolicy()), "x" * 10_000)

    assert ending.state is State.FAILURE
    assert "max_payload is 10000" in said(ending)


def test_error_callback_that_cannot_be_sent_is_told_in_the_error() -> None:
    call = Signature(name="add", on_error=(Signature(name="alert", args=["x" * 9_995]),))
    ending = outcome.failed(job(call), ValueError("no"))

    assert ending.follow == ()
    assert said(ending).startswith("no (and its on_error could not be sent: alert: the call has")


def test_texts_are_bounded_and_can_be_written() -> None:
    ending = outcome.failed(job(), ValueError("\ud800" + "x" * 100_000))

    assert said(ending).startswith("\\ud800xxx")
    assert len(said(ending)) < 9_000


def test_lost_and_expired_tasks_end_with_their_reason() -> None:
    lost, expired = outcome.lost(job()), outcome.expired(job())

    assert (lost.state, lost.dead) == (State.FAILURE, said(lost))
    assert said(lost).startswith("worker lost")
    assert (expired.state, expired.dead) == (State.EXPIRED, None)


def test_ignored_value_is_not_kept() -> None:
    ending = outcome.succeeded(job(Signature(name="add", ignore_result=True)), 3)

    assert (ending.state, ending.value) == (State.SUCCESS, None)

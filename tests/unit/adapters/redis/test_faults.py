"""Faults: what each error of a Redis server is to aioqueue, as redis-py hands it on."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, ResponseError, TimeoutError

from aioqueue.adapters.redis.faults import is_full, is_short, translated
from aioqueue.errors import BrokerUnavailableError

SHOWN = "redis://h/0"
SOON = [
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "NOREPLICAS Not enough good replicas to write.",
    "ERR max number of clients reached",
]
FULL = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "OOM command not allowed when used memory > 'maxmemory'. script: 5f5a, on @user_script:121.",
]
AWAY = [
    *FULL,
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
]
OURS = [
    "ERR wrong number of arguments",
    "WRONGTYPE Operation against a key",
    "NOGROUP No such key",
    "ERR syntax",
]


def parsed(text: str) -> RedisError:
    """Return what redis-py makes of an error reply."""
    error = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]  # it has no types
    assert isinstance(error, RedisError)
    return error


@pytest.mark.parametrize("text", SOON, ids=lambda text: text.split()[0])
def test_what_is_over_in_a_moment_is_asked_again(text: str) -> None:
    assert is_short(parsed(text))


@pytest.mark.parametrize("text", [*AWAY, *OURS], ids=lambda text: text.split()[0])
def test_what_stays_is_not_asked_again(text: str) -> None:
    assert not is_short(parsed(text))


@pytest.mark.parametrize("text", [*SOON, *AWAY], ids=lambda text: text.split()[0])
def test_what_the_server_says_no_to_for_now_is_unavailable(text: str) -> None:
    with pytest.raises(BrokerUnavailableError, match=rf"^{SHOWN}: ") as caught:
        with translated(BrokerUnavailableError, SHOWN):
            raise parsed(text)

    assert isinstance(caught.value.__cause__, RedisError)


@pytest.mark.parametrize("text", OURS, ids=lambda text: text.split()[0])
def test_what_the_program_did_wrong_stays_what_it_is(text: str) -> None:
    with pytest.raises(ResponseError):
        with translated(BrokerUnavailableError, SHOWN):
            raise parsed(text)


@pytest.mark.parametrize("text", FULL)
def test_server_at_its_maxmemory_is_full(text: str) -> None:
    assert is_full(parsed(text))
    assert not is_full(parsed("ERR something else"))


@pytest.mark.parametrize("error", [ConnectionError("cut"), TimeoutError("late"), ConnectionResetError(104)])
def test_fault_of_the_way_is_unavailable_and_asked_again(error: Exception) -> None:
    assert is_short(error)
    with pytest.raises(BrokerUnavailableError):
        with translated(BrokerUnavailableError, SHOWN):
            raise error


def test_wrong_password_is_not_asked_again() -> None:
    assert not is_short(AuthenticationError("invalid username-password pair"))


def test_error_without_words_is_told_by_its_name() -> None:
    with pytest.raises(BrokerUnavailableError, match="TimeoutError"):
        with translated(BrokerUnavailableError, SHOWN):
            raise TimeoutError


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError):
        with translated(BrokerUnavailableError, SHOWN):
            raise KeyError("x")

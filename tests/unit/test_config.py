"""Variables that are no setting are told, once, and never with their value."""

from __future__ import annotations

import logging

import pytest

from aioqueue import config
from aioqueue.cli.group import VERBS

LOG = "aioqueue.config"


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_told", set())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOG]


def test_mistyped_variable_is_told_once_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIOQUEUE_BROKRE", "redis://:secret@host")
    with caplog.at_level(logging.WARNING, LOG):
        for _ in range(2):
            config.load({"broker": "memory://x"})

    (said,) = warnings(caplog)
    assert said.startswith("the variable AIOQUEUE_BROKRE is no setting and is ignored; did you mean ")
    assert "AIOQUEUE_BROKER" in said
    assert "secret" not in said


def test_variable_near_nothing_is_told_with_all_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIOQUEUE_ZZZ", "1")
    with caplog.at_level(logging.WARNING, LOG):
        config.load({"broker": "memory://x"})

    (said,) = warnings(caplog)
    assert "there are AIOQUEUE_BROKER, " in said
    assert "AIOQUEUE_TIMEOUT" in said


@pytest.mark.parametrize(
    "name",
    [
        "AIOQUEUE_LEASE",
        "AIOQUEUE_TEST_URLS",
        "AIOQUEUE_WORKER_QUEUE",
        "AIOQUEUE_SEND_APP",
        "AIOQUEUE_RESULT_TIMEOUT",
        "AIOQUEUE_RESULT_TTL",
        "AIOQUEUE_STATUS_JSON",
        "AIOQUEUE_VERSION_JSON",
        "AIOQUEUES",
    ],
)
def test_known_variable_is_not_told(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "40")
    with caplog.at_level(logging.WARNING, LOG):
        config.load({"broker": "memory://x"})

    assert warnings(caplog) == []


def test_variables_of_every_verb_are_known() -> None:
    assert tuple(f"AIOQUEUE_{verb.upper()}_" for verb in VERBS) == config._OF_COMMANDS

"""Code before variables before the file, and where each was said; what is no setting is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aioqueue import Server, config
from aioqueue.errors import ConfigurationError

LOG = "aioqueue.config"


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_told", set[str]())


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
        "AIOQUEUE_APP",
        "AIOQUEUE_WORKER_PROCESSES",
        "AIOQUEUE_RESULT_TTL",
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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AIOQUEUE_WORKER_PROCESES", "AIOQUEUE_WORKER_PROCESSES"),
        ("AIOQUEUE_WORKER_CONCURRENCY", "AIOQUEUE_CONCURRENCY"),
        ("AIOQUEUE_WORKER_QUEUE", "AIOQUEUE_QUEUES"),
        ("AIOQUEUE_WORKER_SHUTDOWN_TIMEOUT", "AIOQUEUE_GRACE"),
        ("AIOQUEUE_RESULT_TTTL", "AIOQUEUE_RESULT_TTL"),
        ("AIOQUEUE_RESULT_BROKER", "AIOQUEUE_BROKER"),
        ("AIOQUEUE_QUEUE_", "AIOQUEUE_QUEUE"),
        ("AIOQUEUE_STATUS_APP", "AIOQUEUE_APP"),
        ("AIOQUEUE_DEV_LOG_LEVEL", "AIOQUEUE_WORKER_LOG_LEVEL"),
    ],
)
def test_mistyped_variable_that_begins_like_another_is_told(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "1")
    with caplog.at_level(logging.WARNING, LOG):
        config.load({"broker": "memory://x"})

    (said,) = warnings(caplog)
    assert said.startswith(f"the variable {name} is no setting and is ignored; did you mean {meant}")


def test_each_setting_tells_where_it_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yml"
    file.write_text("broker: memory://file\nqueue: from-file\nlease: 30\nsweep: 7\n")
    monkeypatch.setenv("AIOQUEUE_QUEUE", "from-variable")
    monkeypatch.setenv("AIOQUEUE_lease", "40")

    server = Server.from_config(file, lease=50.0)

    said = {name: str(server.origins[name]) for name in ("broker", "queue", "lease", "sweep", "beat")}
    assert (server.settings.queue, server.settings.lease) == ("from-variable", 50.0)
    assert said == {
        "broker": f"{file}:1",
        "queue": "AIOQUEUE_QUEUE",
        "lease": "code",
        "sweep": f"{file}:4",
        "beat": "default",
    }
    assert server.origins.keys() == type(server.settings).model_fields.keys()


def test_wrong_variable_and_wrong_option_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOQUEUE_LEASE", "long")

    with pytest.raises(ConfigurationError) as refused:
        Server("memory://x", beat=-1, quue="a")

    assert [line.partition(" (")[0] for line in str(refused.value).splitlines()] == [
        "AIOQUEUE_LEASE: setting 'lease': Input should be a valid number, unable to parse string as a number",
        "setting 'beat': Input should be greater than 0",
        "there is no setting 'quue'; did you mean 'queue'?",
    ]


def test_variables_can_be_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOQUEUE_QUEUE", "mail")

    assert config.load({}).settings.queue == "mail"
    assert config.load({}, variables=False).settings.queue == "default"


def test_empty_variable_is_none_at_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("AIOQUEUE_LEASE", "AIOQUEUE_QUEUES", "AIOQUEUE_STRICT", "AIOQUEUE_ROUTES", "AIOQUEUE_ODD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AIOQUEUE_BEAT", "2")
    loaded = config.load({"broker": "memory://x"})

    assert {str(origin) for origin in loaded.origins.values()} == {"default", "code", "AIOQUEUE_BEAT"}
    assert warnings(caplog) == []


@pytest.mark.parametrize("text", ["none", "None", "null"])
def test_variable_says_none_of_what_may_be_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yml"
    file.write_text("timeout: 5\nretry: {max_retries: 2}\nmax_queue: 9\n")
    for name in ("TIMEOUT", "RETRY", "MAX_QUEUE", "BACKEND"):
        monkeypatch.setenv(f"AIOQUEUE_{name}", text)
    settings = config.load({}, file=file).settings
    monkeypatch.setenv("AIOQUEUE_LEASE", text)

    assert (settings.timeout, settings.retry, settings.max_queue, settings.backend) == (None,) * 4
    with pytest.raises(ConfigurationError, match="AIOQUEUE_LEASE: setting 'lease'"):
        config.load({})

"""What a SQLite URL may say, and what is said to one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioqueue.adapters.sqlite import connect
from aioqueue.adapters.sqlite.options import parse
from aioqueue.errors import ConfigurationError


def test_three_slashes_are_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    options = parse("sqlite:///data/queue.db")

    assert options.path == tmp_path / "data" / "queue.db"


def test_four_slashes_are_an_absolute_path() -> None:
    assert parse("sqlite:////srv/queue.db").path == Path("/srv/queue.db")


def test_path_may_be_percent_encoded() -> None:
    assert parse("sqlite:////srv/my%20queue%23%3F.db").path == Path("/srv/my queue#?.db")


def test_options_have_defaults() -> None:
    options = parse("sqlite:///q.db")

    assert (options.synchronous, options.timeout) == ("normal", 10.0)


def test_options_are_read() -> None:
    options = parse("sqlite:///q.db?synchronous=full&timeout=2.5")

    assert (options.synchronous, options.timeout) == ("full", 2.5)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:"]
)
def test_url_without_a_file_is_sent_to_memory(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory://"):
        connect(url)


def test_two_slashes_are_told_about_the_third() -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///data/queue\.db"):
        connect("sqlite://data/queue.db")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("journal=wal", "'journal'.*synchronous=normal|full.*timeout=<seconds>"),
        ("timeout", "number of seconds"),
        ("timeout=0", "number of seconds"),
        ("timeout=nan", "number of seconds"),
        ("timeout=soon", "'soon'"),
        ("synchronous=off", "normal or full.*'off'"),
    ],
)
def test_bad_option_is_named_with_what_is_allowed(query: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        connect(f"sqlite:///q.db?{query}")


def test_adapter_shows_its_url() -> None:
    assert connect("sqlite:///q.db?timeout=1").url == "sqlite:///q.db?timeout=1"

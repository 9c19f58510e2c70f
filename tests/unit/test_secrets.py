"""A password in a URL is never shown, wherever it was said and however badly it is quoted."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aioqueue import Server, Settings, config
from aioqueue.cli.options import shown
from aioqueue.errors import ConfigurationError

HALVES = ("xyzzy", "plugh")
CANARY = "".join(HALVES)
# Some break it in two, and either half would tell.
GOOD = [
    f"redis://:{CANARY}@h:6379/0",
    f"redis://user:{CANARY}@h",
    "redis://:xyzzy@plugh@h",
    "redis://u:xyzzy%2Fplugh@h",
    f"unix://:{CANARY}@/run/r.sock",
    f"rediss://h?ssl_keyfile=k.pem&ssl_certfile=c.pem&ssl_keyfile_password={CANARY}",
]
BAD = [
    "redis://:xyzzy/plugh@h/0",
    "redis://:xyzzy?plugh@h/0",
    "redis://:xyzzy#plugh@h/0",
    "redis://:xyzzy\nplugh@h/x",
    "redis://:a@xyzzy/plugh@h/0",
    "redis://:a@xyzzy?plugh@h/0",
    "redis://:a@xyzzy#plugh@h/0",
    "redis+sentinel://:a@xyzzy/plugh@h/main",
    "redis+cluster://:a@xyzzy/plugh@h",
    "unix://:a@xyzzy/plugh@/run/r.sock",
    "redis://:xyzzy/0?db=plugh@h",
    "redis://xyzzy?plugh@h",
    f"redis:u:{CANARY}@h",
    f"redis://h:{CANARY}/0",
    f"redis://u:{CANARY}@[h/0",
    f"redis://u:{CANARY}@h/x",
    f"redis://h/0?passwort={CANARY}",
    "unix://:xyzzy/plugh@/run/r.sock",
    f"memory://u:{CANARY}@h/0",
    f"memory://h?key={CANARY}",
    f"nowhere://u:{CANARY}@h",
    f"nowhere://h?key={CANARY}",
    f"u:{CANARY}@h",
]
PLACES = ["code", "variable", "file"]


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_told", set[str]())


def said(place: str, key: str, value: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return a Server to which one setting was said, in that place."""
    if place == "code":
        given: dict[str, Any] = {key: value}
        return Server(**given)
    if place == "variable":
        monkeypatch.setenv(f"AIOQUEUE_{key.upper()}", value)
        return Server()
    file = folder / "config.yml"
    quoted = value.replace("\n", "\\n")
    file.write_text(f'{key}: "{quoted}"\n')
    return Server.from_config(file)


def told(*texts: str) -> list[str]:
    """Return the texts that tell a half of the password."""
    assert all(texts)
    return [text for text in texts if any(half in text for half in HALVES)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ["broker", "backend"])
@pytest.mark.parametrize("url", GOOD)
def test_server_shows_no_password(
    url: str,
    key: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        server = said(place, key, url, tmp_path, monkeypatch)

    texts = (
        repr(server),
        repr(server.settings),
        str(server.settings),
        repr(server.stores),
        repr(server.origins),
    )
    assert getattr(server.settings, key) == url
    assert told(*texts, shown(url), repr(server.stores.urls), *caplog.messages) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ["broker", "backend", "lease", "brokre"])
@pytest.mark.parametrize("url", BAD)
def test_no_error_shows_a_password(
    url: str,
    key: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts: list[str] = []
    with caplog.at_level(logging.DEBUG):
        try:
            texts.append(repr(said(place, key, url, tmp_path, monkeypatch)))
        except ConfigurationError as exc:
            texts.append("".join(traceback.format_exception(exc)))

    assert told(*texts, *caplog.messages) == []
    assert texts[0].startswith("Traceback") or (place, key) == ("variable", "brokre")


def test_settings_made_by_hand_show_no_password_in_their_error() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"broker": [f"redis://:{CANARY}@h"]})

    assert told(str(refused.value), repr(refused.value)) == []

"""URLs: what they stand for, and how they may be shown."""

from __future__ import annotations

import os

import pytest

from aioqueue import Server
from aioqueue.errors import ConfigurationError
from aioqueue.urls import anchored, connect, redacted


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:guest@localhost:5672", "amqp://localhost:5672"),
        ("redis://:pa%40ss@h:6379/0", "redis://h:6379/0"),
        ("redis://u:p@ss@h", "redis://h"),
        ("redis://u:p/a@h/0", "redis://h/0"),
        ("redis://h/0?password=secret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h/0", "redis://h/0"),
        ("sqlite:////home/a@b/tasks.db", "sqlite:////home/a@b/tasks.db"),
    ],
)
def test_credentials_are_never_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize("url", ["nowhere://u:secret@h", "tasks.db", "", "memory://a/b", "memory://a?x=1"])
def test_url_that_names_no_store_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        connect(url)

    assert "secret" not in str(refused.value)


def test_relative_file_is_anchored_and_an_absolute_one_is_not() -> None:
    assert anchored("sqlite:///tasks.db", "/srv/app") == "sqlite:////srv/app/tasks.db"
    assert anchored("sqlite:////var/tasks.db", "/srv/app") == "sqlite:////var/tasks.db"
    assert anchored("memory://x", "/srv/app") == "memory://x"


def test_default_file_lies_beside_the_nearest_project(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path_factory.mktemp("project")
    (project / "pyproject.toml").touch()
    (project / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "down")
    for name in [name for name in os.environ if name.startswith("AIOQUEUE_")]:
        monkeypatch.delenv(name)

    assert Server().settings.broker == f"sqlite:///{project}/aioqueue.db"


def test_settings_come_from_code_before_variables_before_the_file(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("settings")
    (folder / "aioqueue.yaml").write_text(
        "broker: sqlite:///own.db\nqueue: from-file\nconcurrency: 1\nlease: 30\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AIOQUEUE_CONCURRENCY", "2")
    monkeypatch.setenv("AIOQUEUE_LEASE", "40")

    settings = Server(lease=50.0).settings

    assert settings.broker == f"sqlite:///{folder}/own.db"
    assert (settings.queue, settings.concurrency, settings.lease) == ("from-file", 2, 50.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("brokre: memory://x\n", "there is no setting 'brokre'"),
        ("concurrency: many\n", "setting 'concurrency'"),
        ("broker: [\n", "line 2"),
        ("- a\n- b\n", "holds no settings"),
    ],
)
def test_file_that_makes_no_sense_is_named(
    tmp_path_factory: pytest.TempPathFactory, text: str, named: str
) -> None:
    file = tmp_path_factory.mktemp("bad") / "config.yml"
    file.write_text(text)

    with pytest.raises(ConfigurationError) as refused:
        Server.from_config(file)

    assert named in str(refused.value)
    assert str(file) in str(refused.value)


def test_missing_file_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*nowhere\.yml"):
        Server.from_config(tmp_path_factory.mktemp("none") / "nowhere.yml")

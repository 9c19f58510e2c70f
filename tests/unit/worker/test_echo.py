"""What a process logs is heard as it was said, in order, until its worker listens no more."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from aioqueue.context import Context, running
from aioqueue.logs import Attempt, TaskFilter, attempt_of
from aioqueue.worker.echo import MOST, Ear, Echo, Voice, read, say_to, written

CONTEXT = Context("0199", "sum", "mail", 2, 0, {}, "worker-1", 0.0)


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("their.code", logging.WARNING, "file.py", 1, message, args, None)
    made.__dict__.update(extra)
    return made


def test_record_is_the_same_on_the_other_side_and_knows_its_task() -> None:
    token = running.set(CONTEXT)
    try:
        data = written(record("%s and \udc80", "text", order=7, odd={1, 2}))
    finally:
        running.reset(token)
    heard = read(data)
    TaskFilter().filter(heard)

    assert (heard.getMessage(), heard.levelname, heard.process) == ("text and \udc80", "WARNING", os.getpid())
    assert (vars(heard)["order"], vars(heard)["odd"]) == (7, "{1, 2}")
    assert attempt_of(heard) == Attempt("0199", "sum", "mail", 2)
    assert vars(heard)["task_attempt"] == 2


def test_record_outside_of_a_task_names_none() -> None:
    heard = read(written(record("plain", attempt="theirs")))

    assert (attempt_of(heard), vars(heard)["attempt"]) == (None, "theirs")


def test_record_that_is_too_large_is_cut() -> None:
    data = written(record("\x00" * 100_000, order="x" * 100_000, stack_info="y" * 100_000))
    heard = read(data)

    assert len(data) <= MOST
    assert heard.getMessage() == "\x00" * 4_096
    assert not hasattr(heard, "order")


def test_all_that_was_said_before_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    echo = Echo()
    with caplog.at_level(logging.INFO):
        ear = echo.ear()
        assert ear is not None
        assert ear == echo.ear()
        voice = Voice(ear)
        for number in range(200):
            voice.handle(record("%d", number))
        voice.handle(logging.makeLogRecord({"name": "their.code", "levelno": logging.DEBUG, "msg": "low"}))
        echo.close()
        # nobody is there, and who logs is told nothing of it
        voice.handle(record("late"))
        voice.close()

    assert [heard.getMessage() for heard in caplog.records] == [str(number) for number in range(200)]
    assert not Path(ear.path).parent.exists()


def test_where_nobody_can_be_heard_that_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    echo = Echo()

    assert (echo.ear(), echo.ear()) == (None, None)
    echo.close()
    (said,) = caplog.messages
    assert said.startswith("what tasks log in processes of their own is not heard: ")


def test_folder_that_is_gone_is_made_anew_and_an_end_without_one_is_an_end() -> None:
    echo = Echo()
    first = echo.ear()
    assert first is not None
    os.unlink(first.path)
    second = echo.ear()
    assert second is not None
    os.unlink(second.path)

    echo.close()

    assert first.path != second.path


def test_who_has_handlers_of_its_own_is_not_heard_twice(tmp_path: Path) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    own = logging.FileHandler(tmp_path / "own.log")
    try:
        root.handlers = []
        say_to(Ear("nowhere", logging.INFO))
        alone = [type(handler) for handler in root.handlers]
        root.addHandler(own)
        say_to(Ear("nowhere", logging.INFO))

        assert (alone, root.handlers) == ([Voice], [own])
    finally:
        own.close()
        root.handlers = before
        root.setLevel(level)

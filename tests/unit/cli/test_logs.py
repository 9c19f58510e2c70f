"""Log records as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from aioqueue.cli.logs import JsonFormatter, PlainFormatter
from aioqueue.context import Context, running
from aioqueue.logs import Attempt, TaskFilter


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("some.logger", logging.WARNING, "file.py", 1, message, args, None)
    made.created = 1_700_000_000.25
    made.__dict__.update(extra)
    return made


def written(made: logging.LogRecord) -> Any:
    text = JsonFormatter().format(made)
    assert "\n" not in text
    return json.loads(text)


def test_record_is_one_object() -> None:
    assert written(record("two\nlines of %s", "text")) == {
        "ts": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "some.logger",
        "message": "two\nlines of text",
        "pid": os.getpid(),
    }


def test_exception_has_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        line = written(record("failed", exc_info=sys.exc_info()))

    assert line["exc"].startswith("Traceback")
    assert line["exc"].endswith("ValueError: no")


def test_data_is_shown_as_it_is() -> None:
    assert written(record("x", data={"a": [1], "b": object}))["data"] == {"a": [1], "b": "<class 'object'>"}


def test_extras_and_stacks_are_shown() -> None:
    line = written(record("x", order=7, odd={1}, stack_info="Stack (most recent call last):\n  here"))

    assert line["extra"] == {"order": 7, "odd": "{1}"}
    assert line["stack"].endswith("here")


def test_extra_that_is_no_unicode_is_shown_all_the_same() -> None:
    assert written(record("x", name_of_file="\udc80"))["extra"] == {"name_of_file": "\udc80"}


def test_text_that_is_not_unicode_is_written_all_the_same() -> None:
    assert written(record("name: \udc80"))["message"] == "name: \\udc80"


CONTEXT = Context("0199", "sum", "mail", 2, 0, {}, "worker-1", 0.0)
ATTEMPT = Attempt("0199", "sum", "mail", 2)


def marked(message: str, *args: object) -> logging.LogRecord:
    made = record(message, *args)
    assert TaskFilter().filter(made)
    return made


def inside(message: str, *args: object) -> logging.LogRecord:
    """Return a record that was written within a task."""
    token = running.set(CONTEXT)
    try:
        return marked(message, *args)
    finally:
        running.reset(token)


def test_record_within_a_task_or_about_one_has_its_id_name_queue_and_attempt() -> None:
    task = {"id": "0199", "name": "sum", "queue": "mail", "attempt": 2}
    for made in (inside("hello %s", "you"), marked("received %s", ATTEMPT)):
        assert written(made)["task"] == task
        assert made.__dict__["task"] == "sum[0199] attempt 2 from mail"
    outside = marked("hello %(name)s", {"name": "you"})
    assert "task" not in written(outside)
    assert (outside.__dict__["task_id"], outside.__dict__["task"]) == (None, "-")


def test_line_begins_with_its_task_unless_it_names_it_itself() -> None:
    plain = PlainFormatter("%(levelname)s %(said)s")

    assert plain.format(inside("hello")) == "WARNING sum[0199] attempt 2 from mail: hello"
    assert plain.format(marked("received %s", ATTEMPT)) == "WARNING received sum[0199] attempt 2 from mail"
    assert plain.format(marked("hello")) == "WARNING hello"
    assert plain.format(record("hello")) == "WARNING hello"
    assert PlainFormatter("%(said)s", coloured=True).format(marked("hello")) == "\x1b[33mhello\x1b[0m"

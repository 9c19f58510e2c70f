"""Log records as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from aioqueue.cli.logs import JsonFormatter


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


def test_text_that_is_not_unicode_is_written_all_the_same() -> None:
    assert written(record("name: \udc80"))["message"] == "name: \\udc80"

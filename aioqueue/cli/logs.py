"""Logs: set up by the command line, and by nothing else of aioqueue. They go to standard error.

plain: lines for people. short: the same for somebody who sits before it. json: one object a line, with ts,
level, logger, message and pid, of a task's run also task, for an exception exc, for a stack stack, and in
extra what else the record was given; ts is UTC. What ends the command is logged then too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from aioqueue.cli.options import LogFormat
from aioqueue.logs import ATTEMPT, OWN, Attempt, TaskFilter

DATA = "data"
"""Name of a record's ``extra`` that json shows as it is."""

_OF_TASK: Final = ("task", "task_id", "task_name", "task_queue", "task_attempt", ATTEMPT)
_SHOWN: Final = OWN | {"message", "asctime", "taskName", "said", DATA, *_OF_TASK}
_PLAIN: Final = "%(asctime)s %(process)d %(levelname)-7s %(name)s: %(said)s"
_SHORT: Final = "%(asctime)s %(levelname)-7s %(said)s"
_COLOURS: Final = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}


def configure(level: str, form: LogFormat) -> None:
    """Log all that is at least *level* to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(TaskFilter())
    handler.setFormatter(_formatter(form))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # a warning would break a stream of JSON
    logging.captureWarnings(True)


def in_json() -> bool:
    """Tell whether JSON is logged, among which nothing else is to be written."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def _formatter(form: LogFormat) -> logging.Formatter:
    if form == "json":
        return JsonFormatter()
    if form == "short":
        return PlainFormatter(
            _SHORT, "%H:%M:%S", coloured=sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        )
    return PlainFormatter(_PLAIN)


class PlainFormatter(logging.Formatter):
    """A record as a line, which begins with its task where the message does not name it itself."""

    def __init__(self, form: str, moment: str | None = None, *, coloured: bool = False) -> None:
        super().__init__(form, moment)
        self._coloured = coloured

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - it is logging's name
        task = getattr(record, "task", "-")
        told = task == "-" or (isinstance(record.args, tuple) and any(map(_is_attempt, record.args)))
        record.said = record.message if told else f"{task}: {record.message}"
        line = super().formatMessage(record)
        colour = _COLOURS.get(record.levelno) if self._coloured else None
        return line if colour is None else f"\x1b[{colour}m{line}\x1b[0m"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _text(record.getMessage()),
            "pid": record.process,
        }
        if (id := getattr(record, "task_id", None)) is not None:
            task: Any = record
            line["task"] = {
                "id": id,
                "name": task.task_name,
                "queue": task.task_queue,
                "attempt": task.task_attempt,
            }
        if (data := getattr(record, DATA, None)) is not None:
            line[DATA] = data
        if record.exc_info:
            line["exc"] = _text(self.formatException(record.exc_info))
        elif record.exc_text:
            line["exc"] = _text(record.exc_text)
        if record.stack_info:
            line["stack"] = _text(self.formatStack(record.stack_info))
        if extra := {name: value for name, value in vars(record).items() if name not in _SHOWN}:
            line["extra"] = extra
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:
            # a text that is no Unicode, or a number that is too large, somewhere in what the record was given
            return json.dumps(line, default=str)


def _is_attempt(argument: object) -> bool:
    return isinstance(argument, Attempt)


def _text(text: str) -> str:
    # half of a surrogate pair, as in a file name that is not UTF-8, is not JSON
    return text.encode(errors="backslashreplace").decode()

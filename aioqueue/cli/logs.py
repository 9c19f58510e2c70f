"""Logs: set up by the command line, and by nothing else of aioqueue. They go to standard error.

plain: lines for people. json: one object a line, with ts, level, logger, message, pid and, for an
exception, exc; ts is UTC.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from aioqueue.cli.worker import LogFormat

DATA = "data"
"""Name of a record's ``extra`` that json shows as it is."""

_PLAIN = "%(asctime)s %(process)d %(levelname)-7s %(name)s: %(message)s"


def configure(level: str, form: LogFormat) -> None:
    """Log all that is at least *level* to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_PLAIN))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # a warning would break a stream of JSON
    logging.captureWarnings(True)


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
        if (data := getattr(record, DATA, None)) is not None:
            line[DATA] = data
        if record.exc_info:
            line["exc"] = _text(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


def _text(text: str) -> str:
    # half of a surrogate pair, as in a file name that is not UTF-8, is not JSON
    return text.encode(errors="backslashreplace").decode()

"""Commits in a SQLite file, counted by the database itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_COUNT = """
CREATE TABLE committed (id TEXT, state TEXT);
CREATE TRIGGER count_commits AFTER INSERT ON tasks
WHEN NEW.state IN ('SUCCESS', 'FAILURE', 'CANCELLED', 'EXPIRED')
BEGIN
  INSERT INTO committed VALUES (NEW.id, NEW.state);
END;
"""


def count(database: Path) -> None:
    """Count from now on; the tables of the adapter are there already."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        connection.executescript(_COUNT)


def counted(database: Path) -> tuple[int, int]:
    """Return how many commits there were, and of how many tasks. Fails if the file is not sound."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        commits, tasks = connection.execute("SELECT count(*), count(DISTINCT id) FROM committed").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return commits, tasks

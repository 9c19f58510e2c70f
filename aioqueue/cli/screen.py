"""Screen: tables and trees for people, by rich."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Return where they are printed."""
    made = Console(highlight=False, markup=False)
    if not made.is_terminal:
        # what is piped on is not to be cut to the width of a screen
        made.width = 240
    return made


def table(*columns: str) -> Table:
    """Return a table without rows."""
    made = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made

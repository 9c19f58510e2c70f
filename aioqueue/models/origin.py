"""Origin: where the value of a setting was said."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What said it."""

    DEFAULT = "default"
    FILE = "file"
    VARIABLE = "variable"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Origin:
    """kind: what said it. written: the name it has there. place: file and line, or the variable."""

    kind: Kind
    written: str
    place: str | None = None

    @property
    def prefix(self) -> str:
        """What a message about the value begins with; nothing where a traceback tells."""
        return f"{self.place}: " if self.place is not None else ""

    def __str__(self) -> str:
        return self.place or self.kind

"""Values: dataclasses of which a worker makes several a task.

They are frozen for who reads the code and for type checkers, and not at run time: to keep a program from
writing an attribute costs a call for each one that is set when they are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def lean(cls: type[T]) -> type[T]:
    """Return *cls* as a dataclass with slots, whose attributes nobody writes."""
    return dataclass(slots=True, unsafe_hash=True)(cls)

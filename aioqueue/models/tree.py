"""WorkflowTree: a workflow as a person reads it: its parts as they were written down, nodes as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from aioqueue.models.state import State, TaskState

Kind: TypeAlias = Literal["task", "chain", "group", "chord", "on_success", "on_error"]


class Branch(BaseModel):
    """A part of a workflow. kind: ``task`` is one node, the rest are made of *parts*.

    id: of a node. task: its record, None if it is not kept any more. parts: of a node, what runs in its
    place.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    kind: Kind
    id: str | None = None
    task: TaskState | None = None
    parts: tuple[Branch, ...] = ()

    def walk(self) -> Iterator[Branch]:
        """Yield this part and all that are in it."""
        yield self
        for part in self.parts:
            yield from part.walk()


class WorkflowTree(BaseModel):
    """A workflow. state: of the whole, None if that is not kept any more. counts: nodes by their states."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    id: str
    state: State | None
    counts: dict[State, int]
    parts: tuple[Branch, ...]

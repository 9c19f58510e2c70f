"""Signatures: a task's parameters and result as they are written in its code."""

from __future__ import annotations

import inspect
from typing import Any

from aioqueue.router import AnyTask


def signature_of(task: AnyTask) -> str:
    """Return a task's parameters and result as they are written."""
    signature = inspect.signature(task.definition.function)
    parameters = [p.replace(annotation=_Written.of(p.annotation)) for p in signature.parameters.values()]
    result = _Written.of(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=result))


def parameters_of(task: AnyTask) -> list[dict[str, Any]]:
    """Return a task's parameters as JSON data. type, default: as they are written, None without one."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        {
            "name": parameter.name,
            "kind": parameter.kind.description,
            "type": _text(parameter.annotation),
            "required": parameter.default is inspect.Parameter.empty and parameter.kind not in variadic,
            "default": None if parameter.default is inspect.Parameter.empty else repr(parameter.default),
        }
        for parameter in inspect.signature(task.definition.function).parameters.values()
    ]


def returns_of(task: AnyTask) -> str | None:
    """Return the type of a task's result as it is written, None without one."""
    return _text(inspect.signature(task.definition.function).return_annotation)


class _Written:
    """An annotation that is text, shown without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    @classmethod
    def of(cls, annotation: object) -> object:
        """Return *annotation*, wrapped where it is text."""
        return cls(annotation) if isinstance(annotation, str) else annotation


def _text(annotation: object) -> str | None:
    if annotation is inspect.Parameter.empty:
        return None
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)

"""Uniqueness: the key that a call claims, of what it says and of its arguments. Pure.

A key belongs to the task's name, so that two tasks never meet in one. A node of a workflow and a callback
claim none: nobody is there to be told, when they are released, that another task has it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2s
from typing import Any, Final, cast

from aioqueue.codec import canonical
from aioqueue.errors import SignatureError
from aioqueue.models.signature import Signature
from aioqueue.protocols.messages import COMMIT_TTL, OPEN_TTL
from aioqueue.protocols.unique import Unique

KeyOf = str | Callable[..., str]
"""A key, with the names of parameters in braces, or what makes one of a call's arguments."""

_LONGEST: Final = 200
_DIGEST: Final = 16


def is_unique(call: Signature[Any]) -> bool:
    """Tell whether *call* claims a key."""
    return call.unique is not None or bool(call.debounce)


def claim_of(call: Signature[Any]) -> Unique:
    """Return what *call*, which is unique, claims. Raises SignatureError."""
    if call.debounce and (call.unique == "until_done" or call.on_conflict != "return"):
        raise SignatureError(
            f"{call.name}: with debounce= a key is free when its task starts, and a second call changes the "
            "first; leave out unique='until_done' and on_conflict="
        )
    key = call.unique_key or digest_of_arguments(call.args, call.kwargs)
    if len(key) > _LONGEST:
        key = blake2s(key.encode(), digest_size=_DIGEST).hexdigest()
    return Unique(
        f"{call.name}:{key}",
        until_done=call.unique == "until_done",
        replace=COMMIT_TTL if call.on_conflict == "replace" else None,
        ttl=OPEN_TTL if call.unique_for is None else call.unique_for,
        collapse=call.debounce_max or (10 * call.debounce if call.debounce else None),
        stands_in=call.on_conflict == "return",
    )


def require_plain(call: Signature[Any]) -> None:
    """Raise SignatureError if a call that is released later would have to claim a key then."""
    if is_unique(call):
        option = "debounce" if call.unique is None else "unique"
        raise SignatureError(
            f"{call.name}: {option}={getattr(call, option)!r} is for a call that is sent by itself: one in "
            "a workflow, or a callback, cannot claim a key when its turn comes; "
            f"write .options({option}=None) there"
        )


def digest_of_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return what tells these arguments, JSON data, from any others. Raises SignatureError."""
    data = canonical([list(args), dict(kwargs)])
    return blake2s(data, digest_size=_DIGEST).hexdigest()


class Keys:
    """Makes the keys of one task's calls. function: its own, whose parameters its calls name."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._name = name
        self._signature = inspect.signature(function)
        self._positional = [
            parameter.name
            for parameter in self._signature.parameters.values()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]

    def made(self, key: KeyOf, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the key of a call in Python. Raises SignatureError."""
        try:
            if callable(key):
                # whatever it is annotated with, it is the user's
                made = cast(object, key(*args, **kwargs))
            else:
                bound = self._signature.bind(*args, **kwargs)
                bound.apply_defaults()
                made = key.format(**bound.arguments)
        except (LookupError, ValueError, TypeError, AttributeError) as exc:
            raise SignatureError(
                f"{self._name}: unique_key={key!r} cannot be made of its arguments: {exc!r}; "
                "it takes the names of its parameters in braces, or a function of the same arguments"
            ) from exc
        if not isinstance(made, str) or not made:
            raise SignatureError(f"{self._name}: unique_key={key!r} is to come to a text, and not {made!r}")
        return made

    def digest(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the key of arguments, JSON data, the same however they are given. Raises SignatureError."""
        placed, named = list(args), dict(kwargs)
        for name in self._positional[len(placed) :]:
            if name not in named:
                break
            placed.append(named.pop(name))
        return digest_of_arguments(placed, named)

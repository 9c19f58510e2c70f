"""Limit: what a task is limited to by its registration, and by which argument its calls are told apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson

from aioqueue.errors import ConfigurationError
from aioqueue.models.rate import Rate
from aioqueue.models.signature import Signature
from aioqueue.protocols.limits import Limits

_LONGEST: Final = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """rates: of its starts. running: how many may run at once. by: name of an argument; each of its values
    has limits of its own.
    """

    name: str
    rates: tuple[Rate, ...]
    running: int | None
    by: str | None
    parameters: inspect.Signature

    @classmethod
    def checked(
        cls,
        function: Callable[..., Any],
        name: str,
        rates: tuple[Rate, ...],
        running: int | None,
        by: str | None,
    ) -> Limit | None:
        """Return what these options come to, None for nothing. Raises ConfigurationError."""
        if not rates and running is None and by is None:
            return None
        try:
            parameters = inspect.signature(function)
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"task {name!r}: its parameters cannot be read: {exc}") from exc
        if by is not None and not rates and running is None:
            raise ConfigurationError(
                f"task {name!r}: limit_by={by!r} limits nothing by itself; add rate_limit= or max_running="
            )
        if by is not None and by not in parameters.parameters:
            known = ", ".join(parameters.parameters) or "none"
            raise ConfigurationError(
                f"task {name!r}: limit_by={by!r} is no parameter of it; there are {known}"
            )
        return cls(name, rates, running, by, parameters)

    def of(self, call: Signature[Any] | None) -> Limits:
        """Return what holds for *call*; for one that does not carry the argument, what holds for all such."""
        return Limits(self._scope(call), self.rates, self.running)

    def _scope(self, call: Signature[Any] | None) -> str:
        if self.by is None or call is None:
            return self.name
        try:
            bound = self.parameters.bind_partial(*call.args, **call.kwargs)
            bound.apply_defaults()
        except TypeError:
            # what does not fit is told when it is called
            return self.name
        if self.by not in bound.arguments:
            return self.name
        key = orjson.dumps(bound.arguments[self.by], default=repr, option=orjson.OPT_SORT_KEYS)
        short = len(key) <= _LONGEST
        return f"{self.name} {key.decode() if short else blake2b(key, digest_size=16).hexdigest()}"

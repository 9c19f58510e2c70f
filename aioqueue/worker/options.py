"""WorkerOptions: what one worker is told; what it is not told comes from the Settings."""

from __future__ import annotations

import os
import socket
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aioqueue.errors import ConfigurationError
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.settings import Settings
from aioqueue.models.types import Duration, Name
from aioqueue.weights import listed, weighed


def default_name() -> str:
    """Return ``host:pid``, which tells a worker from every other that lives."""
    return f"{socket.gethostname()}:{os.getpid()}"


class WorkerOptions(BaseModel):
    """queues: those it serves. name: shown in records and listings. max_tasks: it ends after as many.

    weights: of the queues, their shares while several have work; none: all alike. strict: the first queue
    that has work first. Queues are given as names, or all with weights: ``["high:5", "default:1"]``.
    scheduler: it fires schedules, as any number of workers may.
    birth: by what its supervisor finds what it held, should it die; None where nobody supervises it.
    grace: seconds running tasks get on a stop. stall: seconds a blocked event loop is borne;
    stall_warning: seconds after which one is told. All others as in Settings.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    queues: Annotated[tuple[Name, ...], Field(min_length=1)]
    weights: tuple[int, ...] = ()
    strict: bool = False
    concurrency: Annotated[int, Field(ge=1, le=100_000)]
    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(default_factory=default_name)
    max_tasks: Annotated[int, Field(ge=1)] | None = None
    scheduler: Annotated[bool, Field(strict=True)] = True
    birth: Name | None = None
    lease: Annotated[float, Field(gt=0)]
    beat: Annotated[float, Field(gt=0)]
    sweep: Annotated[float, Field(gt=0)]
    stall: Annotated[float, Field(gt=0)]
    stall_warning: Annotated[float, Field(gt=0)]
    grace: Duration
    unknown_grace: Duration
    max_losses: Annotated[int, Field(ge=0)]
    result_ttl: Duration
    failure_ttl: Duration
    max_payload: int
    max_queue: int | None
    timeout: Duration | None
    timeout_grace: Duration
    retry: RetryPolicy | None
    queue: Name
    routes: dict[str, Name] = {}

    @property
    def served(self) -> tuple[str, ...]:
        """Return the queues as they are given, with their weights."""
        if not self.weights:
            return self.queues
        return tuple(f"{name}:{weight}" for name, weight in zip(self.queues, self.weights, strict=True))

    @classmethod
    def checked(cls, settings: Settings, options: dict[str, Any]) -> Self:
        """Return *options* over *settings*. Raises ConfigurationError naming the option that is wrong."""
        names = cls.model_fields.keys() & Settings.model_fields.keys()
        defaults = {name: getattr(settings, name) for name in names}
        given = {name: value for name, value in options.items() if value is not None}
        served: Any = listed(given.get("queues", settings.queues or (settings.queue,)))
        try:
            queues, weights = weighed(served)
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"worker option 'queues': {exc} (got {served!r})") from None
        try:
            made = cls.model_validate({**defaults, **given, "queues": queues, "weights": weights})
        except ValidationError as exc:
            error = exc.errors(include_url=False)[0]
            where = ".".join(str(part) for part in error["loc"])
            raise ConfigurationError(
                f"worker option {where!r}: {error['msg']} (got {error['input']!r})"
            ) from None
        if made.beat * 2 > made.lease:
            raise ConfigurationError(
                f"beat={made.beat} is too long for lease={made.lease}: at most half of it"
            )
        if made.strict and made.weights:
            raise ConfigurationError(
                f"strict takes the queues in their order, and {', '.join(made.served)} have weights; "
                "leave out one of them"
            )
        return made

"""Settings: what a deployment can choose, with its defaults.

No vendor's option stands here: an adapter reads its own from its URL. Values come from code;
``aioqueue.config`` reads files and variables, and only when one is named or found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Final, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from aioqueue.ids import is_name
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.types import Duration, Name
from aioqueue.redaction import redacted
from aioqueue.weights import listed, weighed

Pattern = Annotated[str, Field(min_length=1)]

URLS: Final = ("broker", "backend")
"""The settings that may hold a password."""


class Settings(BaseModel):
    """All durations are in seconds, all sizes in bytes.

    lease: how long a worker is believed without a sign of life; beat: pause between signs; sweep:
    pause between maintenance rounds. stall: how long a blocked event loop is borne. grace: time
    running tasks get on a stop. unknown_grace: how long a task whose name nobody knows is given
    back before it is rejected. max_losses: workers that may die with one task. max_queue: most tasks
    a queue may hold (waiting, delayed and held) for a send to be accepted; None has no limit. queues: what a
    worker serves, perhaps with weights; none stands for *queue*. strict: in their order, and not in turn.
    routes: the queue of tasks whose name is like a pattern; the first that fits counts. retry: what holds
    for a task whose call and registration name no policy. timeout_grace: how long what is interrupted
    may ignore it before it is left to itself.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    broker: str = "sqlite:///aioqueue.db"
    backend: str | None = None
    queue: Name = "default"
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 100
    lease: Annotated[float, Field(gt=0)] = 15.0
    beat: Annotated[float, Field(gt=0)] = 5.0
    sweep: Annotated[float, Field(gt=0)] = 5.0
    stall: Annotated[float, Field(gt=0)] = 300.0
    stall_warning: Annotated[float, Field(gt=0)] = 1.0
    grace: Duration = 25.0
    unknown_grace: Duration = 900.0
    max_losses: Annotated[int, Field(ge=0)] = 3
    result_ttl: Duration = 3600.0
    failure_ttl: Duration = 86_400.0
    max_payload: Annotated[int, Field(ge=1024)] = 1_048_576
    timeout: Duration | None = None
    timeout_grace: Duration = 10.0
    retry: RetryPolicy | None = None
    max_queue: Annotated[int, Field(ge=1)] | None = None
    queues: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    strict: bool = False
    routes: dict[Pattern, Name] = {}

    def queue_of(self, name: str) -> str:
        """Return where calls of the task *name* go that name no queue."""
        return routed(self.routes, name) or self.queue

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool(cls, value: object, info: ValidationInfo) -> object:
        # YAML reads yes, no, on and off so, and as a number they would be 1 and 0
        if isinstance(value, bool) and info.field_name != "strict":
            raise PydanticCustomError("no_bool", "is neither on nor off")
        return value

    @field_validator("retry", mode="before")
    @classmethod
    def _on(cls, value: object) -> object:
        if value is None or isinstance(value, RetryPolicy):
            return value
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "retry", 'wants the fields of a policy, as a mapping in a file or JSON: {"max_retries": 5}'
            )
        # YAML reads the key on as a truth
        fields = cast("dict[object, object]", value)
        return {"on" if key is True else key: said for key, said in fields.items()}

    @field_validator("queues")
    @classmethod
    def _weighed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names, _ = weighed(value)
        except ValueError as exc:
            raise PydanticCustomError("weights", "{why}", {"why": str(exc)}) from None
        for name in names:
            if not is_name(name):
                raise PydanticCustomError("queue", "{name} is no name of a queue", {"name": repr(name)})
        return value

    @field_validator("routes", mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            raise PydanticCustomError(
                "routes", 'wants patterns and queues, as a mapping in a file or JSON: {"mail.*": "mail"}'
            )
        return cast("Mapping[object, object]", value)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields as they may be shown, without what credentials the URLs hold."""
        for name, value in super().__repr_args__():
            yield name, redacted(value) if name in URLS and isinstance(value, str) else value


def routed(routes: Mapping[str, str], name: str) -> str | None:
    """Return the queue of the first route whose pattern the task *name* is like; None if there is none."""
    return next((queue for pattern, queue in routes.items() if fnmatchcase(name, pattern)), None)

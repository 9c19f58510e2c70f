"""Signature: one call of a task as data, and the options a call can carry.

What a call takes from before it is data too (*takes*), so that a process without the task's
code can send it. A Signature has no id until it is sent, unless its sender chose one. Workflows are
Signatures as well; ``models.workflow`` has them, and is looked up when it is first needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypedDict,
    Unpack,
    cast,
    overload,
)

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeVar

from aioqueue.errors import ConfigurationError, SignatureError
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.types import Expiry, Name, Priority, Seconds

R_co = TypeVar("R_co", covariant=True, default=Any)
In_contra = TypeVar("In_contra", contravariant=True, default=Any)
A = TypeVar("A")
B = TypeVar("B")
V = TypeVar("V", default=Any)

Takes = Literal["none", "last", "first"]
UniqueUntil = Literal["until_started", "until_done"]
OnConflict = Literal["return", "raise", "replace", "drop"]

# A model's own slots, which it has no way to write that is as quick.
_put_given, _put_extra, _put_private = (
    vars(BaseModel)[f"__pydantic_{slot}__"].__set__ for slot in ("fields_set", "extra", "private")
)

if TYPE_CHECKING:
    from aioqueue.results import AsyncResult

    # any sequence may be written; a tuple is what is kept
    Arguments = Sequence[Any]
    # a stream of anything: that V may be a list, and of what, cannot be said where V is any value
    Follower: TypeAlias = "Signature | Link[V] | Link[AsyncIterator[Any]]"
else:
    Arguments = tuple[Any, ...]
    # for who resolves hints at run time, where it has a parameter too
    Follower = Annotated[V, "a call"]


class PlainOptions(TypedDict, total=False):
    """What ``options()`` accepts of any call; each is explained at the field of Signature."""

    id: str | None
    queue: str | None
    priority: int
    delay: float | timedelta
    eta: datetime | None
    expires: float | timedelta | datetime | None
    timeout: float | timedelta | None
    retry: RetryPolicy | None
    on_error: Signature | Link[str] | Iterable[Signature | Link[str]]
    immutable: bool
    result_ttl: float | timedelta | None
    ignore_result: bool
    headers: dict[str, str]
    unique: UniqueUntil | None
    unique_key: str | None
    unique_for: float | timedelta | None
    on_conflict: OnConflict
    debounce: float | timedelta | None
    debounce_max: float | timedelta | None


class CallOptions(PlainOptions, Generic[V], total=False):
    """What ``options()`` accepts of a call whose value is a V."""

    on_success: Follower[V] | Iterable[Follower[V]]


_JSON: Final = "json"
"""In the context of a validation: what is read was JSON, whose moments are text."""


def _is_json(info: ValidationInfo) -> bool:
    return info.mode == "json" or bool(info.context and info.context.get(_JSON))


def as_call(value: object, info: ValidationInfo) -> Signature:
    """Return the call that *value* stands for: itself, a Link's, or that of a dict of fields."""
    if isinstance(value, Signature):
        return cast("Signature", value)
    if isinstance(value, Link):
        return cast("Link", value).signature
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        kind: type[Signature] = _workflows().shape(fields) or Signature
        return kind.model_validate(fields, context={_JSON: _is_json(info)})
    if callable(value):
        raise PydanticCustomError("call", "is a task and no call of it; write it with .s(...) or .p(...)")
    raise PydanticCustomError("call", "should be a call: a Signature, what .s or .p returns, or a workflow")


def _as_calls(value: object) -> object:
    if isinstance(value, Signature | Link | Mapping) or callable(value):
        return (cast(object, value),)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return value
    return tuple(cast("Iterable[object]", value))


def _moment_of_json(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str) or not _is_json(info):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return value


def _travels(policy: RetryPolicy | None) -> RetryPolicy | None:
    if policy is not None and not policy.travels:
        raise PydanticCustomError(
            "travels", "has a backoff function, which cannot be sent; register it: @server.task(retry=...)"
        )
    return policy


def _workflows() -> Any:
    return import_module("aioqueue.models.workflow")


OfJson: BeforeValidator = BeforeValidator(_moment_of_json)


if TYPE_CHECKING:
    Call: TypeAlias = "Signature"
    Calls: TypeAlias = "tuple[Signature, ...]"
else:
    # a generic model among its own fields would be made over for each type it is given
    Call = Annotated[Any, PlainValidator(as_call)]
    Calls = Annotated[tuple[Call, ...], BeforeValidator(_as_calls)]


class Spread(tuple[Any, ...]):
    """Values of one task, each of which is an argument of its own to what comes after it."""


class Way:
    """How a call is sent: what finds the server of a task by its name. No two calls differ by it."""

    def __init__(self, outbox: Callable[[str], Any] | None = None) -> None:
        self.outbox = outbox

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Way)

    def __hash__(self) -> int:
        return hash(Way)

    def __reduce__(self) -> tuple[type[Way], tuple[()]]:
        # what finds a server belongs to its process
        return Way, ()


class Signature(BaseModel, Generic[R_co]):
    """One call of a task: a name, arguments, and how it is to run.

    takes: what it gets from the call before it: ``none``; ``last`` or ``first`` of its positional
    arguments; None, as written by hand, is ``last`` and, as an error callback, ``first``.
    immutable: the same as ``takes="none"``.
    id: an idempotency key: while its record exists a second send runs nothing.
    priority: 0 to 9, 9 first. delay: seconds from acceptance until it is due. eta: the moment it
    is due. expires: seconds from sending, or a moment; no attempt starts later. timeout: seconds
    an attempt may run. on_success, on_error: calls released when it has ended for good.
    result_ttl: seconds its value is kept. ignore_result: keep no record. headers: text for the
    task, carried as it is. unique: until when no other task of its key is accepted: this one has started,
    or ended for good. unique_key: the key among those of the name; one of the arguments by default.
    unique_for: most seconds past the moment it is due for which it has its key. on_conflict: what becomes of
    it where another has the key: its result is that one's, or an error; it takes its place; it is dropped.
    debounce: calls of its key become one, as the last was, which is due so many seconds after that, and
    debounce_max, ten times as many by default, after the first at the latest.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    name: Name
    args: Arguments = ()
    kwargs: dict[str, Any] = Field(default_factory=dict)
    takes: Takes | None = None
    immutable: bool = False
    id: Name | None = None
    queue: Name | None = None
    priority: Priority = 0
    delay: Seconds = 0.0
    eta: Annotated[Annotated[AwareDatetime, Field(strict=True)] | None, OfJson] = None
    expires: Annotated[Expiry | None, OfJson] = None
    timeout: Seconds | None = None
    retry: Annotated[RetryPolicy | None, AfterValidator(_travels)] = None
    on_success: Calls = ()
    on_error: Calls = ()
    result_ttl: Seconds | None = None
    ignore_result: bool = False
    headers: dict[str, str] = Field(default_factory=dict)
    unique: UniqueUntil | None = None
    unique_key: Annotated[str, Field(min_length=1)] | None = None
    unique_for: Seconds | None = None
    on_conflict: OnConflict = "return"
    debounce: Seconds | None = None
    debounce_max: Seconds | None = None

    _way: Way = PrivateAttr(default_factory=Way)

    def options(self, **options: Unpack[CallOptions[R_co]]) -> Self:
        """Return a copy with these options set. Raises SignatureError for a bad one."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).checked({**fields, **options}).by(self._way)

    def with_arguments(self, args: Sequence[Any] | None, kwargs: dict[str, Any] | None) -> Self:
        """Return a copy with arguments that are known to be a call's: nothing is validated. None leaves them.

        It is this often enough that a model's own copy would be most of what a task costs.
        """
        made = object.__new__(type(self))
        fields, given = self.__dict__.copy(), self.__pydantic_fields_set__
        fields["headers"] = fields["headers"].copy()
        # nobody adds to the names of a frozen model's fields, so that copies may share them
        if args is not None:
            fields["args"] = tuple(args)
            given = given if "args" in given else given | {"args"}
        if kwargs is not None:
            fields["kwargs"] = kwargs
            given = given if "kwargs" in given else given | {"kwargs"}
        object.__setattr__(made, "__dict__", fields)
        _put_given(made, given)
        _put_extra(made, None)
        _put_private(made, (self.__pydantic_private__ or {}).copy())
        return made

    def by(self, way: Way) -> Self:
        """Return this call, which is sent by *way*."""
        self._way = way
        return self

    @property
    def way(self) -> Way:
        """How it is sent."""
        return self._way

    async def send(self) -> AsyncResult[R_co]:
        """Send it through the server of its task, or of the first task in it. Raises as ``server.send``."""
        sent: AsyncResult[R_co] = await self._sent()
        return sent

    async def _sent(self, **how: Any) -> Any:
        for call in self.walk():
            if call.way.outbox is not None:
                return await call.way.outbox(call.name).send(self, **how)
        raise ConfigurationError(
            f"{self.name}: nothing in it knows a server, as it was written by hand or is empty; "
            "send it by server.send(...)"
        )

    def walk(self) -> Iterator[Signature[Any]]:
        """Yield this call and, of a workflow, all that are in it."""
        yield self

    @classmethod
    def checked(cls, fields: dict[str, Any]) -> Self:
        """Return the Signature of *fields*. Raises SignatureError naming the field that is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as exc:
            raise SignatureError(_explained(cls, fields, exc)) from None

    @overload
    def __or__(self, after: Link[R_co, B]) -> Signature[B]: ...
    @overload
    def __or__(self: Signature[list[A]], after: Link[AsyncIterator[A], B]) -> Signature[B]: ...
    @overload
    def __or__(self, after: Signature[B]) -> Signature[B]: ...
    def __or__(self, after: Any) -> Any:
        """Return the workflow that makes this call and then *after*. Raises SignatureError."""
        return _workflows().joined(self, after)

    def given(self, value: object, *, error: bool = False) -> Self:
        """Return the call with *value*, what came before it, put where *takes* says; a Spread in order."""
        place = self.place(error=error)
        if place is None:
            return self
        values = value if isinstance(value, Spread) else (value,)
        args = (*self.args[:place], *values, *self.args[place:])
        return self.model_copy(update={"args": args})

    def place(self, *, error: bool = False) -> int | None:
        """Return which of its arguments what came before it becomes, from 0; None if it takes nothing."""
        match "none" if self.immutable else self.takes or ("first" if error else "last"):
            case "none":
                return None
            case "first":
                return 0
            case "last":
                return len(self.args)


class Link(BaseModel, Generic[In_contra, R_co]):
    """A call, or a workflow, that still wants the previous result, as made by ``task.p(...)``."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    signature: Call

    @overload
    def __or__(self, after: Link[R_co, B]) -> Link[In_contra, B]: ...
    @overload
    def __or__(self, after: Signature[B]) -> Link[In_contra, B]: ...
    def __or__(self, after: Any) -> Any:
        """Return the link that makes this call and then *after*. Raises SignatureError."""
        return _workflows().joined(self, after)

    def options(self, **options: Unpack[CallOptions[R_co]]) -> Self:
        """Return a copy with these options set. Raises SignatureError for a bad one."""
        return self.model_copy(update={"signature": self.signature.options(**options)})


def _explained(kind: type[Signature], fields: dict[str, Any], exc: ValidationError) -> str:
    error = exc.errors(include_url=False)[0]
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    own = kind.model_fields["name"]
    name = fields.get("name", "a signature" if own.is_required() else own.default)
    if error["type"] == "timezone_aware":
        return f"{name}: option {where!r} needs an aware datetime; add a tzinfo"
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no option {where!r}; there are {', '.join(sorted(Signature.model_fields))}"
    return f"{name}: option {where!r}: {error['msg']}"

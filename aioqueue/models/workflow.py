"""Chain, Group, Chord: workflows as data, and the functions that write them down.

A workflow is a Signature and stands wherever one may, in another workflow and among callbacks. What
a chain is put into takes in its steps, unless options were given to it: those belong to it as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import GenericAlias, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    overload,
)

from pydantic import PlainValidator, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeVar as DefaultTypeVar

from aioqueue.errors import SignatureError, TaskError
from aioqueue.models.signature import Call, Calls, Link, R_co, Signature, as_call
from aioqueue.models.types import Name

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
In = TypeVar("In")
M = DefaultTypeVar("M", default=Any)

Errors = Literal["fail_fast", "collect"]

WRITERS: Final = 4
"""Pages of a workflow that are written at a time, where its sender does not say."""

_OF_ONE_CALL: Final = ("args", "kwargs", "takes", "immutable", "ignore_result")
_OF_ONE_SENT: Final = ("unique", "unique_key", "unique_for", "on_conflict", "debounce", "debounce_max")
_DEFAULTS: Final = ("queue", "priority", "timeout", "retry", "result_ttl")
_PARTS: Final = frozenset({"name", "steps", "members", "group", "callback", "errors"})

if TYPE_CHECKING:
    from aioqueue.group_result import GroupResult
    from aioqueue.results import AsyncResult

    # any sequence may be written; a tuple is what is kept
    Parts = Sequence[Signature[Any]]
    Part = Signature[Any]
else:
    Parts = Calls
    Part = Call


class Workflow(Signature[R_co], Generic[R_co]):
    """What Chain, Group and Chord have in common. Raises SignatureError for what only one call can have."""

    async def send(self, *, concurrency: int = WRITERS) -> AsyncResult[R_co]:
        """Send it through the server of the first task in it, as ``server.send`` does."""
        sent: AsyncResult[R_co] = await self._sent(concurrency=concurrency)
        return sent

    @property
    def calls(self) -> tuple[Signature[Any], ...]:
        """The calls and workflows it is made of, in order."""
        return ()

    def walk(self) -> Iterator[Signature[Any]]:
        yield self
        for call in self.calls:
            yield from call.walk()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        kind = type(self).model_fields["name"].default
        if self.name != kind:
            raise SignatureError(f"{kind}: its name is {kind!r} and not {self.name!r}; leave it out")
        for name in _OF_ONE_CALL:
            if not _is_default(self, name):
                raise SignatureError(f"{kind}: {name} belongs to one call; give it to the calls inside")
        for name in _OF_ONE_SENT:
            if not _is_default(self, name):
                raise SignatureError(
                    f"{kind}: {name} belongs to one call that is sent by itself; leave it out"
                )
        for call in self.calls:
            _require_no_id(kind, call)
        return self


class Chain(Workflow[R_co], Generic[R_co]):
    """Calls one after another, each taking the value of the one before; its value is the last one's."""

    name: Name = "chain"
    steps: Parts

    @property
    def calls(self) -> tuple[Signature[Any], ...]:
        return tuple(self.steps)

    @field_validator("steps", mode="after")
    @classmethod
    def _flattened(cls, steps: tuple[Signature[Any], ...]) -> tuple[Signature[Any], ...]:
        if not steps:
            raise SignatureError("chain: it has no steps; a chain has at least one")
        return tuple(inner for step in steps for inner in _steps_of(step))

    def given(self, value: object, *, error: bool = False) -> Self:
        """Return the chain with *value*, what came before it, given to its first step."""
        first, *rest = self.steps
        return self.model_copy(update={"steps": (_given(first, value, error), *rest)})


class Group(Workflow[list[M]], Generic[M]):
    """Calls at the same time; its value is the list of theirs, in order. It may be empty."""

    name: Name = "group"
    members: Parts

    async def send(self, *, concurrency: int = WRITERS) -> GroupResult[M]:
        """Send it through the server of the first task in it, as ``server.send`` does."""
        sent: GroupResult[M] = await self._sent(concurrency=concurrency)
        return sent

    @property
    def calls(self) -> tuple[Signature[Any], ...]:
        return tuple(self.members)

    def given(self, value: object, *, error: bool = False) -> Self:
        """Return the group with *value*, what came before it, given to every member."""
        members = tuple(_given(member, value, error) for member in self.members)
        return self.model_copy(update={"members": members})


def _as_group(value: object, info: ValidationInfo) -> Group:
    call = as_call(value, info)
    if not isinstance(call, Group):
        raise PydanticCustomError("group", "should be a group of calls, as group(...) makes it")
    return cast("Group", call)


if TYPE_CHECKING:
    OneGroup: TypeAlias = Group
else:
    OneGroup = Annotated[Any, PlainValidator(_as_group)]


class Chord(Workflow[R_co], Generic[R_co]):
    """A group, and a callback that takes the list of its values; its value is the callback's.

    errors: ``fail_fast``: the first failure of a member is the chord's, and the callback never runs;
    ``collect``: the callback gets errors among the values.
    """

    name: Name = "chord"
    group: OneGroup
    callback: Part
    errors: Errors = "fail_fast"

    @property
    def calls(self) -> tuple[Signature[Any], ...]:
        return (self.group, self.callback)

    @model_validator(mode="after")
    def _is_decidable(self) -> Self:
        if self.errors == "collect" and self.group.on_error:
            raise SignatureError(
                "chord: with errors='collect' its group cannot fail, so on_error of the group would never "
                "be called; give it to the chord, or to a member"
            )
        return self

    def given(self, value: object, *, error: bool = False) -> Self:
        """Return the chord with *value*, what came before it, given to every member of its group."""
        return self.model_copy(update={"group": self.group.given(value, error=error)})


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What calls inside have from the workflows around them.

    defaults: options for calls that set none. delay, eta, expires: when what begins it starts.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0
    eta: datetime | None = None
    expires: float | datetime | None = None

    def within(self, whole: Workflow[Any]) -> Inheritance:
        """Return what calls inside *whole* have, which has all this itself.

        What is further in counts before what is further out; pauses add up, and of moments the
        stricter one counts.
        """
        own = {name: getattr(whole, name) for name in _DEFAULTS if not _is_default(whole, name)}
        return Inheritance(
            {**self.defaults, **own} if own else self.defaults,
            {**self.headers, **whole.headers} if whole.headers else self.headers,
            **self._start_of(whole),
        )

    def later(self) -> Inheritance:
        """Return what calls have that do not begin the workflow."""
        return Inheritance(self.defaults, self.headers)

    def given_to(self, call: Signature[Any]) -> Signature[Any]:
        """Return *call* with all this."""
        changes = {name: value for name, value in self.defaults.items() if _is_default(call, name)}
        if self.headers:
            changes["headers"] = {**self.headers, **call.headers}
        if (self.delay, self.eta, self.expires) != (0.0, None, None):
            changes |= self._start_of(call)
        return call.model_copy(update=changes) if changes else call

    def _start_of(self, call: Signature[Any]) -> dict[str, Any]:
        etas = [eta for eta in (self.eta, call.eta) if eta is not None]
        return {
            "delay": self.delay + call.delay,
            "eta": max(etas, default=None),
            "expires": _sooner(self.expires, call.expires),
        }


NOTHING: Final = Inheritance()

_SHAPES: Final[dict[str, type[Workflow[Any]]]] = {"steps": Chain, "members": Group, "group": Chord}


def shape(fields: Mapping[str, Any]) -> type[Workflow[Any]] | None:
    """Return the workflow that has these fields, or None: then they are one call's."""
    return next((kind for field, kind in _SHAPES.items() if field in fields), None)


def awaited(hint: Any) -> Any:
    """Return the type of the value that is awaited of a task: where it may return a call, that one's too."""
    given: object = hint
    if isinstance(given, type) and issubclass(given, Signature):
        kind = cast("type[Signature[Any]]", given)
        inner: Any = (kind.__pydantic_generic_metadata__["args"] or (Any,))[0]
        return cast("object", GenericAlias(list, inner)) if issubclass(kind, Group) else inner
    if get_origin(hint) not in (Union, UnionType):
        return hint
    first, *others = (awaited(part) for part in get_args(hint))
    for other in others:
        first |= other
    return first


# fmt: off
@overload
def chain(a: Signature[A], /) -> Chain[A]: ...
@overload
def chain(a: Signature[A], b: Link[A, B] | Signature[B], /) -> Chain[B]: ...
@overload
def chain(a: Signature[A], b: Link[A, B] | Signature[B], c: Link[B, C] | Signature[C], /) -> Chain[C]: ...
@overload
def chain(a: Signature[A], b: Link[A, B] | Signature[B], c: Link[B, C] | Signature[C], d: Link[C, D] | Signature[D], /) -> Chain[D]: ...
@overload
def chain(a: Signature[A], b: Link[A, B] | Signature[B], c: Link[B, C] | Signature[C], d: Link[C, D] | Signature[D], e: Link[D, E] | Signature[E], /) -> Chain[E]: ...
@overload
def chain(a: Link[In, A], /) -> Link[In, A]: ...
@overload
def chain(a: Link[In, A], b: Link[A, B] | Signature[B], /) -> Link[In, B]: ...
@overload
def chain(a: Link[In, A], b: Link[A, B] | Signature[B], c: Link[B, C] | Signature[C], /) -> Link[In, C]: ...
@overload
def chain(a: Link[In, A], b: Link[A, B] | Signature[B], c: Link[B, C] | Signature[C], d: Link[C, D] | Signature[D], /) -> Link[In, D]: ...
@overload
def chain(a: Link[In, A], b: Link[A, B] | Signature[B], c: Link[B, C] | Signature[C], d: Link[C, D] | Signature[D], e: Link[D, E] | Signature[E], /) -> Link[In, E]: ...
@overload
def chain(a: Signature[Any], b: Link | Signature[Any], c: Link | Signature[Any], d: Link | Signature[Any], e: Link | Signature[Any], f: Link | Signature[Any], /, *more: Link | Signature[Any]) -> Chain[Any]: ...
@overload
def chain(a: Link[In, Any], b: Link | Signature[Any], c: Link | Signature[Any], d: Link | Signature[Any], e: Link | Signature[Any], f: Link | Signature[Any], /, *more: Link | Signature[Any]) -> Link[In, Any]: ...
# fmt: on
def chain(*steps: Any) -> Any:
    """Return the chain of *steps*; a link of it, where the first one wants a previous result.

    The types of up to five steps are checked from end to end. Raises SignatureError.
    """
    return _like(steps[:1], Chain.checked({"steps": steps}))


@overload
def group(members: Iterable[Signature[A]], /) -> Group[A]: ...
@overload
def group(members: Iterable[Link[In, A]], /) -> Link[In, list[A]]: ...
def group(members: Any, /) -> Any:
    """Return the group of *members*; a link of it, where one of them wants a previous result.

    Raises SignatureError.
    """
    if isinstance(members, Signature | Link):
        raise SignatureError("group: its members are an iterable of calls; write group([call])")
    members = tuple(cast("Iterable[object]", members))
    return _like(members, Group.checked({"members": members}))


# fmt: off
@overload
def chord(group: Group[A], callback: Link[list[A], B] | Link[AsyncIterator[A], B] | Signature[B], /, *, errors: Literal["fail_fast"] = "fail_fast") -> Chord[B]: ...
@overload
def chord(group: Group[A], callback: Link[list[A | TaskError], B] | Link[AsyncIterator[A | TaskError], B] | Signature[B], /, *, errors: Literal["collect"]) -> Chord[B]: ...
@overload
def chord(group: Link[In, list[A]], callback: Link[list[A], B] | Link[AsyncIterator[A], B] | Signature[B], /, *, errors: Literal["fail_fast"] = "fail_fast") -> Link[In, B]: ...
@overload
def chord(group: Link[In, list[A]], callback: Link[list[A | TaskError], B] | Link[AsyncIterator[A | TaskError], B] | Signature[B], /, *, errors: Literal["collect"]) -> Link[In, B]: ...
# fmt: on
def chord(group: Any, callback: Any, /, *, errors: Errors = "fail_fast") -> Any:
    """Return the chord of a group and its callback; a link of it, where the group is one.

    Raises SignatureError.
    """
    return _like((group,), Chord.checked({"group": group, "callback": callback, "errors": errors}))


def joined(first: Signature[Any] | Link, after: object) -> Any:
    """Return the workflow of *first* and then *after*: what ``|`` stands for. Raises SignatureError."""
    if callable(after):
        raise SignatureError(
            f"{_called(after)} is a task and no call of it; write it with .s(...) or .p(...)"
        )
    if not isinstance(after, Signature | Link):
        return NotImplemented
    pair = [_whole(call) for call in (first, cast("Signature[Any] | Link", after))]
    if isinstance(pair[0], Group) and not isinstance(pair[1], Group):
        return _like((first,), Chord.checked({"group": pair[0], "callback": pair[1]}))
    # each was looked at when it was made, and is not looked at again
    steps = tuple(step for call in pair for step in _steps_of(call))
    for call in pair:
        _require_no_id("chain", call)
    return _like((first,), Chain.model_construct({"steps"}, steps=steps))


def _like(heads: Sequence[object], made: Signature[Any]) -> Any:
    return Link(signature=made) if any(isinstance(head, Link) for head in heads) else made


def _whole(call: Signature[Any] | Link) -> Signature[Any]:
    return call.signature if isinstance(call, Link) else call


def _steps_of(call: Signature[Any]) -> tuple[Signature[Any], ...]:
    """Return the steps of a chain without options, else the call itself."""
    if not isinstance(call, Chain):
        return (call,)
    options = call.model_fields_set - _PARTS
    return call.calls if all(_is_default(call, field) for field in options) else (call,)


def _is_default(call: Signature[Any], field: str) -> bool:
    default = type(call).model_fields[field].get_default(call_default_factory=True)
    return bool(getattr(call, field) == default)


def _require_no_id(kind: str, call: Signature[Any]) -> None:
    if call.id is not None:
        raise SignatureError(
            f"{call.name}: a call inside a {kind} gets its id from the whole; give id={call.id!r} to that"
        )


def _given(call: Signature[Any], value: object, error: bool) -> Signature[Any]:
    given = call.given(value, error=error)
    # what it takes it has
    return given if isinstance(given, Workflow) else given.model_copy(update={"takes": "none"})


def _called(task: object) -> str:
    return str(getattr(task, "name", type(task).__name__))


def _sooner(one: float | datetime | None, other: float | datetime | None) -> float | datetime | None:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, datetime):
        # a moment stands still; seconds are counted from the sending
        return min(one, other) if isinstance(other, datetime) else one
    return other if isinstance(other, datetime) else min(one, other)

"""Conversion: arguments and results between Python and JSON, by the annotations of a function.

One pydantic-core validator a function. Lax, but a number is never read from a bool or a string,
and NaN and infinity are errors. What is not annotated must be JSON already, unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast, get_origin, get_type_hints

import orjson
from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ArgsKwargs, CoreConfig, CoreSchema, PydanticSerializationError, SchemaValidator

from aioqueue.errors import ConfigurationError, SignatureError, TaskError
from aioqueue.json_values import json_fault
from aioqueue.models.signature import Spread
from aioqueue.models.workflow import awaited
from aioqueue.streams import stand_in, stream, streamed, yielded

_CONFIG: Final = ConfigDict(allow_inf_nan=False, ser_json_bytes="base64", val_json_bytes="base64")
_CORE_CONFIG: Final = CoreConfig(allow_inf_nan=False, val_json_bytes="base64")
_UNTYPED: Final = (inspect.Parameter.empty, Any, object)
_SCALARS: Final = frozenset({str, bool, int, float, type(None)})
_BY_JSON: Final = frozenset(
    {"bytes", "model", "dataclass", "typed-dict", "definition-ref", "set", "frozenset"}
)
_NOT_SCHEMA: Final = frozenset({"keys_schema", "metadata", "default", "cls", "expected", "members"})
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ABSENT: Final = object()

Bound = tuple[tuple[Any, ...], dict[str, Any]]


class ValueSchema:
    """One annotated value: how it becomes JSON, and Python again. what: its name in errors."""

    def __init__(self, annotation: object, what: str) -> None:
        self._what = what
        self._untyped = _is_untyped(annotation)
        self._wrapped = False
        self._adapter: TypeAdapter[Any] = TypeAdapter(Any)
        self._scalar = self._untyped
        if not self._untyped:
            self._adapt(annotation)
            schema = self._adapter.core_schema
            self._scalar = not any("serialization" in node for node in _nodes(schema))
            self._validator = SchemaValidator(_strict(schema), _CORE_CONFIG)

    def _adapt(self, annotation: object) -> None:
        try:
            self._adapter = TypeAdapter(cast(Any, annotation), config=_CONFIG)
        except PydanticUserError:
            # a model or dataclass takes no config from outside unless it stands within something
            self._wrapped = True
            self._adapter = TypeAdapter(tuple[annotation], config=_CONFIG)  # type: ignore[valid-type]  # made at run time

    def dump(self, value: object) -> Any:
        """Return *value* as JSON data. Raises SignatureError."""
        return self.dump_validated(value if self._untyped else self._validated(value))

    def dump_validated(self, value: object) -> Any:
        """Return *value*, which is of its type, as JSON data. Raises SignatureError."""
        if not (self._untyped or (self._scalar and type(value) in _SCALARS)):
            value = self._dump(value)
        if fault := json_fault(value):
            raise SignatureError(f"{self._what}: {fault}")
        return value

    def load(self, value: Any) -> Any:
        """Return JSON data as the annotated type. Raises SignatureError."""
        if self._untyped:
            return value
        if fault := json_fault(value):
            raise SignatureError(f"{self._what}: {fault}")
        try:
            loaded = self._validator.validate_json(orjson.dumps([value] if self._wrapped else value))
        except ValidationError as exc:
            raise SignatureError(f"{self._what}: {_first(exc)[1]}") from None
        return loaded[0] if self._wrapped else loaded

    def taken(self, value: Any) -> Any:
        """Return JSON data as the annotated type; an error of a task is handed on where it stands for one."""
        is_error = isinstance(value, TaskError) and not self._untyped
        return self._validated(value) if is_error else self.load(value)

    def _validated(self, value: object) -> Any:
        try:
            checked = self._validator.validate_python((value,) if self._wrapped else value)
        except ValidationError as exc:
            raise SignatureError(f"{self._what}: {_first(exc)[1]}") from None
        return checked[0] if self._wrapped else checked

    def _dump(self, value: object) -> Any:
        try:
            dumped = self._adapter.dump_python(
                (value,) if self._wrapped else value, mode="json", warnings="error"
            )
        except (PydanticSerializationError, ValueError, RecursionError) as exc:
            raise SignatureError(f"{self._what}: {str(exc).strip()}") from None
        return dumped[0] if self._wrapped else dumped


class SpreadSchema(ValueSchema):
    """The result of a task whose values are given one by one: a tuple."""

    def __init__(self, annotation: object, what: str) -> None:
        require_tuple(annotation, what)
        super().__init__(annotation, what)

    def dump(self, value: object) -> Any:
        if not isinstance(value, tuple):
            raise SignatureError(f"{self._what}: with spread=True it is a tuple, not {type(value).__name__}")
        values = cast("tuple[Any, ...]", value)
        return Spread(super().dump(list(values) if self._untyped else values))

    def load(self, value: Any) -> Any:
        # one that was kept before the task spread its values may be anything
        return (
            tuple(cast("list[Any]", value))
            if self._untyped and isinstance(value, list)
            else super().load(value)
        )


def _is_untyped(annotation: object) -> bool:
    return any(annotation is untyped for untyped in _UNTYPED)


def require_tuple(annotation: object, what: str) -> None:
    """Raise ConfigurationError unless values of that annotation are tuples, or it says nothing of them."""
    kind = get_origin(annotation) or annotation
    if not _is_untyped(annotation) and not (isinstance(kind, type) and issubclass(kind, tuple)):
        raise ConfigurationError(f"{what}: with spread=True it has to be a tuple, and is {annotation!r}")


class CallSchema:
    """A function's parameters and result. Raises ConfigurationError where an annotation cannot be data.

    spread: its values are given one by one to what comes after it.
    """

    def __init__(self, function: Callable[..., Any], name: str, *, spread: bool = False) -> None:
        self._name = name
        try:
            parameters = inspect.signature(function).parameters
            hints = get_type_hints(function, include_extras=True)
            given = list(parameters.values())
            items = streamed(given, hints, name)
            plain = {key: Any if key in items else hint for key, hint in hints.items()}
            shape = stand_in(given, plain) if items else function
            arguments = _arguments(TypeAdapter(cast(Any, shape), config=_CONFIG).core_schema)
            self._positional: list[str] = [p.name for p in given if p.kind in _POSITIONAL]
            self._named = {p.name for p in given if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}
            self._dumps = {
                p.name: ValueSchema(plain.get(p.name, Any), f"{name}() argument {p.name!r}") for p in given
            }
            self.streams: dict[str, ValueSchema] = {
                key: ValueSchema(item, f"{name}() item of {key!r}") for key, item in items.items()
            }
            self._leading = [self._dumps[name] for name in self._positional]
            self._rest = next((p.name for p in given if p.kind is inspect.Parameter.VAR_POSITIONAL), "")
            # where none may be left over, the validator says so
            self._surplus = self._dumps.get(self._rest) or ValueSchema(Any, name)
            self._extra = next((p.name for p in given if p.kind is inspect.Parameter.VAR_KEYWORD), "")
            self._validator = SchemaValidator(_strict(arguments), _CORE_CONFIG)
            self._by_json = any(node.get("type") in _BY_JSON for node in _nodes(arguments))
            result = SpreadSchema if spread else ValueSchema
            returned = hints.get("return", Any)
            streams = inspect.isasyncgenfunction(function)
            self.item: ValueSchema = ValueSchema(yielded(returned) if streams else Any, f"{name}() value")
            self.result: SpreadSchema | ValueSchema = result(
                int if streams else awaited(returned), f"{name}() result"
            )
        except (PydanticUserError, PydanticSchemaGenerationError, NameError) as exc:
            reason = str(exc).split("\n", maxsplit=1)[0]
            raise ConfigurationError(f"task {name!r}: an annotation cannot be data: {reason}") from exc
        except (TypeError, ValueError, AttributeError, SyntaxError) as exc:
            raise ConfigurationError(
                f"task {name!r}: its parameters and annotations cannot be read: {exc}; "
                "register a function that is written with def"
            ) from exc

    def dump(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Validate a call made in Python and return its arguments as JSON data. Raises SignatureError."""
        if self.streams:
            self._refuse_streams([*self._positional[: len(args)], *kwargs])
        try:
            given = self._validator.validate_python(ArgsKwargs(tuple(args), dict(kwargs)))
        except ValidationError as exc:
            raise SignatureError(self._explained(exc)) from None
        # only what was given crosses the wire: defaults are the worker's, whose code may be newer
        values, schemas = given[0], self._schemas(len(args))
        positional = [schemas[i].dump_validated(values[i]) for i in range(len(args))]
        if not kwargs:
            return positional, {}
        named = {
            key: self._dumps[key if key in self._dumps else self._extra].dump_validated(given[1][key])
            for key in kwargs
        }
        return positional, named

    def dump_leading(self, args: Sequence[Any]) -> list[Any]:
        """Return leading arguments as JSON data; one positional more is to come. Raises SignatureError."""
        self._refuse_streams(self._positional[: len(args)])
        if not self._rest and len(args) >= len(self._positional):
            raise SignatureError(
                f"{self._name}() has {len(self._positional)} parameters, {len(args)} are given and "
                "none is left for the previous result: make the complete call with .s()"
            )
        return [schema.dump(value) for schema, value in zip(self._schemas(len(args)), args, strict=True)]

    def is_stream(self, index: int) -> bool:
        """Tell whether the positional argument of that number is read while the task runs."""
        return self._parameter(index) in self.streams

    def load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound:
        """Validate a call that came as JSON data and return its Python arguments. Raises SignatureError.

        A stream's values are a list, or come while they are iterated.
        """
        return self._load_streams(args, kwargs) if self.streams else self._load(args, kwargs)

    def _load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound:
        try:
            if self._by_json:
                return self._load_json(args, kwargs)
            bound: Bound = self._validator.validate_python(ArgsKwargs(tuple(args), dict(kwargs)))
            return bound
        except ValidationError as exc:
            raise SignatureError(self._explained(exc)) from None
        except orjson.JSONEncodeError:
            # an error among the values of a group is no data
            raise SignatureError(
                f"{self._name}(): errors among the values it takes cannot stand beside what is read from JSON"
                " alone, as models and sets are; let it take plain values"
            ) from None

    def _load_json(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound:
        if not kwargs:
            return cast(Bound, self._validator.validate_json(orjson.dumps(args)))
        names = self._positional[: len(args)]
        if len(names) == len(args) and self._named.issuperset(names) and kwargs.keys().isdisjoint(names):
            named = {**dict(zip(names, args, strict=True)), **kwargs}
            return cast(Bound, self._validator.validate_json(orjson.dumps(named)))
        schemas = self._schemas(len(args))
        positional = [schema.load(value) for schema, value in zip(schemas, args, strict=True)]
        named = {
            key: self._dumps[key if key in self._dumps else self._extra].load(kwargs[key]) for key in kwargs
        }
        return cast(Bound, self._validator.validate_python(ArgsKwargs(tuple(positional), named)))

    def _load_streams(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound:
        given: Bound = tuple(args), dict(kwargs)
        found: dict[str, AsyncIterator[Any]] = {}
        for name, items in self.streams.items():
            given, values = self._exchanged(given, name, None)
            if isinstance(values, list | AsyncIterable):
                found[name] = stream(cast("list[Any]", values), items.taken)
            elif values is not _ABSENT:
                raise SignatureError(
                    f"{self._name}() argument {name!r}: a stream is made of a list of values,"
                    f" not of {type(values).__name__}"
                )
        bound = self._load(*given)
        for name, values in found.items():
            bound, _ = self._exchanged(bound, name, values)
        return bound

    def _exchanged(self, bound: Bound, name: str, value: object) -> tuple[Bound, Any]:
        """Return arguments with *value* for what stands there under *name*, and that, or _ABSENT."""
        (args, kwargs), index = bound, self._positional.index(name)
        if index < len(args):
            return ((*args[:index], value, *args[index + 1 :]), kwargs), args[index]
        return (bound, _ABSENT) if name not in kwargs else ((args, {**kwargs, name: value}), kwargs[name])

    def _refuse_streams(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.streams:
                raise SignatureError(
                    f"{self._name}() argument {name!r} is a stream, which can only be the previous result:"
                    " leave it out, with .p(), behind a group or a call that returns a list"
                )

    def _schemas(self, count: int) -> Sequence[ValueSchema]:
        """Return what the first *count* positional arguments are, of which *args take what is left over."""
        more = count - len(self._leading)
        if more > 0:
            return [*self._leading, *[self._surplus] * more]
        return self._leading[:count] if more else self._leading

    def _parameter(self, index: int) -> str:
        return self._positional[index] if index < len(self._positional) else self._rest

    def _explained(self, exc: ValidationError) -> str:
        loc, message = _first(exc)
        if not loc:
            return f"{self._name}(): {message}"
        head = loc[0]
        if isinstance(head, int):
            head = self._parameter(head) or f"number {head + 1}"
        return f"{self._name}() argument {'.'.join(map(str, (head, *loc[1:])))!r}: {message}"


def _first(exc: ValidationError) -> tuple[tuple[int | str, ...], str]:
    error = exc.errors(include_url=False, include_input=False)[0]
    message = error["msg"]
    if error["type"] == "missing_argument":
        message += "; a call that takes the previous result is made with .p()"
    return error["loc"], message


def _arguments(schema: CoreSchema) -> CoreSchema:
    """Return the schema of the arguments within the schema of a function."""
    if schema["type"] == "definitions":
        return {**schema, "schema": _arguments(schema["schema"])}
    return cast("dict[str, Any]", schema)["arguments_schema"]  # type: ignore[no-any-return]  # a call schema


def _strict(schema: Any) -> Any:
    """Return *schema* with numbers that are never read from a bool or a string, but for keys of a dict.

    A model has rules of its own: what it says of its fields stands.
    """
    if isinstance(schema, list):
        return [_strict(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = cast("dict[str, Any]", schema)
    if node.get("type") in {"model", "dataclass"}:
        return node
    changed = {key: value if key in _NOT_SCHEMA else _strict(value) for key, value in node.items()}
    if node.get("type") in {"int", "float"}:
        changed.setdefault("strict", True)
    return changed


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    items: list[Any] = []
    if isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        yield node
        items = list(node.values())
    elif isinstance(schema, list):
        items = cast("list[Any]", schema)
    for item in items:
        yield from _nodes(item)

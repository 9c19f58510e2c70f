"""The wire format: Signature to bytes and back, and the bytes of values, errors and messages.

The one room that knows it; ``docs/internals/wire-format.md`` describes it byte for byte. Absent
means default. A reader takes this version and the one before; a newer one raises NewerVersionError.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

import orjson
from pydantic import ValidationError

from aioqueue.errors import SignatureError
from aioqueue.ids import is_name
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import Signature, Spread
from aioqueue.models.state import ErrorInfo
from aioqueue.models.workflow import Chain, Chord, Group, Workflow
from aioqueue.protocols.messages import Message
from aioqueue.values import lean

VERSION: Final = 1
_OLDEST: Final = max(1, VERSION - 1)

_KEYS: Final = {
    "name": "n",
    "args": "a",
    "kwargs": "k",
    "takes": "t",
    "immutable": "im",
    "id": "i",
    "queue": "q",
    "priority": "p",
    "delay": "d",
    "eta": "at",
    "expires": "x",
    "timeout": "to",
    "retry": "r",
    "on_success": "s",
    "on_error": "e",
    "result_ttl": "rt",
    "ignore_result": "ig",
    "headers": "h",
}
_PARTS: Final = {"steps": "st", "members": "m", "group": "g", "callback": "cb", "errors": "er"}
"""What workflows have besides."""
_FIELDS: Final = {key: field for field, key in (_KEYS | _PARTS).items()}
_KINDS: Final = (("st", Chain), ("m", Group), ("g", Chord))
_OUTSIDE_OF_WHOLE: Final = tuple([_KEYS[field] for field in ("name", "id", "delay", "eta")])
"""A workflow's queue and priority are its calls', whatever carries it."""
_OUTSIDE: Final = (*_OUTSIDE_OF_WHOLE, _KEYS["queue"], _KEYS["priority"])
_CALLS: Final = {"on_success": "callbacks", "on_error": "callbacks", "steps": "steps", "members": "members"}
_CALL: Final = frozenset({"group", "callback"})
_CLAIMS: Final = frozenset({"unique", "unique_key", "on_conflict", "unique_for", "debounce", "debounce_max"})
"""What only the sender and the store need."""
_PLAIN: Final = _CLAIMS | {"name", "id", "queue", "priority", "delay", "eta", "args", "kwargs", "takes"}
_PLAIN_KEYS: Final = frozenset({"n", "a", "k", "t"})
_TAKES_FROM: Final = "in"
_CALLED_FOR: Final = "ee"
_EXPIRES_AT: Final = "xa"
_SPREAD: Final = b" "
"""What stands before a value that is given by its items; no other value begins so."""
_DEEPEST: Final = 126
"""Calls within calls: as many as orjson writes."""
_LATEST: Final = 253_402_300_799.0
"""The last whole second a datetime can hold: later ones, as datetime.max, could not be read back."""


class DecodeError(ValueError):
    """A body is not of the wire format; says what is wrong with it."""


class NewerVersionError(DecodeError):
    """A body is of a version this reader does not know yet."""


@lean
class Body:
    """What a body holds. takes_from: where a node of a workflow reads what it takes, or None.

    error: of a callback, the error it is called for.
    """

    call: Signature
    takes_from: str | None = None
    error: ErrorInfo | None = None


def encode(signature: Signature, *, takes_from: str | None = None, error: ErrorInfo | None = None) -> bytes:
    """Return the body of a message for *signature*: what does not travel outside of it.

    takes_from: of a node of a workflow, the id of the join whose value it takes, or ``error:`` and the
    id of the record whose error it takes. error: of a callback, the error it is called for.
    Raises SignatureError for an argument that JSON cannot hold.
    """
    if error is None and type(signature) is Signature and _PLAIN.issuperset(signature.model_fields_set):
        return _dump(_plain(signature, takes_from), signature.name)
    wire = _pack(signature)
    for key in _OUTSIDE_OF_WHOLE if isinstance(signature, Workflow) else _OUTSIDE:
        wire.pop(key, None)
    if takes_from is not None:
        wire[_TAKES_FROM] = takes_from
    if error is not None:
        wire[_CALLED_FOR] = error.model_dump(exclude_defaults=True)
    return _dump({"v": VERSION, **wire}, signature.name)


def called_for(body: bytes, error: ErrorInfo) -> bytes:
    """Return a body with the error that its call is made for."""
    return orjson.dumps({**orjson.loads(body), _CALLED_FOR: error.model_dump(exclude_defaults=True)})


def decode(message: Message) -> Signature:
    """Return the call that *message* carries. Raises DecodeError, NewerVersionError."""
    return read(message).call


def read(message: Message) -> Body:
    """Return all that the body of *message* holds. Raises DecodeError, NewerVersionError."""
    fields = _opened(message)
    source = _source(fields.pop(_TAKES_FROM)) if _TAKES_FROM in fields else None
    error = _called_for(fields.pop(_CALLED_FOR)) if _CALLED_FOR in fields else None
    return Body(_unpack(fields), source, error)


def requeued(body: bytes, origin: str) -> bytes:
    """Return the body of a call that is sent anew: a header names *origin*, the task that it was.

    The moment it expired at is left out. One that cannot be read is returned as it is: a newer worker may
    read it.
    """
    try:
        wire = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(wire, dict) or cast("dict[str, Any]", wire).get("v") not in range(1, VERSION + 1):
        return body
    fields = cast("dict[str, Any]", wire)
    fields.pop(_EXPIRES_AT, None)
    headers = fields.get(_KEYS["headers"], {})
    if not isinstance(headers, dict):
        return body
    fields[_KEYS["headers"]] = {**cast("dict[str, Any]", headers), "requeued_from": origin}
    return orjson.dumps(fields)


def _opened(message: Message) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = orjson.loads(message.body)
    except orjson.JSONDecodeError as exc:
        raise DecodeError(f"the body is not JSON: {exc}") from None
    if type(fields) is not dict:
        raise DecodeError(f"the body is no JSON object but {type(fields).__name__}")
    version = fields.pop("v", None)
    if type(version) is not int or version < _OLDEST:
        raise DecodeError(f"wire version {version!r} is not known")
    if version > VERSION:
        raise NewerVersionError(f"wire version {version} is newer than {VERSION}; update this worker")
    fields["n"] = message.name
    return fields


def canonical(value: object) -> bytes:
    """Return bytes that are the same for equal JSON values, in whatever order their keys are."""
    return _dump(value, "arguments", orjson.OPT_SORT_KEYS)


def encode_value(value: object) -> bytes:
    """Return the bytes of a JSON value, or of a Spread of them. Raises SignatureError."""
    if isinstance(value, Spread):
        return _SPREAD + _dump(list(value), "result")
    return _dump(value, "result")


def decode_value(data: bytes) -> Any:
    """Return the JSON value of *data*; of a Spread its list."""
    return orjson.loads(data)


def decode_given(data: bytes) -> Any:
    """Return the value of *data* as it is given to what comes after it: a Spread if it was one."""
    value = decode_value(data)
    return Spread(value) if data.startswith(_SPREAD) else value


def encode_error(error: ErrorInfo) -> bytes:
    """Return the bytes of an error on record."""
    return orjson.dumps(error.model_dump(exclude_defaults=True))


def decode_error(data: bytes) -> ErrorInfo:
    """Return the error that *data* holds."""
    return ErrorInfo.model_validate(orjson.loads(data))


def encode_messages(messages: Sequence[Message]) -> bytes:
    """Return the bytes of what a commit released."""
    return orjson.dumps(
        [
            [
                m.id,
                m.name,
                m.queue,
                m.body.decode(),
                m.attempt,
                m.hop,
                m.priority,
                m.eta,
                m.delay,
                m.tracked,
                m.sent,
            ]
            for m in messages
        ]
    )


def decode_messages(data: bytes) -> tuple[Message, ...]:
    """Return what a commit released."""
    return tuple(Message(i, n, q, body.encode(), *rest) for i, n, q, body, *rest in orjson.loads(data))


def _plain(signature: Signature, takes_from: str | None) -> dict[str, Any]:
    """Return what ``_pack`` comes to for a call without options that travel inside, as most are."""
    wire: dict[str, Any] = {"v": VERSION}
    if signature.args:
        wire["a"] = signature.args
    if signature.kwargs:
        wire["k"] = signature.kwargs
    if signature.takes is not None:
        wire["t"] = signature.takes
    if takes_from is not None:
        wire[_TAKES_FROM] = takes_from
    return wire


def _pack(signature: Signature, depth: int = 0) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise SignatureError(f"{signature.name}: not JSON: calls are nested too deeply")
    wire: dict[str, Any] = {}
    given = signature.model_fields_set
    for field, key in _WRITTEN:
        if field not in given:
            continue
        value = getattr(signature, field)
        if field == "expires" and isinstance(value, datetime):
            wire[_EXPIRES_AT] = _packed(value)
        elif value != _DEFAULTS.get(field, ...):
            if field in _CALLS:
                wire[key] = [_pack(call, depth + 1) for call in value]
            else:
                wire[key] = _pack(value, depth + 1) if field in _CALL else _packed(value)
    if isinstance(signature, Workflow):
        # what it is its parts tell
        wire.pop(_KEYS["name"], None)
    return wire


def _packed(value: Any) -> Any:
    match value:
        case datetime():
            return min(value.timestamp(), _LATEST)
        case RetryPolicy():
            return value.model_dump(mode="json", exclude_defaults=True)
        case _:
            return value


def _unpack(wire: dict[str, Any], depth: int = 0) -> Signature:
    if depth > _DEEPEST:
        raise DecodeError("callbacks are nested too deeply")
    if _PLAIN_KEYS.issuperset(wire) and (call := _unpacked(wire)) is not None:
        return call
    kind = _kind(wire)
    fields: dict[str, Any] = {}
    for key, value in wire.items():
        if key == _EXPIRES_AT:
            fields["expires"] = _moment(key, value)
        elif (field := _FIELDS.get(key)) is None or (field in _PARTS and field not in kind.model_fields):
            raise DecodeError(f"the key {key!r} is not known")
        elif field in _CALLS:
            fields[field] = tuple([_unpack(call, depth + 1) for call in _calls(value, _CALLS[field])])
        elif field in _CALL:
            fields[field] = _unpack(_call(value, field), depth + 1)
        else:
            fields[field] = _moment(key, value) if field == "eta" else value
    try:
        return kind.model_validate(fields)
    except SignatureError as exc:
        raise DecodeError(f"a workflow is wrong: {exc}") from None
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
        raise DecodeError(f"the field {where!r} is wrong: {error['msg']}") from None


def _unpacked(wire: dict[str, Any]) -> Signature | None:
    """Return a call that has no options, as most have none; None where something is wrong with it."""
    if ("a" in wire and type(wire["a"]) is not list) or ("k" in wire and type(wire["k"]) is not dict):
        return None
    name, takes = wire.get("n"), wire.get("t", "")
    if type(name) is not str or type(takes) is not str:
        return None
    found = _named(name, takes) if "t" in wire else _named(name)
    return None if found is None else found.with_arguments(wire.get("a"), wire.get("k"))


@lru_cache(maxsize=4096)
def _named(name: str, *takes: object) -> Signature | None:
    """Return the call of a name without arguments, once for all its messages; None where it is wrong."""
    try:
        return Signature.model_validate({"name": name, **({"takes": takes[0]} if takes else {})})
    except ValidationError:
        return None


def _kind(wire: dict[str, Any]) -> type[Signature]:
    for key, kind in _KINDS:
        if key in wire:
            return kind
    return Signature


def _calls(value: object, what: str) -> list[dict[str, Any]]:
    calls = cast("list[Any]", value)
    if not isinstance(value, list) or not all(isinstance(call, dict) for call in calls):
        raise DecodeError(f"{what} are no list of objects")
    return calls


def _call(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(f"the {what} is no object")
    return cast("dict[str, Any]", value)


def _source(value: object) -> str:
    if not isinstance(value, str) or not is_name(value.removeprefix("error:")):
        raise DecodeError(f"the key {_TAKES_FROM!r} names nothing to read: {value!r}")
    return value


def _called_for(value: object) -> ErrorInfo:
    try:
        return ErrorInfo.model_validate(value)
    except ValidationError as exc:
        raise DecodeError(
            f"the key {_CALLED_FOR!r} is no error: {exc.error_count()} of its keys are wrong"
        ) from None


def _moment(key: str, value: object) -> datetime:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DecodeError(f"the moment {key!r} is no number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise DecodeError(f"the moment {key!r} is out of range: {value}") from None


def _dump(value: object, owner: str, option: int | None = None) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except (orjson.JSONEncodeError, UnicodeEncodeError) as exc:
        raise SignatureError(f"{owner}: not JSON: {exc}") from None


_DEFAULTS: Final = {
    name: field.get_default(call_default_factory=True)
    for name, field in Signature.model_fields.items()
    if not field.is_required()
}
_DEFAULTS["errors"] = Chord.model_fields["errors"].default
_WRITTEN: Final = tuple((_KEYS | _PARTS).items())

"""Decoding what is not of the format: one kind of error, whose text names the thing; and a round trip."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioqueue import codec
from aioqueue.codec import VERSION, DecodeError, NewerVersionError
from aioqueue.errors import SignatureError
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import Signature
from aioqueue.protocols.messages import Message

DEEPEST = 126
OUTSIDE: dict[str, Any] = {"id": None, "queue": None, "priority": 0, "delay": 0.0, "eta": None}


def message(body: bytes, name: str = "add") -> Message:
    return Message("1", name, "default", body)


def nested(levels: int) -> bytes:
    return b'{"v":1' + b',"s":[{"n":"x"' * levels + b"}]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"v":1} {"v":1}', "not JSON"),
        (b'{"v":1,"to":NaN}', "not JSON"),
        (b'{"v":1,"xa":1e999}', "not JSON"),
        (b'{"v":1,"a":["\\ud800"]}', "not JSON"),
        (b'\xef\xbb\xbf{"v":1}', "not JSON"),
        (b"[1]", "no JSON object but list"),
        (b"null", "no JSON object but NoneType"),
        (b'"v"', "no JSON object but str"),
    ],
)
def test_what_is_no_json_object_is_told(body: bytes, told: str) -> None:
    with pytest.raises(DecodeError, match=told):
        codec.decode(message(body))


@pytest.mark.parametrize("version", ["", '"v":null', '"v":"1"', '"v":1.0', '"v":true', '"v":-1', '"v":0'])
def test_a_version_that_never_was_is_told(version: str) -> None:
    with pytest.raises(DecodeError, match=r"wire version .* is not known"):
        codec.decode(message(b"{%s}" % version.encode()))


@pytest.mark.parametrize("version", [VERSION + 1, VERSION + 99, 2**63])
def test_a_newer_version_is_told_apart_whatever_else_it_holds(version: int) -> None:
    with pytest.raises(NewerVersionError, match=f"wire version {version} is newer than {VERSION}"):
        codec.decode(message(orjson.dumps({"v": version, "new": 1})))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("zz", 1, "the key 'zz' is not known"),
        ("", 1, "the key '' is not known"),
        ("args", [], "the key 'args' is not known"),
        ("a", "text", "'args'"),
        ("a", {}, "'args'"),
        ("a", None, "'args'"),
        ("k", [], "'kwargs'"),
        ("k", None, "'kwargs'"),
        ("t", "middle", "'takes'"),
        ("im", "perhaps", "'immutable'"),
        ("im", 2, "'immutable'"),
        ("x", "soon", "'expires'"),
        ("xa", "soon", "the moment 'xa' is no number"),
        ("xa", None, "the moment 'xa' is no number"),
        ("xa", True, "the moment 'xa' is no number"),
        ("xa", [1], "the moment 'xa' is no number"),
        ("xa", 1e300, "the moment 'xa' is out of range"),
        ("xa", -1e12, "the moment 'xa' is out of range"),
        ("xa", 253402300800, "the moment 'xa' is out of range"),
        ("to", [], "'timeout'"),
        ("to", -1, "'timeout'"),
        ("to", "PT5S", "'timeout'"),
        ("r", [], "'retry'"),
        ("r", {"max_retries": -1}, "'retry.max_retries'"),
        ("r", {"max_retries": 1.5}, "'retry.max_retries'"),
        ("r", {"backoff": "linear"}, "'retry.backoff'"),
        ("r", {"delays": [1, -1]}, "'retry.delays.1'"),
        ("r", {"tries": 3}, "'retry.tries'"),
        ("rt", -1, "'result_ttl'"),
        ("ig", "perhaps", "'ignore_result'"),
        ("h", [], "'headers'"),
        ("h", {"a": 1}, "'headers.a'"),
        ("h", {"a": None}, "'headers.a'"),
        ("s", None, "callbacks are no list of objects"),
        ("s", {"n": "x"}, "callbacks are no list of objects"),
        ("e", ["x"], "callbacks are no list of objects"),
        ("e", [{"n": "x"}, 1], "callbacks are no list of objects"),
        ("s", [{}], "'name'"),
        ("s", [{"n": ""}], "'name'"),
        ("s", [{"n": "two words"}], "'name'"),
        ("s", [{"n": 1}], "'name'"),
        ("s", [{"n": "x" * 129}], "'name'"),
        ("s", [{"n": "x", "v": 1}], "the key 'v' is not known"),
        ("s", [{"n": "x", "i": "two words"}], "'id'"),
        ("s", [{"n": "x", "q": 1}], "'queue'"),
        ("s", [{"n": "x", "p": 10}], "'priority'"),
        ("s", [{"n": "x", "p": 1.5}], "'priority'"),
        ("s", [{"n": "x", "d": -1}], "'delay'"),
        ("s", [{"n": "x", "at": "noon"}], "the moment 'at' is no number"),
        ("s", [{"n": "x", "at": False}], "the moment 'at' is no number"),
        ("s", [{"n": "x", "at": 1e300}], "the moment 'at' is out of range"),
        ("e", [{"n": "x", "s": [{"n": "x", "zz": 1}]}], "the key 'zz' is not known"),
    ],
)
def test_a_wrong_field_is_named(key: str, value: object, told: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(message(orjson.dumps({"v": 1, key: value})))

    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["", "two words", "x" * 129])
def test_a_message_whose_name_is_none_is_told(name: str) -> None:
    with pytest.raises(DecodeError, match="'name'"):
        codec.decode(message(b'{"v":1}', name))


@pytest.mark.parametrize("levels", [DEEPEST + 1, 500, 511])
def test_callbacks_nested_too_deeply_are_told(levels: int) -> None:
    with pytest.raises(DecodeError, match="callbacks are nested too deeply"):
        codec.decode(message(nested(levels)))


@pytest.mark.parametrize("body", [nested(100_000), b'{"v":1,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
def test_json_nested_too_deeply_is_told(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not JSON"):
        codec.decode(message(body))


def test_callbacks_as_deep_as_can_be_sent_can_be_read() -> None:
    assert codec.encode(codec.decode(message(nested(DEEPEST)))) == nested(DEEPEST)


def test_callbacks_too_deep_to_be_read_cannot_be_sent() -> None:
    call = Signature(name="x")
    for _ in range(DEEPEST + 1):
        call = Signature(name="x", on_success=(call,))

    with pytest.raises(SignatureError, match="x: not JSON"):
        codec.encode(call)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", b"x", {1}, {1: 2}, object()])
def test_what_json_cannot_hold_is_not_sent(value: object) -> None:
    with pytest.raises(SignatureError, match="add: not JSON"):
        codec.encode(Signature(name="add", args=(value,)))


def test_the_name_on_the_message_is_the_one_that_counts() -> None:
    assert codec.decode(message(b'{"v":1,"n":"other"}', "add")).name == "add"


# Any JSON a body can hold, and calls of every shape.
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._:/@\-]{0,20}", fullmatch=True)
seconds = st.floats(0, 3e9)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
policies = st.builds(
    RetryPolicy,
    max_retries=st.none() | st.integers(0, 100),
    backoff=st.sampled_from(["constant", "fibonacci", "exponential"]),
    delay=seconds,
    delays=st.lists(seconds, max_size=3).map(tuple),
    max_delay=seconds,
    jitter=st.booleans(),
)
optional: dict[str, st.SearchStrategy[Any]] = {
    "args": st.lists(json, max_size=3).map(tuple),
    "kwargs": st.dictionaries(texts, json, max_size=3),
    "takes": st.none() | st.sampled_from(["none", "last", "first"]),
    "immutable": st.booleans(),
    "id": st.none() | names,
    "queue": st.none() | names,
    "priority": st.integers(0, 9),
    "delay": seconds,
    "eta": st.none() | moments,
    "expires": st.none() | seconds | moments,
    "timeout": st.none() | seconds,
    "retry": st.none() | policies,
    "result_ttl": st.none() | seconds,
    "ignore_result": st.booleans(),
    "headers": st.dictionaries(texts, texts, max_size=3),
}


def calls_with(callbacks: st.SearchStrategy[tuple[Signature, ...]]) -> st.SearchStrategy[Signature]:
    fields = optional | {"on_success": callbacks, "on_error": callbacks}
    return st.fixed_dictionaries({"name": names}, optional=fields).map(Signature.checked)


calls = st.recursive(
    calls_with(st.just(())),
    lambda inner: calls_with(st.lists(inner, max_size=2).map(tuple)),
    max_leaves=4,
)
wire_keys = st.sampled_from(["v", "xa", *codec._KEYS.values()]) | texts
wire = st.recursive(
    st.dictionaries(wire_keys, json, max_size=4),
    lambda inner: st.fixed_dictionaries({"n": names}, optional={"s": st.lists(inner), "e": st.lists(inner)}),
    max_leaves=4,
)


@given(calls)
def test_what_was_encoded_is_decoded_to_the_same_call(call: Signature) -> None:
    body = codec.encode(call)
    back = codec.decode(message(body, call.name))

    assert back == call.model_copy(update=OUTSIDE)
    assert codec.encode(back) == body


@given(calls)
def test_what_a_callback_says_of_its_way_travels_with_it(call: Signature) -> None:
    body = codec.encode(Signature(name="add", on_success=(call,)))

    assert codec.decode(message(body)).on_success == (call,)


def is_decoded_or_refused(body: bytes) -> None:
    try:
        call = codec.decode(message(body))
    except DecodeError:
        return
    assert codec.decode(message(codec.encode(call))) == call.model_copy(update=OUTSIDE)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_raise_nothing_but_decode_error(body: bytes) -> None:
    is_decoded_or_refused(body)


@given(json.map(orjson.dumps))
def test_arbitrary_json_raises_nothing_but_decode_error(body: bytes) -> None:
    is_decoded_or_refused(body)


@settings(max_examples=2 * settings().max_examples)
@given(wire)
def test_wrong_values_under_known_keys_raise_nothing_but_decode_error(fields: dict[str, Any]) -> None:
    is_decoded_or_refused(orjson.dumps({**fields, "v": VERSION}))

"""The golden bodies: these bytes are written, these bytes are read, and the page shows them.

A body that is on its way while a worker is updated must still be read, so a file that stands here
is never changed: a change of the format is a new version, with a folder of its own.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from aioqueue import codec
from aioqueue.models.retry import RetryPolicy
from aioqueue.models.signature import Signature, Spread
from aioqueue.models.state import ErrorInfo
from aioqueue.protocols.messages import Message
from aioqueue.schema import ValueSchema

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
PAGE = (ROOT / "docs" / "internals" / "wire-format.md").read_text(encoding="utf-8")

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
OUTSIDE = ("id", "queue", "priority", "delay", "eta")

CALLS: dict[str, Signature] = {
    "minimal": Signature(name="tick"),
    "call": Signature(name="add", args=(1, 2), takes="none"),
    "text": Signature(name="greet", kwargs={"who": "Zoë"}, takes="none"),
    "options": Signature(
        name="report",
        args=(1, -2.5, "a/b", True, None, [1, [2]], {"deep": {"er": []}}),
        kwargs={"upto": 18446744073709551615},
        takes="last",
        immutable=True,
        id="report-2030",
        queue="slow",
        priority=9,
        delay=1.5,
        eta=NOON,
        expires=datetime(2030, 1, 1, 13, 0, 0, 250_000, tzinfo=UTC),
        timeout=30,
        retry=RetryPolicy(
            max_retries=None, backoff="fibonacci", delay=2, delays=(1, 2.5), max_delay=60, jitter=False
        ),
        result_ttl=0,
        ignore_result=True,
        headers={"trace": "00-4bf9-01"},
    ),
    "callbacks": Signature(
        name="add",
        args=(1, 2),
        takes="none",
        on_success=(
            Signature(name="scale", args=(2.0,), takes="last", retry=RetryPolicy()),
            Signature(
                name="store",
                id="sum-of-the-day",
                queue="slow",
                priority=5,
                delay=60,
                eta=NOON,
                expires=600,
                on_success=(Signature(name="log", immutable=True),),
            ),
        ),
        on_error=(Signature(name="alert", takes="first", kwargs={"to": "ops"}),),
    ),
}
VALUE: Any = {"sum": 3, "parts": [1, 2.0, None], "of": "Zoë"}
SPREAD: Any = [3, "Zoë"]
ERROR = ErrorInfo(
    type="ValueError",
    message="no",
    traceback="Traceback (most recent call last):\nValueError: no\n",
    task_id="0194f0d2c4c07a3b8d51f60718293a4b",
    task_name="add",
    attempt=2,
    worker="host:4711",
)
RELEASED = (
    Message(
        "0194f0d2c4c07a3b8d51f60718293a4b.s0", "scale", "default", b'{"v":1,"a":[2.0,3]}', sent=1893499200.5
    ),
    Message(
        "0194f0d2c4c07a3b8d51f60718293a4b",
        "add",
        "slow",
        b'{"v":1}',
        attempt=2,
        hop=1,
        priority=9,
        eta=1893502800.0,
        delay=1.5,
        tracked=False,
        sent=1893499200.0,
    ),
)


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def inside(signature: Signature) -> Signature:
    """What of a call travels in its body."""
    plain = {field: Signature.model_fields[field].get_default() for field in OUTSIDE}
    return signature.model_copy(update=plain)


@pytest.mark.parametrize("name", CALLS)
def test_call_is_encoded_to_the_golden_bytes(name: str) -> None:
    assert codec.encode(CALLS[name]) == golden(name)


@pytest.mark.parametrize("name", CALLS)
def test_golden_bytes_are_decoded_to_the_call(name: str) -> None:
    message = Message("1", CALLS[name].name, "default", golden(name))

    assert codec.decode(message) == inside(CALLS[name])


def test_value_has_the_golden_bytes() -> None:
    assert codec.encode_value(VALUE) == golden("value")
    assert codec.decode_value(golden("value")) == VALUE


def test_spread_has_the_golden_bytes() -> None:
    assert codec.encode_value(Spread(SPREAD)) == golden("spread")
    assert codec.decode_given(golden("spread")) == Spread(SPREAD)
    assert isinstance(codec.decode_given(golden("spread")), Spread)


def test_whoever_knows_no_spread_reads_its_list() -> None:
    assert orjson.loads(golden("spread")) == SPREAD
    assert codec.decode_value(golden("spread")) == SPREAD


@pytest.mark.parametrize("value", [VALUE, [3, "Zoë"], [], " [3]", None, 0])
def test_plain_value_is_no_spread(value: Any) -> None:
    given = codec.decode_given(codec.encode_value(value))

    assert given == value
    assert not isinstance(given, Spread)


def test_error_has_the_golden_bytes() -> None:
    assert codec.encode_error(ERROR) == golden("error")
    assert codec.decode_error(golden("error")) == ERROR


def test_released_messages_have_the_golden_bytes() -> None:
    assert codec.encode_messages(RELEASED) == golden("released")
    assert codec.decode_messages(golden("released")) == RELEASED


def test_an_error_of_a_later_writer_is_read() -> None:
    error = codec.decode_error(b'{"type":"ValueError","message":"no","notes":["new"]}')

    assert error == ErrorInfo(type="ValueError", message="no")


@pytest.mark.parametrize("file", sorted(GOLDEN.iterdir()), ids=lambda file: file.name)
def test_page_shows_the_golden_bytes(file: Path) -> None:
    assert file.read_text(encoding="utf-8") in PAGE.splitlines()


@pytest.mark.parametrize("name", ["minimal", "text"])
def test_page_shows_the_hex_of(name: str) -> None:
    assert golden(name).hex(" ") in " ".join(PAGE.split())


def test_every_golden_file_has_its_test() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == {*CALLS, "value", "spread", "error", "released"}


def test_page_explains_every_key_and_the_golden_calls_use_it() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    used = {
        key
        for name in CALLS
        for body in [orjson.loads(golden(name))]
        for call in [body, *body.get("s", []), *body.get("e", [])]
        for key in call
    }

    assert used == {"v", "xa", *codec._KEYS.values()}
    assert used <= explained


@pytest.mark.parametrize("field", ["max_retries", "backoff", "delay", "delays", "max_delay", "jitter"])
def test_page_tells_the_default_of_a_retry_policys(field: str) -> None:
    """What is absent means the default, so a default is part of the format."""
    default = RetryPolicy().model_dump(mode="json")[field]

    assert f"| `{field}` | `{orjson.dumps(default).decode()}` |" in PAGE


def test_bytes_are_url_safe_base64_with_padding() -> None:
    assert ValueSchema(bytes, "value").dump(b"\xfb\xff\x00a") == "-_8AYQ=="
    assert ValueSchema(bytes, "value").load("-_8AYQ==") == b"\xfb\xff\x00a"


def test_a_moment_too_late_to_be_read_is_written_as_the_last_second() -> None:
    for_ever = datetime.max.replace(tzinfo=UTC)
    body = codec.encode(Signature(name="add", expires=for_ever))

    assert body == b'{"v":1,"xa":253402300799.0}'
    assert codec.decode(Message("1", "add", "default", body)).expires == for_ever.replace(microsecond=0)

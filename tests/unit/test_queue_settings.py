"""Queues with weights, the strict order and routes: from code, from variables, from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioqueue import Server, config
from aioqueue.cli.worker import Flags
from aioqueue.codec import encode, requeued
from aioqueue.errors import ConfigurationError
from aioqueue.models.settings import Settings
from aioqueue.models.signature import Signature
from aioqueue.worker import WorkerOptions


def options(settings: Settings | None = None, **given: object) -> WorkerOptions:
    return WorkerOptions.checked(settings or Settings(), given)


def test_worker_option_names_queues_and_weights() -> None:
    made = options(queues=["high:5", "default:1"])

    assert (made.queues, made.weights, made.strict) == (("high", "default"), (5, 1), False)
    assert made.served == ("high:5", "default:1")
    assert options(queues="high, default").queues == ("high", "default")
    assert options(queues="high", strict=True).strict


def test_worker_takes_the_queues_of_the_settings_else_the_one_queue() -> None:
    assert options(Settings(queue="mail")).queues == ("mail",)
    assert options(Settings(queue="mail", queues=("a", "b:2"), strict=False)).weights == (1, 2)
    assert options(Settings(queues=("a", "b"), strict=True)).strict
    assert options(Settings(queues=("a", "b")), queues=["c"]).queues == ("c",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"queues": ["high:0"]}, "worker option 'queues': 'high:0': a weight is a whole number"),
        ({"queues": ["a:1", "a:2"]}, "queue 'a' is named twice"),
        ({"queues": []}, "worker option 'queues'"),
        ({"queues": ["a b:2"]}, "worker option 'queues.0'"),
        ({"queues": 5}, "worker option 'queues'"),
        (
            {"queues": ["a:2", "b"], "strict": True},
            "strict takes the queues in their order, and a:2, b:1 have weights",
        ),
    ],
)
def test_bad_queues_are_told(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        WorkerOptions.checked(Settings(), given)

    assert said in str(told.value)


def test_file_names_queues_and_routes(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("broker: memory://x\nqueues: [high:5, default]\nroutes:\n  mail.*: mail\n  '*': rest\n")

    settings = config.load({}, file=file).settings

    assert settings.queues == ("high:5", "default")
    assert settings.routes == {"mail.*": "mail", "*": "rest"}
    assert [settings.queue_of(name) for name in ("mail.send", "mail", "other")] == ["mail", "rest", "rest"]


def test_file_may_ask_for_the_strict_order(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("broker: memory://x\nqueues: high,default\nstrict: true\n")

    settings = config.load({}, file=file).settings

    assert (settings.queues, settings.strict) == (("high", "default"), True)


@pytest.mark.parametrize("text", ["high:5,default:1", '["high:5", "default:1"]'])
def test_variable_names_queues_as_a_list_or_as_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIOQUEUE_QUEUES", text)
    monkeypatch.setenv("AIOQUEUE_STRICT", "false")
    monkeypatch.setenv("AIOQUEUE_ROUTES", '{"b.*": "b", "*": "a"}')

    settings = config.load({"broker": "memory://x"}).settings

    assert settings.queues == ("high:5", "default:1")
    assert list(settings.routes.items()) == [("b.*", "b"), ("*", "a")]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AIOQUEUE_QUEUES", "high:0", "'high:0': a weight is a whole number"),
        ("AIOQUEUE_QUEUES", "a b", "'a b' is no name of a queue"),
        ("AIOQUEUE_ROUTES", "mail=mail", "wants patterns and queues"),
        ("AIOQUEUE_ROUTES", '{"mail.*": "no queue"}', "routes"),
        ("AIOQUEUE_STRICT", "perhaps", "strict"),
    ],
)
def test_bad_variables_are_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as told:
        config.load({"broker": "memory://x"})

    assert name in str(told.value)
    assert said.lower() in str(told.value).lower()


def test_first_route_that_fits_counts_and_case_matters() -> None:
    settings = Settings(
        queue="rest", routes={"mail.bulk*": "bulk", "mail.*": "mail", "report.[ab]": "reports"}
    )

    names = ("mail.bulk_1", "mail.send", "Mail.send", "report.a", "report.c")
    assert [settings.queue_of(name) for name in names] == ["bulk", "mail", "rest", "reports", "rest"]


def test_server_takes_them_in_code() -> None:
    server = Server("memory://queue-settings", queues=["a:2", "b"], routes={"x.*": "a"})

    assert server.worker().options.weights == (2, 1)
    assert server.worker().options.routes == {"x.*": "a"}


def test_requeued_body_keeps_all_but_its_expiry() -> None:
    body = encode(Signature(name="a", args=(1,), headers={"k": "v"}))

    assert requeued(body, "old") == b'{"v":1,"a":[1],"h":{"k":"v","requeued_from":"old"}}'
    assert requeued(b'{"v":1,"xa":"2026-01-01T00:00:00Z"}', "old") == b'{"v":1,"h":{"requeued_from":"old"}}'


@pytest.mark.parametrize("body", [b"\xff", b"[1]", b'{"v":99,"h":{}}', b'{"a":[1]}', b'{"v":1,"h":[]}'])
def test_body_that_is_not_of_this_version_is_requeued_as_it_is(body: bytes) -> None:
    assert requeued(body, "old") == body


def test_processes_of_a_supervisor_are_told_the_order() -> None:
    weighed = Flags("tasks:server", queue=("a:5,b:1",)).child("w.1", 1, "birth").argv()
    strict = Flags("tasks:server", queue=("a", "b"), strict=True).child("w.1", 1, "birth").argv()

    assert "--queue=a:5,b:1" in weighed
    assert "--strict" not in weighed
    assert {"--queue=a,b", "--strict"} <= set(strict)

"""What a settings file says, and what is said of one that is wrong: with the key, the file and the line."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aioqueue import RetryPolicy, Server, config
from aioqueue.errors import ConfigurationError
from aioqueue.machinery import KEYS, Fate

# The fields of machinery's Config with a name in YAML, and those that only its code can set.
MACHINERY = """
broker lock multiple_broker_separator default_queue result_backend results_expire_in no_unix_signals tlsconfig
amqp.exchange amqp.exchange_type amqp.queue_declare_args amqp.queue_binding_args amqp.binding_key
amqp.prefetch_count amqp.auto_delete amqp.delayed_queue
sqs.receive_wait_time_seconds sqs.receive_visibility_timeout sqs.visibility_hearth_beat
redis.max_idle redis.max_active redis.max_idle_timeout redis.wait redis.read_timeout redis.write_timeout
redis.connect_timeout redis.normal_tasks_poll_period redis.delayed_tasks_poll_period redis.delayed_tasks_key
redis.client_name redis.master_name redis.cluster_mode redis.cluster_enabled redis.sentinel_password
dynamodb.task_states_table dynamodb.group_metas_table mongodb.database gcppubsub.max_extension
"""
WHOLE = """\
broker: redis://localhost:6379
lock: redis://localhost:6379
default_queue: asong
result_backend: sqlite:///results.db
results_expire_in: 7200
multiple_broker_separator: ""
no_unix_signals: false
amqp:
  exchange: machinery_exchange
  exchange_type: direct
  binding_key: asong
  prefetch_count: 3
  auto_delete: false
  queue_declare_args: {}
redis:
  max_idle: 3
  max_active: 100
  max_idle_timeout: 300
  wait: true
  read_timeout: 15
  write_timeout: 15
  connect_timeout: 15
  normal_tasks_poll_period: 1000
  delayed_tasks_poll_period: 500
  delayed_tasks_key: asong
  master_name: ""
  cluster_enabled: false
sqs:
  receive_wait_time_seconds: 20
  receive_visibility_timeout: 30
dynamodb:
  task_states_table: task_states
  group_metas_table:
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "_told", set[str]())
    return tmp_path / "config.yml"


def loaded(file: Path, text: str) -> config.Loaded:
    file.write_text(text)
    return config.load({}, file=file)


def refused(file: Path, text: str) -> list[str]:
    """Return what is said of the file, line by line, from after its name and a colon."""
    with pytest.raises(ConfigurationError) as refusal:
        loaded(file, text)
    lines = str(refusal.value).splitlines()
    assert [line for line in lines if not line.startswith(f"{file}:")] == []
    return [line.removeprefix(f"{file}:") for line in lines]


def test_every_key_of_machinery_has_its_fate() -> None:
    assert sorted(key.name for key in KEYS) == sorted(MACHINERY.split())


def test_whole_file_of_machinery_loads_and_nothing_is_told(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        settings, origins = (found := loaded(file, WHOLE)).settings, found.origins

    assert (settings.broker, settings.queue) == ("redis://localhost:6379", "asong")
    assert settings.backend == f"sqlite:///{file.parent}/results.db"
    assert (settings.result_ttl, settings.failure_ttl) == (7200.0, 7200.0)
    assert (str(origins["queue"]), str(origins["failure_ttl"])) == (f"{file}:3", f"{file}:5")
    assert caplog.messages == []


@pytest.mark.parametrize("key", [key.name for key in KEYS if key.fate is Fate.REFUSED])
def test_key_that_would_change_what_happens_is_refused_with_what_to_write(file: Path, key: str) -> None:
    section, _, name = key.rpartition(".")
    text = f"{section}:\n  {name}: other\n" if section else f"\n{name}: other\n"

    (said,) = refused(file, text)

    assert said.startswith(f"2: {key!r} is refused: ")


@pytest.mark.parametrize("key", [key.name for key in KEYS if key.fate is Fate.WARNED])
def test_key_that_might_be_missed_is_told_once(
    file: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    section, _, name = key.rpartition(".")
    text = f"{section}:\n  {name}: 99\n" if section else f"\n{name}: 99\n"

    with caplog.at_level(logging.WARNING):
        loaded(file, text)
        loaded(file, text)

    (said,) = caplog.messages
    assert said.startswith(f"{file}:2: {key!r} is ignored: ")


@pytest.mark.parametrize("key", [key.name for key in KEYS if key.fate is Fate.IGNORED])
def test_key_that_changes_nothing_is_accepted(file: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    section, _, name = key.rpartition(".")

    with caplog.at_level(logging.WARNING):
        loaded(file, f"{section}:\n  {name}: 99\n" if section else f"{name}: 99\n")

    assert caplog.messages == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("eager", "memory://<name>"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://one:6379,two:6379", "redis+sentinel://host1,host2/<master_name>"),
        ("redis://:a,b@one:6379,two:6379/0", "redis+sentinel://host1,host2/<master_name>"),
        ("redis://canary@host", "redis://:password@host"),
    ],
)
def test_url_that_means_something_else_to_machinery_is_refused(file: Path, url: str, says: str) -> None:
    (said,) = refused(file, f"default_queue: a\nbroker: {url}\n")

    assert said.startswith("2: setting 'broker': ")
    assert says in said
    assert "canary" not in said


def test_same_url_in_a_file_of_ours_is_not_machinerys(file: Path) -> None:
    assert loaded(file, "queue: a\nbroker: redis://user@host\n").settings.broker == "redis://user@host"
    theirs = loaded(file, "default_queue: a\nbroker: redis://:a,b@host\n").settings
    assert theirs.broker == "redis://:a,b@host"


def test_backend_that_keeps_nothing_is_left_out(file: Path) -> None:
    (said,) = refused(file, "broker: redis://h\nresult_backend: 'null'\n")

    assert "ignore_result=True" in said


def test_all_that_is_wrong_is_told_at_once(file: Path) -> None:
    text = "brokre: redis://:canary@h\nzzz: 1\nconcurrency: many\nredis:\n  max_idel: 1\n  master_name: m\n"

    said = refused(file, text)

    assert sorted(line.partition(" (")[0].partition("; there are")[0] for line in said) == [
        "1: there is no setting 'brokre'; did you mean 'broker'?",
        "2: there is no setting 'zzz'",
        "3: setting 'concurrency': Input should be a valid integer, unable to parse string as an integer",
        "5: there is no setting 'redis.max_idel'; did you mean 'redis.max_idle'?",
        "6: 'redis.master_name' is refused: name the sentinels in the URL: "
        "`redis+sentinel://host1,host2/<master_name>`, with a password of theirs as "
        "`?sentinel_password=<password>`",
    ]
    assert "canary" not in "".join(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue: a\nlease: 3\nqueue: b\n", "3: 'queue' says again what {file}:1 says; leave out one of them"),
        ("default_queue: a\nqueue: b\n", "2: 'queue' says again what {file}:1 says; leave out one of them"),
        (
            "\nresults_expire_in: -1\n",
            "2: setting 'results_expire_in': Input should be greater than or equal",
        ),
        ("timeout: no\n", "1: setting 'timeout': is neither on nor off (got False)"),
        ("lease: 2020-13-45\n", "1: setting 'lease': is no such value"),
        ("queue: 5\n", "1: setting 'queue': Input should be a valid string (got 5)"),
        ("broker:\n", "1: setting 'broker': Input should be a valid string"),
        ("redis: fast\n", "1: there is no setting 'redis'"),
        ("? [a, b]\n: 1\n", "1: holds no settings"),
        ("just words\n", "1: holds no settings"),
    ],
)
def test_key_and_line_of_what_is_wrong_are_named(file: Path, text: str, said: str) -> None:
    lines = refused(file, text)

    assert lines[0].startswith(said.format(file=file))
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("{}", RetryPolicy()),
        ("{max_retries: 0}", RetryPolicy(max_retries=0)),
        ("{max_retries: null}", RetryPolicy.forever()),
        ("{max_retries: ~, backoff: exponential, delay: 0.5}", RetryPolicy.forever(delay=0.5)),
        (
            "\n  backoff: constant\n  delay: 2\n  jitter: no",
            RetryPolicy(backoff="constant", delay=2, jitter=False),
        ),
        ("{max_retries: 3, backoff: fibonacci, delay: 100, jitter: off}", RetryPolicy.fibonacci(3, 100)),
        ("{max_retries: 2, delays: [1, 2.5], jitter: false}", RetryPolicy.listed(1, 2.5)),
        ("\n  delays:\n  - 1\n  - 60\n  max_delay: 30", RetryPolicy(delays=(1, 60), max_delay=30)),
        ("{jitter: yes, on_timeout: on}", RetryPolicy(jitter=True, on_timeout=True)),
        ("{on_timeout: off}", RetryPolicy(on_timeout=False)),
        ("{on_timeout: null}", RetryPolicy()),
        ("{on: OSError}", RetryPolicy(on=OSError)),
        (
            "\n  on: [OSError, app.Busy]\n  not_on: builtins.KeyError",
            RetryPolicy(on=("OSError", "app.Busy"), not_on=KeyError),
        ),
        ("{'on': [], not_on: []}", RetryPolicy()),
        ("&p {delay: 3}", RetryPolicy(delay=3)),
    ],
)
def test_retry_policy_is_read_in_each_form(file: Path, text: str, policy: RetryPolicy) -> None:
    found = loaded(file, f"queue: a\nretry: {text}\n")

    assert found.settings.retry == policy
    assert str(found.origins["retry"]) == f"{file}:2"


@pytest.mark.parametrize("text", ["", " null", " ~"])
def test_retry_policy_that_is_none_is_none(file: Path, text: str) -> None:
    assert loaded(file, f"retry:{text}\n").settings.retry is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" forever", "1: setting 'retry': wants the fields of a policy, as a mapping in a file"),
        (" 3", "1: setting 'retry': wants the fields of a policy, as a mapping in a file"),
        (" [1, 2]", "1: setting 'retry': wants the fields of a policy, as a mapping in a file"),
        (" yes", "1: setting 'retry': wants the fields of a policy, as a mapping in a file"),
        (
            "\n  delay: 1\n  max_retries: -1",
            "3: setting 'retry.max_retries': Input should be greater than or",
        ),
        (
            "\n  max_retries: yes",
            "2: setting 'retry.max_retries': Input should be a valid integer (got True)",
        ),
        (
            "\n\n  max_retries: '3'",
            "3: setting 'retry.max_retries': Input should be a valid integer (got '3')",
        ),
        (
            "\n  backoff: app.growth",
            "2: setting 'retry.backoff': should be one of constant, fibonacci, expon",
        ),
        ("\n  delay: 1m", "2: setting 'retry.delay': Input should be a valid number"),
        ("\n  max_delay: .inf", "2: setting 'retry.max_delay': "),
        ("\n  jitter: 'no'", "2: setting 'retry.jitter': Input should be a valid boolean (got 'no')"),
        ("\n  delays: 1", "2: setting 'retry.delays': Input should be a valid tuple (got 1)"),
        ("\n  delays: [1,\n    x]", "2: setting 'retry.delays.1': Input should be a valid number"),
        ("\n  delay: 1\n  on: Busy", "3: setting 'retry.on': 'Busy' is no built-in exception; write it with"),
        ("\n  not_on: [3]", "2: setting 'retry.not_on': takes exception types, or their qualified names"),
        ("\n  on_timeout: 1", "2: setting 'retry.on_timeout': Input should be a valid boolean (got 1)"),
        (
            "\n  delay: 1\n  max: 2",
            "3: there is no 'retry.max'; there are max_retries, backoff, delay, delays,",
        ),
        ("\n  1: 2", "2: setting 'retry.1': Keys should be strings"),
    ],
)
def test_key_and_line_within_a_retry_policy_are_named(file: Path, text: str, said: str) -> None:
    (line,) = refused(file, f"retry:{text}\n")

    assert line.startswith(said)


def test_all_that_is_wrong_with_a_retry_policy_is_told_at_once(file: Path) -> None:
    said = refused(file, "retry:\n  delay: -1\n  jitter: 3\nroutes:\n  mail.*: mail\n  sms.*: a b\n")

    assert [line.partition(": I")[0].partition(": S")[0] for line in said] == [
        "2: setting 'retry.delay'",
        "3: setting 'retry.jitter'",
        "6: setting 'routes.sms.*'",
    ]


def test_line_of_a_file_is_not_that_of_a_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOQUEUE_RETRY", '{"delay": -1}')
    file.write_text("retry:\n  delay: 1\n")

    with pytest.raises(ConfigurationError) as refusal:
        config.load({}, file=file)

    assert str(refusal.value).startswith("AIOQUEUE_RETRY: setting 'retry.delay': ")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"queue: a\nbroker: [\n", "line 3, column 1"),
        (b"queue: a\n  lease: 3\n", "line 2, column 8"),
        (b"queue: a\nlease: \xff\n", "line 2, column 8"),
        ("queue: a\nü: \x01\n".encode(), "line 2, column 5"),
        (b"queue: !secret canary\n", "line 1, column 8"),
        (b"queue: !canary x\n", "line 1, column 8"),
        (b"queue: *canary\n", "line 1, column 8"),
        (b"queue: [&canary a, &canary b]\n", "line 1, column 20"),
        (b"---\nqueue: a\n---\nqueue: b\n", "line 3, column 1"),
    ],
)
def test_broken_file_is_told_with_line_and_column(file: Path, data: bytes, place: str) -> None:
    file.write_bytes(data)

    with pytest.raises(ConfigurationError) as refusal:
        config.load({}, file=file)

    assert str(refusal.value).startswith(f"{file}: {place}: ")
    assert "canary" not in str(refusal.value)


def test_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"no file {file.parent} to read: Is a directory"):
        config.load({}, file=file.parent)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "redis:\namqp: {}\ndefault_queue:\n"])
def test_empty_file_says_nothing(file: Path, text: str) -> None:
    assert {str(origin) for origin in loaded(file, text).origins.values()} == {"default"}


@pytest.mark.parametrize("key", ["broker", "backend"])
def test_store_that_is_none_is_told_where_it_is_named(file: Path, key: str) -> None:
    broker = "" if key == "broker" else "broker: memory://x"
    file.write_text(f"{broker}\n{key}: nowhere://u:canary@h\n")

    with pytest.raises(ConfigurationError) as refusal:
        Server.from_config(file)

    assert str(refusal.value).startswith(f"{file}:2: setting {key!r}: 'nowhere://h' is no store's URL")

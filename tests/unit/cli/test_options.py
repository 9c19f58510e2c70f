"""How the words of a command line are read, and how a worker's flags are written as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from aioqueue import Server, config
from aioqueue.cli import group, reload
from aioqueue.cli.options import advised, pair, split, value
from aioqueue.cli.serve import served
from aioqueue.cli.worker import Flags, command
from aioqueue.errors import (
    AioqueueError,
    BackendUnavailableError,
    BrokerUnavailableError,
    ConfigurationError,
    MissingExtraError,
    PayloadTooLargeError,
    QueueFullError,
    ResultNotFoundError,
    ResultTimeoutError,
    SignatureError,
    TaskFailedError,
)
from aioqueue.models.settings import Settings


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ()),
        (("a",), ("a",)),
        (("a,b", "c"), ("a", "b", "c")),
        ((" a , b ,", "b,a"), ("a", "b")),
        (("", ","), ()),
    ],
)
def test_names_are_split_at_commas_and_kept_once(words: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert split(words) == names


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ("[1, {}]", [1, {}]),
        ("plain", "plain"),
        ("two words", "two words"),
        ("", ""),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("{broken", "{broken"),
        ("99999999999999999999", 99999999999999999999),
    ],
)
def test_argument_is_json_or_a_string(text: str, read: Any) -> None:
    assert value(text) == read
    assert type(value(text)) is type(read)


def test_pair_is_a_name_and_a_value() -> None:
    assert pair("a=1") == ("a", 1)
    assert pair("a=b=c") == ("a", "b=c")
    assert pair("a=") == ("a", "")


@pytest.mark.parametrize("text", ["a", "=1", "a-b=1", " a=1"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        pair(text)


@pytest.mark.parametrize(
    "flags",
    [
        Flags("tasks:server"),
        Flags(
            "tasks:server",
            queue=("high,low", "other"),
            exclude_queue=("low", "some"),
            concurrency=7,
            processes=3,
            burst=True,
            max_tasks=5,
            name="a name; with $signs",
            log_level="debug",
            log_format="json",
            shutdown_timeout=1.5,
            loop="asyncio",
            strict=True,
            no_scheduler=True,
            supervised_by=17,
            birth="0199",
            bury=("0197", "0198"),
            announce=True,
        ),
    ],
)
def test_flags_are_the_same_after_they_were_written_and_read(flags: Flags) -> None:
    argv = flags.argv()
    given = command.make_context("worker", argv[4:]).params
    assert given.pop("json") is False
    read = Flags(**given)

    assert argv[1:4] == ["-m", "aioqueue", "worker"]
    assert read.queues == flags.queues
    assert read.excluded == flags.excluded
    assert Flags(**{**given, "queue": flags.queue, "exclude_queue": flags.exclude_queue}) == flags


VARIABLES = {
    "AIOQUEUE_WORKER_BURST": "1",
    "AIOQUEUE_WORKER_MAX_TASKS": "1",
    "AIOQUEUE_WORKER_NO_SCHEDULER": "1",
    "AIOQUEUE_WORKER_EXCLUDE_QUEUE": "mail",
}


@pytest.fixture
def served_flags(monkeypatch: pytest.MonkeyPatch) -> list[Flags]:
    """The flags with which workers were to be run."""
    flags: list[Flags] = []
    monkeypatch.setattr("aioqueue.cli.serve.serve", flags.append)
    return flags


def test_child_reads_no_variable_as_its_parent_has(served_flags: list[Flags]) -> None:
    told = Flags("tasks:server", name="mine", supervised_by=17, birth="0199")
    for argv in (told.argv()[4:], ["tasks:server"]):
        assert CliRunner().invoke(command, argv, env=VARIABLES).exit_code == 0

    child, alone = served_flags
    assert child == told
    assert (alone.burst, alone.max_tasks, alone.no_scheduler, alone.excluded) == (True, 1, True, ("mail",))


@pytest.mark.parametrize("verb", ["worker", "dev"])
def test_json_stands_for_logs_as_json(verb: str, served_flags: list[Flags]) -> None:
    done = CliRunner().invoke(group.main, [verb, "tasks:server", "--json"])

    assert (done.exit_code, [flags.log_format for flags in served_flags]) == (0, ["json"])


@pytest.mark.parametrize(
    ("told", "variable", "grace"), [(None, "", 5.0), (None, "7", 7.0), (None, "long", 5.0), (3.0, "7", 3.0)]
)
def test_what_a_reload_leaves_to_tasks_is_said_by_option_or_variable(
    told: float | None, variable: str, grace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOQUEUE_GRACE", variable)

    assert reload._grace(Flags("tasks:server", shutdown_timeout=told)) == grace


def test_child_that_is_started_anew_buries_those_before_it() -> None:
    command_of = reload._children(Flags("tasks:server", processes=2), 5.0)
    argvs = [command_of(1, f"b{birth}") for birth in range(11)]
    buried = [[word for word in argv if word.startswith("--bury=")] for argv in argvs]

    assert buried[:3] == [[], ["--bury=b0"], ["--bury=b0", "--bury=b1"]]
    assert buried[10] == [f"--bury=b{birth}" for birth in range(2, 10)]
    assert not any("--bury" in word for word in command_of(2, "other"))


def test_child_is_one_process_that_knows_its_parent() -> None:
    flags = Flags("tasks:server", processes=4, burst=True, reload=True, reload_dir=("src",))
    child = flags.child("mine.2", 17, "0199")

    assert child == Flags(
        "tasks:server", processes=1, burst=True, name="mine.2", supervised_by=17, birth="0199"
    )


@pytest.mark.parametrize(
    ("queue", "excluded", "left"),
    [
        ((), (), None),
        (("a,b",), (), ("a", "b")),
        (("a", "b"), ("b",), ("a",)),
        ((), ("slow",), ("mail", "odd")),
        ((), ("mail,odd", "unheard-of"), ("slow",)),
    ],
)
def test_excluded_queues_are_left_out_of_those_that_are_known(
    queue: tuple[str, ...], excluded: tuple[str, ...], left: tuple[str, ...] | None
) -> None:
    assert served(app(), Flags("x:y", queue=queue, exclude_queue=excluded)) == left


@pytest.mark.parametrize(
    ("queue", "settings", "left"),
    [
        (("a:5,b", "c:2"), {}, ("a:5", "c:2")),
        (("a", "b:3"), {"queues": ["b", "d:2"]}, ("a",)),
        ((), {"queues": ["d:2", "b:4", "e"]}, ("d:2", "e")),
        ((), {"routes": {"mail.*": "bulk", "*.b": "b"}}, ("default", "bulk", "own")),
        ((), {"queue": "shard:5"}, ("shard:5:1", "own")),
    ],
)
def test_queues_that_stay_keep_their_weights(
    queue: tuple[str, ...], settings: dict[str, Any], left: tuple[str, ...]
) -> None:
    server = Server("memory://", **settings)
    server.register_task("b", lambda: None, queue="b")
    server.register_task("own", lambda: None, queue="own")
    found = served(server, Flags("x:y", queue=queue, exclude_queue=("b",)))

    assert found == left
    assert "b" not in server.worker(queues=found).options.queues


def test_queue_that_has_two_weights_is_wrong_use() -> None:
    flags = Flags("x:y", queue=("a:5", "a:2"), exclude_queue=("b",))

    with pytest.raises(ConfigurationError, match="'a' is named twice"):
        app().worker(queues=served(app(), flags))
    with pytest.raises(ConfigurationError, match="--queue: 'a:0': a weight is a whole number"):
        served(app(), Flags("x:y", queue=("a:0",), exclude_queue=("b",)))


def test_leaving_out_every_queue_is_wrong_use() -> None:
    with pytest.raises(ConfigurationError, match="leaves none of the queues mail, slow, odd"):
        served(app(), Flags("x:y", exclude_queue=("slow,mail", "odd")))


def app() -> Server:
    """Return an app whose tasks have three queues."""
    server = Server("memory://", queue="mail")
    server.register_task("a", lambda: None, queue="slow")
    server.register_task("b", lambda: None)
    server.register_task("c", lambda: None, queue="odd")
    return server


def commands(command: click.Command = group.main) -> Iterator[click.Command]:
    """Yield every command there is."""
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner)


def test_variables_of_the_command_are_known_to_the_settings() -> None:
    read = {
        parameter.envvar for each in commands() for parameter in each.params if parameter.envvar is not None
    }

    assert read == {f"{config.PREFIX}{name.upper()}" for name in config._OF_COMMANDS}
    assert all(click.Context(each).auto_envvar_prefix is None for each in commands())


def test_option_that_is_a_setting_has_no_second_variable() -> None:
    settings = {setting.lower() for setting in Settings.model_fields}
    names = {name.removeprefix("worker_") for name in config._OF_COMMANDS}

    assert names & settings == set()


@pytest.mark.parametrize("name", ["yes", "everything", "json", "wait"])
def test_what_is_said_once_has_no_variable(name: str) -> None:
    options = [option for each in commands() for option in each.params if option.name == name]

    assert options != []
    assert [option.envvar for option in options if option.envvar is not None] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("wrok",), "there is no command 'wrok'; did you mean worker"),
        (("xyzzy",), "there is no command 'xyzzy'; there are worker, dev, "),
        (("queue", "puase"), "there is no command 'puase'; did you mean pause"),
        (("dead", "reque"), "did you mean requeue?"),
        (("config", "valid"), "did you mean validate?"),
        (("schedule", "tigger"), "did you mean trigger?"),
        (("status", "--jsn"), "--json"),
        (("send", "a:b", "c", "--jsn"), "--json"),
    ],
)
def test_misspelled_verb_or_option_is_told_with_the_nearest(args: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(group.main, args)

    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "aioqueue result a"),
        ({"app": "my app:server", "broker": None}, "aioqueue result a --app 'my app:server'"),
        ({"broker": "x://a", "backend": "x://h"}, "aioqueue result a --broker x://a --backend x://h"),
        ({"broker": "redis://:secret@h"}, "aioqueue result a --broker URL"),
    ],
)
def test_advised_command_asks_the_same_store_without_a_password(given: dict[str, Any], command: str) -> None:
    context = click.Context(click.Command("result"))
    context.params = given
    with context:
        assert advised("result", "a") == command


def test_store_that_is_typed_goes_before_an_app_that_a_variable_names(tmp_path: Path) -> None:
    runner = CliRunner(env={"AIOQUEUE_APP": "nowhere:server"})
    by_variable = runner.invoke(group.main, ["status"])
    typed = runner.invoke(group.main, ["status", "--broker", f"sqlite:///{tmp_path}/none.db"])

    assert by_variable.exit_code == 2
    assert "there is no module 'nowhere'" in by_variable.output
    assert typed.exit_code == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskFailedError("no"), 1),
        (ResultTimeoutError("no"), 1),
        (QueueFullError("no"), 1),
        (MissingExtraError("a", "b"), 2),
        (SignatureError("no"), 2),
        (PayloadTooLargeError("no"), 1),
        (BrokerUnavailableError("no"), 3),
        (BackendUnavailableError("no"), 3),
        (ResultNotFoundError("no"), 4),
    ],
)
def test_exit_code_says_what_kind_of_error_it_was(error: AioqueueError, code: int) -> None:
    assert group.code_of(error) == code

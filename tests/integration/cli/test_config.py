"""``aioqueue config``: what holds and where it was said, what is wrong, and no password anywhere."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.conftest import APP, Shell

CANARY = "xyzzyplugh"
URL = f"redis://:{CANARY}@127.0.0.1:1/0?timeout=0.2"


def write(shell: Shell, text: str, name: str = "aioqueue.yaml") -> str:
    (shell.folder / name).write_text(text)
    return f"{shell.folder / name}"


async def test_each_setting_is_shown_with_where_it_was_said(shell: Shell) -> None:
    path = write(shell, "broker: sqlite:///own.db\nlease: 30\n")

    done = await shell.run("config", "show", env={"AIOQUEUE_QUEUE": "mail"})

    rows = {row[0]: row[1:] for line in done.out.splitlines() if (row := line.split())}
    assert done.code == 0
    assert rows["broker"] == [f"sqlite:///{shell.folder}/own.db", f"{path}:1"]
    assert rows["lease"] == ["30.0", f"{path}:2"]
    assert rows["queue"] == ["mail", "AIOQUEUE_QUEUE"]
    assert rows["timeout"] == ["-", "default"]


async def test_programs_read_the_same(shell: Shell) -> None:
    write(shell, "default_queue: mail\nresult_backend: sqlite:///results.db\n", "config.yml")

    done = await shell.run("config", "show", "--file", "config.yml", "--json")

    data = json.loads(done.out)
    assert data["queue"] == {"value": "mail", "from": "file", "place": "config.yml:1"}
    assert data["backend"]["value"] == f"sqlite:///{shell.folder}/results.db"
    assert data["lease"] == {"value": 15.0, "from": "default", "place": None}
    assert data["max_queue"]["value"] is None


@pytest.mark.parametrize("url", ["redis://h:xyzzy/0", "redis://h/0?passwort=xyzzy", "nowhere:xyzzy", "xyzzy"])
async def test_url_that_cannot_be_read_is_not_shown(shell: Shell, url: str) -> None:
    done = await shell.run("config", "show", "--json", env={"AIOQUEUE_BROKER": url})

    assert done.code == 0
    assert json.loads(done.out)["broker"]["place"] == "AIOQUEUE_BROKER"
    assert "xyzzy" not in done.out + done.err


async def test_app_shows_what_its_code_says(shell: Shell) -> None:
    done = await shell.run("config", "show", "--app", APP, "--json")

    data = json.loads(done.out)
    assert data["broker"]["from"] == "code"
    assert data["broker"]["value"] == shell.url
    assert (await shell.run("config", "show", "--app", APP, "--file", "x.yml")).code == 2


async def test_valid_file_exits_with_0(shell: Shell) -> None:
    path = write(shell, "broker: sqlite:///own.db\n")

    nearest = await shell.run("config", "validate")
    named = await shell.run("config", "validate", "aioqueue.yaml")

    assert (nearest.code, nearest.out, nearest.err) == (0, f"{path} is valid\n", "")
    assert (named.code, named.out) == (0, "aioqueue.yaml is valid\n")
    assert not (shell.folder / "own.db").exists()


async def test_without_a_file_the_variables_are_checked(shell: Shell) -> None:
    right = await shell.run("config", "validate", env={"AIOQUEUE_RESULT_TTTL": "1"})
    wrong = await shell.run("config", "validate", env={"AIOQUEUE_LEASE": "long"})

    assert "AIOQUEUE_RESULT_TTTL is no setting and is ignored; did you mean AIOQUEUE_RESULT_TTL" in right.err
    assert (right.code, right.out) == (
        0,
        "there is no aioqueue.yaml here or above; the variables are valid\n",
    )
    assert wrong.code == 2
    assert wrong.err.startswith("Error: AIOQUEUE_LEASE: setting 'lease': ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quue: a\n", ["c.yml:1: there is no setting 'quue'; did you mean 'queue'?"]),
        ("queue: a\nbroker: nowhere://h\n", ["c.yml:2: setting 'broker': 'nowhere://h' is no store's URL"]),
        ("\nlease: 8\n", ["c.yml:2: beat=5.0 is too long for lease=8.0: at most half of it"]),
        ("beat: 9\n", ["c.yml:1: beat=9.0 is too long for lease=15.0: at most half of it"]),
        ("a: 1\nlease: x\n", ["c.yml:2: setting 'lease'", "c.yml:1: there is no setting 'a'"]),
        ("queue: [\n", ["c.yml: line 2, column 1: "]),
    ],
)
async def test_all_that_is_wrong_is_told_a_line_each_and_exits_with_2(
    shell: Shell, text: str, said: list[str]
) -> None:
    write(shell, text, "c.yml")

    done = await shell.run("config", "validate", "c.yml")

    data = await shell.run("config", "validate", "c.yml", "--json")

    lines = done.err.splitlines()
    assert (data.code, data.err) == (2, "")
    assert json.loads(data.out) == {
        "valid": False,
        "file": "c.yml",
        "problems": [line.removeprefix("Error: ") for line in lines],
    }
    assert (done.code, done.out, len(lines)) == (2, "", len(said))
    assert all(line.startswith(f"Error: {start}") for line, start in zip(lines, said, strict=True))


async def test_each_fault_of_the_settings_is_a_line_of_its_own_whoever_finds_it(shell: Shell) -> None:
    write(shell, "lease: long\nquue: a\n")

    done = await shell.run("status")

    starts = [line.split(": ")[:2] for line in done.err.splitlines()]
    assert done.code == 2
    assert starts == [
        ["Error", f"{shell.folder}/aioqueue.yaml:1"],
        ["Error", f"{shell.folder}/aioqueue.yaml:2"],
    ]


async def test_wrong_value_is_told_also_where_a_variable_hides_it(shell: Shell) -> None:
    write(shell, "lease: long\n", "c.yml")

    done = await shell.run("config", "validate", "c.yml", env={"AIOQUEUE_LEASE": "30"})

    assert done.code == 2
    assert done.err.startswith("Error: c.yml:1: setting 'lease'")


async def test_variable_may_mend_what_does_not_fit(shell: Shell) -> None:
    write(shell, "lease: 8\n", "c.yml")

    done = await shell.run("config", "validate", "c.yml", env={"AIOQUEUE_BEAT": "2"})

    assert done.code == 0


async def test_missing_file_is_wrong_use(shell: Shell) -> None:
    shown = await shell.run("config", "show", "--file", "none.yml")
    checked = await shell.run("config", "validate", "none.yml")

    assert (shown.code, checked.code) == (2, 2)
    assert "there is no file none.yml" in shown.err
    assert "there is no file none.yml" in checked.err


@pytest.mark.parametrize("verb", ["show", "validate"])
async def test_help_has_an_example(shell: Shell, verb: str) -> None:
    done = await shell.run("config", verb, "--help")

    assert f"Example: aioqueue config {verb}" in " ".join(done.out.split())


@pytest.mark.parametrize("place", ["variable", "file", "code"])
async def test_no_command_shows_a_password(shell: Shell, place: str) -> None:
    url = URL if place == "code" else None
    shell.module("ours", f"from aioqueue import Server\nserver = Server({url!r})\n")
    env = {"AIOQUEUE_BROKER": URL} if place == "variable" else {}
    if place == "file":
        write(shell, f"broker: {URL}\nquue: 1\n", "bad.yml")
        write(shell, f"broker: {URL}\n")
    app = ("--app", "ours:server")

    texts: dict[tuple[str, ...], str] = {}
    for args, code in (
        (("config", "show", *app), 0),
        (("config", "show", *app, "--json"), 0),
        (("config", "validate"), 0),
        (("config", "validate", "bad.yml"), 2),
        (("status", *app), 3),
        (("result", "a", *app), 3),
        (("send", "ours:server", "x", "--by-name"), 3),
    ):
        done = await shell.run(*args, env=env)
        assert done.code == code, done.err
        texts[args] = done.out + done.err

    async with shell.start("worker", "ours:server", "--log-level", "debug", env=env) as worker:
        await worker.line("cannot reach the store")

    assert [args for args, text in texts.items() if CANARY in text] == []
    assert [line for line in worker.lines if CANARY in line] == []
    assert "redis://127.0.0.1:1/0" in texts["config", "show", *app]

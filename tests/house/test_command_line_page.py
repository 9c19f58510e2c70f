"""The page on the command line names every verb with its options and the exit codes it can give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from aioqueue.cli.group import VERBS
from tests.integration.cli.test_verbs import CASES, ELSEWHERE

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "command-line.md").read_text()


def commands() -> Iterator[tuple[str, click.Command]]:
    for verb in VERBS:
        command: click.Command = import_module(f"aioqueue.cli.{verb}").command
        inner = command.commands if isinstance(command, click.Group) else {}
        yield from ((f"{verb} {name}", each) for name, each in inner.items()) if inner else [(verb, command)]


COMMANDS = dict(commands())


def section(name: str) -> str:
    """Return what the page says of one command."""
    found = re.search(rf"^## `{name}`.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the page has no section on {name}"
    return found[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_on_the_page(name: str) -> None:
    text = section(name)
    options = [
        option.opts[-1]
        for option in COMMANDS[name].params
        if isinstance(option, click.Option) and not option.hidden
    ]

    assert [option for option in options if f"`{option}" not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_exit_codes_on_the_page_are_those_that_are_shown(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| ([\d, ]+) \|", PAGE, re.MULTILINE)
    shown = {case.code for case in CASES if case.verb == name}
    shown |= {code for verb, code in ELSEWHERE if verb == name}

    assert row is not None
    assert {int(code) for code in row[1].split(",")} == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name: str) -> None:
    assert f"Example: aioqueue {name}" in (COMMANDS[name].help or "")

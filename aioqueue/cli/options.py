"""Options that several verbs share, and how their words are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, **how: Any) -> Callable[[F], F]:
    """click.option that shows the option's variable in the help."""
    return click.option(*names, show_envvar=True, **how)


json_option: Callable[[Callable[..., Any]], Callable[..., Any]] = option(
    "--json", is_flag=True, help="Print JSON, for programs."
)


def store_options(function: F) -> F:
    """Add the options that say which store is asked."""
    for decorate in (
        option("--backend", metavar="URL", help="Where results are kept, if it is another store."),
        option("--broker", metavar="URL", help="The store, instead of that of the settings."),
        option("--app", metavar="APP", help="Ask the store of this app, module:attribute."),
    ):
        function = decorate(function)
    return function


def split(words: Iterable[str]) -> tuple[str, ...]:
    """Return the names in *words*, each of which may be a list with commas; each name once."""
    parts = (part.strip() for word in words for part in word.split(","))
    return tuple(dict.fromkeys(filter(None, parts)))


def value(text: str) -> Any:
    """Return the JSON value that *text* is, else *text* itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def pair(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``name=value``. Raises click.BadParameter."""
    name, equals, rest = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.BadParameter(f"{text!r} is not of the form name=value", param_hint="--kw")
    return name, value(rest)


def shown(url: str) -> str:
    """Return a store's URL for people: without credentials, and a file's path in full."""
    from aioqueue.urls import anchored, redacted

    return anchored(redacted(url), os.getcwd())


def _no_constant(name: str) -> None:
    # NaN and Infinity are no JSON
    raise ValueError(name)

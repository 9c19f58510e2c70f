"""``aioqueue version``."""

from __future__ import annotations

import platform
from json import dumps

import click

from aioqueue.cli.options import json_option


def version() -> str:
    """Return the version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("aioqueue-tasks")
    except PackageNotFoundError:
        return "unknown (run from a source tree that is not installed)"


@click.command(name="version", short_help="Print the version.")
@json_option
def command(json: bool) -> None:
    """Print the versions of aioqueue and of Python.

    Example: aioqueue version --json
    """
    python = platform.python_version()
    if json:
        click.echo(dumps({"aioqueue": version(), "python": python}))
    else:
        click.echo(f"aioqueue {version()}, Python {python}")

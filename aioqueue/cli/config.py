"""``aioqueue config``: which settings hold, where each was said, and whether a file is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aioqueue.cli.group import MISUSED, Group
from aioqueue.cli.options import by_variable, json_option, option, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aioqueue.models.origin import Origin
    from aioqueue.models.settings import Settings


@click.group(cls=Group, name="config", short_help="Show and check the settings.")
def command() -> None:
    """Show the settings and where each was said, or check a settings file.

    Example: aioqueue config show
    """


@command.command(short_help="Show the settings.")
@option("--app", metavar="APP", variable="AIOQUEUE_APP", help="Show those of this app, module:attribute.")
@option("--file", metavar="FILE", help="Read this file, instead of the nearest aioqueue.yaml.")
@json_option
def show(app: str | None, file: str | None, json: bool) -> None:
    """Show each setting, its value and where that was said: file and line, variable, code or default.

    Credentials are left out.

    Example: aioqueue config show --app tasks:server
    """
    from aioqueue.config import load
    from aioqueue.errors import ConfigurationError

    if app is None or (file is not None and by_variable("app")):
        loaded = load({}, file=file)
        _print(loaded.settings, loaded.origins, json=json)
        return
    if file is not None:
        raise ConfigurationError("--app names its own file; leave out --file")
    from aioqueue.cli.apps import load as server_of

    server = server_of(app)
    _print(server.settings, server.origins, json=json)


@command.command(short_help="Check a settings file.")
@click.argument("file", required=False)
@json_option
def validate(file: str | None, json: bool) -> None:
    """Check FILE, by default the nearest aioqueue.yaml, and the variables; nothing is connected to.

    Exits with 0 if all is right, else with 2.

    Example: aioqueue config validate config.yml
    """
    problems = _problems(file)
    from aioqueue.config import FILE, nearest

    path = file or nearest(FILE)
    if json:
        from aioqueue.cli.record import as_json

        data = {"valid": not problems, "file": None if path is None else str(path), "problems": problems}
        click.echo(as_json(data))
    for problem in problems if not json else ():
        click.echo(f"Error: {problem}", err=True)
    if problems:
        click.get_current_context().exit(MISUSED)
    if not json:
        there = f"{path} is valid" if path else f"there is no {FILE} here or above; the variables are valid"
        click.echo(there)


def _problems(file: str | None) -> list[str]:
    """Return what is wrong: in the file, also where a variable hides it, then in what holds with both."""
    from aioqueue.config import load
    from aioqueue.errors import ConfigurationError
    from aioqueue.stores import stores_of
    from aioqueue.worker import WorkerOptions

    problems: list[str] = []
    for variables in (False, True):
        try:
            loaded = load({}, file=file, variables=variables)
            stores_of(loaded.settings, origins=loaded.origins)
        except ConfigurationError as exc:
            problems += str(exc).splitlines()
    if problems:
        return list(dict.fromkeys(problems))
    loaded = load({}, file=file)
    try:
        WorkerOptions.checked(loaded.settings, {})
    except ConfigurationError as exc:
        # of the settings of a worker lease and beat alone must fit each other
        return [f"{loaded.origins['lease'].prefix or loaded.origins['beat'].prefix}{exc}"]
    return []


def _url(url: str) -> str:
    """Return a store's URL as it may be shown; of one that cannot be read anything may be a secret."""
    from aioqueue.errors import ConfigurationError
    from aioqueue.urls import connect

    try:
        told = connect(url).url
    except ConfigurationError:
        return f"{url.partition(':')[0]}:***" if ":" in url else "***"
    return shown(told)


def _print(settings: Settings, origins: Mapping[str, Origin], *, json: bool) -> None:
    from aioqueue.cli.record import as_json
    from aioqueue.models.settings import URLS

    values = {
        name: _url(value) if name in URLS and value is not None else value
        for name, value in settings.model_dump(mode="json").items()
    }
    if json:
        rows = {
            name: {"value": value, "from": origins[name].kind, "place": origins[name].place}
            for name, value in values.items()
        }
        click.echo(as_json(rows))
        return
    from aioqueue.cli.screen import console, table

    made = table("setting", "value", "from")
    for name, value in values.items():
        made.add_row(name, "-" if value is None else str(value), str(origins[name]))
    console().print(made)

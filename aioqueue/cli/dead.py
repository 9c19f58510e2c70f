"""``aioqueue dead``: dead letters listed, shown, sent anew and dropped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from aioqueue.cli.group import Group
from aioqueue.cli.options import Asked, json_option, option, store_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aioqueue.letters import DeadLetters, OpenedLetter
    from aioqueue.models.stats import DeadLetter, LetterPage
    from aioqueue.server import Server

T = TypeVar("T")

_REASON: Final = 60

of_option: Callable[[Callable[..., Any]], Callable[..., Any]] = option(
    "--of", "of", metavar="QUEUE", help="Only those of this queue."
)


@click.group(cls=Group, name="dead", short_help="List, show, send anew and drop dead letters.")
def command() -> None:
    """List the dead letters, show one, send it anew, or drop it: tasks that could not be done.

    Example: aioqueue dead list --app tasks:server
    """


@command.command(name="list", short_help="List the dead letters.")
@store_options
@of_option
@option("--limit", type=click.IntRange(min=1, max=10_000), default=100, help="List no more.")
@option("--after", metavar="CURSOR", help="The next page: what the last one named.")
@json_option
def list_(
    *,
    store: Asked,
    of: str | None,
    limit: int,
    after: str | None,
    json: bool,
) -> None:
    """List the dead letters, newest first.

    Example: aioqueue dead list --of mail --limit 20
    """
    from aioqueue.cli.record import as_json

    page = _ask(store.server(), lambda dead: _page(dead, of, after, limit))
    if json:
        click.echo(as_json({"letters": [_data(letter) for letter in page.letters], "next": page.next}))
        return
    _print(page)


@command.command(short_help="Show a dead letter.")
@click.argument("id")
@store_options
@json_option
def show(id: str, store: Asked, json: bool) -> None:
    """Show the dead letter of the task ID: why it is there, and its call.

    Exits with 4 if there is none.

    Example: aioqueue dead show 019a2b…
    """
    from aioqueue.cli.record import as_json, moment

    opened = _ask(store.server(), lambda dead: dead.show(id))
    letter = opened.letter
    if json:
        click.echo(as_json({**_data(letter), **_body(letter), **_call(opened), "problem": opened.problem}))
        return
    click.echo(f"{letter.name}[{letter.id}] {letter.reason}")
    rows = {
        "queue": letter.queue,
        "priority": letter.priority,
        "attempt": letter.attempt,
        "buried": moment(letter.at),
        **({"call": as_json(_call(opened)["call"])} if opened.call is not None else {"body": letter.body}),
    }
    for name, value in rows.items():
        click.echo(f"  {name:<9} {value}")
    if opened.problem is not None:
        click.echo(f"  {'problem':<9} {opened.problem}")


@command.command(short_help="Send dead letters anew.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@store_options
@option("--all", "everything", is_flag=True, help="Send all there are, of a queue with --of.")
@of_option
@option("--queue", metavar="QUEUE", help="Send them to this queue, instead of their own.")
@json_option
def requeue(
    *,
    ids: tuple[str, ...],
    store: Asked,
    everything: bool,
    of: str | None,
    queue: str | None,
    json: bool,
) -> None:
    """Send the calls of the dead letters ID anew, each under a new id, and drop the letters.

    Exits with 4 if there is none of that id.

    Example: aioqueue dead requeue 019a2b… --queue mail
    """
    from aioqueue.cli.record import as_json

    if bool(ids) is everything or (of is not None and not everything):
        raise click.UsageError("name the ids of dead letters, or --all, perhaps with --of")
    sent: list[tuple[str, str]] = []
    done = False
    try:
        _ask(store.server(), lambda dead: _requeue(dead, ids, sent, of=of, queue=queue))
        done = True
    finally:
        # one that is unknown hides nothing of those before it
        if json and (sent or done):
            click.echo(as_json({"requeued": [{"id": old, "new_id": new} for old, new in sent]}))
        elif not json:
            for old, new in sent:
                click.echo(f"{old} was sent anew as {new}")
    if not sent and not json:
        click.echo("there is no dead letter")


@command.command(short_help="Drop dead letters.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@store_options
@of_option
@option("--yes", is_flag=True, help="Do not ask.")
@json_option
def purge(
    *,
    ids: tuple[str, ...],
    store: Asked,
    of: str | None,
    yes: bool,
    json: bool,
) -> None:
    """Drop the dead letters ID or, where none is named, all of them.

    To drop all of them it asks first, unless --yes is given. Exits with 4 if there is none of that id.

    Example: aioqueue dead purge --of mail --yes
    """
    from aioqueue.cli.queue import confirm
    from aioqueue.cli.record import as_json

    if ids and of is not None:
        raise click.UsageError("name the ids of dead letters, or --of, not both")
    server = store.server()
    if not ids and not yes:
        confirm(f"Drop all dead letters{'' if of is None else f' of {of}'}?")
    dropped = _ask(server, lambda dead: _drop(dead, ids, of=of))
    click.echo(as_json({"dropped": dropped}) if json else f"{dropped} dead letters were dropped")


def _ask(server: Server, what: Callable[[DeadLetters], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with server:
            return await what(server.dead)

    return asyncio.run(ask())


async def _page(dead: DeadLetters, of: str | None, after: str | None, limit: int) -> LetterPage:
    """Return so many, though a page of the store may have fewer."""
    from aioqueue.models.stats import LetterPage

    letters: list[DeadLetter] = []
    while len(letters) < limit:
        page = await dead.list(queue=of, after=after, limit=limit - len(letters))
        letters += page.letters
        after = page.next
        if after is None:
            break
    return LetterPage(letters=tuple(letters), next=after)


async def _requeue(
    dead: DeadLetters, ids: tuple[str, ...], sent: list[tuple[str, str]], *, of: str | None, queue: str | None
) -> None:
    """Send them anew, and write down in *sent* each that was."""
    letters: list[DeadLetter | str] = [*ids] or [letter async for letter in dead.all(queue=of)]
    for letter in letters:
        new = await dead.requeue(letter, queue=queue)
        sent.append((letter if isinstance(letter, str) else letter.id, new.id))


async def _drop(dead: DeadLetters, ids: tuple[str, ...], *, of: str | None) -> int:
    if not ids:
        return await dead.purge(queue=of)
    # all are known before the first is dropped
    for id in ids:
        await dead.show(id)
    for id in ids:
        await dead.delete(id)
    return len(ids)


def _data(letter: DeadLetter) -> dict[str, Any]:
    return letter.model_dump(exclude={"body"})


def _body(letter: DeadLetter) -> dict[str, str]:
    from base64 import b64encode

    try:
        return {"body": letter.body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(letter.body).decode()}


def _call(opened: OpenedLetter) -> dict[str, Any]:
    call = opened.call
    return {"call": None if call is None else call.model_dump(mode="json", exclude_defaults=True)}


def _print(page: LetterPage) -> None:
    from aioqueue.cli.record import moment
    from aioqueue.cli.screen import console, table

    made = table("buried", "id", "task", "queue", "attempt", "reason")
    for letter in page.letters:
        reason = " ".join(letter.reason.split())
        made.add_row(
            moment(letter.at),
            letter.id,
            letter.name,
            letter.queue,
            str(letter.attempt),
            reason if len(reason) <= _REASON else f"{reason[:_REASON]}…",
        )
    console().print(made if page.letters else "there is no dead letter")
    if page.next is not None:
        click.echo(f"there is more: --after '{page.next}'")

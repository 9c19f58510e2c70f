"""``aioqueue completion``: the script by which a shell completes verbs and options."""

from __future__ import annotations

from typing import Final

import click

SHELLS: Final = ("bash", "zsh", "fish")


@click.command(name="completion", short_help="Print the script for a shell's completion.")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script by which SHELL completes verbs and options; have it read where the shell starts.

    Example: aioqueue completion bash > ~/.local/share/bash-completion/completions/aioqueue
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(f"there is no completion for {shell}")
    main = click.get_current_context().find_root().command
    click.echo(kind(main, {}, "aioqueue", "_AIOQUEUE_COMPLETE").source())

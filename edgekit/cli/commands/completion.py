"""`edgekit completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes edgekit's commands and options in a shell.

    \b
    bash: eval "$(edgekit completion bash)"       in ~/.bashrc; bash 4.4 or newer
    zsh:  eval "$(edgekit completion zsh)"        in ~/.zshrc, after compinit
    fish: edgekit completion fish | source        in ~/.config/fish/config.fish
    """
    from edgekit.cli.root import root

    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(root, {}, "edgekit", "_EDGEKIT_COMPLETE")
    # Not source(): for bash it runs bash to learn its version, which prints warnings where there is none.
    click.echo(completion.source_template % completion.source_vars())

"""`completion`: what a shell needs to complete commands and flags."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from baybridge.cli.session import Session, json_option

_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_VARIABLE: Final = "_BAYBRIDGE_COMPLETE"  # what click looks at under the name of the command


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@json_option
def completion(session: Session, shell: str) -> None:
    """Print a script that lets SHELL complete `baybridge` and `bay`.

    For bash: baybridge completion bash > ~/.local/share/bash-completion/completions/baybridge
    """
    root = click.get_current_context().find_root().command
    script = "\n".join(_SHELLS[shell](root, {}, name, _VARIABLE).source() for name in ("baybridge", "bay"))
    if session.as_json:
        session.show({"shell": shell, "script": script}, ())
    else:
        click.echo(script)

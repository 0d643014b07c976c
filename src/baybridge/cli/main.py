"""The command line's entry: one list of commands, and one place where an outcome becomes an exit code. It decides nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

from baybridge import __version__
from baybridge.cli import printing
from baybridge.cli.agreement import agreement
from baybridge.cli.audit import audit
from baybridge.cli.completion import completion
from baybridge.cli.dataset import publish, show
from baybridge.cli.demo import demo
from baybridge.cli.ending import purge, restore_version, withdraw
from baybridge.cli.examine import changes, diff, profile
from baybridge.cli.hiding import hide, unhide
from baybridge.cli.home import doctor, init, restore, serve, settings
from baybridge.cli.jobs import jobs, worker
from baybridge.cli.notices import notices
from baybridge.cli.org import org
from baybridge.cli.report import rejects
from baybridge.cli.rows import get
from baybridge.cli.session import Session, json_option
from baybridge.cli.snippet import snippet
from baybridge.cli.token import token, whoami
from baybridge.cli.umbrella import umbrella
from baybridge.cli.user import user
from baybridge.cli.who_has import who_has
from baybridge.client import RowsRejected, WarningsFound
from baybridge.errors import Advice, BaybridgeError, Invalid

USAGE: Final = 2
INTERRUPTED: Final = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="baybridge", message="%(prog)s %(version)s")
def baybridge() -> None:
    """Baybridge: a governed data exchange between agencies and with the public.

    Commands given --home DIR act on a home's files as its local operator. All others speak with a server (--url), as the holder of the
    token in BAYBRIDGE_TOKEN or in a file.

    Exit codes: 0 ok, 2 usage, 4 not signed in, 5 refused, 6 waiting on a person, 7 not found, 8 conflict, 9 checks failed, 10 server
    error, 75 try again, 130 interrupted.
    """


@click.command()
@json_option
def version(session: Session) -> None:
    """Print the version."""
    session.show({"version": __version__}, [f"baybridge {__version__}"])


for command in (
    *(init, demo, serve, worker, jobs, restore, settings, doctor, org, user, token, whoami),
    *(publish, rejects, show, get, profile, diff, changes, snippet, hide, unhide, withdraw, restore_version, purge, who_has),
    *(agreement, umbrella, notices, audit, completion, version),
):
    baybridge.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command, print its error if it has one, and give its exit code (see `baybridge --help`)."""
    try:
        result = baybridge.main(args=list(arguments), prog_name="baybridge", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as wrong:
        wrong.show()
        return USAGE
    except click.ClickException as wrong:
        return _failed(_usage(wrong), arguments)
    except click.Abort:
        return INTERRUPTED
    except BaybridgeError as wrong:
        return _failed(wrong, arguments)
    except OSError as wrong:
        if wrong.filename is None:
            raise
        return _failed(Invalid("invalid_request", f"{wrong.filename}: {wrong.strerror}."), arguments)
    return result if isinstance(result, int) else 0


def _failed(error: BaybridgeError, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        report = error.report if isinstance(error, RowsRejected | WarningsFound) else None
        printing.write_json(printing.problem(error, report))
    else:
        for line in printing.error_lines(error):
            click.echo(line, err=True)
    return error.facts.exit_code


def _usage(wrong: click.ClickException) -> BaybridgeError:
    context = wrong.ctx if isinstance(wrong, click.UsageError) else None
    path = "baybridge" if context is None else context.command_path
    return Invalid("invalid_request", wrong.format_message(), advice=Advice(next_command=f"{path} --help"))


def main() -> None:
    """Run the command of this process."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""One run of a command: which exchange it acts on, as whom, and how it prints. It knows no command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click
import msgspec

from baybridge.cli import printing
from baybridge.client import Client
from baybridge.errors import Advice, Invalid
from baybridge.wire.misfit import misfit

if TYPE_CHECKING:
    from baybridge.cli.local import LocalOperator

DEFAULT_URL: Final = "http://127.0.0.1:8080"
_SERVER_PACKAGES: Final = frozenset({"alembic", "duckdb", "httptools", "sqlalchemy", "starlette", "uvicorn"})

_FOLDER: Final = click.Path(file_okay=False, path_type=Path)

Door: TypeAlias = "Client | LocalOperator"
"""Where a command acts: both have the same verbs under the same names."""

_Command: TypeAlias = Callable[..., Any]


@dataclass(slots=True)
class Session:
    """The options that every command shares. A flag goes before an environment variable, and --home before --url."""

    home: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    as_json: bool = False

    def door(self) -> AbstractContextManager[Door]:
        """The local operator of a home, where one is given, else the client of a server."""
        if self.home is not None and self.url is not None:
            raise click.UsageError("--home acts on the files of a home and --url on a server: give one of them.")
        if self.home is None and (self.url is not None or not os.environ.get("BAYBRIDGE_HOME")):
            return self.client()
        return self.local()

    def local(self, settings: Mapping[str, object] | None = None) -> LocalOperator:
        """The local operator; for what no server offers. `settings` are those given as flags."""
        root = self.require_home()
        with server_part():
            from baybridge.cli.local import LocalOperator  # noqa: PLC0415 -- the light client has no server to import
        return LocalOperator(root, settings)

    def client(self) -> Client:
        """The client of the server that is named, with the token of the environment or of a file."""
        return Client(self.url or os.environ.get("BAYBRIDGE_URL") or DEFAULT_URL, self._token())

    def require_home(self) -> Path:
        """The home that is named. Raise UsageError where none is."""
        if self.home is not None:
            return self.home
        if os.environ.get("BAYBRIDGE_HOME"):
            return Path(os.environ["BAYBRIDGE_HOME"])
        raise click.UsageError("This command acts on a home: name it with --home DIR or BAYBRIDGE_HOME.")

    def show(self, result: object, text: Iterable[str]) -> None:
        """Print a command's result: as one JSON object, or as text for people."""
        if self.as_json:
            printing.write_json(result)
        else:
            for line in text:
                click.echo(printing.printable(line))

    def note(self, text: str) -> None:
        """Say something beside the result, to people only."""
        if not self.as_json:
            click.echo(printing.printable(text), err=True)

    def _token(self) -> str | None:
        if self.token_file is None:
            token = os.environ.get("BAYBRIDGE_TOKEN")
            named = os.environ.get("BAYBRIDGE_TOKEN_FILE")
            if token or not named:
                return token or None
            self.token_file = Path(named)
        return self.token_file.read_text(encoding="utf-8").strip()


session_of = click.make_pass_decorator(Session, ensure=True)


def json_option(command: _Command) -> _Command:
    """Add --json, and give the command its Session."""
    return click.option("--json", is_flag=True, expose_value=False, callback=_keep("as_json"), help="Print the result as one JSON object.")(
        session_of(command)
    )


def home_option(command: _Command) -> _Command:
    """Add --home to a command that acts on a home only."""
    option = click.option("--home", type=_FOLDER, expose_value=False, callback=_keep("home"), help="The home. [env: BAYBRIDGE_HOME]")
    return option(json_option(command))


def server_options(command: _Command) -> _Command:
    """Add --url and --token-file to a command that speaks with a server only."""
    url = click.option("--url", expose_value=False, callback=_keep("url"), help=f"The server. [env: BAYBRIDGE_URL; default: {DEFAULT_URL}]")
    token = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_keep("token_file"),
        help="A file that holds the token. [env: BAYBRIDGE_TOKEN, or BAYBRIDGE_TOKEN_FILE]",
    )
    return url(token(json_option(command)))


def door_options(command: _Command) -> _Command:
    """Add --home, --url and --token-file to a command that acts either way."""
    option = click.option(
        "--home",
        type=_FOLDER,
        expose_value=False,
        callback=_keep("home"),
        help="Act on this home as its local operator, without a server. [env: BAYBRIDGE_HOME]",
    )
    return option(server_options(command))


class server_part(AbstractContextManager[None]):  # noqa: N801 -- used like a function in `with`
    """Say which extra to install where an import in the block misses one of its packages."""

    def __exit__(self, kind: object, wrong: BaseException | None, trace: object) -> None:
        """Raise Invalid for a missing package of the server."""
        if isinstance(wrong, ModuleNotFoundError) and (wrong.name or "").partition(".")[0] in _SERVER_PACKAGES:
            raise Invalid(
                "invalid_request",
                "This command works on a home itself, and the server part of Baybridge is not installed here.",
                advice=Advice(
                    rule="The plain package is the light client; baybridge[server] is all of it.",
                    who_can_change="you",
                    next_step="Install the server part, or use --url to speak with a server.",
                    next_command="pip install 'baybridge[server]'",
                ),
            ) from wrong


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            setattr(context.ensure_object(Session), name, value)

    return keep


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, or of standard input for -."""
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()


def read_json(path: Path, shape: type[Any]) -> Any:
    """A JSON file as that shape. Raise Invalid, naming the place, for anything else."""
    try:
        return msgspec.json.decode(read_bytes(path), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Invalid("invalid_request", f"{path} is not the JSON that is expected here.", places=(misfit(wrong, shape),)) from wrong

"""A home: the folder of one exchange, and its keys. Made once; keys are read here and nowhere else, and never printed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from baybridge.errors import Advice, Conflict, Corrupt, Invalid, NotFound, Place

SETTINGS_FILE: Final = "baybridge.toml"
_FOLDERS: Final = ("objects", "extracts", "scratch", "keys")
# DuckDB takes each of these in a path for something else: a pattern, a folder's end, a parameter.
_UNUSABLE: Final = frozenset("?*[\\")
# It names logs, and a name in a signed note (C2SP signed-note) has no space and no +; in a settings file it has no quote.
_ORIGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Keys:
    """The home's secrets: what signs checkpoints, what wraps pseudonym keys, what authenticates cursors."""

    log: Ed25519PrivateKey
    wrapping: bytes
    cursor: bytes


@dataclass(frozen=True, slots=True)
class Home:
    """Where the parts of a home are."""

    root: Path

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / SETTINGS_FILE

    @property
    def database(self) -> Path:
        """The embedded catalog."""
        return self.root / "catalog.sqlite"

    @property
    def objects(self) -> Path:
        """Immutable objects by digest."""
        return self.root / "objects"

    @property
    def extracts(self) -> Path:
        """Extracts by digest; always rebuildable."""
        return self.root / "extracts"

    @property
    def scratch(self) -> Path:
        """Uploads on their way in; on the same file system as the objects."""
        return self.root / "scratch"

    @property
    def next_key(self) -> Path:
        """The log's next signing key, while a rotation is on its way."""
        return self.root / "keys" / "log.next.pem"

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Be the one process that serves this home, or acts on it while none does. Raise Conflict when there is another."""
        return self._locked(fcntl.LOCK_EX)

    def shared(self) -> contextlib.AbstractContextManager[None]:
        """Serve this home beside others that do. Raise Conflict while one holds it alone."""
        return self._locked(fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with (self.root / "serving.lock").open("a") as file:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    "conflict",
                    "Another process serves this home.",
                    advice=Advice(
                        rule="One process serves a home whose catalog is SQLite, and none while the home is acted on as a whole.",
                        who_can_change="the operator",
                        next_step="Stop the other process, or name another home.",
                    ),
                ) from None
            yield


def make_home(root: Path, *, origin: str, make_catalog: Callable[[Home], None], catalog: str = "") -> Home:
    """Make the folders, the keys (mode 600), the catalog and a settings file. Raise Conflict when there is a home already.

    Until the settings file is there, which comes last, it is not a home. Where making it was cut short, or the settings file was lost,
    what is there stays as it is and only the rest is made. Raise Invalid (`settings_invalid`) for an origin that no log can have.
    """
    require_origin(origin)
    _require_usable(root)
    home = Home(root)
    if home.settings.exists():
        raise Conflict(
            "conflict",
            "There is a home in this folder already.",
            advice=Advice(rule="init never touches a home.", who_can_change="you", next_step="Name another folder, or use this home."),
        )
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.chmod(0o700)
    for folder in _FOLDERS:
        (root / folder).mkdir(exist_ok=True)
    _write_once(root / "keys" / "log.pem", _pem(Ed25519PrivateKey.generate()))
    _write_once(root / "keys" / "wrapping.key", secrets.token_bytes(32))
    _write_once(root / "keys" / "cursor.key", secrets.token_bytes(32))
    make_catalog(home)
    text = f'# Settings of this Baybridge home; `baybridge settings` shows them all.\norigin = "{origin}"\n'
    if catalog:
        text += f'catalog = "{catalog}"\n'
    _write_once(home.settings, text.encode())
    return home


def require_origin(text: str) -> str:
    """Give the origin back. Raise Invalid (`settings_invalid`) for one that could not name a log in a signed note."""
    if _ORIGIN.fullmatch(text):
        return text
    rule = "letters, digits and . _ : / -, first and last a letter or digit, at most 253 characters"
    raise Invalid(
        "settings_invalid",
        "The setting origin is not a name that a log can have.",
        advice=Advice(rule=f"An origin is {rule}.", who_can_change="you", next_step="Name the home by its host name."),
        places=(Place("origin", rule),),
    )


def _require_usable(root: Path) -> None:
    if _UNUSABLE.intersection(str(root.absolute())):
        rule = "no folder on the way to a home has ? * [ or \\ in its name"
        raise Invalid(
            "settings_invalid",
            "A home cannot be in a folder of that name.",
            advice=Advice(rule=f"For the engine's sake {rule}.", who_can_change="you", next_step="Name another folder."),
            places=(Place("home", rule),),
        )


def find_home(root: Path) -> Home:
    """Give the home in that folder. Raise NotFound when there is none, and Invalid for a folder in which it could not work."""
    _require_usable(root)
    home = Home(root)
    if not home.settings.exists():
        raise NotFound(
            "not_found",
            f"There is no Baybridge home in {root}.",
            advice=Advice(
                rule="A home is made by init.",
                who_can_change="you",
                next_step="Make one, or name another folder with --home.",
                next_command=f"baybridge init {root}",
            ),
        )
    return home


def read_keys(home: Home) -> Keys:
    """Read the keys. Raise Corrupt when one is missing, malformed, or readable by others than its owner."""
    log = _read_signing_key(home.root / "keys" / "log.pem")
    wrapping, cursor = _read_key(home.root / "keys" / "wrapping.key"), _read_key(home.root / "keys" / "cursor.key")
    if len(wrapping) != 32 or len(cursor) != 32:  # noqa: PLR2004 -- bytes of a 256-bit key
        raise Corrupt("corrupt", "A key does not have its 32 bytes.")
    return Keys(log, wrapping, cursor)


def make_next_key(home: Home) -> Ed25519PrivateKey:
    """Make the log's next signing key, durable in the home but not in use. One that was left there is replaced."""
    key = Ed25519PrivateKey.generate()
    home.next_key.unlink(missing_ok=True)
    _write_once(home.next_key, _pem(key))
    return key


def read_next_key(home: Home) -> Ed25519PrivateKey | None:
    """The log's next signing key, where a rotation was begun."""
    return _read_signing_key(home.next_key) if home.next_key.exists() else None


def use_next_key(home: Home) -> None:
    """Put the next signing key in the place of the present one, in one step."""
    home.next_key.rename(home.root / "keys" / "log.pem")
    _sync_folder(home.next_key.parent)


def drop_next_key(home: Home) -> None:
    """Remove a next key that no log has announced."""
    home.next_key.unlink(missing_ok=True)


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_signing_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_read_key(path), password=None)
    except ValueError as wrong:
        raise Corrupt("corrupt", "The log's signing key does not parse.") from wrong
    if not isinstance(key, Ed25519PrivateKey):
        raise Corrupt("corrupt", "The log's signing key is not an Ed25519 key.")
    return key


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_once(path: Path, content: bytes) -> None:
    """Write the file whole, with mode 600, or not at all. One that is there already is kept: nothing else has its content."""
    if not path.exists():
        replace_file(path, content)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file of that content, with mode 600, in the place of what is there: all of it and durably, or nothing."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    _sync_folder(path.parent)


def _read_key(path: Path) -> bytes:
    if not path.exists():
        raise Corrupt("corrupt", f"The key {path.name} is missing from the home.")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Corrupt(
            "corrupt",
            f"The key {path.name} can be read by others than its owner.",
            advice=Advice(
                rule="Keys have mode 600.",
                who_can_change="the operator",
                next_step="Take the others' rights away.",
                next_command=f"chmod 600 {path}",
            ),
        )
    return path.read_bytes()

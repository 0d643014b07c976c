"""What every node of one catalog has in common, pinned in the catalog: its origin, and the digests of its keys. No key is stored here.

Two nodes with different keys would sign two logs of one name, and each would take the other's pseudonyms and cursors for damage.
"""

from __future__ import annotations

import hashlib
from typing import Final

import sqlalchemy as sa

from baybridge.db import METADATA, Database
from baybridge.errors import Advice, Conflict
from baybridge.operate.home import Keys

PINS: Final = sa.Table(
    "pins",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def pin(database: Database, origin: str, keys: Keys) -> None:
    """Pin what is not pinned yet, in a catalog that other nodes may share. Raise Conflict (`node_differs`) for anything else."""
    if not database.shared:
        return
    with database.read() as connection:
        known = _pinned(connection)
    if not known:
        with database.write() as connection:
            known = _pinned(connection)
            if not known:
                connection.execute(sa.insert(PINS), [{"name": name, "value": value} for name, value in _own(origin, keys).items()])
                return
    different = [name for name, value in _own(origin, keys).items() if known.get(name) != value]
    if different:
        raise Conflict(
            "node_differs",
            f"This home is not a node of its catalog: other are its {' and '.join(different)}.",
            advice=Advice(
                rule="All nodes of a catalog have the same origin and the same keys.",
                who_can_change="the operator",
                next_step="Copy the folder keys from another node, with mode 600, and name the same origin.",
            ),
        )


def pin_log_key(connection: sa.Connection, keys: Keys) -> None:
    """Put the log's new key in the place of the old, in the transaction that announces it; nothing where nothing is pinned."""
    connection.execute(sa.update(PINS).where(PINS.c.name == "log key").values(value=_own("", keys)["log key"]))


def _pinned(connection: sa.Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(sa.select(PINS.c.name, PINS.c.value))}


def _own(origin: str, keys: Keys) -> dict[str, str]:
    return {
        "origin": origin,
        "log key": _digest(keys.log.public_key().public_bytes_raw()),
        "wrapping key": _digest(keys.wrapping),
        "cursor key": _digest(keys.cursor),
    }


def _digest(key: bytes) -> str:
    return hashlib.sha256(b"baybridge pin" + key).hexdigest()

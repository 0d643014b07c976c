"""Tiles, proofs and receipts of what is signed: hashes for everyone, entries for the log's auditors and for those who acted."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from baybridge.audit import store as audit_store
from baybridge.audit.entry import decode
from baybridge.audit.log import Log
from baybridge.audit.proof import TlogProof
from baybridge.audit.tiles import Tile, encode_bundle
from baybridge.audit.tree import Tree
from baybridge.db import Database
from baybridge.errors import Invalid, NotFound, Place
from baybridge.operate.watch import Watch
from baybridge.principals.principal import Principal, Role, Scope, require_role


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That entry `index`, whose leaf hash is `leaf`, is among the first `size` entries of a log, whose root is `root`."""

    origin: str
    index: int
    size: int
    leaf: bytes
    root: bytes
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the first `old` entries of a log are the beginning of its first `new`."""

    origin: str
    old: int
    new: int
    old_root: bytes
    new_root: bytes
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Prove:
    """What is proved to others, bound to what it needs. Nothing is proved, and no hash given, beyond the newest checkpoint."""

    database: Database
    log: Log
    watch: Watch

    def tile(self, organization: str, tile: Tile) -> bytes:
        """The hashes of a tile. Raise NotFound beyond the newest checkpoint."""
        with self.database.read() as connection:
            tile.require_in(self._signed(connection, organization))
            return b"".join(Tree(connection, organization).hashes(tile.level, tile.first, tile.width))

    def bundle(self, principal: Principal, organization: str, tile: Tile) -> bytes:
        """The entries under a tile of level 0, to the organization's auditors and the local operator."""
        with self.log.entering_refusals(organization, {"act": "entries", "actor": _actor(principal)}):
            if not principal.is_operator():
                require_role(principal, organization, Role.AUDITOR, scope=Scope.AUDIT)
        with self.database.read() as connection:
            tile.require_in(self._signed(connection, organization))
            run = audit_store.entries(connection, organization, start=tile.first, limit=tile.width)
            return encode_bundle(data for _, data in run)

    def inclusion(self, organization: str, index: int, size: int | None) -> Inclusion:
        """The proof for an entry in the log of that size, by default of the newest checkpoint's. Raise Invalid for one that cannot be."""
        with self.database.read() as connection:
            size = self._size(connection, organization, size, "size")
            if index >= size:
                raise Invalid("invalid_request", "The log of that size has no such entry.", places=(Place("index", "not below the size"),))
            tree = Tree(connection, organization)
            (leaf,) = tree.hashes(0, index, 1)
            return Inclusion(self.log.origin(organization), index, size, leaf, tree.root(size), tree.inclusion(index, size))

    def consistency(self, organization: str, old: int, new: int | None) -> Consistency:
        """The proof that the log of one size begins that of another, by default of the newest checkpoint's. Raise Invalid as above."""
        with self.database.read() as connection:
            new = self._size(connection, organization, new, "to")
            if old > new:
                raise Invalid("invalid_request", "A log does not begin with a longer one.", places=(Place("from", "not above the other"),))
            tree = Tree(connection, organization)
            return Consistency(self.log.origin(organization), old, new, tree.root(old), tree.root(new), tree.consistency(old, new))

    def receipt(self, principal: Principal, organization: str, index: int) -> str:
        """An entry with the proof that it is in the log, as a C2SP tlog-proof whose extra line is the entry.

        It is given to those for whom the entry's actor acted, to the log's auditors and to the local operator. For anyone else there is
        no such entry: Raise NotFound. The log is signed now where its newest checkpoint does not cover the entry yet.
        """
        with self.database.read() as connection:
            self.watch.require_log(connection, organization)
            run = audit_store.entries(connection, organization, start=index, limit=1)
            entry = next((data for number, data in run if number == index), None)
            signed = audit_store.signed_size(connection, organization)
        if entry is None or not _may_have(principal, organization, entry):
            raise NotFound("not_found", "The log has no entry of that index, or it is not one of yours.")
        note = self.watch.checkpoint(organization) if index >= signed else self.watch.latest(organization)
        with self.database.read() as connection:
            size = self.watch.keys_of(connection, organization).open(note).size
            hashes = Tree(connection, organization).inclusion(index, size)
        return TlogProof(index, hashes, note, entry).text()

    def _size(self, connection: sa.Connection, organization: str, wanted: int | None, parameter: str) -> int:
        signed = self._signed(connection, organization)
        if wanted is not None and wanted > signed:
            raise Invalid(
                "invalid_request", "No checkpoint of that size is signed yet.", places=(Place(parameter, "beyond the checkpoint"),)
            )
        return signed if wanted is None else wanted

    def _signed(self, connection: sa.Connection, organization: str) -> int:
        self.watch.require_log(connection, organization)
        return audit_store.signed_size(connection, organization)


def _actor(principal: Principal) -> dict[str, str]:
    return {"organization": principal.organization, "principal": principal.id}


def _may_have(principal: Principal, organization: str, entry: bytes) -> bool:
    actor = decode(entry).facts.get("actor")
    own = isinstance(actor, dict) and actor.get("organization") == principal.organization
    audits = principal.acts_for(organization, Role.AUDITOR) and principal.reaches(Scope.AUDIT)
    return own or principal.is_operator() or audits

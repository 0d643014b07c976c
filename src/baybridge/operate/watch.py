"""The log watched over: checkpoints signed by the key in force, and a whole log verified from its entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from baybridge.audit import side as audit_side
from baybridge.audit import store as audit_store
from baybridge.audit.checkpoint import Checkpoint, Verifier, sign
from baybridge.audit.entry import decode
from baybridge.audit.log import Log
from baybridge.audit.replay import Replayed, open_notes, replay
from baybridge.audit.rotation import KeyChain, Rotation
from baybridge.audit.tree import Tree
from baybridge.db import Database
from baybridge.errors import BaybridgeError, Corrupt, NotFound
from baybridge.principals.principal import Principal, Role, Scope, require_role


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification of one log found; no finding means that everything holds. `root` is in hex."""

    organization: str
    size: int
    root: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a log as its auditor reads it."""

    origin: str
    size: int
    entries: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """Checkpoints and verification, bound to what they need."""

    database: Database
    log: Log
    clock: Callable[[], datetime]
    key: Ed25519PrivateKey

    def checkpoint(self, organization: str) -> str:
        """Sign the log as it stands, keep the note, and give it."""
        with self.database.write() as connection:
            self.require_log(connection, organization)
            frontier = audit_store.frontier(connection, organization)
            latest = audit_store.latest_checkpoint(connection, organization)
            keys = self.keys_of(connection, organization)
            if latest is not None and keys.open(latest).size == frontier.size:
                return latest
            if Tree(connection, organization).root(frontier.size) != frontier.root():
                raise Corrupt("corrupt", "The log's entries are not those that it was written with, so it is not signed.")
            origin = self.log.origin(organization)
            note = sign(Checkpoint(origin, frontier.size, frontier.root()), self.key, origin)
            audit_store.keep_checkpoint(connection, organization, size=frontier.size, note=note, now=self.clock())
            return note

    def sign_new(self) -> None:
        """Sign each log that has grown since its last checkpoint."""
        with self.database.read() as connection:
            grown = audit_store.grown(connection)
        failures = []
        for organization in grown:
            try:
                self.checkpoint(organization)
            except BaybridgeError as failure:  # one log that is damaged must not keep the others from being signed
                failures.append(failure)
        if failures:
            raise failures[0]

    def latest(self, organization: str) -> str:
        """The newest checkpoint that was signed; it signs a first one only where there is none, so that asking writes nothing."""
        with self.database.read() as connection:
            self.require_log(connection, organization)
            latest = audit_store.latest_checkpoint(connection, organization)
        return latest or self.checkpoint(organization)

    def published_verifier(self, organization: str) -> Verifier:
        """The verifier of a log that exists. Raise NotFound for any other."""
        return self.keys(organization).current

    def keys(self, organization: str) -> KeyChain:
        """All keys of a log that exists, from its first on. Raise NotFound for any other."""
        with self.database.read() as connection:
            self.require_log(connection, organization)
            return self.keys_of(connection, organization)

    def keys_of(self, connection: sa.Connection, organization: str) -> KeyChain:
        """The keys of a log as its rotations lead on. Raise Corrupt where they do not lead to the key that the home holds."""
        own = self.verifier(organization)
        notes = audit_store.rotations(connection, organization)
        chain = KeyChain.follow(Rotation.parse(notes[0]).old if notes else own, notes)
        if chain.current != own:
            raise Corrupt("corrupt", "The key in the home is not the one that the log's rotations lead to.")
        return chain

    def entries(self, principal: Principal, organization: str, *, start: int, limit: int) -> Run:
        """Entries from `start` on, to the organization's auditors and the local operator."""
        actor = {"organization": principal.organization, "principal": principal.id}
        with self.log.entering_refusals(organization, {"act": "entries", "actor": actor}):
            if not principal.is_operator():
                require_role(principal, organization, Role.AUDITOR, scope=Scope.AUDIT)
        with self.database.read() as connection:
            self.require_log(connection, organization)
            size = audit_store.frontier(connection, organization).size
            run = tuple(audit_store.entries(connection, organization, start=start, limit=limit))
        return Run(self.log.origin(organization), size, run)

    def verify(self, organization: str, notes: tuple[str, ...], pinned: Verifier | None = None) -> Verdict:
        """Re-hash every entry of the log, and compare with all kept checkpoints, with the notes given, and with what is stored.

        `pinned` is a key of the log that was kept elsewhere: the log's keys must lead on from it.
        """
        findings: list[str] = []
        with self.database.read() as connection:
            self.require_log(connection, organization)
            keys = self._known_keys(connection, organization, pinned, findings)
            checkpoints = open_notes(keys, [*audit_store.checkpoints(connection, organization), *notes], findings)
            origin = self.log.origin(organization)
            replayed = replay(audit_store.entries(connection, organization), origin=origin, checkpoints=checkpoints, keys=keys)
            findings += replayed.findings
            findings += _stored_findings(connection, organization, replayed)
            findings += _side_findings(connection, organization)
        return Verdict(organization, replayed.size, replayed.root.hex(), tuple(findings))

    def logs(self) -> tuple[str, ...]:
        """The organizations that have a log."""
        with self.database.read() as connection:
            return audit_store.logs(connection)

    def verifier(self, organization: str) -> Verifier:
        """The public key in the home, as a C2SP verifier key of the organization's checkpoints."""
        return Verifier.of(self.key, self.log.origin(organization))

    def _known_keys(self, connection: sa.Connection, organization: str, pinned: Verifier | None, findings: list[str]) -> KeyChain:
        try:
            keys = self.keys_of(connection, organization)
            if pinned is not None:
                keys.require(pinned)
        except Corrupt as wrong:
            findings.append(wrong.detail)
            keys = KeyChain(pinned or self.verifier(organization))
        return keys

    def require_log(self, connection: sa.Connection, organization: str) -> None:
        """Raise NotFound for an organization without a log."""
        if organization not in audit_store.logs(connection):
            raise NotFound("not_found", f'There is no organization "{organization}".')


def _stored_findings(connection: sa.Connection, organization: str, replayed: Replayed) -> list[str]:
    try:
        stored = audit_store.frontier(connection, organization)
    except Corrupt as wrong:
        return [f"the stored right edge of the log does not parse: {wrong.detail}"]
    if stored.size != replayed.size:
        return [f"the log says that it has {stored.size} entries, and {replayed.size} were found"]
    findings = [] if stored.root() == replayed.root else ["the entries do not hash to the root that the log was written with"]
    if audit_store.all_tile_roots(connection, organization) != frozenset(replayed.tiles):
        findings.append("the stored roots of tiles are not those of the entries")
    return findings


def _side_findings(connection: sa.Connection, organization: str) -> list[str]:
    """A side record may be gone, for that is what it is for; one that is there must be the one that its entry names."""
    findings = []
    for number, side in list(audit_side.side_records(connection, organization)):
        for _, data in audit_store.entries(connection, organization, start=number, limit=1):
            try:
                named = decode(data).facts.get("side_sha256")
            except Corrupt:
                continue  # `replay` has named this entry already
            if named != hashlib.sha256(side).hexdigest():
                findings.append(f"the side record of entry {number} is not the one that the entry names")
    return findings

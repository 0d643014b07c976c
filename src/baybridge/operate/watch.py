"""The log watched over: checkpoints signed, and a whole log verified from its entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from baybridge.audit import log as audit_log
from baybridge.audit.checkpoint import Checkpoint, Verifier, open_note, sign
from baybridge.audit.entry import decode
from baybridge.audit.log import Log
from baybridge.audit.replay import replay
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
            self._require_log(connection, organization)
            frontier = audit_log.frontier(connection, organization)
            latest = audit_log.latest_checkpoint(connection, organization)
            if latest is not None and open_note(latest, self.verifier(organization)).size == frontier.size:
                return latest
            origin = self.log.origin(organization)
            note = sign(Checkpoint(origin, frontier.size, frontier.root()), self.key, origin)
            audit_log.keep_checkpoint(connection, organization, size=frontier.size, note=note, now=self.clock())
            return note

    def sign_new(self) -> None:
        """Sign each log that has grown since its last checkpoint."""
        with self.database.read() as connection:
            grown = audit_log.grown(connection)
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
            self._require_log(connection, organization)
            latest = audit_log.latest_checkpoint(connection, organization)
        return latest or self.checkpoint(organization)

    def published_verifier(self, organization: str) -> Verifier:
        """The verifier of a log that exists. Raise NotFound for any other."""
        with self.database.read() as connection:
            self._require_log(connection, organization)
        return self.verifier(organization)

    def entries(self, principal: Principal, organization: str, *, start: int, limit: int) -> Run:
        """Entries from `start` on, to the organization's auditors and the local operator."""
        actor = {"organization": principal.organization, "principal": principal.id}
        with self.log.entering_refusals(organization, {"act": "entries", "actor": actor}):
            if not principal.is_operator():
                require_role(principal, organization, Role.AUDITOR, scope=Scope.AUDIT)
        with self.database.read() as connection:
            self._require_log(connection, organization)
            size = audit_log.frontier(connection, organization).size
            run = tuple(audit_log.entries(connection, organization, start=start, limit=limit))
        return Run(self.log.origin(organization), size, run)

    def verify(self, organization: str, notes: tuple[str, ...]) -> Verdict:
        """Re-hash every entry of the log, and compare with all kept checkpoints, with the notes given, and with what is stored."""
        findings: list[str] = []
        with self.database.read() as connection:
            self._require_log(connection, organization)
            checkpoints = self._open([*audit_log.checkpoints(connection, organization), *notes], organization, findings)
            origin = self.log.origin(organization)
            replayed = replay(audit_log.entries(connection, organization), origin=origin, checkpoints=checkpoints)
            findings += replayed.findings
            findings += _stored_findings(connection, organization, size=replayed.size, root=replayed.root)
            findings += _side_findings(connection, organization)
        return Verdict(organization, replayed.size, replayed.root.hex(), tuple(findings))

    def logs(self) -> tuple[str, ...]:
        """The organizations that have a log."""
        with self.database.read() as connection:
            return audit_log.logs(connection)

    def verifier(self, organization: str) -> Verifier:
        """The public key that verifies the organization's checkpoints, as a C2SP verifier key."""
        return Verifier.of(self.key, self.log.origin(organization))

    def _open(self, notes: list[str], organization: str, findings: list[str]) -> list[Checkpoint]:
        opened = []
        for note in notes:
            try:
                opened.append(open_note(note, self.verifier(organization)))
            except BaybridgeError as wrong:
                findings.append(f"a checkpoint is not signed by this log's key, or does not parse: {wrong.detail}")
        return opened

    def _require_log(self, connection: sa.Connection, organization: str) -> None:
        if organization not in audit_log.logs(connection):
            raise NotFound("not_found", f'There is no organization "{organization}".')


def _stored_findings(connection: sa.Connection, organization: str, *, size: int, root: bytes) -> list[str]:
    try:
        stored = audit_log.frontier(connection, organization)
    except Corrupt as wrong:
        return [f"the stored right edge of the log does not parse: {wrong.detail}"]
    if stored.size != size:
        return [f"the log says that it has {stored.size} entries, and {size} were found"]
    return [] if stored.root() == root else ["the entries do not hash to the root that the log was written with"]


def _side_findings(connection: sa.Connection, organization: str) -> list[str]:
    """A side record may be gone, for that is what it is for; one that is there must be the one that its entry names."""
    findings = []
    for number, side in list(audit_log.side_records(connection, organization)):
        for _, data in audit_log.entries(connection, organization, start=number, limit=1):
            try:
                named = decode(data).facts.get("side_sha256")
            except Corrupt:
                continue  # `replay` has named this entry already
            if named != hashlib.sha256(side).hexdigest():
                findings.append(f"the side record of entry {number} is not the one that the entry names")
    return findings

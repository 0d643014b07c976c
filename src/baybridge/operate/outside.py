"""Checkpoints kept outside the home, in a file, at a URL or by a partner's server: held against the logs at the start, and kept up to date.

Nothing in a home can show that all of it was set back in time. What is kept where the home's keeper cannot write can. A log that went back
is not served until the operator has said so in it, in a restore entry that the log's key signs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import httpx2
import msgspec
import sqlalchemy as sa

from baybridge.audit import store as audit_store
from baybridge.audit.checkpoint import Checkpoint, Verifier, decode_base64, encode_base64, open_note
from baybridge.audit.entry import JSON, Kind, canonical
from baybridge.audit.log import Draft, Log
from baybridge.audit.proof import TlogProof
from baybridge.audit.side import Side
from baybridge.audit.tree import Tree
from baybridge.audit.witness import text_of
from baybridge.db import Database
from baybridge.errors import Advice, BaybridgeError, Conflict, Corrupt, Invalid, Unavailable
from baybridge.operate.home import Home, replace_file
from baybridge.operate.watch import Watch
from baybridge.principals.principal import Principal, require_operator
from baybridge.wire.audit import CheckpointCopyRequest, CheckpointCopyShape

_SECONDS: Final = 10
_NAMED: Final = 50  # of logs that are gone, in an entry: the names fit whatever they are
_FOUND, _NOT_FOUND = httpx2.codes.OK, httpx2.codes.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Lost:
    """A log that is not what its outside checkpoint was signed over: how, and that checkpoint. `missing` when there is no such log."""

    organization: str
    checkpoint: Checkpoint
    missing: bool
    how: str


@dataclass(frozen=True, slots=True)
class Outside:
    """The checkpoints kept at `place` (a file's path or a URL; empty for nowhere), bound to the logs that they are of.

    A partner's server takes them only with `token`, and with what shows that each log goes on from what it has kept: that is sent along
    wherever they are kept.
    """

    place: str
    home: Home
    database: Database
    log: Log
    watch: Watch
    entropy: Callable[[int], bytes]
    token: str | None = None
    _written: dict[str, str] = field(default_factory=dict)

    def require_consistent(self) -> None:
        """Raise Corrupt (`log_set_back`) where a log is not a continuation of what is kept, Unavailable where that cannot be read."""
        lost = self.lost()
        if lost:
            raise Corrupt(
                "log_set_back",
                f"The home was set back in time, or is another one: {'; '.join(each.how for each in lost)}.",
                advice=Advice(
                    rule="A log is served only where it goes on from the checkpoint kept outside the home.",
                    who_can_change="the operator",
                    next_step="Put the newest state of the home back. Where that is lost for good, say so in the logs, and serve again.",
                    next_command=f"baybridge restore --home {self.home.root} --who NAME --reason TEXT",
                ),
            )

    def lost(self) -> tuple[Lost, ...]:
        """The logs that are not a continuation of what is kept. Raise Corrupt where what is kept is not signed by a key of this home."""
        kept = self._read()
        if kept is None:
            return ()
        with self.database.read() as connection:
            found = [self._compare(connection, kept, organization) for organization in sorted(kept.checkpoints)]
        return tuple(each for each in found if each is not None)

    def kept(self, organization: str) -> tuple[str, Verifier] | None:
        """The checkpoint of a log that is kept outside, as a note, and the key that signed it; None where there is none."""
        kept = self._read()
        if kept is None or organization not in kept.checkpoints:
            return None
        return kept.checkpoints[organization], self._key(kept, organization)

    def renew(self) -> None:
        """Keep the newest checkpoint of each log outside, where one is new. Nothing is written over what the logs do not go on from."""
        if not self.place:
            return
        with self.database.read() as connection:
            newest = {each: audit_store.latest_checkpoint(connection, each) for each in audit_store.logs(connection)}
        notes = {organization: note for organization, note in newest.items() if note is not None}
        if notes != self._written:
            kept = self._read()
            if kept is not None and kept.checkpoints != self._written:  # not what this process wrote
                self.require_consistent()
            self._write(notes, self.growing(notes, kept))

    def restore(self, principal: Principal, *, who: str, reason: str) -> tuple[Lost, ...]:
        """Say in every log what was lost, sign it, and keep that outside in the place of what was there. Give what was lost.

        `who` and `reason` go into a side record. Raise Conflict where nothing is lost, and while the home is served.
        """
        require_operator(principal)
        with self.home.held():
            lost = self.lost()
            if not lost:
                raise Conflict(
                    "conflict",
                    "Every log goes on from the checkpoint kept outside; there is nothing to say.",
                    advice=Advice(rule="A restore entry says what was lost.", who_can_change="nobody", next_step="Serve the home."),
                )
            by_log = {each.organization: each.checkpoint for each in lost if not each.missing}
            missing = [each.organization for each in lost if each.missing]
            said: dict[str, int] = {}
            kept = self._read()
            with self.database.write() as connection:
                logs = audit_store.logs(connection)
                for organization in logs:
                    size = audit_store.frontier(connection, organization).size
                    draft = self._entry(principal, organization, size, by_log.get(organization), missing, who, reason)
                    said[organization] = self.log.append(connection, draft)
            notes = {organization: self.watch.checkpoint(organization) for organization in logs}
            self._write(notes, self.growing(notes, kept, said, by_log))
        return lost

    def _entry(self, principal: Principal, organization: str, size: int, lost: Checkpoint | None, missing: list[str], *said: str) -> Draft:
        who, reason = said
        side = canonical({"who": who, "reason": reason, "salt": self.entropy(16).hex()})
        facts: dict[str, JSON] = {
            "actor": {"organization": principal.organization, "principal": principal.id},
            "lost": None if lost is None else {"size": lost.size, "root": lost.root.hex()},
            "lost_logs": missing[:_NAMED],
            "side_sha256": hashlib.sha256(side).hexdigest(),
            "size": size,
        }
        return Draft(organization, Kind.RESTORED, facts, Side(side))

    def _compare(self, connection: sa.Connection, kept: CheckpointCopyShape, organization: str) -> Lost | None:
        pinned = self._key(kept, organization)
        checkpoint = open_note(kept.checkpoints[organization], pinned)
        if organization not in audit_store.logs(connection):
            return Lost(organization, checkpoint, missing=True, how=f"there is no log of {organization}")
        self.watch.keys_of(connection, organization).require(pinned)
        size = audit_store.frontier(connection, organization).size
        if size < checkpoint.size:
            how = f"the log of {organization} has {size} entries, and {checkpoint.size} were signed"
            return Lost(organization, checkpoint, missing=False, how=how)
        if Tree(connection, organization).root(checkpoint.size) != checkpoint.root:
            how = f"the first {checkpoint.size} entries of the log of {organization} are not those that were signed"
            return Lost(organization, checkpoint, missing=False, how=how)
        return None

    def _key(self, kept: CheckpointCopyShape, organization: str) -> Verifier:
        try:
            return Verifier(self.log.origin(organization), decode_base64(kept.key, "the key"))
        except Invalid:
            raise _malformed() from None

    def _read(self) -> CheckpointCopyShape | None:
        """What is kept; None before anything was."""
        data = _get(self.place, self.token) if self.place else None
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=CheckpointCopyShape)
        except msgspec.DecodeError:
            raise _malformed() from None

    def growing(
        self,
        notes: dict[str, str],
        kept: CheckpointCopyShape | None,
        restored: Mapping[str, int] = MappingProxyType({}),
        lost: Collection[str] = (),
    ) -> CheckpointCopyRequest:
        """What is kept next, with what shows that it goes on from what is kept, or by the entries at `restored` that it was set back."""
        brought = CheckpointCopyRequest(key=encode_base64(self.watch.key.public_key().public_bytes_raw()), checkpoints=notes)
        if kept is None:
            return brought
        with self.database.read() as connection:
            for organization, note in notes.items():
                keys, tree = self.watch.keys_of(connection, organization), Tree(connection, organization)
                size = keys.open(note).size
                brought.rotations[organization] = list(keys.notes_from(self._key(kept, organization)))
                if organization in restored:
                    ((index, entry),) = audit_store.entries(connection, organization, start=restored[organization], limit=1)
                    brought.restores[organization] = TlogProof(index, tree.inclusion(index, size), note, entry).text()
                if organization in kept.checkpoints and organization not in lost:
                    old = text_of(kept.checkpoints[organization]).size
                    brought.consistency[organization] = [encode_base64(each) for each in tree.consistency(old, size)] if old else []
        return brought

    def _write(self, notes: dict[str, str], brought: CheckpointCopyRequest) -> None:
        if self.place:
            _put(self.place, msgspec.json.encode(brought), self.token)
            self._written.clear()
            self._written.update(notes)


def _get(place: str, token: str | None) -> bytes | None:
    if not _is_url(place):
        try:
            return Path(place).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as wrong:
            raise _unreachable(str(wrong.strerror)) from wrong
    answer = _ask("GET", place, token)
    if answer.status_code == _NOT_FOUND:
        return None
    if answer.status_code != _FOUND:
        raise _unreachable(f"it answers {answer.status_code}")
    return answer.content


def _put(place: str, data: bytes, token: str | None) -> None:
    if _is_url(place):
        answer = _ask("PUT", place, token, data)
        if not answer.is_success:
            raise _unreachable(f"it answers {answer.status_code}")
        return
    try:
        replace_file(Path(place), data)
    except OSError as wrong:
        raise _unreachable(str(wrong.strerror)) from wrong


def _ask(method: str, url: str, token: str | None, content: bytes | None = None) -> httpx2.Response:
    try:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx2.request(method, url, content=content, headers=headers, timeout=_SECONDS)
    except httpx2.HTTPError as wrong:
        raise _unreachable("it does not answer") from wrong


def _is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _malformed() -> Corrupt:
    return Corrupt("corrupt", "The checkpoints kept outside the home are not in the form in which they are written.")


def _unreachable(why: str) -> BaybridgeError:
    return Unavailable(
        "copy_unreachable",
        f"The checkpoints kept outside the home cannot be read or written: {why}.",
        advice=Advice(
            rule="A home whose logs cannot be held against what is kept outside does not begin to serve.",
            who_can_change="the operator",
            next_step="Look at the place that the setting checkpoint_copy names.",
            next_command="baybridge settings",
        ),
    )

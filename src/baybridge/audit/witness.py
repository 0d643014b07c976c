"""Whether what a log's keeper brings goes on from what a witness has kept of it, as C2SP tlog-witness asks. Pure; keeps nothing.

A log that was set back can go on only where it says so itself: with an entry, proved to be in it, that names what was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from baybridge.audit.checkpoint import Checkpoint, Verifier
from baybridge.audit.entry import JSON, Kind, decode
from baybridge.audit.merkle import verify_consistency
from baybridge.audit.proof import TlogProof
from baybridge.audit.rotation import KeyChain
from baybridge.errors import Corrupt, Invalid


@dataclass(frozen=True, slots=True)
class Growth:
    """A log's newer checkpoint as a note, and what shows that it goes on from the kept one.

    `consistency` are the hashes of RFC 9162, section 2.1.4, `rotations` the notes that lead from the pinned key to the present one, and
    `restore`, where the log was set back, the C2SP tlog-proof of the entry that says so.
    """

    note: str
    key: bytes
    consistency: tuple[bytes, ...] = ()
    rotations: tuple[str, ...] = ()
    restore: str | None = None


def require_growth(pinned: bytes, kept: str | None, growth: Growth) -> frozenset[str]:
    """Raise Corrupt unless the checkpoint is signed under the pinned key, and goes on from the kept note.

    Give the names of other logs that the restore entry says are lost.
    """
    try:
        first = Verifier(growth.note.partition("\n")[0], pinned)
    except Invalid:
        raise Corrupt("corrupt", "The checkpoint's origin cannot be a key's name.") from None
    keys = KeyChain.follow(first, growth.rotations)
    if keys.current.public_key != growth.key:
        raise Corrupt("corrupt", "The key is not the pinned one, and was not handed over to.")
    new = keys.open(growth.note)
    old = None if kept is None else text_of(kept)
    if new.origin != first.name or (old is not None and old.origin != new.origin):
        raise Corrupt("corrupt", "The checkpoint is of another log.")
    said = {} if growth.restore is None else _restored(growth.restore, keys, new)
    if said.get("lost") is None and old is not None:
        verify_consistency(growth.consistency, old_size=old.size, old_root=old.root, new_size=new.size, new_root=new.root)
    elif old is not None and said["lost"] != {"size": old.size, "root": old.root.hex()}:
        raise Corrupt("corrupt", "The restore entry does not say that what was kept is lost.")
    named = said.get("lost_logs")
    return frozenset(str(each) for each in named) if isinstance(named, list) else frozenset()


def _restored(text: str, keys: KeyChain, new: Checkpoint) -> Mapping[str, JSON]:
    """What a restore entry says, once it is proved to be in the new log."""
    proof = TlogProof.parse(text)
    entry = proof.extra or b""
    decoded = decode(entry)
    if proof.verify(entry, keys) != new or decoded.kind != Kind.RESTORED.value:
        raise Corrupt("corrupt", "The new checkpoint proves no restore entry.")
    return decoded.facts


def text_of(note: str) -> Checkpoint:
    """The checkpoint of a note that was verified when it was kept."""
    return Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")

"""A receipt checked with the network off: that an entry is in a log, signed by a key that the holder of the receipt knows already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from baybridge.audit.checkpoint import Verifier
from baybridge.audit.entry import JSON, decode
from baybridge.audit.proof import TlogProof
from baybridge.audit.rotation import KeyChain
from baybridge.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a sound receipt proves: the log had this entry at this index when it had `size` entries."""

    log: str
    index: int
    size: int
    kind: str
    time: datetime
    facts: Mapping[str, JSON]


def verify(text: str, key: str, rotations: Iterable[str] = ()) -> Receipt:
    """Give what a `.tlog-proof` with its entry proves to someone who knows the log's verifier key.

    `key` came from elsewhere than the receipt, or proves nothing. `rotations` are the notes by which it handed over to later keys.
    Raise Corrupt for a receipt that does not hold, and Invalid for a key that is none.
    """
    keys = KeyChain.follow(Verifier.parse(key), rotations)
    proof = TlogProof.parse(text)
    if proof.extra is None:
        raise Corrupt("corrupt", "The receipt does not hold its entry.")
    checkpoint = proof.verify(proof.extra, keys)
    entry = decode(proof.extra)
    if not checkpoint.origin == entry.log == keys.first.name:
        raise Corrupt("corrupt", "The receipt's entry is of another log than its key.")
    return Receipt(entry.log, proof.index, checkpoint.size, entry.kind, entry.time, entry.facts)

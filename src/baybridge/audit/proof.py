"""A proof that an entry is in a log, as a text that is checked offline (C2SP tlog-proof v1): printed, parsed and verified. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from baybridge.audit.checkpoint import Checkpoint, decode_base64, encode_base64
from baybridge.audit.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from baybridge.audit.rotation import KeyChain
from baybridge.errors import Corrupt

HEADER: Final = "c2sp.org/tlog-proof@v1"
_EXTRA: Final = "extra "
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MAX_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """An entry's index, the hashes that lead from it to the root, and the checkpoint that signs the root, as a note.

    `extra` is what the issuer adds, and proves nothing by itself. Our receipts carry the entry's bytes there.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a proof: the inverse of `text`. Raise Corrupt for anything else; the checkpoint is not opened yet."""
        head, blank, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != HEADER or not blank or not lines:
            raise _malformed()
        extra = None
        if lines[0].startswith(_EXTRA):
            extra = decode_base64(lines.pop(0).removeprefix(_EXTRA), "the extra line")
        index = _INDEX.fullmatch(lines[0]) if lines else None
        hashes = tuple(decode_base64(line, "a hash") for line in lines[1:])
        if index is None or len(hashes) > _MAX_HASHES or any(len(each) != HASH_BYTES for each in hashes):
            raise _malformed()
        return cls(int(index[1]), hashes, checkpoint, extra)

    def text(self) -> str:
        """Print the proof, as a file whose name ends in .tlog-proof holds it."""
        extra = [] if self.extra is None else [_EXTRA + encode_base64(self.extra)]
        lines = [HEADER, *extra, f"index {self.index}", *map(encode_base64, self.hashes), ""]
        return "\n".join(lines) + "\n" + self.checkpoint

    def verify(self, entry: bytes, keys: KeyChain) -> Checkpoint:
        """Give the checkpoint once one of the keys has signed it and it holds the entry at the index. Raise Corrupt otherwise."""
        checkpoint = keys.open(self.checkpoint)
        verify_inclusion(self.hashes, leaf=leaf_hash(entry), index=self.index, size=checkpoint.size, root=checkpoint.root)
        return checkpoint


def _malformed() -> Corrupt:
    return Corrupt("corrupt", "The proof is not in the form of C2SP tlog-proof.")

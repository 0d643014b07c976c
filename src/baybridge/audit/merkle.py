"""The Merkle tree of the audit log: its hashes, roots and proofs. Pure; knows nothing of entries but their bytes.

The tree, its proofs and their verification are those of RFC 9162 section 2.1 with SHA-256, which are those of RFC 6962
section 2.1. Who gives a proof and who checks it share no trust: the `verify_*` functions take every argument as hostile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple, Self

from baybridge.errors import Corrupt, Invalid

HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8  # C2SP tlog-tiles: a tile is a subtree of 256 hashes
EMPTY_ROOT: Final = sha256(b"").digest()  # RFC 9162, 2.1.1: MTH({}) = HASH()


def leaf_hash(entry: bytes) -> bytes:
    """Give the hash of a leaf, SHA-256(0x00 || entry) (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the hash of an inner node, SHA-256(0x01 || left || right) (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class TileRoot(NamedTuple):
    """The root of a full tile, which is hash `number` of the level above (C2SP tlog-tiles, Merkle Tree)."""

    level: int
    number: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all that appending needs, and enough for its root.

    `hashes` are the roots of the perfect subtrees that the tree falls into, widest (leftmost) first: one for each bit
    that is set in `size`, so at most 63 for a log of this world.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Self:
        """Give the frontier of the tree with one more leaf hash at its right."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Self:
        """Give the frontier of the tree with these leaf hashes at its right, in their order. Raise Corrupt for what is no hash."""
        return self.grow(leaves)[0]

    def grow(self, leaves: Iterable[bytes]) -> tuple[Self, tuple[TileRoot, ...]]:
        """Give what `extend` gives, and the roots of the tiles that these leaves fill: they come by on the way and cost nothing."""
        size, hashes = self.size, list(self.hashes)
        filled: list[TileRoot] = []
        for leaf in leaves:
            if len(leaf) != HASH_BYTES:
                raise _not_a_hash()
            node, height = leaf, 0
            while size >> height & 1:  # equal neighbours make the next wider subtree, as a binary counter carries
                node, height = node_hash(hashes.pop(), node), height + 1
                if height % TILE_HEIGHT == 0:
                    filled.append(TileRoot(height // TILE_HEIGHT - 1, size >> height, node))
            hashes.append(node)
            size += 1
        return type(self)(size, tuple(hashes)), tuple(filled)

    def root(self) -> bytes:
        """Give the tree's root: the subtrees folded from the right, because a split leaves the wider part at the left."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """Give the hashes end to end, 32 bytes each; the size is kept beside them."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Raise Corrupt when `data` is not the length that a tree of `size` leaves needs."""
        if size < 0 or len(data) != HASH_BYTES * size.bit_count():
            raise Corrupt("corrupt", "The stored frontier does not fit the size of its tree.")
        return cls(size, tuple(data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Give MTH of these leaf hashes (RFC 9162, 2.1.1), in memory that does not grow with them."""
    return Frontier().extend(leaf_hashes).root()


class Span(NamedTuple):
    """The leaves `start` (with) to `stop` (without) of a log: a subtree, whose root is a node of a proof."""

    start: int
    stop: int


def inclusion_spans(index: int, size: int) -> tuple[Span, ...]:
    """Give the subtrees whose roots prove that leaf `index` is in the tree of `size`, nearest the leaf first.

    This is PATH of RFC 9162, 2.1.3.1. Raise Invalid unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise Invalid("invalid_request", "The log of that size has no entry of that index.")
    spans: list[Span] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:  # PATH(m, D_n) = PATH(m, D[0:k]) : MTH(D[k:n])
            spans.append(Span(middle, stop))
            stop = middle
        else:  # PATH(m, D_n) = PATH(m - k, D[k:n]) : MTH(D[0:k])
            spans.append(Span(start, middle))
            start = middle
    return tuple(reversed(spans))


def consistency_spans(old: int, new: int) -> tuple[Span, ...]:
    """Give the subtrees whose roots prove that the tree of `old` leaves is the beginning of the tree of `new` leaves.

    This is PROOF of RFC 9162, 2.1.4.1, and nothing for `old` of 0 or of `new`, where there is nothing to prove. Raise
    Invalid unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise Invalid("invalid_request", "A log cannot be proved consistent with a longer one.")
    if old == 0:
        return ()
    spans: list[Span] = []
    start, stop = 0, new
    while stop != old:
        middle = start + _split(stop - start)
        if old <= middle:  # SUBPROOF(m, D_n, b) = SUBPROOF(m, D[0:k], b) : MTH(D[k:n])
            spans.append(Span(middle, stop))
            stop = middle
        else:  # SUBPROOF(m, D_n, b) = SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k])
            spans.append(Span(start, middle))
            start = middle
    if start > 0:  # SUBPROOF(m, D_m, false) = {MTH(D_m)}; with b true the verifier has that root: it is the old tree's
        spans.append(Span(start, stop))
    return tuple(reversed(spans))


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """Prove that leaf `index` is in the tree of the first `size` of these leaf hashes (RFC 9162, 2.1.3.1).

    Raise Invalid unless 0 <= index < size <= len(leaf_hashes).
    """
    _require_leaves(leaf_hashes, size)
    return tuple(root_of(leaf_hashes[span.start : span.stop]) for span in inclusion_spans(index, size))


def consistency_proof(leaf_hashes: Sequence[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """Prove that the tree of the first `old` of these leaf hashes begins that of the first `new` (RFC 9162, 2.1.4.1).

    Raise Invalid unless 0 <= old <= new <= len(leaf_hashes).
    """
    _require_leaves(leaf_hashes, new)
    return tuple(root_of(leaf_hashes[span.start : span.stop]) for span in consistency_spans(old, new))


def verify_inclusion(proof: Sequence[bytes], *, leaf: bytes, index: int, size: int, root: bytes) -> None:
    """Raise Corrupt unless `proof` shows that the leaf hash `leaf` is at `index` of the tree of `size` with this root.

    The steps are those of RFC 9162, 2.1.3.2.
    """
    _require_hash(leaf, root, *proof)
    # 1. A leaf beyond the tree fails.
    if not 0 <= index < size:
        raise _unproved("inclusion")
    # 2. and 3.
    fn, sn, r = index, size - 1, leaf
    # 4. For each value p of the path:
    for p in proof:
        # 4a. A path longer than the tree is high fails.
        if sn == 0:
            raise _unproved("inclusion")
        # 4b. p is at the left of a right child, and of the last node of a level once its rows have met.
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        # 4c.
        fn, sn = fn >> 1, sn >> 1
    # 5. The path must have reached the top, and the root there must be the given one.
    if sn != 0 or r != root:
        raise _unproved("inclusion")


def verify_consistency(proof: Sequence[bytes], *, old_size: int, old_root: bytes, new_size: int, new_root: bytes) -> None:
    """Raise Corrupt unless `proof` shows that the old tree is the beginning of the new one.

    The steps are those of RFC 9162, 2.1.4.2, which is defined for 0 < old < new. A tree is the beginning of itself and
    the empty tree that of any: there the proof must be empty, and the roots equal or the old one `EMPTY_ROOT`.
    """
    _require_hash(old_root, new_root, *proof)
    if not 0 <= old_size <= new_size:
        raise _unproved("consistency")
    if old_size in {0, new_size}:
        trivial = old_root == (EMPTY_ROOT if old_size == 0 else new_root) and (new_size > 0 or new_root == EMPTY_ROOT)
        if proof or not trivial:
            raise _unproved("consistency")
        return
    _verify_growth(proof, old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root)


def _verify_growth(proof: Sequence[bytes], *, old_size: int, old_root: bytes, new_size: int, new_root: bytes) -> None:
    """Follow RFC 9162, 2.1.4.2 for 0 < old_size < new_size; the numbers are those of its steps."""
    # 1. An empty path fails.
    if not proof:
        raise _unproved("consistency")
    # 2. Where the old tree is perfect its root is a node of the new one, and the path leaves it out.
    path = (old_root, *proof) if old_size & (old_size - 1) == 0 else tuple(proof)
    # 3.
    fn, sn = old_size - 1, new_size - 1
    # 4.
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # 5.
    fr = sr = path[0]
    # 6. For each further value c of the path:
    for c in path[1:]:
        # 6a.
        if sn == 0:
            raise _unproved("consistency")
        # 6b. c is at the left, of both trees; or else at the right, of the new tree only.
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        # 6c.
        fn, sn = fn >> 1, sn >> 1
    # 7.
    if sn != 0 or fr != old_root or sr != new_root:
        raise _unproved("consistency")


def _split(width: int) -> int:
    """Give k of RFC 9162, 2.1.1: the largest power of two smaller than `width`, for a width above 1."""
    return 1 << ((width - 1).bit_length() - 1)


def _require_hash(*candidates: bytes) -> None:
    """Refuse a node of another length: only at a fixed length is `left || right` unambiguous."""
    for candidate in candidates:
        if len(candidate) != HASH_BYTES:
            raise _not_a_hash()


def _require_leaves(leaf_hashes: Sequence[bytes], size: int) -> None:
    if size > len(leaf_hashes):
        raise Invalid("invalid_request", "The log is shorter than the tree to prove.")


def _not_a_hash() -> Corrupt:
    return Corrupt("corrupt", "A hash of the audit log is not 32 bytes long.")


def _unproved(what: str) -> Corrupt:
    return Corrupt("corrupt", f"The {what} proof does not lead to the given root.")

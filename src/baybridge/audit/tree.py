"""The hashes of a log's tree, read back: entries hashed where a tile is asked for, roots of full tiles from their table.

No question hashes more than 256 entries for each hash it asks for. A stored root is never the proof of itself: whoever reads it holds it
against a checkpoint, and `audit.replay` against the entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from baybridge.audit import store as audit_store
from baybridge.audit.merkle import EMPTY_ROOT, TILE_HEIGHT, Span, consistency_spans, inclusion_spans, leaf_hash, node_hash, root_of
from baybridge.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Tree:
    """One log's tree, over an open transaction."""

    connection: sa.Connection
    organization: str

    def hashes(self, level: int, first: int, count: int) -> tuple[bytes, ...]:
        """The hashes `first` and on of a level: of entries at level 0, of full tiles above. Raise Corrupt where one is missing."""
        if level == 0:
            run = audit_store.entries(self.connection, self.organization, start=first, limit=count)
            found = tuple(leaf_hash(data) for number, data in run if number < first + count)
        else:
            found = audit_store.tile_roots(self.connection, self.organization, level - 1, first, count)
        if len(found) != count:
            raise Corrupt("corrupt", "The log's tree is incomplete: entries or hashes are missing.")
        return found

    def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        return self._span(Span(0, size)) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """The proof that entry `index` is among the first `size`. Raise Invalid where it is not."""
        return tuple(self._span(span) for span in inclusion_spans(index, size))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the first `old` entries begin the first `new`. Raise Invalid where they cannot."""
        return tuple(self._span(span) for span in consistency_spans(old, new))

    def _span(self, span: Span) -> bytes:
        """The root of a subtree: the perfect ones that it falls into, widest first, folded from the right as in Frontier.root."""
        start, roots = span.start, []
        for height in reversed(range((span.stop - span.start).bit_length())):
            if (span.stop - span.start) >> height & 1:
                roots.append(self._perfect(start, height))
                start += 1 << height
        root = roots[-1]
        for left in reversed(roots[:-1]):
            root = node_hash(left, root)
        return root

    def _perfect(self, start: int, height: int) -> bytes:
        level, within = divmod(height, TILE_HEIGHT)
        return root_of(self.hashes(level, start >> (TILE_HEIGHT * level), 1 << within))

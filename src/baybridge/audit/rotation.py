"""How a log's key hands over to the next: a note that both keys sign, and the chain of keys that such notes make. Pure; keeps no keys.

A verifier holds the first key and follows the notes. Each key is believed for checkpoints of the sizes of its own time only, so that an
old key that leaks later can sign nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from baybridge.audit.checkpoint import MAX_SIZE, Checkpoint, Verifier, open_note, sign_text, verified_text
from baybridge.errors import BaybridgeError, Corrupt

_SIZE: Final = re.compile(r"key rotation after (0|[1-9][0-9]{0,18}) entries")


@dataclass(frozen=True, slots=True)
class Rotation:
    """`old` signs checkpoints of at most `size` entries, `new` those of more. Both keys have the log's origin as their name."""

    size: int
    old: Verifier
    new: Verifier

    def text(self) -> str:
        """Give the note text that both keys sign. It has four lines, so that no checkpoint can pose as one."""
        return f"{self.old.name}\nkey rotation after {self.size} entries\n{self.old}\n{self.new}\n"

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a rotation, with both signatures verified. Raise Corrupt for anything else."""
        try:
            origin, size, old, new = note.split("\n")[:4]
            matched = _SIZE.fullmatch(size)
            rotation = cls(int(matched[1]) if matched else -1, Verifier.parse(old), Verifier.parse(new))
        except (ValueError, BaybridgeError):
            raise _not_a_rotation() from None
        if not 0 <= rotation.size <= MAX_SIZE or {rotation.old.name, rotation.new.name} != {origin} or rotation.old == rotation.new:
            raise _not_a_rotation()
        for verifier in (rotation.old, rotation.new):
            if verified_text(note, verifier) != rotation.text():
                raise _not_a_rotation()
        return rotation


def sign_rotation(origin: str, size: int, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> str:
    """Give the note by which `old` hands over to `new` after `size` entries of the log."""
    return sign_text(Rotation(size, Verifier.of(old, origin), Verifier.of(new, origin)).text(), origin, old, new)


@dataclass(frozen=True, slots=True)
class KeyChain:
    """A log's keys from the first on, each with the rotation that ended its time. Made by `follow`, which is what proves it."""

    first: Verifier
    rotations: tuple[Rotation, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def follow(cls, first: Verifier, notes: Iterable[str] = ()) -> Self:
        """Follow rotation notes, oldest first, from a key that is already believed. Raise Corrupt where one does not go on from there."""
        current, size = first, 0
        rotations, kept = [], tuple(notes)
        for note in kept:
            rotation = Rotation.parse(note)
            if rotation.old != current or rotation.size < size:
                raise Corrupt("corrupt", "A key rotation does not go on from the key before it.")
            current, size = rotation.new, rotation.size
            rotations.append(rotation)
        return cls(first, tuple(rotations), kept)

    @property
    def current(self) -> Verifier:
        """The key that signs now."""
        return self.rotations[-1].new if self.rotations else self.first

    def open(self, note: str) -> Checkpoint:
        """Give the checkpoint that one of the keys signed in its own time. Raise Corrupt when none did."""
        after = -1
        for verifier, until in self._spans():
            try:
                checkpoint = open_note(note, verifier)
            except Corrupt:
                if until == MAX_SIZE:
                    raise
            else:
                if after < checkpoint.size <= until:
                    return checkpoint
            after = until
        raise Corrupt("corrupt", "The checkpoint is signed by a key whose time it is not of.")

    def notes_from(self, known: Verifier) -> tuple[str, ...]:
        """The notes that lead from a key to the present one; none where it is the present one, or not in the chain."""
        for rotation, number in zip(self.rotations, range(len(self.notes)), strict=True):
            if rotation.old == known:
                return self.notes[number:]
        return ()

    def require(self, known: Verifier) -> None:
        """Raise Corrupt unless a key that someone knows from elsewhere is in the chain, so that the present one was handed over to."""
        if known not in [verifier for verifier, _ in self._spans()]:
            raise Corrupt("corrupt", "The log's keys do not lead on from the key that is known: it was replaced without its own signature.")

    def _spans(self) -> list[tuple[Verifier, int]]:
        ends = [(each.old, each.size) for each in self.rotations]
        return [*ends, (self.current, MAX_SIZE)]


def _not_a_rotation() -> Corrupt:
    return Corrupt("corrupt", "A key rotation is not a note that both keys signed.")

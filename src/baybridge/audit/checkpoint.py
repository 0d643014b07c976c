"""Checkpoints of a log as signed notes: printing, signing, opening. Pure; keeps no keys and decides not what may be signed.

Formats: C2SP signed-note v1.0.0 and tlog-checkpoint v1.0.0, with plain Ed25519 signatures (type 0x01, RFC 8032). A log must
never sign two checkpoints that no consistency proof joins; that is its keeper's duty, not this file's.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from baybridge.errors import Corrupt, Invalid

MAX_SIGNATURES: Final = 100
MAX_SIZE: Final = 2**63 - 1  # the ecosystem's verifiers hold sizes in signed 64 bits

_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_ROOT_BYTES: Final = 32
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_NOT_IN_A_NOTE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")
_PREFIX: Final = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its origin, how many entries it has, and the root of their tree.

    Raise Corrupt for an origin that is empty or not one line, a size outside 0..2**63-1, or a root that is not 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what would print as another checkpoint, or as none."""
        if not self.origin or "\n" in self.origin or not _is_note_text(self.origin):
            raise _malformed("the origin line")
        if not 0 <= self.size <= MAX_SIZE:
            raise _malformed("the size line")
        if len(self.root) != _ROOT_BYTES:
            raise _malformed("the root line")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a checkpoint's note text: the inverse of `text`. Raise Corrupt otherwise.

        Extension lines, which C2SP discourages and this log never writes, are refused: a term that is not understood is
        not skipped.
        """
        origin, *rest = text.split("\n")
        match rest:
            case [size, root, ""]:
                if not _SIZE.fullmatch(size):
                    raise _malformed("the size line")
                return cls(origin, int(size), decode_base64(root, "the root line"))
            case _:
                raise _malformed("the number of lines")

    def text(self) -> str:
        """Give the note text that is signed: origin, decimal size, base64 root, each with its newline."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Whose signature is believed: a key name and its Ed25519 public key of 32 bytes.

    Raise Invalid (`invalid_request`) for a name that is empty or has a space or +, and for a key of another length.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        """Refuse a name that could not stand in a signature line."""
        if not _is_key_name(self.name) or len(self.public_key) != _KEY_BYTES:
            raise _not_a_verifier()

    @classmethod
    def of(cls, private_key: Ed25519PrivateKey, name: str) -> Self:
        """Give the verifier of the signatures that `sign` makes with this key and name."""
        return cls(name, private_key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a verifier key `name+hex(key id)+base64(0x01 || public key)`: the inverse of `str`.

        Raise Invalid (`invalid_request`) when a part is malformed, of another type, or the key id is not this key's.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")  # base64 may hold a + of its own
        try:
            typed_key = decode_base64(encoded, "the key")
        except Corrupt:
            raise _not_a_verifier() from None
        if typed_key[:1] != _ED25519:
            raise _not_a_verifier()
        verifier = cls(name, typed_key[1:])
        if verifier.key_id.hex() != key_id:
            raise _not_a_verifier()
        return verifier

    @property
    def key_id(self) -> bytes:
        """The key's four-byte id, SHA-256(name || 0x0A || 0x01 || public key)[:4]: an address, not a proof."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """Print the verifier key that `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public_key)}"


@dataclass(frozen=True, slots=True)
class _Signature:
    name: str
    key_id: bytes
    value: bytes


def sign(checkpoint: Checkpoint, private_key: Ed25519PrivateKey, name: str) -> str:
    """Give the checkpoint as a note with one signature line, by this key under this name.

    The name should be the checkpoint's origin (tlog-checkpoint, Signatures). Raise Invalid for a name that cannot be one.
    """
    return sign_text(checkpoint.text(), name, private_key)


def sign_text(text: str, name: str, *private_keys: Ed25519PrivateKey) -> str:
    """Give any text, whole lines, as a note with a signature line by each key, all under one name. Raise Invalid as `sign` does."""
    lines = [f"{_PREFIX}{name} {encode_base64(Verifier.of(key, name).key_id + key.sign(text.encode()))}\n" for key in private_keys]
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, verifier: Verifier) -> Checkpoint:
    """Give the checkpoint that the verifier's key signed. Raise Corrupt when the note, a signature or the text is not sound."""
    return Checkpoint.parse(verified_text(note, verifier))


def verified_text(note: str, verifier: Verifier) -> str:
    """Give a note's text once the verifier's signature on it holds (signed-note, Format and Signatures).

    Lines of other keys are skipped, whatever they sign, but must be well formed. Raise Corrupt for a malformed note, for
    more than 100 signature lines, for any line of this key that does not verify, and when there is no line of this key.
    """
    # The last empty line parts text from signatures: the text itself may hold empty lines.
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not _is_note_text(note) or not tail.endswith("\n"):
        raise _malformed("the note's frame")
    text, lines = head + "\n", tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Corrupt("corrupt", f"The note has more than {MAX_SIGNATURES} signature lines.")
    own = [line for line in map(_parse_signature, lines) if (line.name, line.key_id) == (verifier.name, verifier.key_id)]
    if not own:
        raise Corrupt("corrupt", "The note is not signed by the key that is asked for.")
    public_key = Ed25519PublicKey.from_public_bytes(verifier.public_key)
    for line in own:
        try:
            public_key.verify(line.value, text.encode())
        except InvalidSignature:
            raise Corrupt("corrupt", "A signature on the note is not by the key that it names.") from None
    return text


def _parse_signature(line: str) -> _Signature:
    """Read `— name base64(key id || signature)`."""
    name, space, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not space or not _is_key_name(name):
        raise _malformed("a signature line")
    blob = decode_base64(encoded, "a signature line")
    if len(blob) <= _KEY_ID_BYTES:
        raise _malformed("a signature line")
    return _Signature(name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _is_note_text(text: str) -> bool:
    """Tell whether the text is Unicode scalar values without control characters but newline (signed-note, Format)."""
    return _NOT_IN_A_NOTE.search(text) is None


def _is_key_name(name: str) -> bool:
    return bool(name) and _is_note_text(name) and not any(character.isspace() or character == "+" for character in name)


def encode_base64(data: bytes) -> str:
    """Print standard base64, as every line of these formats has it."""
    return base64.b64encode(data).decode()


def decode_base64(text: str, part: str) -> bytes:
    """Read standard base64 (RFC 4648, section 4) in its one canonical form: padded, spare bits zero, nothing between."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise _malformed(part) from None
    if encode_base64(data) != text:
        raise _malformed(part)
    return data


def _malformed(part: str) -> Corrupt:
    return Corrupt("corrupt", f"A checkpoint is malformed in {part}.")


def _not_a_verifier() -> Invalid:
    return Invalid("invalid_request", "A verifier key is `name+key id+base64` of an Ed25519 key, with the key id of that name and key.")

"""The laws of a checkpoint: what its key signed opens, byte for byte, and nothing else does."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.checkpoint import Checkpoint, Verifier, open_note, sign, verified_text
from baybridge.errors import Corrupt, Invalid

ORIGIN = "exchange.example/audit/bts"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
VERIFIER = Verifier.of(KEY, ORIGIN)
CHECKPOINT = Checkpoint(ORIGIN, 336776, sha256(b"root").digest())
NOTE = sign(CHECKPOINT, KEY, ORIGIN)
ROOT_LINE = base64.b64encode(CHECKPOINT.root).decode()

# The worked example of C2SP signed-note, and the two signers of the examples of Go's note package.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
ENOCH_LINE = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
PETER_NOTE = f"{PETER_TEXT}\n{PETER_LINE}{ENOCH_LINE}"

origins = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
key_names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"], exclude_characters="+"), min_size=1, max_size=20)
checkpoints = st.builds(Checkpoint, origins, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))


def signature_line(text: str, key: Ed25519PrivateKey, name: str) -> str:
    """A signature line from the words of signed-note, sharing nothing with the code under test."""
    public_key = key.public_key().public_bytes_raw()
    key_id = sha256(name.encode() + b"\x0a\x01" + public_key).digest()[:4]
    return "\u2014 " + name + " " + base64.b64encode(key_id + key.sign(text.encode())).decode() + "\n"


def signed(text: str) -> str:
    """A note of any text, soundly signed by KEY: what remains wrong is the text."""
    return text + "\n" + signature_line(text, KEY, ORIGIN)


def opens(note: bytes, verifier: Verifier = VERIFIER) -> Checkpoint | None:
    """What a holder of the note's bytes gets; None when it is refused."""
    try:
        return open_note(note.decode("utf-8"), verifier)
    except (UnicodeDecodeError, Corrupt):
        return None


# The published examples


def test_the_example_of_the_specification_verifies() -> None:
    assert verified_text(EXAMPLE_NOTE, Verifier.parse(EXAMPLE_VKEY)) == "This is an example message.\n"


@pytest.mark.parametrize("vkey", [PETER_VKEY, ENOCH_VKEY])
def test_each_signer_of_a_note_verifies_it_alone(vkey: str) -> None:
    assert verified_text(PETER_NOTE, Verifier.parse(vkey)) == PETER_TEXT


@pytest.mark.parametrize("vkey", [EXAMPLE_VKEY, PETER_VKEY, ENOCH_VKEY])
def test_a_published_verifier_key_prints_as_it_was_read(vkey: str) -> None:
    assert str(Verifier.parse(vkey)) == vkey


def test_a_verified_note_that_is_no_checkpoint_is_not_opened() -> None:
    with pytest.raises(Corrupt):
        open_note(EXAMPLE_NOTE, Verifier.parse(EXAMPLE_VKEY))


# Checkpoints


def test_a_checkpoint_prints_as_three_lines() -> None:
    assert Checkpoint("example.com/log42", 7, bytes(32)).text() == "example.com/log42\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"


@given(checkpoints)
def test_a_checkpoint_reads_back_as_itself(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.text()) == checkpoint


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, bytes(32)),
        ("two\nlines", 1, bytes(32)),
        ("tab\there", 1, bytes(32)),
        ("nul\x00", 1, bytes(32)),
        ("surrogate\udc00", 1, bytes(32)),
        (ORIGIN, -1, bytes(32)),
        (ORIGIN, 2**63, bytes(32)),
        (ORIGIN, 1, bytes(31)),
        (ORIGIN, 1, bytes(33)),
        (ORIGIN, 1, b""),
    ],
)
def test_a_checkpoint_that_could_not_be_read_back_cannot_be_made(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(Corrupt):
        Checkpoint(origin, size, root)


@pytest.mark.parametrize(
    "size",
    [
        "",
        "00",
        "01",
        "+1",
        "-1",
        "1.0",
        "1_0",
        " 1",
        "1 ",
        "0x1",
        "\u0661",
        "9223372036854775808",
        pytest.param("9" * 5000, id="5000 digits"),
    ],
)
def test_a_size_has_one_written_form(size: str) -> None:
    with pytest.raises(Corrupt):
        open_note(signed(f"{ORIGIN}\n{size}\n{ROOT_LINE}\n"), VERIFIER)


@pytest.mark.parametrize(
    "root",
    [
        "",
        "AAAA",
        ROOT_LINE[:-1],
        ROOT_LINE + "=",
        ROOT_LINE + " ",
        " " + ROOT_LINE,
        ROOT_LINE[:10] + " " + ROOT_LINE[10:],
        ROOT_LINE[:-2] + chr(ord(ROOT_LINE[-2]) + 1) + "=",  # the spare bits of the last letter are not zero
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        CHECKPOINT.root.hex(),
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        "\u00e9" * 44,
    ],
)
def test_a_root_has_one_written_form(root: str) -> None:
    with pytest.raises(Corrupt):
        open_note(signed(f"{ORIGIN}\n1\n{root}\n"), VERIFIER)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n1\n{ROOT_LINE}\nextension\n",
        f"{ORIGIN}\n1\n{ROOT_LINE}\n\n",
        f"\n1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\n1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n1\n",
        f"{ORIGIN}\n",
        "\n",
        f"{ORIGIN}\r\n1\r\n{ROOT_LINE}\r\n",
        f"{ORIGIN}\u20281\u2028{ROOT_LINE}\n",
    ],
)
def test_a_text_of_other_lines_is_no_checkpoint(text: str) -> None:
    with pytest.raises(Corrupt):
        open_note(signed(text), VERIFIER)


# Notes


def test_a_signed_note_is_the_text_a_blank_line_and_a_signature_line() -> None:
    assert f"{ORIGIN}\n336776\n{ROOT_LINE}\n\n" + signature_line(CHECKPOINT.text(), KEY, ORIGIN) == NOTE


@given(checkpoints, key_names, st.binary(min_size=32, max_size=32))
def test_what_was_signed_opens_for_its_key_and_for_no_other(checkpoint: Checkpoint, name: str, seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    note = sign(checkpoint, key, name)
    assert open_note(note, Verifier.parse(str(Verifier.of(key, name)))) == checkpoint
    for stranger in (Verifier.of(key, name + "x"), Verifier.of(OTHER_KEY, name)):
        with pytest.raises(Corrupt):
            open_note(note, stranger)


def test_no_flipped_bit_of_a_note_passes() -> None:
    data = NOTE.encode()
    for at in range(len(data)):
        for bit in range(8):
            assert opens(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]) is None, f"bit {bit} of byte {at}"


@pytest.mark.parametrize("own_first", [True, False])
def test_a_flipped_bit_passes_only_in_the_line_of_an_unknown_key_and_changes_nothing(own_first: bool) -> None:  # noqa: FBT001 - a case
    own = signature_line(CHECKPOINT.text(), KEY, ORIGIN).encode()
    other = signature_line(CHECKPOINT.text(), OTHER_KEY, "witness.example").encode()
    head = CHECKPOINT.text().encode() + b"\n"
    data = head + (own + other if own_first else other + own)
    start = len(head) + (len(own) if own_first else 0)
    assert opens(data) == CHECKPOINT
    for at in range(len(data)):
        in_unknown_line = start <= at < start + len(other) - 1
        for bit in range(8):
            opened = opens(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            assert opened is None or (in_unknown_line and opened == CHECKPOINT), f"bit {bit} of byte {at}"


@given(st.integers(0, len(NOTE.encode())), st.integers(0, 3), st.binary(max_size=3))
def test_bytes_cut_from_a_note_or_put_into_it_do_not_pass(at: int, cut: int, put: bytes) -> None:
    data = NOTE.encode()
    changed = data[:at] + put + data[at + cut :]
    assert opens(changed) == (CHECKPOINT if changed == data else None)


def test_a_truncated_note_does_not_pass() -> None:
    data = NOTE.encode()
    assert all(opens(data[:length]) is None for length in range(len(data)))


@pytest.mark.parametrize(
    "line",
    [
        "— witness.example " + base64.b64encode(bytes(5)).decode(),
        "— witness.example " + base64.b64encode(bytes(2424)).decode(),  # as long as an ML-DSA-44 signature
        f"— {ORIGIN} " + base64.b64encode(bytes(68)).decode(),  # the same name, another key id
        "— witness.example " + base64.b64encode(VERIFIER.key_id + bytes(64)).decode(),  # the same key id, another name
    ],
)
def test_a_line_of_an_unknown_key_is_skipped(line: str) -> None:
    own = signature_line(CHECKPOINT.text(), KEY, ORIGIN)
    assert open_note(f"{CHECKPOINT.text()}\n{line}\n{own}", VERIFIER) == CHECKPOINT
    assert open_note(f"{CHECKPOINT.text()}\n{own}{line}\n", VERIFIER) == CHECKPOINT


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "—",
        "— ",
        "— name",
        "— name ",
        "—  AAAAAAA=",
        "- name AAAAAAA=",
        "name AAAAAAA=",
        "— na+me AAAAAAA=",
        "— na\u00a0me AAAAAAA=",
        "— name AAAAAA==",  # a key id and no signature
        "— name AAAAAAB=",  # spare bits that are not zero
        "— name AAAAAAA",
        "— name AAAAAAA= ",
        "— name AAAA AAA=",
        "— name  AAAAAAA=",
        "— name AAAAAAA=\r",
        "— name AAAAAAA=\x00",
        " — name AAAAAAA=",
    ],
)
def test_a_malformed_line_of_an_unknown_key_refuses_the_note(line: str) -> None:
    own = signature_line(CHECKPOINT.text(), KEY, ORIGIN)
    for lines in (f"{line}\n{own}", f"{own}{line}\n"):
        with pytest.raises(Corrupt):
            open_note(f"{CHECKPOINT.text()}\n{lines}", VERIFIER)


@pytest.mark.parametrize("length", [1, 63, 64, 65])
def test_a_line_of_the_known_key_that_does_not_verify_refuses_the_note(length: int) -> None:
    own = signature_line(CHECKPOINT.text(), KEY, ORIGIN)
    false = f"— {ORIGIN} {base64.b64encode(VERIFIER.key_id + bytes(length)).decode()}\n"
    for lines in (false, own + false, false + own):
        with pytest.raises(Corrupt):
            open_note(f"{CHECKPOINT.text()}\n{lines}", VERIFIER)
    assert open_note(f"{CHECKPOINT.text()}\n{own}{own}", VERIFIER) == CHECKPOINT


def test_a_note_has_at_most_a_hundred_signature_lines() -> None:
    own = signature_line(CHECKPOINT.text(), KEY, ORIGIN)
    unknown = signature_line(CHECKPOINT.text(), OTHER_KEY, "witness.example")
    assert open_note(f"{CHECKPOINT.text()}\n{unknown * 99}{own}", VERIFIER) == CHECKPOINT
    with pytest.raises(Corrupt, match="100"):
        open_note(f"{CHECKPOINT.text()}\n{own}{unknown * 100}", VERIFIER)


def test_the_last_empty_line_parts_the_text_from_the_signatures() -> None:
    text = f"{ORIGIN}\n\n{signature_line('x', OTHER_KEY, 'witness.example')}"
    assert verified_text(signed(text), VERIFIER) == text


@pytest.mark.parametrize("text", ["tab\there\n", "bell\x07\n", "return\r\n"])
def test_a_control_character_refuses_the_note(text: str) -> None:
    with pytest.raises(Corrupt):
        verified_text(signed(text), VERIFIER)


@pytest.mark.parametrize("note", ["", "\n", "\n\n", CHECKPOINT.text(), CHECKPOINT.text() + "\n", NOTE + "\n", NOTE[:-1], "\ud800" + NOTE])
def test_a_note_without_its_frame_is_refused(note: str) -> None:
    with pytest.raises(Corrupt):
        open_note(note, VERIFIER)


def test_a_signature_over_another_size_is_not_one_over_this() -> None:
    with pytest.raises(Corrupt):
        open_note(NOTE.replace("\n336776\n", "\n336775\n"), VERIFIER)


# Verifier keys


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "+",
        "++",
        "name",
        PETER_VKEY.replace("c74f20a3", "C74F20A3"),
        PETER_VKEY.replace("c74f20a3", "c74f20a4"),
        PETER_VKEY.replace("c74f20a3", ""),
        PETER_VKEY.replace("PeterNeumann", "PeterNeuman"),
        PETER_VKEY.replace("PeterNeumann", "Peter Neumann"),
        PETER_VKEY.replace("PeterNeumann", ""),
        PETER_VKEY + "\n",
        " " + PETER_VKEY,
        PETER_VKEY[:-1],
        PETER_VKEY[:-4],
        PETER_VKEY + "AAAA",
        PETER_VKEY.replace("+ARpc", "+BBpc"),  # type 0x04, a cosignature key
        PETER_VKEY.replace("+ARpc", "+"),
    ],
)
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(Invalid):
        Verifier.parse(vkey)


def test_a_verifier_key_of_another_type_is_refused_though_its_id_is_right() -> None:
    typed_key = b"\x04" + VERIFIER.public_key
    key_id = sha256(b"name\n" + typed_key).digest()[:4].hex()
    with pytest.raises(Invalid):
        Verifier.parse(f"name+{key_id}+{base64.b64encode(typed_key).decode()}")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\tb", "a\u00a0b", "a\u2003b", "a\u2028b", "a\udc00"])
def test_a_key_name_that_could_not_stand_in_a_line_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        sign(CHECKPOINT, KEY, name)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_public_key_is_32_bytes(length: int) -> None:
    with pytest.raises(Invalid):
        Verifier("name", bytes(length))


@pytest.mark.parametrize("public_key", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_an_impossible_public_key_refuses_its_notes_without_failing(public_key: bytes) -> None:
    verifier = Verifier("name", public_key)
    blob = base64.b64encode(verifier.key_id + KEY.sign(b"x\n")).decode()
    with pytest.raises(Corrupt):
        verified_text(f"x\n\n— name {blob}\n", verifier)

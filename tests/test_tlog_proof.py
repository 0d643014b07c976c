"""The laws of a proof as text: it is laid out as C2SP tlog-proof says, and nothing else is read as one."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from baybridge.audit.checkpoint import Checkpoint, Verifier, sign
from baybridge.audit.merkle import inclusion_proof, leaf_hash, root_of
from baybridge.audit.proof import TlogProof
from baybridge.audit.rotation import KeyChain
from baybridge.errors import Corrupt

ORIGIN = "example.com/fancylog"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = KeyChain(Verifier.of(KEY, ORIGIN))
# The specification's example up to the signatures, which it shortens; its extra line, which it cuts too, is made whole.
EXAMPLE = """c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=
"""
hashes = st.binary(min_size=32, max_size=32)
proofs = st.builds(
    TlogProof,
    index=st.integers(0, 2**63 - 1),
    hashes=st.lists(hashes, max_size=63).map(tuple),
    checkpoint=st.text(st.characters(codec="utf-8"), max_size=200),
    extra=st.none() | st.binary(max_size=100),
)


def test_the_example_of_the_specification_is_read_and_printed_as_it_is() -> None:
    proof = TlogProof.parse(EXAMPLE)
    assert (proof.index, len(proof.hashes), proof.extra) == (73894, 5, b"age-v1.2.1-darwin-arm64.tar.gz")
    assert proof.checkpoint.startswith("example.com/fancylog\n109482\n")
    assert proof.text() == EXAMPLE


@given(proofs)
def test_a_proof_reads_back_as_itself(proof: TlogProof) -> None:
    assert TlogProof.parse(proof.text()) == proof


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        EXAMPLE.replace("@v1", "@v2"),
        EXAMPLE.replace("index 73894\n", ""),
        EXAMPLE.replace("index 73894", "index 073894"),
        EXAMPLE.replace("index 73894", "index -1"),
        EXAMPLE.replace("index 73894", "Index 73894"),
        EXAMPLE.replace("extra YW", "extra  YW"),
        EXAMPLE.replace("extra YWdlLX", "extra YWdlL"),
        EXAMPLE.replace("PlQ=", "PlR="),
        EXAMPLE.replace("PlQ=\n", "PlQ=\n \n"),
        EXAMPLE.replace("\n", "\r\n"),
        EXAMPLE.replace("gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=", base64.b64encode(bytes(31)).decode()),
        "c2sp.org/tlog-proof@v1\n\nx",
        "c2sp.org/tlog-proof@v1\nextra AAAA\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA\n\nx",
        "c2sp.org/tlog-proof@v1\nindex 1\n" + "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n" * 64 + "\nx",
    ],
)
def test_nothing_else_is_read_as_a_proof(text: str) -> None:
    with pytest.raises(Corrupt):
        TlogProof.parse(text)


@given(st.integers(1, 60), st.data())
def test_a_proof_holds_for_its_entry_at_its_index_and_for_nothing_else(size: int, data: st.DataObject) -> None:
    entries = [b"entry %d" % number for number in range(size)]
    leaves = [leaf_hash(entry) for entry in entries]
    index = data.draw(st.integers(0, size - 1))
    note = sign(Checkpoint(ORIGIN, size, root_of(leaves)), KEY, ORIGIN)
    proof = TlogProof.parse(TlogProof(index, inclusion_proof(leaves, index, size), note).text())
    assert proof.verify(entries[index], KEYS).size == size
    for wrong in {b"", b"entry 60", *entries} - {entries[index]}:
        with pytest.raises(Corrupt):
            proof.verify(wrong, KEYS)
    with pytest.raises(Corrupt):
        proof.verify(entries[index], KeyChain(Verifier.of(Ed25519PrivateKey.generate(), ORIGIN)))

"""The log through the SDK: tiles, bundles and proofs that are checked as they come, and receipts that verify with the network off."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from raw_http import sending

from baybridge.client import AsyncClient, Client, exceptions, verify_receipt
from baybridge.errors import Corrupt, Invalid

pytestmark = pytest.mark.xdist_group("client")

PURPOSE = "noise-study"
OFFLINE = """
import sys

def no_network(event, arguments):
    if event.startswith("socket."):
        raise OSError("the network is off")

sys.addaudithook(no_network)
import socket
try:
    socket.socket()
except OSError:
    print("offline")
from pathlib import Path
from baybridge.client import verify_receipt
proved = verify_receipt(Path(sys.argv[1]).read_text(), sys.argv[2])
print(proved.kind, proved.facts["agreement"]["id"], proved.facts["dataset"], proved.facts["sha256"])
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("proofs") / "home")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    made.publish("bts.open", b"a\n1\n", access="public")
    made.sign(made.terms())
    made.exchange.watch.checkpoint("bts")
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


@pytest.fixture
def analyst(exchange: World, server: Server) -> Iterator[Client]:
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        yield client


@pytest.fixture
def auditor(exchange: World, server: Server) -> Iterator[Client]:
    with Client(server.url, exchange.secrets["bts", "auditor"]) as client:
        yield client


def size_of(note: str) -> int:
    return int(note.splitlines()[1])


def test_a_receipt_for_rows_verifies_with_the_network_off(analyst: Client, tmp_path: Path) -> None:
    """In a process in which no socket can be made, with nothing but the receipt and the key."""
    page = analyst.items("bts.flights")
    (tmp_path / "mine.tlog-proof").write_text(analyst.my_receipt(page), encoding="utf-8")
    command = [sys.executable, "-c", OFFLINE, str(tmp_path / "mine.tlog-proof"), analyst.verifier("bts")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.dumps(
        {"version": page.version, "items": page.items, "links": [{"rel": each.rel, "href": each.href} for each in page.links]}
    )
    answered = hashlib.sha256(json.dumps(json.loads(said), separators=(",", ":")).encode()).hexdigest()
    assert ran.stdout.split() == ["offline", "disclosure", "AGR-0001", "bts.flights", answered]


def test_every_kind_of_result_has_its_receipt_and_public_data_none(
    exchange: World, server: Server, analyst: Client, tmp_path: Path
) -> None:
    key = analyst.verifier("bts")
    for result in (analyst.items("bts.flights"), analyst.table("bts.flights"), analyst.download("bts.flights", tmp_path / "x")):
        proved = verify_receipt(analyst.my_receipt(result), key)
        assert f"bts/{proved.index}" == result.provenance.entry
        assert proved.facts["actor"]["principal"] == exchange.person("dot", "analyst").id
    with pytest.raises(Invalid):
        analyst.my_receipt(analyst.items("bts.open"))

    async def awaited() -> str:
        async with AsyncClient(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
            return await client.my_receipt(await client.items("bts.flights"))

    assert verify_receipt(asyncio.run(awaited()), key).kind == "disclosure"


def test_a_receipt_of_another_log_or_with_a_changed_word_does_not_verify(analyst: Client) -> None:
    text = analyst.my_receipt(analyst.items("bts.flights"))
    assert verify_receipt(text, analyst.verifier("bts")).kind == "disclosure"
    with pytest.raises(Corrupt):
        verify_receipt(text, analyst.verifier("dot"))
    lines = text.splitlines(keepends=True)
    entry = base64.b64decode(lines[1].removeprefix("extra ")).replace(b"AGR-0001", b"AGR-0002")
    with pytest.raises(Corrupt):
        verify_receipt("".join([lines[0], f"extra {base64.b64encode(entry).decode()}\n", *lines[2:]]), analyst.verifier("bts"))


def test_what_is_not_the_callers_has_no_receipt(analyst: Client) -> None:
    with pytest.raises(exceptions.NotFound):
        analyst.receipt("bts", 0)


def test_bundles_and_tiles_are_those_of_the_entries(auditor: Client, analyst: Client) -> None:
    """RFC 9162, section 2.1.1: the hash of a leaf is that of a zero byte and the entry."""
    size = size_of(auditor.checkpoint("bts"))
    assert 1 < size < 256
    entries = [data for _, data in auditor.all_entries("bts")][:size]
    assert list(auditor.bundle("bts", 0, size)) == entries
    assert list(analyst.tile("bts", 0, 0, size)) == [hashlib.sha256(b"\0" + data).digest() for data in entries]
    with pytest.raises(exceptions.NotFound):
        analyst.tile("bts", 0, 0)
    with pytest.raises(exceptions.TokenWrongOrganisation):
        analyst.bundle("bts", 0, size)


def test_a_proof_holds_for_the_signed_root(auditor: Client) -> None:
    note = auditor.checkpoint("bts")
    size, root = size_of(note), note.splitlines()[2]
    proved = auditor.inclusion_proof("bts", 1, size)
    assert (proved.index, proved.size, proved.root) == (1, size, root)
    assert [index for index, data in auditor.all_entries("bts") if leaf(data) == proved.leaf] == [1]
    grown = auditor.consistency_proof("bts", 2, size)
    assert (grown.old_size, grown.new_size, grown.new_root) == (2, size, root)


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_a_proof_that_does_not_hold_is_never_handed_on(server: Server, kind: str) -> None:
    asked = {"inclusion": {"index": 1}, "consistency": {"from": 2}}[kind]
    proof = server.client().get(f"/api/v1/audit/bts/proof/{kind}", params=asked).json()
    bad = base64.b64encode(bytes(32)).decode()
    changes = {"root": bad, "leaf": bad, "old_root": bad, "new_root": bad, "hashes": [bad, *proof["hashes"][1:]]}
    for name in changes.keys() & proof.keys():
        assert proved(kind, proof | {name: changes[name]}) is False, name
    assert proved(kind, proof | {"hashes": ["no hash"]}) is False
    assert proved(kind, proof)


def proved(kind: str, proof: dict[str, object]) -> bool:
    body = json.dumps(proof).encode()
    with sending(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)) as url, Client(url, patience=0) as client:
        try:
            client.inclusion_proof("bts", 1) if kind == "inclusion" else client.consistency_proof("bts", 2)
        except Corrupt:
            return False
        return True


@pytest.mark.parametrize("sent", [b"", bytes(32), bytes(96)])
def test_a_tile_with_other_than_its_hashes_is_not_understood(sent: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(sent), sent)
    with sending(answer) as url, Client(url, patience=0) as client, pytest.raises(exceptions.AnswerNotUnderstood):
        client.tile("bts", 0, 0, 2)


def leaf(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(b"\0" + data).digest()).decode()


def test_an_admin_erases_questions(exchange: World, server: Server, analyst: Client) -> None:
    analyst.items("bts.flights")
    with Client(server.url, exchange.secrets["bts", "admin"]) as admin:
        with pytest.raises(exceptions.InvalidRequest):
            admin.erase_side_records("bts")
        assert admin.erase_side_records("bts", stop=1_000_000).erased > 0
        assert admin.erase_side_records("bts", stop=1, before="2020-01-01T00:00:00Z").erased == 0

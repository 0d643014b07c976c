"""What the log takes in and what it never does, and what is served while it cannot be written: nothing. Through real servers."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import FLIGHTS, World, make_world, serving, wait_until
from raw_http import Reply, Wire

from baybridge.agreements.domains import unwrap_key
from baybridge.audit.entry import MAX_ENTRY_BYTES
from baybridge.audit.store import ENTRIES, entries
from baybridge.errors import Refused

pytestmark = pytest.mark.slow

ITEMS = "/api/v1/collections/bts.flights/items"
PUBLIC = "/api/v1/collections/bts.airports/items"


def stored(world: World, organization: str = "bts") -> list[dict[str, object]]:
    with world.exchange.database.read() as connection:
        return [json.loads(data) for _, data in entries(connection, organization)]


@dataclass(frozen=True)
class Reading:
    """A caller: reads from a server with its token and purpose."""

    url: str
    token: str | None
    purpose: str | None = "noise-study"

    def get(self, path: str, **headers: str) -> Reply:
        if self.purpose is not None:
            headers["baybridge_purpose"] = self.purpose
        with Wire(self.url) as wire:
            return wire.get(path, token=self.token, **headers)


def code(reply: Reply) -> str:
    return str(json.loads(reply.body)["code"])


@pytest.fixture
def agreed(flights: World) -> World:
    flights.publish("bts.airports", b"code\nJFK\nEWR\n", access="public")
    flights.sign(flights.terms())
    return flights


@contextmanager
def unwritable(process: subprocess.Popen[str]) -> Iterator[None]:
    """For the block, no file grows under this process's hands, as on a full disk: the kernel's own limit on the size of a file."""
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)


def test_while_the_log_cannot_be_written_nothing_is_served(agreed: World) -> None:
    with serving(agreed.root) as server:
        reader = Reading(server.url, agreed.secrets["dot", "analyst"])
        warm = reader.get(ITEMS)
        assert warm.status == 200
        before = len(stored(agreed))
        with unwritable(server.process):
            page, unchanged = reader.get(ITEMS), reader.get(ITEMS, if_none_match=warm.headers["etag"])
            column, owner = reader.get(f"{ITEMS}?properties=distance"), Reading(server.url, agreed.secrets["bts", "analyst"]).get(ITEMS)
            public = Reading(server.url, None, None).get(PUBLIC)
            with ThreadPoolExecutor(8) as readers:
                many = list(readers.map(reader.get, [ITEMS] * 24))
        for refused in (page, unchanged, column, *many):
            assert (refused.status, code(refused)) == (503, "log_unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert b"JFK" not in refused.body
        assert owner.status != 200
        assert b"JFK" not in owner.body
        assert public.status in {200, 500, 503}, "a public read needs no entry, but its extract may still have to be made"
        assert len(stored(agreed)) == before
        wait_until(lambda: reader.get(ITEMS).status == 200)
        assert len(stored(agreed)) > before
    assert agreed.exchange.watch.verify("bts", ()).findings == ()


def test_an_answer_that_could_not_be_entered_leaves_no_trace_of_itself(agreed: World) -> None:
    """Neither entries without their side records nor numbers that are skipped: the log goes on where it was."""
    with serving(agreed.root) as server:
        reader = Reading(server.url, agreed.secrets["dot", "analyst"])
        first = reader.get(ITEMS).headers["baybridge-entry"]
        with unwritable(server.process):
            assert reader.get(ITEMS).status == 503
        wait_until(lambda: reader.get(ITEMS).status == 200)
        with agreed.exchange.database.read() as connection:
            numbers = [index for index, _ in entries(connection, "bts")]
    assert numbers == list(range(len(numbers)))
    assert int(first.rpartition("/")[2]) == len(numbers) - 2


def test_each_refusal_of_a_known_caller_is_entered_and_none_of_an_unknown_one(agreed: World) -> None:
    now = datetime.now(UTC)
    agreed.add_organization("faa")
    agreed.exchange.agree.request(agreed.person("faa", "analyst"), agreed.terms())
    later = agreed.terms(purposes=["later"], start=(now + timedelta(days=1)).isoformat())
    held, ended, double = (agreed.terms(purposes=[purpose]) for purpose in ("held", "ended", "double"))
    agreed.sign(later)
    steward = agreed.person("bts", "steward")
    agreed.exchange.agree.suspend(steward, agreed.sign(held).id, "for a while")
    agreed.exchange.agree.revoke(steward, agreed.sign(ended).id, "for good")
    agreed.sign(double)
    agreed.sign(double)
    analyst = agreed.secrets["dot", "analyst"]
    with serving(agreed.root) as server:
        wanted = [
            (Reading(server.url, agreed.secrets["faa", "analyst"]), "", "request_pending"),
            (Reading(server.url, analyst, "later"), "", "agreement_not_started"),
            (Reading(server.url, analyst, "held"), "", "agreement_suspended"),
            (Reading(server.url, analyst, "ended"), "", "agreement_revoked"),
            (Reading(server.url, analyst, "double"), "", "agreement_ambiguous"),
            (Reading(server.url, analyst, None), "", "purpose_required"),
            (Reading(server.url, analyst, "other"), "", "purpose_not_allowed"),
            (Reading(server.url, analyst), "?properties=distance", "column_not_in_agreement"),
            (Reading(server.url, analyst), "?properties=nothing", "unknown_column"),
            (Reading(server.url, agreed.secrets["dot", "auditor"]), "", "role_required"),
        ]
        before = len(stored(agreed))
        got = [code(reader.get(ITEMS + query)) for reader, query, _ in wanted]
        assert got == [expected for _, _, expected in wanted]
        new = stored(agreed)[before:]
        assert [(entry["kind"], entry["code"]) for entry in new] == [("refusal", expected) for expected in got]
        assert all(entry["dataset"] == "bts.flights" for entry in new)
        for stranger in (Reading(server.url, None), Reading(server.url, "bb_" + "A" * 43)):
            assert code(stranger.get(ITEMS)) == "not_signed_in"
        assert len(stored(agreed)) == before + len(new)


def test_every_act_has_its_entry_in_the_providers_log(world: World) -> None:
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    agreement = world.sign(world.terms())
    steward = world.person("bts", "steward")
    for act in (world.exchange.agree.suspend, world.exchange.agree.resume, world.exchange.agree.revoke):
        act(steward, agreement.id, "as the test says")
    with pytest.raises(Refused):
        world.exchange.agree.revoke(world.person("dot", "steward"), agreement.id, "not ours to end")
    log = stored(world)
    assert [entry["kind"] for entry in log][:1] == ["organization_added"]
    assert {"principal_added", "token_issued", "dataset_declared", "publication"} <= {str(entry["kind"]) for entry in log}
    acts = [(entry["act"], entry["state"]) for entry in log if entry["kind"] == "agreement_act"]
    assert acts == [
        ("request", "REQUESTED"),
        ("offer", "OFFERED"),
        ("sign", "AGREED"),
        ("sign", "VERIFIED"),
        ("finalize", "FINALIZED"),
        ("suspend", "SUSPENDED"),
        ("resume", "FINALIZED"),
        ("revoke", "REVOKED"),
    ]
    assert (log[-1]["kind"], log[-1]["act"]) == ("refusal", "revoke")


def test_entries_hold_neither_cells_nor_filters_nor_names_of_people(world: World) -> None:
    """Each place through which a value could come in carries a marker of its own; side records, which can be erased, may hold some."""
    data = b"person,city,note\nMARKERCELLA,MARKERCITYA,MARKERNOTE\nMARKERCELLB,MARKERCITYB,MARKERNOTE\n"
    world.publish("bts.people", data, key=("person",), null_words=("", "MARKERNULL"))
    terms = world.terms(
        dataset="bts.people",
        columns=["person", "city"],
        row_filter="note = 'MARKERNOTE'",
        masks={"person": "pseudonym"},
        provider_authority="MARKERAUTHORITY",
    )
    agreement = world.sign(terms)
    maria = world.exchange.administer.add_principal(world.person("dot", "admin"), "dot", "MARKERMARIA", "person", ["analyst"])
    people = "/api/v1/collections/bts.people/items"
    with serving(world.root) as server:
        reader = Reading(server.url, world.token(maria))
        page = reader.get(people + "?filter=city='MARKERCITYA'")
        cursor = next(
            link["href"] for link in json.loads(reader.get(people + "?limit=1&sortby=city").body)["links"] if link["rel"] == "next"
        )
        assert reader.get(cursor).status == 200
        assert reader.get(people + "?filter=note='MARKERREFUSED'").status == 403
        assert reader.get(people + "?filter=city='MARKERUNFINISHED").status == 400
    assert json.loads(page.body)["items"][0]["city"] == "MARKERCITYA"
    pseudonym = json.loads(page.body)["items"][0]["person"]
    world.exchange.agree.suspend(world.person("bts", "steward"), agreement.id, "MARKERREASON")
    with world.exchange.database.read() as connection:
        log = b"\n".join(data for organization in ("bts", "dot") for _, data in entries(connection, organization))
    assert log.count(b'"kind":"disclosure"') == 3
    assert b"MARKER" not in log
    assert str(pseudonym).encode() not in log


@pytest.mark.slow
def test_the_entry_of_a_read_of_1500_columns_is_no_larger_than_any(world: World) -> None:
    columns = [f"a_column_with_a_long_name_{number:04d}" for number in range(1500)]
    world.publish("bts.broad", (",".join(columns) + "\n" + ",".join("1" for _ in columns) + "\n").encode())
    world.sign(world.terms(dataset="bts.broad", columns=columns, row_filter=None, masks={}))
    with serving(world.root) as server:
        reader = Reading(server.url, world.secrets["dot", "analyst"])
        broad = "/api/v1/collections/bts.broad/items"
        wait_until(lambda: reader.get(broad).status == 200, seconds=60)  # the extract of so many columns takes its time
        got = reader.get(broad)
        named = reader.get(f"{broad}?properties={','.join(columns)}")
    assert (got.status, named.status) == (200, 200)
    assert len(json.loads(named.body)["items"][0]) == 1500
    with world.exchange.database.read() as connection:
        sizes = [len(data) for (data,) in connection.execute(ENTRIES.select().with_only_columns(ENTRIES.c.data))]
    assert max(sizes) <= MAX_ENTRY_BYTES
    assert stored(world)[-1]["columns"] == stored(world)[-2]["columns"]


def spellings(secret: bytes) -> list[bytes]:
    """A secret as a program may have written it."""
    return [secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret).rstrip(b"=")]


def test_secrets_are_in_no_file_of_the_home_and_in_no_word_of_the_server(tmp_path: Path) -> None:
    """Tokens and pseudonym keys; the files under keys/ wrap the latter, and are the one place of the former kind of secret."""
    world = make_world(tmp_path / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    agreement = world.sign(world.terms())
    assert agreement.domain_key is not None
    with world.exchange.database.read() as connection:
        domain = unwrap_key(connection, agreement.domain_key, wrapping_key=world.exchange.keys.wrapping)
    said = talk_to_a_server(world, tmp_path / "said")
    world.exchange.close()
    texts = {str(path.relative_to(world.root)): path.read_bytes() for path in world.root.rglob("*") if path.is_file()}
    assert any(name.endswith("serve.duckdb") for name in texts), "the extract with pseudonyms is among them"
    texts["what the server said"] = said
    outside = {name: text for name, text in texts.items() if not name.startswith("keys/")}
    keys = [path.read_bytes() for path in (world.root / "keys").iterdir()]
    secrets = [
        *(secret.encode() for secret in world.secrets.values()),
        *spellings(domain),
        *(each for key in keys for each in spellings(key)),
    ]
    found = [(name, number) for name, text in outside.items() for number, secret in enumerate(secrets) if secret in text]
    assert found == []


def talk_to_a_server(world: World, output: Path) -> bytes:
    """Give it tokens in every place that takes one and in some that do not, and make it complain; give all that it wrote."""
    with output.open("wb") as writing:
        command = [sys.executable, "-m", "baybridge.cli.main", "serve", "--home", str(world.root), "--port", "0"]
        process = subprocess.Popen(command, stdout=writing, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]}, text=True)
    try:
        wait_until(lambda: b"http://" in output.read_bytes())
        url = output.read_text()[output.read_text().index("http://") :].split()[0]
        token = world.secrets["dot", "analyst"]
        reader = Reading(url, token)
        assert reader.get(ITEMS).status == 200
        assert reader.get(f"{ITEMS}?token={token}").status == 400
        assert reader.get(f"{ITEMS}?filter={token}").status == 400
        assert reader.get(f"/api/v1/{token}").status == 404
        assert Reading(url, token + "x").get(ITEMS).status == 401
        with Wire(url) as wire:
            wire.socket.sendall(f"{token}\r\n\r\n".encode())
            assert b"400" in wire.socket.recv(1000)
        with unwritable(process):
            assert reader.get(ITEMS).status == 503
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    said = output.read_bytes()
    assert b"log_unavailable" in said, "the operator is told, so there was something to look through"
    return said


def test_a_side_record_can_be_erased_and_the_log_still_verifies(agreed: World) -> None:
    with serving(agreed.root) as server:
        assert Reading(server.url, agreed.secrets["dot", "analyst"]).get(f"{ITEMS}?filter=origin='JFK'").status == 200
    with agreed.exchange.database.write() as connection:
        kept = connection.exec_driver_sql("SELECT count(*), group_concat(hex(data)) FROM side_records").one()
        connection.exec_driver_sql("DELETE FROM side_records")
    assert kept[0] == 1
    assert b"JFK" in bytes.fromhex(kept[1]), "the question was there to be erased"
    assert agreed.exchange.watch.verify("bts", ()).findings == ()


def test_sixty_four_readers_at_once_share_commits(agreed: World) -> None:
    """Each answer has an entry of its own, and there were fewer commits than entries: commits are counted in the write-ahead log."""
    wal = agreed.root / "catalog.sqlite-wal"
    # A snapshot that is held open keeps SQLite from beginning the write-ahead log anew, which would hide commits from the count.
    with serving(agreed.root) as server, agreed.exchange.database.read() as held:
        held.exec_driver_sql("SELECT count(*) FROM entries")
        reader = Reading(server.url, agreed.secrets["dot", "analyst"])
        reader.get(ITEMS)
        before = commits(wal)
        with ThreadPoolExecutor(64) as readers:
            got = [reply.headers["baybridge-entry"] for reply in readers.map(reader.get, [ITEMS] * 640)]
        time.sleep(0.05)
        made = commits(wal) - before
    numbers = sorted(int(entry.rpartition("/")[2]) for entry in got)
    assert numbers == list(range(numbers[0], numbers[0] + 640))
    assert 0 < made < 640


def commits(wal: Path) -> int:
    """Frames that end a transaction (sqlite.org/fileformat2.html, 4.1), of the log's present run."""
    data = wal.read_bytes()
    page, salts = int.from_bytes(data[8:12], "big"), data[16:24]
    headers = [data[start : start + 24] for start in range(32, len(data) - 23, 24 + page)]
    return sum(1 for header in headers if header[8:16] == salts and header[4:8] != bytes(4))

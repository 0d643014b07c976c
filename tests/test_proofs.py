"""The log as others read it: tiles, proofs and receipts over HTTP, checked by Go's own implementation and by definitions written here."""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from conftest import CONSUMER, PROVIDER, Server, World, make_world, serving

from baybridge.audit import store as audit_store
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft
from baybridge.client import receipts
from baybridge.errors import BaybridgeError
from baybridge.exchange import Exchange
from baybridge.http.faces import MAX_BODY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("proofs")]

ENTRIES = 66_000  # beyond 65,536 there is a full tile of level 1, and one of level 2 begins
LOG = f"/api/v1/audit/{PROVIDER}"
IMMUTABLE = "public, max-age=31536000, immutable"
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOPROXY": "off"}


def fill(world: World, count: int, *, organization: str = CONSUMER) -> None:
    """Append many entries in one transaction, as so many disclosures would be."""
    draft = Draft(PROVIDER, Kind.DISCLOSURE, {"actor": {"organization": organization, "principal": "prn_0"}, "rows": 1})
    with world.exchange.database.write() as connection:
        world.exchange.log.append_all(connection, PROVIDER, [draft] * count)


@dataclass(frozen=True)
class Logged:
    """A served log of some length, its entries as they stand in the database, and every checkpoint that was signed."""

    world: World
    server: Server
    entries: tuple[bytes, ...]
    checkpoints: tuple[str, ...]

    @property
    def size(self) -> int:
        return int(self.checkpoints[-1].split("\n")[1])

    def get(self, path: str, who: tuple[str, str] | None = None) -> Any:
        token = None if who is None else self.world.secrets[who]
        with self.server.client(token) as client:
            return client.get(LOG + path)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    world = make_world(tmp_path_factory.mktemp("proofs") / "home")
    chance = random.Random(1)
    for _ in range(49):
        fill(world, chance.choice((1, 2, 3, 5, 17, 255, 256, 257)))
        world.exchange.watch.checkpoint(PROVIDER)
    with world.exchange.database.read() as connection:
        size = audit_store.frontier(connection, PROVIDER).size
    fill(world, ENTRIES - size)
    world.exchange.watch.checkpoint(PROVIDER)
    with world.exchange.database.read() as connection:
        checkpoints = audit_store.checkpoints(connection, PROVIDER)
        entries = tuple(data for _, data in audit_store.entries(connection, PROVIDER))
    with serving(world.root) as server:
        yield Logged(world, server, entries, checkpoints)
    world.exchange.close()


def sizes(logged: Logged) -> list[int]:
    return [int(note.split("\n")[1]) for note in logged.checkpoints]


def roots(logged: Logged) -> dict[int, bytes]:
    return {int(note.split("\n")[1]): base64.b64decode(note.split("\n")[2]) for note in logged.checkpoints}


def test_go_verifies_checkpoints_proofs_and_tiles(logged: Logged) -> None:
    chance = random.Random(2)
    signed = sizes(logged)
    pairs = [sorted(chance.sample(signed, 2)) for _ in range(100)]
    inclusion = [(chance.randrange(size), size) for size in (chance.choice(signed) for _ in range(100))]
    task = {
        "Log": logged.server.url + LOG,
        "Key": str(logged.world.exchange.watch.verifier(PROVIDER)),
        "Token": logged.world.secrets[PROVIDER, "auditor"],
        "Checkpoints": logged.checkpoints,
        "Inclusion": inclusion,
        "Consistency": pairs,
        "Entries": ["000", "001", "255", f"{ENTRIES // 256:03}.p/{ENTRIES % 256}"],
    }
    done = subprocess.run(
        ["go", "run", str(Path(__file__).parent / "go" / "verify.go")],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        env={**GO, "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(logged.world.root))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entries = 3 * 256 + ENTRIES % 256
    assert done.stdout == f"50 checkpoints, 100 inclusion, 100 consistency, 100 records by tiles, {entries} entries\n"


def mth(hashes: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, of leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + mth(hashes[:half]) + mth(hashes[half:])).digest()


def test_every_tile_is_the_hashes_of_the_tree_and_is_kept_by_caches(logged: Logged) -> None:
    leaves = [sha256(b"\x00" + entry).digest() for entry in logged.entries]
    levels = [leaves]
    while len(levels[-1]) >= 256:
        below = levels[-1]
        levels.append([mth(below[start : start + 256]) for start in range(0, len(below) - 255, 256)])
    assert [len(level) for level in levels] == [66_000, 257, 1]
    wanted = {
        "0/000": levels[0][:256],
        "0/256": levels[0][65_536:65_792],
        "0/257.p/208": levels[0][65_792:],
        "0/257.p/1": levels[0][65_792:65_793],
        "0/003.p/7": levels[0][768:775],
        "1/000": levels[1][:256],
        "1/001.p/1": levels[1][256:],
        "2/000.p/1": levels[2],
    }
    for path, hashes in wanted.items():
        answer = logged.get(f"/tile/{path}")
        assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (
            200,
            "application/octet-stream",
            IMMUTABLE,
        )
        assert answer.content == b"".join(hashes), path


@pytest.mark.parametrize(
    "path", ["0/257", "0/257.p/255", "0/258.p/1", "1/001", "1/001.p/2", "2/000", "2/000.p/2", "3/000.p/1", "0/1", "00/000"]
)
def test_there_is_no_tile_beyond_what_is_signed(logged: Logged, path: str) -> None:
    assert logged.get(f"/tile/{path}").status_code == 404


def test_bundles_of_entries_are_for_the_logs_auditors_and_a_refused_look_is_entered(logged: Logged) -> None:
    bundle = logged.get("/tile/entries/000", (PROVIDER, "auditor"))
    assert (bundle.status_code, bundle.headers["cache-control"]) == (200, "private, no-cache")
    assert bundle.content == b"".join(len(entry).to_bytes(2, "big") + entry for entry in logged.entries[:256])
    assert logged.get("/tile/entries/000").status_code == 401
    with logged.world.exchange.database.read() as connection:
        before = audit_store.frontier(connection, PROVIDER).size
    for who in ((CONSUMER, "auditor"), (PROVIDER, "steward")):
        assert logged.get("/tile/entries/000", who).status_code == 403
    with logged.world.exchange.database.read() as connection:
        entered = [json.loads(data) for _, data in audit_store.entries(connection, PROVIDER, start=before)]
    assert [(each["kind"], each["act"]) for each in entered] == [("refusal", "entries")] * 2


def test_a_proof_is_of_the_root_that_was_signed(logged: Logged) -> None:
    signed = roots(logged)
    for size in sizes(logged)[-3:]:
        proof = logged.get(f"/proof/inclusion?index=0&size={size}").json()
        assert base64.b64decode(proof["root"]) == signed[size]
        assert base64.b64decode(proof["leaf"]) == sha256(b"\x00" + logged.entries[0]).digest()
        grown = logged.get(f"/proof/consistency?from=1&to={size}").json()
        assert base64.b64decode(grown["new_root"]) == signed[size]
        assert base64.b64decode(grown["old_root"]) == sha256(b"\x00" + logged.entries[0]).digest()


@pytest.mark.parametrize(
    "query",
    [
        "inclusion",
        "inclusion?index=-1",
        "inclusion?index=999999999",
        "inclusion?index=5&size=5",
        "inclusion?index=5&size=999999999",
        "inclusion?index=x",
        "consistency",
        "consistency?from=5&to=4",
        "consistency?from=5&to=999999999",
        "consistency?from=1.5",
    ],
)
def test_what_cannot_be_proved_is_refused(logged: Logged, query: str) -> None:
    answer = logged.get(f"/proof/{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_consumer_gets_receipts_for_its_own_entries_and_sees_no_others(logged: Logged) -> None:
    key = str(logged.world.exchange.watch.verifier(PROVIDER))
    answer = logged.get("/receipts/500", (CONSUMER, "analyst"))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    proved = receipts.verify(answer.text, key)
    assert (proved.log, proved.index, proved.kind) == (f"exchange.example/audit/{PROVIDER}", 500, "disclosure")
    assert proved.size >= ENTRIES
    assert proved.facts == {key: value for key, value in json.loads(logged.entries[500]).items() if key in proved.facts}
    assert logged.get("/receipts/0", (CONSUMER, "analyst")).status_code == 404, "the operator's own entry"
    assert logged.get("/receipts/0", (PROVIDER, "auditor")).status_code == 200
    assert logged.get("/receipts/500", (PROVIDER, "analyst")).status_code == 404
    assert logged.get("/receipts/99999999", (CONSUMER, "analyst")).status_code == 404
    assert logged.get("/receipts/500").status_code == 401


def test_a_receipt_is_ready_as_soon_as_its_answer_was(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    world.publish("bts.flights", b"flight,carrier,tailnum,origin,delay\n1,UA,N1,JFK,2\n", key=("flight",))
    world.sign(world.terms())
    with serving(world.root, environment={"BAYBRIDGE_CHECKPOINT_SECONDS": "3600"}) as server:
        client = server.client(world.secrets["dot", "analyst"], purpose="noise-study")
        read = client.get("/api/v1/collections/bts.flights/items")
        log, _, index = read.headers["baybridge-entry"].partition("/")
        got = client.get(f"/api/v1/audit/{log}/receipts/{index}")
    proved = receipts.verify(got.text, str(world.exchange.watch.verifier(PROVIDER)))
    assert proved.facts["sha256"] == sha256(read.content).hexdigest()
    assert proved.facts["actor"] == {"organization": "dot", "principal": world.person("dot", "analyst").id}
    world.exchange.close()


def test_a_changed_receipt_does_not_verify(logged: Logged) -> None:
    key = str(logged.world.exchange.watch.verifier(PROVIDER))
    other = str(logged.world.exchange.watch.verifier(CONSUMER))
    text = logged.get("/receipts/700", (CONSUMER, "analyst")).text
    chance = random.Random(3)
    for _ in range(400):
        at, bit = chance.randrange(len(text)), 1 << chance.randrange(7)
        changed = text[:at] + chr(ord(text[at]) ^ bit) + text[at + 1 :]
        with pytest.raises(BaybridgeError):
            receipts.verify(changed, key)
    with pytest.raises(BaybridgeError):
        receipts.verify(text, other)
    assert len(text) < MAX_BODY
    assert receipts.verify(text, key).index == 700


def test_a_log_that_is_older_than_tiles_gets_their_roots_with_the_migration(tmp_path: Path) -> None:
    """A catalog as it was before the revision, with entries in it, is brought up to date, and has what the appends would have left."""
    world = make_world(tmp_path / "home")
    fill(world, 700)
    with world.exchange.database.read() as connection:
        roots_before = audit_store.all_tile_roots(connection, PROVIDER)
    assert len(roots_before) == 2
    world.exchange.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "catalog.sqlite", isolation_level=None)) as catalog:
        catalog.execute("DROP TABLE tile_roots")
        catalog.execute("DROP TABLE key_rotations")
    module = importlib.import_module("baybridge.migrations.versions.r0007_log")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'home' / 'catalog.sqlite'}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        module.upgrade()
    engine.dispose()
    with Exchange.open(tmp_path / "home") as exchange:
        with exchange.database.read() as connection:
            assert audit_store.all_tile_roots(connection, PROVIDER) == roots_before
        exchange.watch.checkpoint(PROVIDER)
        assert exchange.watch.verify(PROVIDER, ()).findings == ()

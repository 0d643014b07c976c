"""Purge: afterwards no byte of the version is anywhere in the home, whatever was reading and wherever it crashed; the log still verifies.

The home is searched byte by byte, and by opening every database and Parquet file in it, by libraries that share no code with ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from conftest import Server, World, make_world, serving, wait_until

from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft
from baybridge.audit.side import BATCH, Side
from baybridge.catalog.dataset import State
from baybridge.errors import BaybridgeError, Unavailable
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Upload
from baybridge.publish.purge import Plan

PEOPLE = DatasetName("bts", "people")
AT = "/api/v1/collections/bts.people"
MARKER = "Zq7Xmarker"
QUESTION = f"name = '{MARKER}'".encode()
QUESTIONS = BATCH * 2
"""So many are erased in three batches with those of the readers, and a crash may come between two of them."""
PURGE_AND_DIE = Path(__file__).with_name("launchers") / "purge_and_die.py"
KEPT = b"id,name,place\n1,Ann,here\n2,Bob,there\n"
MARKED = KEPT + b"3,%s,here\n4,Cid,%s\n%s,Eve,here\n" % ((MARKER.encode(),) * 3)
SCHEMA = {
    "fields": [
        {"name": "id", "type": "integer", "constraints": {"required": True}},
        *({"name": each, "type": "string"} for each in ("name", "place")),
    ],
    "primaryKey": ["id"],
}


# --- the search ---


def texts_of_database(path: Path) -> Iterator[str]:
    """Every value of every table of an SQLite file."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table.decode()}"'):
                yield from (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in row)
    finally:
        connection.close()


def texts_of_duckdb(path: Path) -> Iterator[str]:
    with duckdb.connect(str(path), read_only=True) as engine:
        for (table,) in engine.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            yield from (str(row) for row in engine.execute(f'SELECT * FROM "{table}"').fetchall())


def texts_of_parquet(path: Path) -> Iterator[str]:
    with duckdb.connect() as engine:
        yield from (str(row) for row in engine.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall())


def opened(path: Path, data: bytes) -> Iterator[str]:
    if data.startswith(b"SQLite format 3\0"):
        yield from texts_of_database(path)
    elif data[8:12] == b"DUCK":
        yield from texts_of_duckdb(path)
    elif data.startswith(b"PAR1") and data.endswith(b"PAR1"):
        yield from texts_of_parquet(path)


def found_in(root: Path) -> set[str]:
    """Where the marker is: the first folder or file of the home, and how it was found."""
    places = set()
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        place = path.relative_to(root).parts[0]
        if MARKER.encode() in data:
            places.add(f"{place} by bytes")
        if any(MARKER in text for text in opened(path, data)):
            places.add(f"{place} by opening")
    return places


EVERYWHERE = {
    "objects by bytes",  # the original upload, and garbage
    "objects by opening",  # Parquet
    "extracts by bytes",  # what a killed builder had spilled
    "extracts by opening",
    "catalog.sqlite by opening",  # statistics and questions
    "scratch by bytes",  # what a killed publication left
}


# --- a home that has it everywhere ---


def make_marked(root: Path) -> World:
    """Version 1 with the marker, read by its owner and under an agreement; version 2 without; and what crashes left of version 1."""
    world = make_world(root)
    world.publish("bts.people", MARKED, key=("id",), null_words=("",), schema=SCHEMA, max_rejects="20%")
    world.publish("bts.people", KEPT, key=("id",), null_words=("",))
    assert world.publish("bts.people", MARKED, key=("id",), null_words=("",)).blocked
    world.sign(world.terms(dataset="bts.people", columns=["id", "name"], row_filter=None, masks={}, history="all"))
    with serving(root) as server:
        read_all(world, server)
    asked = Draft("bts", Kind.DISCLOSURE, {"rows": 0, "side_sha256": hashlib.sha256(QUESTION).hexdigest()}, Side(QUESTION, str(PEOPLE), 1))
    with world.exchange.database.write() as connection:
        world.exchange.log.append_all(connection, "bts", [asked] * QUESTIONS)
    for left in (root / "scratch" / "publish-dead", root / "extracts" / f"{'ab' * 32}.making"):
        left.mkdir()
        (left / "upload.csv").write_bytes(MARKED)
    (root / "extracts" / f"{'ab' * 32}.lock").touch()
    garbage = root / "objects" / "ab" / ("ab" * 32)
    garbage.parent.mkdir(exist_ok=True)
    garbage.write_bytes(MARKED)
    world.exchange.withdraw.withdraw(LOCAL_OPERATOR, PEOPLE, 1, "Published by mistake")
    return world


def read_all(world: World, server: Server) -> None:
    """Read both versions, asking for the marker by name where it is."""
    for who in (("bts", "steward"), ("dot", "analyst")):
        client = server.client(world.secrets[who], purpose="noise-study")
        for address, query in ((f"{AT}/versions/1/items", {"filter": f"name = '{MARKER}'"}), (f"{AT}/items", {})):
            answer = client.get(address, params=query)
            assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed home, to be copied."""
    world = make_marked(tmp_path_factory.mktemp("marked") / "home")
    world.exchange.close()
    return world.root


@pytest.fixture
def home(marked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(marked, tmp_path / "home"))


def purge(exchange: Exchange, number: int | None = 1) -> Plan:
    plan = exchange.purge.plan(LOCAL_OPERATOR, PEOPLE, number)
    return exchange.purge.purge(LOCAL_OPERATOR, PEOPLE, number, reason="Published by mistake", plan_sha256=plan.sha256)


def state(root: Path) -> str:
    with sqlite3.connect(root / "catalog.sqlite") as connection:
        (found,) = connection.execute("SELECT state FROM versions WHERE dataset = 'bts.people' AND number = 1").fetchone()
    connection.close()
    return str(found)


def entries(root: Path) -> list[dict[str, object]]:
    with sqlite3.connect(root / "catalog.sqlite") as connection:
        stored = connection.execute("SELECT data FROM entries WHERE organization = 'bts' ORDER BY number").fetchall()
    connection.close()
    return [json.loads(data) for (data,) in stored]


# --- the law ---


def test_a_purge_leaves_no_byte_of_the_version_anywhere_in_the_home(home: Path) -> None:
    assert found_in(home) >= EVERYWHERE
    with Exchange.open(home) as exchange:
        purge(exchange)
        assert found_in(home) == set()
        assert exchange.watch.verify("bts", ()).findings == ()
    assert found_in(home) == set()


def test_a_purge_leaves_the_other_versions_as_they_were(home: Path) -> None:
    with Exchange.open(home) as exchange:
        purge(exchange)
    with serving(home) as server:
        (line,) = server.client().get(f"{AT}/versions", params={"limit": "1"}).json()["versions"]
        assert (line["version"], line["state"]) == (2, "published")
    held = [path for path in (home / "objects").rglob("*") if path.is_file()]
    assert len(held) == 2, "the Parquet object of version 2, and its original"
    assert {path.read_bytes() for path in held} >= {KEPT}


def test_a_dry_run_says_what_goes_and_destroys_nothing(home: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.name.startswith("catalog")}
    with Exchange.open(home) as exchange:
        plan = exchange.purge.plan(LOCAL_OPERATOR, PEOPLE, 1)
    assert (plan.versions, plan.rows, plan.objects, plan.shared, plan.extracts, plan.side_records) == ((1,), 4, 3, 0, 2, 3 + QUESTIONS)
    rejects = next(data for data in before.values() if is_rejects(data))
    assert plan.bytes == len(MARKED) + len(rejects) + sum(len(data) for path, data in before.items() if holds_marker(path, data))
    assert {path: path.read_bytes() for path in before} == before
    assert state(home) == "withdrawn"


def holds_marker(path: Path, data: bytes) -> bool:
    return data.startswith(b"PAR1") and path.parent.parent.name == "objects" and any(MARKER in text for text in texts_of_parquet(path))


def is_rejects(data: bytes) -> bool:
    return data.startswith(b"row,column,rule") and MARKER.encode() in data


def test_rejects_go_with_a_version_and_so_do_those_of_an_upload_that_was_refused(home: Path) -> None:
    with Exchange.open(home) as exchange:
        kept = exchange.rejects.read(LOCAL_OPERATOR, PEOPLE, None)
        assert MARKER.encode() in kept.data
        assert any(is_rejects(path.read_bytes()) for path in (home / "objects").rglob("*") if path.is_file())
        purge(exchange)
        assert not any(is_rejects(path.read_bytes()) for path in home.rglob("*") if path.is_file())
        for number, code in ((1, "gone"), (None, "not_found")):
            with pytest.raises(BaybridgeError) as refused:
                exchange.rejects.read(LOCAL_OPERATOR, PEOPLE, number)
            assert refused.value.code == code


def test_what_is_purged_is_what_someone_has_looked_at(home: Path) -> None:
    with Exchange.open(home) as exchange, pytest.raises(BaybridgeError) as refused:
        exchange.purge.purge(LOCAL_OPERATOR, PEOPLE, 1, reason="Mistake", plan_sha256="0" * 64)
    assert refused.value.code == "conflict"
    assert found_in(home) >= EVERYWHERE


def test_objects_that_another_version_names_stay(home: Path) -> None:
    with Exchange.open(home) as exchange:
        world = World(home, exchange)
        exchange.withdraw.withdraw(LOCAL_OPERATOR, PEOPLE, 2, "Twice")
        for _ in range(2):
            published(world, KEPT)
        plan = purge(exchange, 2)
        assert (plan.objects, plan.shared) == (0, 2)
    held = {path.name: path.read_bytes() for path in (home / "objects").rglob("*") if path.is_file()}
    assert KEPT in held.values()


def published(world: World, data: bytes) -> None:
    upload = Upload(chunks=[data], null_words=(), key=(), accept_schema=False, dry_run=False)
    world.exchange.publish.publish(LOCAL_OPERATOR, PEOPLE, upload)


def test_a_whole_dataset_is_purged_with_all_its_versions(home: Path) -> None:
    with Exchange.open(home) as exchange:
        exchange.withdraw.withdraw(LOCAL_OPERATOR, PEOPLE, None, "The law was repealed")
        plan = purge(exchange, None)
        assert plan.versions == (1, 2)
        dataset = exchange.catalog.describe(LOCAL_OPERATOR, PEOPLE).dataset
        assert (dataset.condition.state, dataset.latest) == (State.PURGED, 0)
        with pytest.raises(BaybridgeError) as refused:
            purge(exchange, None)
        assert refused.value.code == "gone"
    assert [path for path in (home / "objects").rglob("*") if path.is_file()] == []
    assert list((home / "extracts").glob("*/serve.duckdb")) == []


def test_a_tombstone_answers_410_and_says_why_and_when(home: Path) -> None:
    with serving(home) as server, Exchange.open(home) as exchange:
        steward = server.client(token_of(exchange, "bts", "steward"))
        plan = steward.post(f"{AT}/versions/1/purge", json={"reason": "Published by mistake"}).json()
        assert plan["purged"] is False
        done = steward.post(f"{AT}/versions/1/purge", json={"reason": "Published by mistake", "plan_sha256": plan["plan_sha256"]})
        assert (done.status_code, done.json()["purged"]) == (200, True), done.text
        for address in (f"{AT}/versions/1", f"{AT}/versions/1/items"):
            answer = steward.get(address)
            assert (answer.status_code, answer.json()["code"]) == (410, "gone")
        stone = steward.get(f"{AT}/versions").json()["versions"][1]
        assert (stone["version"], stone["state"], stone["reason"]) == (1, "purged", "Published by mistake")
        assert stone["since"].endswith("Z")
        assert steward.get(f"{AT}/items").json()["version"] == 2


def token_of(exchange: Exchange, organization: str, role: str) -> str:
    (person,) = [each for each in exchange.administer.principals(LOCAL_OPERATOR, organization) if role in each.roles]
    return exchange.administer.issue_token(LOCAL_OPERATOR, person.id, expires=None, purpose=None).secret


def test_a_purge_is_entered_before_and_after(home: Path) -> None:
    with Exchange.open(home) as exchange:
        plan = purge(exchange)
    begun, done = [each for each in entries(home) if str(each["kind"]).startswith("purge")]
    assert (begun["kind"], begun["dataset"], begun["version"], begun["rows"]) == ("purge_begun", "bts.people", 1, 4)
    assert (begun["plan_sha256"], begun["versions"]) == (plan.sha256, [[1, 1]])
    assert (done["kind"], done["dataset"], done["versions"]) == ("purge_done", "bts.people", [[1, 1]])


# --- while others read ---


def test_another_process_lets_go_of_what_was_purged_within_seconds(home: Path) -> None:
    with Exchange.open(home) as exchange:
        exchange.withdraw.restore(LOCAL_OPERATOR, PEOPLE, 1)
        with serving(home) as server:
            client = server.client(token_of(exchange, "bts", "steward"))
            assert MARKER in client.get(f"{AT}/versions/1/items").text
            assert any("extracts" in path for path in open_files(server))
            exchange.withdraw.withdraw(LOCAL_OPERATOR, PEOPLE, 1, "Wrong")
            purge(exchange)
            wait_until(lambda: not any("deleted" in path for path in open_files(server)))
            assert client.get(f"{AT}/versions/1/items").status_code == 410
    assert found_in(home) == set()


def open_files(server: Server) -> list[str]:
    folder = Path(f"/proc/{server.process.pid}/fd")
    found = []
    for each in folder.iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:
            continue
    return [path for path in found if path.startswith("/") and "pipe" not in path]


@pytest.mark.slow
def test_readers_see_the_version_or_its_tombstone_and_nothing_between(home: Path) -> None:
    with Exchange.open(home) as exchange:
        exchange.withdraw.restore(LOCAL_OPERATOR, PEOPLE, 1)
        token = token_of(exchange, "bts", "steward")
        with serving(home) as server:
            seen: list[tuple[int, str]] = []
            ended = threading.Event()

            def read(seed: int) -> None:
                chance = random.Random(seed)
                client = server.client(token)
                while not ended.is_set():
                    columns = ",".join(chance.sample(["id", "name", "place"], 2))
                    answer = client.get(f"{AT}/versions/1/items", params={"properties": columns})
                    seen.append((answer.status_code, answer.json().get("code", str(len(answer.json().get("items", []))))))

            readers = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
            for reader in readers:
                reader.start()
            wait_until(lambda: len(seen) > 20)
            exchange.withdraw.withdraw(LOCAL_OPERATOR, PEOPLE, 1, "Wrong")
            purge_at_last(exchange)
            count = len(seen)
            wait_until(lambda: len(seen) > count + 20)
            ended.set()
            for reader in readers:
                reader.join()
    assert set(seen) <= {(200, "4"), (403, "version_withdrawn"), (410, "gone")}
    assert {(200, "4"), (410, "gone")} <= set(seen)
    assert found_in(home) == set()


def purge_at_last(exchange: Exchange) -> None:
    """Purge; where readers of the catalog hold up the last step, the server finishes it."""
    try:
        purge(exchange)
    except Unavailable:
        wait_until(lambda: state(exchange.home.root) == "purged", seconds=60)


def test_a_long_reader_of_the_catalog_holds_up_the_last_step_and_nothing_else(home: Path) -> None:
    """As a verification of the log, which reads for as long as the log is large, in another process."""
    reader = sqlite3.connect(home / "catalog.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchall()
    with Exchange.open(home) as exchange:
        with pytest.raises(Unavailable) as unfinished:
            purge(exchange)
        assert unfinished.value.code == "purge_unfinished"
        assert state(home) == "purging"
        assert exchange.catalog.describe(LOCAL_OPERATOR, PEOPLE).dataset.latest == 2
        exchange.withdraw.withdraw(LOCAL_OPERATOR, PEOPLE, 2, "Writers are not held up")
        reader.execute("COMMIT")
        reader.close()
        exchange.purge.finish()
        assert state(home) == "purged"
    assert found_in(home) == set()


# --- wherever it crashes ---


def die_at(root: Path, step: int) -> str:
    done = subprocess.run(
        [sys.executable, str(PURGE_AND_DIE), str(root), str(step)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        check=False,
        timeout=60,
    )
    assert done.returncode == (-signal.SIGKILL if step else 0), done.stderr
    return done.stdout


def check_crash_at(marked: Path, root: Path, step: int) -> str:
    """Kill the purge there; what is left is the whole version or a purge that anyone can finish. Give the state it died in."""
    shutil.copytree(marked, root)
    die_at(root, step)
    died_in = state(root)
    with Exchange.open(root) as exchange:
        if died_in == "withdrawn":
            assert found_in(root) >= EVERYWHERE
            purge(exchange)
        else:
            exchange.purge.finish()
        assert state(root) == "purged"
        assert exchange.watch.verify("bts", ()).findings == ()
    assert found_in(root) == set()
    kinds = [each["kind"] for each in entries(root)]
    assert (kinds.count("purge_begun"), kinds.count("purge_done")) == (1, 1)
    shutil.rmtree(root)
    return died_in


@pytest.mark.slow
def test_a_purge_that_was_killed_at_any_step_is_finished_and_leaves_nothing(marked: Path, tmp_path: Path) -> None:
    steps = int(die_at(Path(shutil.copytree(marked, tmp_path / "whole")), 0))
    assert steps > 20
    chosen = sorted({1, steps, *random.Random(5).sample(range(1, steps + 1), 12)})
    died_in = [check_crash_at(marked, tmp_path / f"at-{step}", step) for step in chosen]
    assert set(died_in) >= {"withdrawn", "purging"}


@pytest.mark.prove
def test_a_purge_that_was_killed_at_each_step_is_finished_and_leaves_nothing(marked: Path, tmp_path: Path) -> None:
    steps = int(die_at(Path(shutil.copytree(marked, tmp_path / "whole")), 0))
    died_in = [check_crash_at(marked, tmp_path / f"at-{step}", step) for step in range(1, steps + 1)]
    assert set(died_in) >= {"withdrawn", "purging"}

"""What an extract holds and what it is called, how it is made once, and what the engine that reads it can reach."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import CONSUMER, FLIGHTS, World, make_world, wait_until
from starlette.requests import Request as HttpRequest

from baybridge.agreements import store
from baybridge.agreements.agreement import Agreement
from baybridge.agreements.domains import unwrap_key
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING
from baybridge.data.engines.duckdb import Engine, Question, SortKey, Stop
from baybridge.data.extracts import Extract
from baybridge.disclose import Answer
from baybridge.errors import Corrupt, Unavailable
from baybridge.http.sending import Crew, Sending, Watchers, answering
from baybridge.policy.projection import Projection, project
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType
from baybridge.wire.terms import CodeListShape

MARKER_CHARACTERS = 80
# DuckDB keeps the first characters of a column's least and greatest text in its statistics: a marker is looked for by these.
PREFIX = 8


def projection_of(world: World, agreement: Agreement, *, version: int | None = None) -> Projection:
    """The projection that the agreement leaves of a version, the latest unless one is named."""
    with world.exchange.database.read() as connection:
        dataset = catalog.require(connection, agreement.dataset, EVERYTHING)
        found = catalog.find_version(connection, dataset, version or dataset.latest)
    assert agreement.terms is not None
    return project(agreement.terms, found, domain_key=agreement.domain_key)


def key_of(world: World, key_id: str) -> bytes:
    with world.exchange.database.read() as connection:
        return unwrap_key(connection, key_id, wrapping_key=world.exchange.keys.wrapping)


def extract_of(world: World, agreement: Agreement, *, version: int | None = None) -> Extract:
    projection = projection_of(world, agreement, version=version)
    return world.exchange.disclose.extracts.find(projection, lambda key_id: key_of(world, key_id), wait=60)


def rows_of(extract: Extract) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(extract.path), read_only=True) as file:
        return [row[1:] for row in file.execute("SELECT * FROM items ORDER BY _row").fetchall()]


def marker() -> str:
    """A text that is nowhere else and that no compression makes smaller."""
    return secrets.token_urlsafe(MARKER_CHARACTERS)[:MARKER_CHARACTERS]


def hidden_in(files: Sequence[bytes], markers: Sequence[str]) -> int:
    """How many of the markers stand in one of the files, by their first characters."""
    return sum(any(each[:PREFIX].encode() in file for file in files) for each in markers)


QUESTIONS = (
    "FROM items",
    "FROM pragma_storage_info('items')",
    "SELECT sql, comment, tags FROM duckdb_tables()",
    "SELECT column_name, column_default, comment FROM duckdb_columns() WHERE NOT internal",
    "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal",
    "FROM duckdb_constraints()",
    "FROM duckdb_indexes()",
    "FROM duckdb_sequences()",
)


def opened(path: Path) -> str:
    """All that the file tells who opens it: every table's rows, its statistics segment by segment, and its views, types and settings."""
    with duckdb.connect(str(path), read_only=True) as file:
        assert file.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("items",)]
        told = [file.execute(question).fetchall() for question in QUESTIONS]
    return repr(told)


# What is in it.

PEOPLE = 400


@pytest.fixture
def secretive(world: World) -> tuple[World, dict[str, list[str]]]:
    """bts.people, with markers in every column that can be hidden: originals, a withheld note, and all of the rows filtered out."""
    marks: dict[str, list[str]] = {name: [marker() for _ in range(PEOPLE)] for name in ("person", "note", "shown", "filtered")}
    lines = ["id,person,place,note,tag,amount,hint"]
    for number in range(PEOPLE):
        lines.append(f"{number},{marks['person'][number]},here,{marks['note'][number]},{marks['shown'][number]},{number},yes")
        lines.append(f"{PEOPLE + number},{marker()},away,{marker()},{marks['filtered'][number]},{10**15 + number},no")
    world.publish("bts.people", ("\n".join(lines) + "\n").encode(), key=("id",))
    return world, marks


def test_a_hidden_value_is_in_no_file_of_the_extract(secretive):
    world, marks = secretive
    agreement = world.sign(
        world.terms(
            dataset="bts.people",
            columns=["tag", "person", "place", "amount"],
            masks={"person": "pseudonym", "place": "redact"},
            row_filter="place = 'here' AND hint = 'yes'",
        )
    )
    extract = extract_of(world, agreement)
    assert [path.name for path in extract.path.parent.iterdir()] == ["serve.duckdb"]
    files = [path.read_bytes() for path in world.exchange.home.extracts.rglob("*") if path.is_file()]
    told = opened(extract.path)
    # Markers that are released are found in both ways of looking, so that not finding the others means something.
    assert hidden_in(files, marks["shown"]) == PEOPLE
    assert hidden_in([told.encode()], marks["shown"]) == PEOPLE
    for name in ("person", "note", "filtered"):
        assert hidden_in(files, marks[name]) == 0
        assert hidden_in([told.encode()], marks[name]) == 0
    assert "here" not in told
    assert str(10**15)[:12] not in told
    key = key_of(world, agreement.domain_key or "")
    assert not any(key in file or key.hex().encode() in file for file in files)


def test_the_same_values_are_found_where_an_extract_releases_them(secretive):
    """What the test above does not find is found by the same looking when nothing is hidden."""
    world, marks = secretive
    agreement = world.sign(
        world.terms(dataset="bts.people", columns=["tag", "person", "place", "note", "amount"], masks={}, row_filter=None)
    )
    extract = extract_of(world, agreement)
    file, told = extract.path.read_bytes(), opened(extract.path)
    for name in ("person", "note", "filtered", "shown"):
        assert hidden_in([file], marks[name]) == PEOPLE
        assert hidden_in([told.encode()], marks[name]) == PEOPLE
    assert str(10**15)[:12] in told


def test_a_file_that_was_made_by_deleting_would_still_hold_what_was_deleted(secretive, tmp_path):
    """Why an extract is made by a fresh CREATE TABLE AS: deleted rows stay in the file, and the looking above finds them."""
    world, marks = secretive
    whole = world.sign(world.terms(dataset="bts.people", columns=["tag", "place"], masks={}, row_filter=None))
    naive = tmp_path / "naive.duckdb"
    naive.write_bytes(extract_of(world, whole).path.read_bytes())
    with duckdb.connect(str(naive)) as file:
        file.execute("DELETE FROM items WHERE place = 'away'")
        assert file.execute("SELECT count(*) FROM items").fetchall() == [(PEOPLE,)]
    assert hidden_in([naive.read_bytes()], marks["filtered"]) > 0


def test_an_empty_extract_has_its_columns_and_no_rows(flights):
    extract = extract_of(flights, flights.sign(flights.terms(row_filter="origin = 'nowhere'")))
    assert rows_of(extract) == []
    with duckdb.connect(str(extract.path), read_only=True) as file:
        described = [row[:2] for row in file.execute("DESCRIBE items").fetchall()]
    assert described == [
        ("_row", "BIGINT"),
        ("flight", "BIGINT"),
        ("carrier", "VARCHAR"),
        ("tailnum", "VARCHAR"),
        ("origin", "VARCHAR"),
        ("delay", "BIGINT"),
    ]


# What it is called.


def test_two_agreements_that_leave_the_same_share_one_extract(tmp_path):
    world = make_world(tmp_path / "home", "bts", CONSUMER, "ohio")
    with world.exchange:
        world.publish("bts.flights", FLIGHTS, key=("flight",))
        plain = {"masks": {"tailnum": "redact"}}
        first = world.sign(world.terms(**plain))
        second = world.sign(
            world.terms(purposes=["audit"], consumer_authority="Another", row_filter="origin   =  'JFK'", **plain), consumer="ohio"
        )
        assert extract_of(world, first) == extract_of(world, second)
        assert len([path for path in world.exchange.home.extracts.iterdir() if path.is_dir()]) == 1


def digest_with(world: World, **changes: Any) -> str:
    return world.exchange.disclose.extracts.digest(projection_of(world, world.sign(world.terms(**changes))))


def test_whatever_changes_the_rows_changes_the_name(flights):
    shared = {"linkage": True, "pseudonym_domain": "shared"}
    base = digest_with(flights, **shared)
    assert digest_with(flights, **shared) == base
    assert digest_with(flights, purposes=["another"], **shared) == base
    different = [
        digest_with(flights, linkage=True, pseudonym_domain="another"),
        digest_with(flights),
        digest_with(flights),
        digest_with(flights, columns=["flight", "carrier", "tailnum", "origin"], **shared),
        digest_with(flights, columns=["carrier", "flight", "tailnum", "origin", "delay"], **shared),
        digest_with(flights, row_filter="origin = 'LGA'", **shared),
        digest_with(flights, row_filter=None, **shared),
        digest_with(flights, masks={"tailnum": "redact"}, **shared),
        digest_with(flights, masks={"tailnum": "pseudonym", "carrier": "redact"}, **shared),
        digest_with(flights, masks={}, **shared),
        *(digest_with(flights, masks={"tailnum": mask}, **shared) for mask in ("null", "prefix(1)", "prefix(2)")),
        *(digest_with(flights, masks={"delay": mask}, **shared) for mask in ("round(-1)", "round(-2)", "bucket(0)", "bucket(0,1)")),
        *(
            digest_with(
                flights,
                masks={"carrier": "generalize(ours)"},
                code_lists={"ours": CodeListShape(codes=codes, otherwise=otherwise)},
                **shared,
            )
            for codes, otherwise in (
                ({"UA": "big"}, "small"),
                ({"UA": "large"}, "small"),
                ({"UA": "big", "AA": "big"}, "small"),
                ({"UA": "big"}, "other"),
            )
        ),
    ]
    flights.publish("bts.flights", FLIGHTS + b"8,AA,N1,JFK,MIA,33,1089.0,2013-01-03T11:00:00Z\n", null_words=())
    different.append(digest_with(flights, **shared))
    assert len({base, *different}) == 1 + len(different)


def test_a_domain_changes_no_name_where_nothing_is_pseudonymised(flights):
    names = {digest_with(flights, masks={"tailnum": "redact"}, linkage=True, pseudonym_domain=domain) for domain in ("one", "two", None)}
    assert len(names) == 1


def test_the_builder_and_the_manifest_are_part_of_the_name(flights):
    projection = projection_of(flights, flights.sign(flights.terms()))
    names = {
        projection.digest(builder="1"),
        projection.digest(builder="2"),
        replace(projection, manifest_sha256="00" * 32).digest(builder="1"),
    }
    assert len(names) == 3


# Masks.

TYPED = {
    "id": "integer",
    "word": "text",
    "whole": "integer",
    "other": "integer",
    "cents": "decimal(5,2)",
    "mills": "decimal(7,3)",
    "part": "decimal(3,3)",
    "flag": "boolean",
    "day": "date",
    "at": "timestamp",
    "wall": "datetime",
}
MASKED = tuple(TYPED)[1:]


def publish_typed(world: World, dataset: str, *rows: Sequence[str]) -> None:
    tables = {"text": "string", "integer": "integer", "boolean": "boolean", "date": "date", "timestamp": "datetime", "datetime": "datetime"}
    fields = [{"name": name, "type": tables.get(kind, "number"), "baybridge:type": kind} for name, kind in TYPED.items()]
    text = "\n".join([",".join(TYPED), *(",".join([str(number), *row]) for number, row in enumerate(rows))]) + "\n"
    world.publish(dataset, text.encode(), schema={"fields": fields, "primaryKey": ["id"], "missingValues": ["NA"]}, null_words=())


def masked(world: World, dataset: str, mask: str, domain: str | None) -> list[dict[str, str]]:
    terms = world.terms(
        dataset=dataset, columns=list(TYPED), row_filter=None, masks=dict.fromkeys(MASKED, mask), linkage=True, pseudonym_domain=domain
    )
    return [dict(zip(TYPED, row, strict=True)) for row in rows_of(extract_of(world, world.sign(terms)))]


ONE = ("1", "1", "1", "1.5", "1.500", "0.5", "true", "2024-01-31", "2024-01-31T12:00:00Z", "2024-01-31T12:00:00")
SAME = ("1", "1", "1", "1.50", "1.5", "0.500", "TRUE", "2024-01-31", "2024-01-31T07:00:00.000000-05:00", "2024-01-31 12:00")


def test_equal_typed_values_get_equal_pseudonyms_however_they_are_written(world):
    publish_typed(world, "bts.one", ONE, SAME)
    first, second = masked(world, "bts.one", "pseudonym", "shared")
    assert {name: first[name] for name in MASKED} == {name: second[name] for name in MASKED}


def test_a_value_is_the_same_in_columns_of_one_kind_and_another_in_those_of_others(world):
    publish_typed(world, "bts.one", ONE, ("true", "1", "1", "0.5", "1", "0", "true", "2024-01-31", ONE[8], ONE[9]))
    first, second = masked(world, "bts.one", "pseudonym", "shared")
    assert first["whole"] == first["other"]
    assert first["cents"] == first["mills"]
    assert second["cents"] == first["part"]
    assert len({first["word"], first["whole"], second["mills"]}) == 3
    assert second["word"] != second["flag"]
    assert first["at"] != first["wall"]
    assert second["part"] not in {first["part"], second["mills"]}


def test_pseudonyms_join_within_a_domain_and_nowhere_else(world):
    publish_typed(world, "bts.one", ONE)
    publish_typed(world, "bts.two", ("2", *ONE[1:]), SAME)
    [here] = masked(world, "bts.one", "pseudonym", "shared")
    there = masked(world, "bts.two", "pseudonym", "shared")[1]
    assert {name: here[name] for name in MASKED} == {name: there[name] for name in MASKED}
    others = [masked(world, "bts.one", "pseudonym", domain)[0] for domain in ("another", None, None)]
    for name in MASKED:
        assert len({here[name], *(other[name] for other in others)}) == 4


def test_consumers_have_domains_of_their_own_whatever_these_are_called(tmp_path):
    world = make_world(tmp_path / "home", "bts", CONSUMER, "ohio")
    with world.exchange:
        world.publish("bts.flights", FLIGHTS, key=("flight",))
        found = [
            {
                row[2]
                for row in rows_of(extract_of(world, world.sign(world.terms(linkage=True, pseudonym_domain="shared"), consumer=consumer)))
            }
            - {None}
            for consumer in (CONSUMER, "ohio")
        ]
        assert len(found[0]) == len(found[1]) == 3
        assert not found[0] & found[1]


def test_a_renewal_that_names_the_same_domain_has_the_same_pseudonyms(flights):
    def released(agreement: Agreement) -> dict[int, str]:
        return {row[0]: row[2] for row in rows_of(extract_of(flights, agreement))}

    def renewed(**domain: Any) -> list[dict[int, str]]:
        first = flights.sign(flights.terms(**domain))
        before = released(first)
        flights.exchange.agree.revoke(flights.person("bts", "steward"), first.id, "to be renewed")
        flights.publish("bts.flights", FLIGHTS, null_words=())
        return [before, released(flights.sign(flights.terms(**domain, row_filter=None, purposes=["audit"])))]

    before, after = renewed(linkage=True, pseudonym_domain="cohort")
    assert set(before) < set(after)
    assert {flight: after[flight] for flight in before} == before
    before, after = renewed()
    assert not {*before.values()} & {*after.values()} - {None}


def test_redaction_hides_nulls_and_a_pseudonym_keeps_them(world):
    publish_typed(world, "bts.one", ONE, ("NA",) * len(MASKED))
    redacted = masked(world, "bts.one", "redact", None)
    assert {row[name] for row in redacted for name in MASKED} == {"[redacted]"}
    pseudonyms = masked(world, "bts.one", "pseudonym", None)
    assert [[row[name] is None for name in MASKED] for row in pseudonyms] == [[False] * len(MASKED), [True] * len(MASKED)]


# How it is made.

BUILDER = """
import sys, time
from pathlib import Path
from baybridge.agreements import store
from baybridge.agreements.domains import unwrap_key
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING
from baybridge.exchange import Exchange
from baybridge.policy.projection import project

root, agreement, tally, pause = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
with Exchange.open(root) as exchange:
    with exchange.database.read() as connection:
        signed = store.find(connection, agreement)
        version = catalog.find_version(connection, catalog.require(connection, signed.dataset, EVERYTHING), 1)

    def unwrap(key_id):
        with tally.open("a") as file:
            file.write("x")
        time.sleep(pause)
        with exchange.database.read() as connection:
            return unwrap_key(connection, key_id, wrapping_key=exchange.keys.wrapping)

    print("ready", flush=True)
    sys.stdin.readline()
    found = exchange.disclose.extracts.find(project(signed.terms, version, domain_key=signed.domain_key), unwrap, wait=60)
    print(found.path.stat().st_ino, flush=True)
"""


def builder(world: World, agreement: Agreement, tally: Path, *, pause: float) -> subprocess.Popen[str]:
    """Another process on the same home that is ready to ask for the agreement's extract when it is told to.

    Each build unwraps the pseudonym key once, and leaves one character in `tally` before it goes on after `pause` seconds.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(world.root), agreement.id, str(tally), str(pause)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def let_go(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait(timeout=30)


@pytest.mark.slow
def test_threads_and_processes_that_ask_at_once_share_one_build(flights, tmp_path):
    signed = flights.sign(flights.terms())
    projection = projection_of(flights, signed)
    tally = tmp_path / "tally"

    def unwrap(key_id: str) -> bytes:
        with tally.open("a") as file:
            file.write("x")
        time.sleep(0.5)
        return key_of(flights, key_id)

    processes = [builder(flights, signed, tally, pause=0.5) for _ in range(3)]
    together = threading.Barrier(8 + 1)

    def ask() -> int:
        together.wait()
        return flights.exchange.disclose.extracts.find(projection, unwrap, wait=60).path.stat().st_ino

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask) for _ in range(8)]
        together.wait()
        for process in processes:
            tell(process)
        found = [each.result() for each in asked]
    found += [int(process.stdout.readline()) for process in processes if process.stdout is not None]
    for process in processes:
        let_go(process)
    assert len(found) == 11
    assert len(set(found)) == 1
    assert tally.read_text() == "x"


def many_flights(count: int) -> bytes:
    rows = (f"{number},{marker()},JFK" for number in range(count))
    return ("flight,tailnum,origin\n" + "\n".join(rows) + "\n").encode()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the first row", "amid the rows"])
def test_what_a_killed_builder_leaves_is_never_served(world, tmp_path, moment):
    rows = 200_000
    world.publish("bts.flights", many_flights(rows), key=("flight",))
    signed = world.sign(world.terms(columns=["tailnum", "origin"], row_filter=None))
    digest = world.exchange.disclose.extracts.digest(projection_of(world, signed))
    making = world.exchange.home.extracts / f"{digest}.making"
    tally = tmp_path / "tally"
    process = builder(world, signed, tally, pause=60 if moment == "before the first row" else 0)
    tell(process)
    begun = tally if moment == "before the first row" else making / "serve.duckdb"
    deadline = time.monotonic() + 30
    while not begun.exists():  # without a pause: a build is short
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    let_go(process)
    assert process.returncode == -signal.SIGKILL
    assert making.exists()
    assert not (world.exchange.home.extracts / digest).exists()
    extract = extract_of(world, signed)
    assert extract.sha256 == digest
    assert len(rows_of(extract)) == rows
    assert not making.exists()


def test_a_build_that_fails_leaves_nothing_and_the_next_one_works(flights):
    signed = flights.sign(flights.terms())
    projection = projection_of(flights, signed)
    extracts = flights.exchange.disclose.extracts

    def unwrap(key_id: str) -> bytes:
        raise Corrupt("corrupt", f"{key_id} is gone.")

    for _ in range(2):
        with pytest.raises(Corrupt, match="is gone"):
            extracts.find(projection, unwrap, wait=60)
    assert [path.suffix for path in flights.exchange.home.extracts.iterdir()] == [".lock"]
    assert len(rows_of(extract_of(flights, signed))) == 5


def test_an_extract_whose_objects_are_gone_is_not_made(flights):
    signed = flights.sign(flights.terms())
    projection = projection_of(flights, signed)
    for each in projection.objects:
        path = flights.exchange.home.objects / each[:2] / each
        path.rename(path.with_suffix(".away"))
    with pytest.raises(duckdb.IOException):
        extract_of(flights, signed)
    assert [path.suffix for path in flights.exchange.home.extracts.iterdir()] == [".lock"]


def test_a_request_that_waited_long_enough_is_sent_away_and_the_build_goes_on(flights):
    signed = flights.sign(flights.terms())
    projection = projection_of(flights, signed)
    extracts = flights.exchange.disclose.extracts
    goes_on = threading.Event()

    def unwrap(key_id: str) -> bytes:
        assert goes_on.wait(30)
        return key_of(flights, key_id)

    for _ in range(2):
        with pytest.raises(Unavailable) as building:
            extracts.find(projection, unwrap, wait=0.05)
        assert (building.value.code, building.value.retry_after) == ("extract_building", 2)
    goes_on.set()
    digest = extracts.digest(projection)
    wait_until((flights.exchange.home.extracts / digest / "serve.duckdb").exists, seconds=30)
    assert len(rows_of(extract_of(flights, signed))) == 5


def test_an_extract_is_never_written_after_it_was_made(flights):
    signed = flights.sign(flights.terms())
    extract = extract_of(flights, signed)
    before = (extract.path.stat().st_ino, extract.path.stat().st_mtime_ns, hashlib.sha256(extract.path.read_bytes()).hexdigest())
    types = projection_of(flights, signed).types
    engine = flights.exchange.disclose.engine
    for limit in (1, 3, 100):
        engine.page(extract, types, Question(("flight", "tailnum"), None, (SortKey("tailnum", descending=True),), limit), Stop())
    assert extract_of(flights, signed) == extract
    after = (extract.path.stat().st_ino, extract.path.stat().st_mtime_ns, hashlib.sha256(extract.path.read_bytes()).hexdigest())
    assert before == after
    assert [path.name for path in extract.path.parent.iterdir()] == ["serve.duckdb"]


# The engine that reads it.

ESCAPES = {
    "read a file": "SELECT count(content) FROM read_text('{csv}')",
    "read a CSV": "SELECT * FROM read_csv('{csv}')",
    "read a file by its name": "SELECT * FROM '{csv}'",
    "read the version's own objects": "SELECT count(*) FROM read_parquet('{object}')",
    "read the memory of the process": "SELECT count(content) FROM read_blob('/proc/self/environ')",
    "list files": "SELECT * FROM glob('{root}/**')",
    "guess at a file": "SELECT * FROM sniff_csv('{csv}')",
    "read a Parquet footer": "SELECT count(*) FROM parquet_metadata('{object}')",
    "attach another extract": "ATTACH '{other}' AS other (READ_ONLY)",
    "attach the catalog": "ATTACH '{root}/catalog.sqlite' AS other",
    "attach a new file": "ATTACH '{root}/new.duckdb' AS other",
    "attach the extract to write": "ATTACH '{extract}' AS again",
    "write a file": "COPY (SELECT 1) TO '{root}/new.csv'",
    "write all": "EXPORT DATABASE '{root}/new'",
    "read all": "IMPORT DATABASE '{root}/new'",
    "write to the extract": "INSERT INTO extract.items SELECT * FROM extract.items",
    "delete from the extract": "DELETE FROM extract.items",
    "drop the extract's table": "DROP TABLE extract.items",
    "make a table in the extract": "CREATE TABLE extract.more (a INTEGER)",
    "make a view in the extract": "CREATE VIEW extract.more AS SELECT 1",
    "allow files again": "SET enable_external_access = true",
    "allow settings again": "SET lock_configuration = false",
    "change the time zone": "SET TimeZone = 'Asia/Tokyo'",
    "reset a setting": "RESET threads",
    "take more memory": "SET GLOBAL memory_limit = '9GB'",
    "spill to a folder": "SET temp_directory = '{root}'",
    "profile": "PRAGMA enable_profiling",
    "log": "CALL enable_logging()",
    "install an extension": "INSTALL httpfs",
    "load an extension": "LOAD httpfs",
    "keep a secret": "CREATE SECRET kept (TYPE s3)",
    "look into the program": "SELECT * FROM ESCAPES",
    "read the environment": "SELECT getenv('HOME')",
}


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Extract, Extract, Engine]]:
    """Two extracts, and an engine whose one instance is the first's: every attempt is made on what the ones before have left."""
    world = make_world(tmp_path_factory.mktemp("pooled") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    first = extract_of(world, world.sign(world.terms()))
    second = extract_of(world, world.sign(world.terms(row_filter="origin = 'EWR'")))
    engine = Engine(memory_limit="256MB")
    yield world, first, second, engine
    engine.close()
    world.exchange.close()


def escape(attempt: str, world: World, extract: Extract, other: Extract) -> str:
    table = world.root / "table.csv"
    table.write_text("a,b\n1,2\n")
    [stored] = [path for path in world.exchange.home.objects.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"PAR1"]
    return ESCAPES[attempt].format(csv=table, object=stored, other=other.path, extract=extract.path, root=world.root)


@pytest.mark.parametrize("attempt", ESCAPES)
def test_the_confined_engine_reaches_nothing_but_its_extract(pooled, attempt):
    world, extract, other, engine = pooled
    text = escape(attempt, world, extract, other)
    before, started = extract.path.read_bytes(), time.time_ns()
    with engine._cursor(extract) as cursor:
        with pytest.raises(duckdb.Error):
            cursor.execute(text).fetchall()
        assert cursor.execute("SELECT count(*) FROM extract.items").fetchall() == [(5,)]
        assert settings_of(cursor) == ("false", "true", "UTC", "2", "")
    assert extract.path.read_bytes() == before
    assert not [path for path in world.root.glob("new*") if path.stat().st_mtime_ns > started]


def settings_of(cursor: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    names = ("enable_external_access", "lock_configuration", "TimeZone", "threads", "temp_directory")
    return tuple(cursor.execute("SELECT current_setting(?)::VARCHAR", [name]).fetchall()[0][0] for name in names)


@pytest.mark.slow
def test_most_escapes_work_in_an_engine_that_is_not_confined(pooled):
    """That they are refused above is the confinement's doing, and not a mistake in how they are written."""
    world, extract, other, _ = pooled
    local = {"install an extension", "load an extension", "keep a secret"}
    assert {
        attempt for attempt in ESCAPES if attempt not in local and not works_freely(escape(attempt, world, extract, other), extract)
    } <= {
        *("allow files again", "attach the catalog", "attach the extract to write", "write to the extract", "delete from the extract"),
        *("drop the extract's table", "make a table in the extract", "make a view in the extract"),
        *("look into the program", "read the environment", "read all"),
    }


def works_freely(text: str, extract: Extract) -> bool:
    with duckdb.connect() as free:
        free.execute(f"ATTACH '{extract.path}' AS extract (READ_ONLY)")
        try:
            free.execute(text).fetchall()
        except duckdb.Error:
            return False
    return True


# Stopping.

TEXT = ColumnType.parse("text")


@pytest.fixture(scope="module")
def long_extract(tmp_path_factory: pytest.TempPathFactory) -> Extract:
    """An extract of three million rows whose texts differ only behind their first forty characters."""
    path = tmp_path_factory.mktemp("long") / "serve.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE items AS SELECT i AS _row, repeat('a', 40) || (i % 1000) AS a FROM range(3000000) r(i)")
    return Extract("ab" * 32, path)


def long_question() -> Question:
    """A question of our own tree that takes seconds: no row fits any of four thousand conditions."""
    bounds = [f"{'a' * 40}{number}" for number in range(1000, 5000)]
    conditions = [cql2.Between(cql2.Property("a"), f"{bound}b", f"{bound}c") for bound in bounds]
    return Question(("a",), cql2.disjunction(conditions), (SortKey("a", descending=True),), 10)


def short_question() -> Question:
    return Question(("a",), cql2.parse(f"a = '{'a' * 40}7'"), (), 2)


def stopped(work: Callable[[Stop], object]) -> None:
    """Assert that the work ends with query_limit when it is stopped after a while, again and again as a request's clock does."""
    stop, ended = Stop(), threading.Event()

    def fire() -> None:
        while not ended.wait(0.2):
            stop.fire()

    firing = threading.Thread(target=fire)
    firing.start()
    try:
        with pytest.raises(Unavailable) as limit:
            work(stop)
    finally:
        ended.set()
        firing.join()
    assert limit.value.code == "query_limit"


@pytest.mark.slow
def test_a_stopped_question_gives_query_limit_and_the_next_one_works(long_extract):
    engine = Engine(memory_limit="512MB")
    try:
        expected = [("a" * 40 + "7",)] * 2
        assert list(engine.page(long_extract, {"a": TEXT}, short_question(), Stop()).rows) == expected
        instance = engine._instances[long_extract.sha256]
        for _ in range(3):
            stopped(lambda stop: engine.page(long_extract, {"a": TEXT}, long_question(), stop))
            assert list(engine.page(long_extract, {"a": TEXT}, short_question(), Stop()).rows) == expected
        assert engine._instances == {long_extract.sha256: instance}
        assert instance.users == 0
    finally:
        engine.close()


@pytest.mark.slow
def test_stopping_one_question_leaves_another_on_the_same_extract_alone(long_extract):
    engine = Engine(memory_limit="512MB")
    try:
        with ThreadPoolExecutor(1) as beside:
            running = [
                beside.submit(engine.page, long_extract, {"a": TEXT}, short_question(), Stop()),
                *(beside.submit(engine.page, long_extract, {"a": TEXT}, short_question(), Stop()) for _ in range(20)),
            ]
            stopped(lambda stop: engine.page(long_extract, {"a": TEXT}, long_question(), stop))
            assert all(len(each.result().rows) == 2 for each in running)
    finally:
        engine.close()


def test_a_question_that_was_stopped_before_it_began_does_not_run(flights):
    signed = flights.sign(flights.terms())
    extract, types = extract_of(flights, signed), projection_of(flights, signed).types
    engine = flights.exchange.disclose.engine
    question = Question(("flight",), None, (), 10)
    stop = Stop()
    stop.fire()
    for _ in range(2):
        with pytest.raises(Unavailable) as limit:
            engine.page(extract, types, question, stop)
        assert limit.value.code == "query_limit"
    assert len(engine.page(extract, types, question, Stop()).rows) == 5


def sending_with(*, seconds: float) -> Sending:
    crew = Crew.of(2, places=2, name="test")
    return Sending(crew, Watchers(crew.threads, crew.threads), seconds, 600)


@pytest.mark.slow
def test_a_question_over_its_time_limit_is_stopped(long_extract):
    """By the way that every request takes: a thread, a clock, and a client that stays."""
    engine = Engine(memory_limit="512MB")

    async def stays() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    def ask(stop: Stop) -> Answer:
        engine.page(long_extract, {"a": TEXT}, long_question(), stop)
        raise AssertionError("it was not stopped")

    try:
        with pytest.raises(Unavailable) as limit:
            asyncio.run(answering(HttpRequest({"type": "http"}, stays), ask, sending=sending_with(seconds=0.3)))
        assert limit.value.code == "query_limit"
    finally:
        engine.close()


@pytest.mark.slow
def test_a_question_whose_client_left_is_stopped(long_extract):
    engine = Engine(memory_limit="512MB")

    async def leaves() -> dict[str, object]:
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    def ask(stop: Stop) -> Answer:
        engine.page(long_extract, {"a": TEXT}, long_question(), stop)
        raise AssertionError("it was not stopped")

    try:
        with pytest.raises(Unavailable) as limit:
            asyncio.run(answering(HttpRequest({"type": "http"}, leaves), ask, sending=sending_with(seconds=600)))
        assert limit.value.code == "query_limit"
    finally:
        engine.close()


def test_revoking_drops_the_references_to_extracts(flights):
    signed = flights.sign(flights.terms())
    with flights.exchange.database.write() as connection:
        assert store.refer_to_extract(connection, signed, extract_of(flights, signed).sha256, now=signed.created)
    count = "SELECT count(*) FROM extract_references"
    with flights.exchange.database.read() as connection:
        assert connection.exec_driver_sql(count).scalar() == 1
    flights.exchange.agree.revoke(flights.person("bts", "steward"), signed.id, "over")
    with flights.exchange.database.read() as connection:
        assert connection.exec_driver_sql(count).scalar() == 0

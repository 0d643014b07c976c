"""Publishing: a version is whole or not there, is what was uploaded, and never changes; what does not fit blocks and leaves no trace."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import FLIGHTS, ROLES, Server, World, make_world, serving, wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING, Access, Version
from baybridge.catalog.schema import parse_table_schema
from baybridge.disclose import Ask, Encodable, Request, Stop
from baybridge.errors import BaybridgeError, Unavailable
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Principal
from baybridge.publish import Declaration, Publication, Upload

FLIGHTS_NAME = DatasetName("bts", "flights")
BIG_ROWS = 2_600_000

PUBLISH_BIG = """
import hashlib, sys
from pathlib import Path
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Upload

rows, block = int(sys.argv[2]), 20_000
digest, sent = hashlib.sha256(), 0

def chunks():
    global sent
    yield from map(count, [b"number,code,city,measured,amount,remark\\n"])
    for start in range(rows, 0, -block):  # the key falls, so that clustering has all of it to do
        numbers = range(start, max(start - block, 0), -1)
        lines = [
            f"{n},{n * 7919 % 1000003:07d},city {n % 977},2026-01-{n % 28 + 1:02d},{n % 100000}.{n % 100:02d},"
            f"{n * 2654435761 % 4294967296:010d} a remark that is there to make the rows as wide as people's rows are\\n"
            for n in numbers
        ]
        yield count("".join(lines).encode())

def count(chunk):
    global sent
    digest.update(chunk)
    sent += len(chunk)
    return chunk

with Exchange.open(Path(sys.argv[1]), flags={"build_memory": "256MB"}) as exchange:
    name = DatasetName("bts", "big")
    exchange.publish.declare(LOCAL_OPERATOR, name, Declaration())
    published = exchange.publish.publish(LOCAL_OPERATOR, name, Upload(chunks(), ("",), ("number",), True, False))
assert published.source.sha256 == digest.hexdigest()
print(sent, published.version, published.rows_loaded)
"""

PUBLISH_ONE = """
import sys
from pathlib import Path
from baybridge.errors import BaybridgeError
from baybridge.exchange import Exchange
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Upload

with Exchange.open(Path(sys.argv[1])) as exchange:
    print("ready", flush=True)
    sys.stdin.readline()
    for word in sys.argv[2:]:
        lines = ["number,word"] + [f"{number},{word}" for number in range(1, 501)]
        try:
            upload = Upload(["\\n".join(lines).encode()], ("",), (), False, False)
            print(word, exchange.publish.publish(LOCAL_OPERATOR, DatasetName("bts", "raced"), upload).version)
        except BaybridgeError as error:
            print(word, error.code)
"""


def who(world: World, name: str) -> Principal:
    return LOCAL_OPERATOR if name == "operator" else world.person(*name.split())


def send(world: World, chunks: Iterable[bytes] | bytes, *, name: DatasetName = FLIGHTS_NAME, **changes: Any) -> Publication:
    """Publish as the steward, saying nothing but the bytes unless told more."""
    asked: dict[str, Any] = {"null_words": (), "key": (), "accept_schema": False, "dry_run": False, **changes}
    upload = Upload(chunks=[chunks] if isinstance(chunks, bytes) else chunks, **asked)
    return world.exchange.publish.publish(world.person(name.organization, "steward"), name, upload)


def declare(world: World, name: DatasetName, **said: Any) -> None:
    world.exchange.publish.declare(world.person(name.organization, "steward"), name, Declaration(**said))


def refused(act: Callable[[], object]) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as error:
        act()
    return error.value


def files(root: Path) -> dict[str, str]:
    """Every file of the home but the database's, by its digest; the scratch folder keeps its lock."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("catalog.sqlite") and path != root / "scratch" / "lock"
    }


def left_in_scratch(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "scratch").iterdir() if path.name != "lock")


def versions(world: World, name: DatasetName = FLIGHTS_NAME) -> dict[int, Version]:
    with world.exchange.database.read() as connection:
        dataset = catalog.require(connection, name, EVERYTHING)
        return {number: catalog.find_version(connection, dataset, number) for number in range(dataset.last, 0, -1)}


def objects(world: World, version: Version) -> list[Path]:
    return [world.root / "objects" / each.sha256[:2] / each.sha256 for each in version.manifest.objects]


def parquet(world: World, version: Version) -> list[tuple[Any, ...]]:
    """The rows of a version's objects in the order of its manifest, by DuckDB alone."""
    engine = duckdb.connect(":memory:")
    try:
        return [
            row
            for path in objects(world, version)
            for row in engine.execute("SELECT columns(*)::VARCHAR FROM read_parquet(?)", [str(path)]).fetchall()
        ]
    finally:
        engine.close()


def read(world: World, version: int | None, *, name: DatasetName = FLIGHTS_NAME) -> tuple[int, list[list[Any]]]:
    """What the one door gives a steward of the owner: the version's number and its rows."""

    def encode(encodable: Encodable) -> bytes:
        return json.dumps([encodable.version, encodable.page.rows], default=str).encode()

    request = Request(
        ask=Ask(dataset=name, columns=(), row_filter=None, purpose=None, agreement=None),
        version=version,
        sort=(),
        limit=10_000,
        after=None,
        cursor_extract=None,
        known=frozenset(),
        representation="test",
        channel="test",
        encode=encode,
    )
    while True:
        try:
            answer = world.exchange.disclose.read(request, world.person(name.organization, "steward"), Stop())
        except Unavailable:
            continue
        assert answer.body is not None
        number, rows = json.loads(answer.body)
        return number, rows


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


# --- a version is what was uploaded, and stays so ---


def test_a_file_of_the_same_bytes_as_the_version_before_is_told_and_published_all_the_same(flights: World) -> None:
    other = FLIGHTS.replace(b"73", b"74").replace(b"UA", b"UB")
    first, again, changed, back = (flights.publish("bts.same", data, key=("flight",)) for data in (FLIGHTS, FLIGHTS, other, FLIGHTS))
    assert [each.version for each in (first, again, changed, back)] == [1, 2, 3, 4]
    assert [each.same_file_as for each in (first, again, changed, back)] == [None, 1, None, None]


def test_versions_are_numbered_from_one_and_an_old_one_reads_the_same_for_good(flights: World) -> None:
    first, kept = read(flights, None), files(flights.root)
    assert first[0] == 1
    assert [row[0] for row in first[1]] == [1, 2, 3, 4, 5, 6, 7]
    for number in (2, 3):
        more = "".join(f"{each},UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n" for each in range(8, 8 + number)).encode()
        assert send(flights, FLIGHTS + more).version == number
        assert read(flights, 1) == first
        assert read(flights, None) == read(flights, number)
        assert len(read(flights, number)[1]) == 7 + number
    assert list(versions(flights)) == [3, 2, 1]
    assert kept.items() <= files(flights.root).items()
    assert refused(lambda: read(flights, 4)).code == "not_found"


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    "data", [FLIGHTS, FLIGHTS.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + FLIGHTS, FLIGHTS.rstrip(b"\n"), FLIGHTS.replace(b"UA", b'"UA"')]
)
def test_the_original_is_kept_byte_for_byte_however_it_arrived(flights: World, data: bytes, size: int) -> None:
    published = send(flights, [data[start : start + size] for start in range(0, len(data), size)])
    digest = hashlib.sha256(data).hexdigest()
    manifest = versions(flights)[published.version or 0].manifest
    assert (published.source.sha256, published.source.size) == (digest, len(data))
    assert (manifest.original_sha256, manifest.original_size) == (digest, len(data))
    kept = flights.root / "objects" / digest[:2] / digest
    assert kept.read_bytes() == data
    assert not stat.S_IMODE(kept.stat().st_mode) & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def test_every_object_has_the_name_of_its_bytes_and_cannot_be_written(flights: World) -> None:
    send(flights, FLIGHTS)
    for path in (flights.root / "objects").rglob("*"):
        if path.is_file():
            assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()
            assert path.parent.name == path.name[:2]
            assert not stat.S_IMODE(path.stat().st_mode) & 0o222


def test_the_manifest_counts_rows_and_nulls_and_knows_least_and_greatest(flights: World) -> None:
    version = versions(flights)[1]
    (entry,) = version.manifest.objects
    (path,) = objects(flights, version)
    assert (entry.rows, version.manifest.rows, entry.size) == (7, 7, path.stat().st_size)
    as_number = {"flight": int, "delay": int, "distance": float}
    for statistics in entry.statistics:
        column = [row[statistics.name] for row in cells(FLIGHTS)]
        values = [value for value in column if value not in ("", "NA")]
        key: Callable[[str], Any] = as_number.get(statistics.name, str)
        assert statistics.nulls == len(column) - len(values)
        least, greatest = min(values, key=key), max(values, key=key)
        if statistics.name == "departed":
            least, greatest = (text.replace("T", " ").replace("Z", "+00") for text in (least, greatest))
        assert (statistics.least, statistics.greatest) == (least, greatest)
    assert [statistics.name for statistics in entry.statistics] == list(cells(FLIGHTS)[0])


def test_a_column_without_values_has_no_least_and_no_greatest(world: World) -> None:
    world.publish("bts.empty", b"a,b\n,1\n,2\n")
    (entry,) = versions(world, DatasetName("bts", "empty"))[1].manifest.objects
    assert [(each.nulls, each.least, each.greatest) for each in entry.statistics] == [(2, None, None), (0, "1", "2")]


def test_a_file_without_rows_is_a_version_without_rows(flights: World) -> None:
    assert send(flights, FLIGHTS.partition(b"\n")[0] + b"\n").version == 2
    assert versions(flights)[2].manifest.rows == 0
    assert read(flights, None) == (2, [])


@pytest.mark.parametrize(
    ("key", "order"),
    [
        (("number",), lambda row: int(row["number"])),
        (("word", "number"), lambda row: (row["word"].encode(), int(row["number"]))),
        (("day", "word", "number"), lambda row: (row["day"], row["word"].encode(), int(row["number"]))),
    ],
)
def test_rows_are_clustered_by_the_declared_key(world: World, key: tuple[str, ...], order: Callable[[dict[str, str]], Any]) -> None:
    chance = random.Random(7)
    numbers = chance.sample(range(-50_000, 50_000), 3_000)
    lines = [f"{n},{chance.choice('aZ9éß~')},2026-0{chance.randint(1, 9)}-11" for n in numbers]
    data = "\n".join(["number,word,day", *lines]).encode()
    world.publish("bts.sorted", data, key=key)
    got = parquet(world, versions(world, DatasetName("bts", "sorted"))[1])
    assert got == [tuple(row.values()) for row in sorted(cells(data), key=order)]
    assert got != [tuple(row.values()) for row in cells(data)]


def test_without_a_key_rows_stay_in_the_order_of_the_file(world: World) -> None:
    chance = random.Random(7)
    data = "\n".join(["number", *(str(chance.randint(0, 10**9)) for _ in range(5_000))]).encode()
    world.publish("bts.unsorted", data)
    assert parquet(world, versions(world, DatasetName("bts", "unsorted"))[1]) == [tuple(row.values()) for row in cells(data)]


def test_the_same_upload_again_is_a_new_version_of_the_same_objects(flights: World) -> None:
    kept = files(flights.root)
    assert send(flights, FLIGHTS).version == 2
    one, two = versions(flights)[1], versions(flights)[2]
    assert one.manifest == two.manifest
    assert files(flights.root) == kept


def test_columns_in_another_order_are_the_same_version(flights: World) -> None:
    rows = [line.split(b",") for line in FLIGHTS.splitlines()]
    send(flights, b"\n".join(b",".join(reversed(row)) for row in rows))
    assert versions(flights)[2].manifest.objects == versions(flights)[1].manifest.objects


def test_the_entry_tells_what_was_published_and_no_cell(flights: World) -> None:
    published = send(flights, FLIGHTS)
    assert published.entry is not None
    ((_, data),) = flights.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=published.entry, limit=1).entries
    entry, manifest = json.loads(data), versions(flights)[2].manifest
    facts = {"kind": "publication", "dataset": "bts.flights", "version": 2, "rows": 7}
    digests = {"manifest_sha256": manifest.digest(), "original_sha256": hashlib.sha256(FLIGHTS).hexdigest()}
    assert (facts | digests).items() <= entry.items()
    assert entry["actor"] == {"organization": "bts", "principal": flights.person("bts", "steward").id}
    assert not any(cell in data.decode() for cell in ("N14228", "N24211", "1400.5"))


@pytest.mark.parametrize("folder", ["two words", "o'brien", "50%20", "a;b", "$path", "{a,b}", "flight=9", "year=2024"])
def test_a_home_in_a_folder_of_any_name_publishes_and_reads(tmp_path: Path, folder: str) -> None:
    world = make_world(tmp_path / folder / "home", "bts")
    try:
        world.publish("bts.flights", FLIGHTS, key=("flight",))
        assert [row[:2] for row in read(world, None)[1]] == [[int(row["flight"]), row["carrier"]] for row in cells(FLIGHTS)]
        assert [each.least for each in versions(world)[1].manifest.objects[0].statistics][:2] == ["1", "AA"]
    finally:
        world.exchange.close()


# --- what does not fit blocks ---


def test_a_later_upload_with_other_columns_is_refused_and_leaves_no_trace(flights: World) -> None:
    database, kept = flights.stored(), files(flights.root)
    for header, names in (
        (b"flight,carrier,tailnum,origin,dest,delay,distance", ["departed"]),
        (b"flight,carrier,tailnum,origin,dest,delay,distance,departed,gate", ["gate"]),
        (b"flight,carrier,tailnum,origin,dest,Delay,distance,departed", ["delay", "Delay"]),
    ):
        row = b"\n" + b",".join([b"1"] * header.count(b",")) + b",1\n"
        for dry_run in (False, True):
            error = refused(lambda header=header, row=row, dry_run=dry_run: send(flights, header + row, dry_run=dry_run))
            assert error.code == "schema_invalid"
            assert [place.parameter for place in error.places] == names
    assert error.places[0].hint == "Did you mean 'Delay'?"
    assert (flights.stored(), files(flights.root), left_in_scratch(flights.root)) == (database, kept, [])


@pytest.mark.parametrize(
    ("line", "column", "rule"),
    [
        (b"8.5,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z", "flight", "not_integer"),
        (b",UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z", "flight", "key_missing"),
        (b"1,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z", "flight", "key_repeated"),
        (b"8,UA,N1,JFK,IAH,late,1.5,2013-01-01T10:00:00Z", "delay", "not_integer"),
        (b"8,UA,N1,JFK,IAH,0,1.5,01/02/2013", "departed", "not_timestamp"),
        (b"8,UA,N1", None, "missing_columns"),
    ],
)
def test_one_row_that_does_not_fit_blocks_all_and_leaves_no_trace_but_its_rejects(
    flights: World, line: bytes, column: str | None, rule: str
) -> None:
    database, kept = flights.stored(), files(flights.root)
    report = send(flights, FLIGHTS + line + b"\n")
    assert (report.version, report.entry) == (None, None)
    assert report.rows_rejected >= 1
    assert report.rows_read == report.rows_loaded + report.rows_rejected == 8
    assert (column, rule) in {(reject.column, reject.rule) for reject in report.rejects}
    assert 8 in {reject.row for reject in report.rejects}
    left = [line for line in flights.stored() if not line.startswith("refused_uploads:")]
    (rejects,) = files(flights.root).items() - kept.items()
    assert rejects[0] == f"objects/{rejects[1][:2]}/{rejects[1]}"
    assert (left, files(flights.root).keys() - {rejects[0]}, left_in_scratch(flights.root)) == (database, kept.keys(), [])
    assert read(flights, None)[0] == 1


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A dataset of which one column is a whole number and the other required."""
    world = make_world(tmp_path_factory.mktemp("typed") / "home", "bts")
    fields = [{"name": "n", "type": "integer"}, {"name": "t", "type": "string", "constraints": {"required": True}}]
    world.publish("bts.typed", b"n,t\n1,a\n", schema={"fields": fields, "missingValues": ["", "NA"]})
    yield world
    world.exchange.close()


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["1", "-5", "", "NA", "007", "1.0", "x", "9223372036854775808"]), st.sampled_from(["a", "", "NA"])),
        max_size=30,
    )
)
def test_rows_read_are_rows_loaded_and_rows_rejected(typed: World, rows: list[tuple[str, str]]) -> None:
    data = "".join(f"{n},{t}\n" for n, t in [("n", "t"), *rows]).encode()
    report = send(typed, data, name=DatasetName("bts", "typed"), dry_run=True)
    bad = [number for number, (n, t) in enumerate(rows, start=1) if t != "a" or n not in ("1", "-5", "", "NA")]
    counted = {number for number in bad if rows[number - 1] != ("", "")}
    assert report.rows_read == len(rows)
    assert report.rows_rejected == len(bad)
    assert report.rows_loaded == len(rows) - len(bad)
    assert {reject.row for reject in report.rejects} >= counted


def test_a_file_that_is_no_csv_is_refused_and_leaves_no_trace(flights: World) -> None:
    database, kept = flights.stored(), files(flights.root)
    for data in (b"", b"\xff\xfea", b'a,b\n"unclosed,1\n', b"a,a\n1,2\n", b"PK\x03\x04\x00\x00"):
        assert refused(lambda data=data: send(flights, data)).code == "file_unreadable"
    assert (flights.stored(), files(flights.root), left_in_scratch(flights.root)) == (database, kept, [])


# --- a dry run, and the first version's schema ---


def test_a_dry_run_reports_and_writes_nothing(flights: World) -> None:
    database, kept = flights.stored(), files(flights.root)
    good = send(flights, FLIGHTS, dry_run=True)
    assert (good.version, good.entry, good.rows_read, good.rows_loaded, good.rows_rejected) == (None, None, 7, 7, 0)
    bad = send(flights, FLIGHTS + b"x,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n", dry_run=True)
    assert (bad.version, bad.rows_rejected) == (None, 1)
    assert (flights.stored(), files(flights.root), left_in_scratch(flights.root)) == (database, kept, [])


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("accept_schema", [True, False])
def test_a_dry_run_of_a_first_version_proposes_a_schema_and_fixes_none(world: World, *, declared: bool, accept_schema: bool) -> None:
    if declared:
        declare(world, FLIGHTS_NAME)
    database, kept = world.stored(), files(world.root)
    report = send(world, FLIGHTS, null_words=("", "NA"), key=("flight",), accept_schema=accept_schema, dry_run=True)
    assert {name: str(kind) for name, kind in report.schema.types.items()} == {
        "flight": "integer",
        "carrier": "text",
        "tailnum": "text",
        "origin": "text",
        "dest": "text",
        "delay": "integer",
        "distance": "decimal(18,1)",
        "departed": "timestamp",
    }
    assert report.schema.key == ("flight",)
    assert (world.stored(), files(world.root), left_in_scratch(world.root)) == (database, kept, [])


def test_a_first_version_needs_a_schema_that_somebody_confirmed(world: World) -> None:
    declare(world, FLIGHTS_NAME)
    database, kept = world.stored(), files(world.root)
    error = refused(lambda: send(world, FLIGHTS, null_words=("", "NA")))
    assert (error.code, error.facts.status) == ("schema_unconfirmed", 409)
    assert error.advice.next_command == "baybridge publish bts.flights FILE --dry-run"
    assert (world.stored(), files(world.root), left_in_scratch(world.root)) == (database, kept, [])
    assert send(world, FLIGHTS, null_words=("", "NA"), accept_schema=True).version == 1
    assert send(world, FLIGHTS).version == 2, "the confirmed schema is the contract, and nothing is to be confirmed again"


def test_a_given_schema_is_the_contract_of_the_first_version_too(world: World) -> None:
    schema = parse_table_schema({"fields": [{"name": "code", "type": "string"}, {"name": "n", "type": "integer"}], "primaryKey": "code"})
    name = DatasetName("bts", "codes")
    declare(world, name, schema=schema)
    assert send(world, b"code,n\n007,1\n7,2\n", name=name).version == 1
    assert [row[:2] for row in read(world, 1, name=name)[1]] == [["007", 1], ["7", 2]]
    assert send(world, b"code,n\n1,one\n", name=name).rows_rejected == 1


def test_an_undeclared_dataset_takes_no_version(world: World) -> None:
    database = world.stored()
    assert refused(lambda: send(world, FLIGHTS, accept_schema=True)).code == "not_found"
    assert (world.stored(), left_in_scratch(world.root)) == (database, [])


def test_an_upload_says_nothing_of_key_and_null_words_or_what_the_schema_says(flights: World) -> None:
    for agreeing in ({}, {"key": ("flight",)}, {"null_words": ("NA",)}, {"null_words": ("", "NA")}, {"null_words": ("",)}):
        assert send(flights, FLIGHTS, dry_run=True, **agreeing).rows_loaded == 7
    for other in ({"key": ("carrier",)}, {"key": ("flight", "carrier")}, {"null_words": ("-",)}, {"null_words": ("", "NA", "n/a")}):
        error = refused(lambda other=other: send(flights, FLIGHTS, **other))
        assert error.code == "schema_is_contract"
        assert error.advice.next_step
    assert list(versions(flights)) == [1]


@pytest.mark.parametrize("null_words", [[], ["NA"], ["", "NA"]])
def test_the_empty_word_is_never_asked_for(world: World, null_words: list[str]) -> None:
    name = DatasetName("bts", "words")
    declare(world, name, schema=parse_table_schema({"fields": [{"name": "w", "type": "string"}], "missingValues": null_words}))
    send(world, b'w\n""\nNA\nx\n', name=name, null_words=("",))
    wanted = [None if word in null_words else word for word in ("", "NA", "x")]
    assert {row[0] for row in read(world, 1, name=name)[1]} == set(wanted)


@pytest.mark.parametrize(("access", "other"), [(Access.PUBLIC, Access.AGREEMENT), (Access.AGREEMENT, Access.PUBLIC)])
def test_access_is_fixed_by_the_first_version(world: World, access: Access, other: Access) -> None:
    name = DatasetName("bts", "mended")

    def now() -> Access:
        return world.exchange.catalog.describe(LOCAL_OPERATOR, name).dataset.access

    declare(world, name)
    assert now() is Access.AGREEMENT, "nothing is public unless it is said"
    for said in (other, access):
        declare(world, name, access=said)
        declare(world, name, title="Mended")
        assert now() is said
    assert send(world, b"n\n1\nx\n", name=name, accept_schema=True).version == 1
    declare(world, name, access=access)
    database = world.stored()
    assert refused(lambda: declare(world, name, access=other)).code == "conflict"
    assert world.stored() == database


def test_a_schema_does_not_change_under_versions(flights: World) -> None:
    schema = flights.exchange.catalog.schema(LOCAL_OPERATOR, FLIGHTS_NAME, None)
    declare(flights, FLIGHTS_NAME, schema=schema, description="again")
    other = parse_table_schema({"fields": [{"name": "flight", "type": "string"}]})
    database = flights.stored()
    assert refused(lambda: declare(flights, FLIGHTS_NAME, schema=other)).code == "schema_is_contract"
    assert flights.stored() == database
    assert (
        flights.exchange.catalog.schema(LOCAL_OPERATOR, FLIGHTS_NAME, None)
        == flights.exchange.catalog.schema(LOCAL_OPERATOR, FLIGHTS_NAME, 1)
        == schema
    )


def test_until_the_first_version_a_schema_can_be_mended(world: World) -> None:
    for kind in ("string", "integer"):
        declare(world, FLIGHTS_NAME, schema=parse_table_schema({"fields": [{"name": "n", "type": kind}]}))
    assert str(world.exchange.catalog.schema(LOCAL_OPERATOR, FLIGHTS_NAME, None).types["n"]) == "integer"


@pytest.mark.parametrize("name", ["operator", *(f"{organization} {role}" for organization in ("bts", "dot") for role in ROLES)])
def test_a_steward_of_the_owner_or_the_operator_publishes_and_every_refusal_is_entered(flights: World, name: str) -> None:
    principal, publish = who(flights, name), flights.exchange.publish
    wanted = "ok" if name in ("operator", "bts steward") else "role_required" if name.startswith("bts") else "token_wrong_organisation"
    unread = iter([FLIGHTS])
    acts: dict[str, Callable[[], object]] = {
        "publish": lambda: publish.publish(principal, FLIGHTS_NAME, Upload(unread, (), (), accept_schema=False, dry_run=False)),
        "declare": lambda: publish.declare(principal, FLIGHTS_NAME, Declaration(title="Flights")),
    }
    for act, do in acts.items():
        before = flights.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=1_000).size
        if wanted == "ok":
            do()
        else:
            assert refused(do).code == wanted
        run = flights.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=before, limit=10)
        (entry,) = [json.loads(data) for _, data in run.entries]
        assert entry["actor"] == {"organization": principal.organization, "principal": principal.id}
        assert entry["dataset"] == "bts.flights"
        if wanted != "ok":
            assert (entry["kind"], entry["act"], entry["code"]) == ("refusal", act, wanted)
    assert list(unread) == ([] if wanted == "ok" else [FLIGHTS]), "who may not publish is not listened to"


# --- several at once ---


def test_an_upload_that_another_overtook_is_a_conflict_and_what_it_wrote_is_unknown(flights: World) -> None:
    later = FLIGHTS + b"8,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n"

    def overtaken() -> Iterator[bytes]:
        yield FLIGHTS[:100]
        assert send(flights, later).version == 2
        yield FLIGHTS[100:] + b"9,AA,N2,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n"

    assert refused(lambda: send(flights, overtaken())).code == "conflict"
    assert list(versions(flights)) == [2, 1]
    assert [row[0] for row in read(flights, None)[1]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert left_in_scratch(flights.root) == []
    assert send(flights, FLIGHTS).version == 3


def test_a_schema_that_was_confirmed_during_an_upload_stands(world: World) -> None:
    name = DatasetName("bts", "codes")
    declare(world, name)
    text = parse_table_schema({"fields": [{"name": "code", "type": "string"}]})

    def slow() -> Iterator[bytes]:
        yield b"code\n"
        declare(world, name, schema=text)
        yield b"7\n"

    assert refused(lambda: send(world, slow(), name=name, accept_schema=True)).code == "conflict"
    assert world.exchange.catalog.describe(LOCAL_OPERATOR, name).latest is None
    assert world.exchange.catalog.schema(LOCAL_OPERATOR, name, None) == text


def test_a_source_that_breaks_off_leaves_no_trace(flights: World) -> None:
    database, kept = flights.stored(), files(flights.root)

    def broken() -> Iterator[bytes]:
        yield FLIGHTS
        assert left_in_scratch(flights.root) != []
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        send(flights, broken())
    assert (flights.stored(), files(flights.root), left_in_scratch(flights.root)) == (database, kept, [])


@pytest.mark.slow
def test_publishers_at_once_get_versions_of_their_own_and_each_is_whole(world: World) -> None:
    name = DatasetName("bts", "raced")
    world.publish("bts.raced", b"number,word\n1,first\n")
    words = [["alpha", "beta"], ["gamma", "delta"], ["epsilon", "zeta"]]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH_ONE, str(world.root), *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for each in words
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [line.split() for racer in racers for line in racer.communicate(timeout=120)[0].splitlines()]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sorted(word for word, _ in said) == sorted(word for each in words for word in each)
    won = {int(result): word for word, result in said if result != "conflict"}
    assert sorted(won) == list(range(2, 2 + len(won)))
    assert won
    for number, word in won.items():
        assert parquet(world, versions(world, name)[number]) == [(str(each), word) for each in range(1, 501)]
    assert len(versions(world, name)) == 1 + len(won)
    assert left_in_scratch(world.root) == []


@pytest.mark.slow
def test_readers_see_all_of_a_version_or_all_of_the_next(world: World) -> None:
    def data(number: int) -> bytes:
        return "\n".join(["row,version", *(f"{row},{number}" for row in range(200))]).encode()

    world.publish("bts.moving", data(1), key=("row",), access="public")
    seen: list[tuple[str, set[int], int]] = []
    failed: list[str] = []
    stop = threading.Event()

    def look(server: Server) -> None:
        with server.client() as client:
            while not stop.is_set():
                answer = client.get("/api/v1/collections/bts.moving/items", params={"limit": "1000"})
                if answer.status_code == 503:
                    continue  # the extract of the newest version is being made
                if answer.status_code != 200:
                    failed.append(answer.text)
                    return
                rows = answer.json()["items"]
                seen.append((answer.headers["baybridge-version"], {row["version"] for row in rows}, len(rows)))

    with serving(world.root) as server:
        readers = [threading.Thread(target=look, args=(server,)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number in range(2, 7):
            before = len(seen)
            assert send(world, data(number), name=DatasetName("bts", "moving")).version == number
            wait_until(lambda before=before: len(seen) > before or bool(failed), seconds=30)
        wait_until(lambda: bool(failed) or seen[-1][0] == "6", seconds=30)
        stop.set()
        for reader in readers:
            reader.join()
    assert failed == []
    assert {(version, *values, count) for version, values, count in seen} <= {(str(number), number, 200) for number in range(1, 7)}
    assert len({version for version, _, _ in seen}) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["content-length: 10000000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_leaves_in_mid_upload_leaves_no_trace(flights: World, served: Server, framing: str, *, reset: bool) -> None:
    database, kept = flights.stored(), files(flights.root)
    host, port = served.url.removeprefix("http://").split(":")
    head = (
        f"POST /api/v1/collections/bts.flights/versions HTTP/1.1\r\nhost: {host}\r\n"
        f"authorization: Bearer {flights.secrets['bts', 'steward']}\r\n{framing}\r\n\r\n"
    )
    body = FLIGHTS if "length" in framing else f"{len(FLIGHTS):x}\r\n".encode() + FLIGHTS + b"\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        wait_until(lambda: any((flights.root / "scratch").glob("publish-*/upload")))
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    wait_until(lambda: left_in_scratch(flights.root) == [])
    assert (flights.stored(), files(flights.root)) == (database, kept)
    with served.client(flights.secrets["bts", "steward"]) as client:
        assert client.get("/api/v1/collections/bts.flights").json()["version"] == 1
        assert client.post("/api/v1/collections/bts.flights/versions", content=FLIGHTS).json()["version"] == 2


# --- larger than memory ---


def peaks_of_family(root: int) -> Iterator[tuple[int, int]]:
    """A process and all that came of it, with the most memory that each has had, in kilobytes (VmHWM, which an exec begins anew)."""
    for line in Path(f"/proc/{root}/status").read_text().splitlines() if Path(f"/proc/{root}/status").exists() else ():
        if line.startswith("VmHWM:"):
            yield root, int(line.split()[1])
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from peaks_of_family(int(child))


@pytest.mark.slow
def test_an_upload_larger_than_the_memory_it_may_use_streams_through(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home", "bts")
    program = tmp_path / "publish.py"  # a file: DuckDB takes a program that is none for a terminal, and draws its progress
    program.write_text(PUBLISH_BIG)
    command = [sys.executable, str(program), str(world.root), str(BIG_ROWS)]
    peaks: dict[int, int] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program_running:
        while program_running.poll() is None:
            peaks |= {process: max(peaks.get(process, 0), peak) for process, peak in peaks_of_family(program_running.pid)}
            time.sleep(0.02)
        said, wrong = program_running.communicate()
    assert program_running.returncode == 0, wrong
    sent, version, rows = map(int, said.split())
    assert sent > 300_000_000
    assert (version, rows) == (1, BIG_ROWS)
    assert len(peaks) >= 3, "the publisher, the clean parent and the process that reads"
    assert sum(peaks.values()) < 1_200_000, peaks
    manifest = versions(world, DatasetName("bts", "big"))[1]
    assert [each.rows for each in manifest.manifest.objects] == [1_000_000, 1_000_000, BIG_ROWS - 2_000_000]
    engine = duckdb.connect(":memory:")
    for position, path in enumerate(objects(world, manifest)):
        found = engine.execute(
            "SELECT min(number), max(number), count(*), bool_and(ordered) FROM"
            " (SELECT number, number = file_row_number + 1 + ? AS ordered FROM read_parquet(?, file_row_number = true))",
            [position * 1_000_000, str(path)],
        ).fetchall()
        assert found == [
            (position * 1_000_000 + 1, min(BIG_ROWS, (position + 1) * 1_000_000), manifest.manifest.objects[position].rows, True)
        ]
    engine.close()
    assert left_in_scratch(world.root) == []
    world.exchange.close()

"""Append, upsert and delete: each makes a new version out of the latest, shares what it does not touch, and accounts for every row."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest
from conftest import World, make_world, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING, Mode, Version
from baybridge.catalog.schema import parse_table_schema
from baybridge.client import Client
from baybridge.errors import BaybridgeError, Conflict
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Publication, Upload

NAME = DatasetName("bts", "people")
SCHEMA = {
    "fields": [{"name": "id", "type": "string"}, {"name": "part", "type": "integer"}, {"name": "word", "type": "string"}],
    "primaryKey": ["id", "part"],
}
FIRST = b"id,part,word\n007,1,a\n007,2,b\n012,1,c\n"


@pytest.fixture
def people(world: World) -> World:
    world.publish(str(NAME), FIRST, schema=SCHEMA, null_words=("",))
    return world


def send(world: World, mode: str, data: bytes | list[bytes], **changes: Any) -> Publication:
    asked: dict[str, Any] = {"null_words": (), "key": (), "accept_schema": False, "dry_run": False, **changes}
    chunks = [data] if isinstance(data, bytes) else data
    upload = Upload(chunks=chunks, mode=Mode(mode), **asked)
    return world.exchange.publish.publish(world.person("bts", "steward"), NAME, upload)


def version(world: World, number: int | None = None) -> Version:
    with world.exchange.database.read() as connection:
        return catalog.find_version(connection, catalog.require(connection, NAME, EVERYTHING), number)


def digests(world: World, number: int | None = None) -> list[str]:
    return [each.sha256 for each in version(world, number).manifest.objects]


def rows(world: World, number: int | None = None) -> list[tuple[Any, ...]]:
    """What the objects of a version hold, by DuckDB alone."""
    paths = [str(world.root / "objects" / each[:2] / each) for each in digests(world, number)]
    with duckdb.connect(":memory:") as engine:
        return sorted(row for path in paths for row in engine.execute("SELECT id, part, word FROM read_parquet(?)", [path]).fetchall())


def refused(act: Callable[[], object]) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as error:
        act()
    return error.value


def test_an_append_shares_every_object_of_the_version_before(people: World) -> None:
    done = send(people, "append", b"word,id,part\nz,099,1\n")
    assert (done.version, done.base, done.changes.inserted) == (2, 1, 1)
    assert digests(people, 2)[:-1] == digests(people, 1)
    assert rows(people, 2) == [*rows(people, 1), ("099", 1, "z")]
    assert rows(people, 1) == [("007", 1, "a"), ("007", 2, "b"), ("012", 1, "c")]


def test_a_key_that_the_version_has_is_not_appended(people: World) -> None:
    done = send(people, "append", b"id,part,word\n099,1,z\n007,2,again\n")
    assert done.version is None
    assert [(each.row, each.rule) for each in done.rejects] == [(2, "key_taken")]
    assert (done.rows_read, done.rows_loaded, done.rows_rejected) == (2, 1, 1)


def test_an_upsert_writes_only_the_objects_that_hold_its_keys_anew(people: World) -> None:
    send(people, "append", b"id,part,word\n099,1,z\n")
    untouched, touched = digests(people)
    done = send(people, "upsert", b"id,part,word\n099,1,y\n099,2,x\n")
    assert (done.changes.inserted, done.changes.updated) == (1, 1)
    assert digests(people)[0] == untouched
    assert touched not in digests(people)
    assert rows(people) == [("007", 1, "a"), ("007", 2, "b"), ("012", 1, "c"), ("099", 1, "y"), ("099", 2, "x")]
    assert rows(people, 2)[-1] == ("099", 1, "z")


def test_a_deletion_names_keys_and_says_which_were_not_there(people: World) -> None:
    done = send(people, "delete", b"part,id\n2,007\n9,007\n")
    assert (done.rows_loaded, done.changes.deleted, done.changes.unmatched) == (2, 1, 1)
    assert rows(people) == [("007", 1, "a"), ("012", 1, "c")]
    assert refused(lambda: send(people, "delete", b"id,part,word\n012,1,c\n")).code == "schema_invalid"


def test_a_version_whose_rows_are_all_deleted_still_has_its_columns(people: World) -> None:
    send(people, "delete", b"id,part\n007,1\n007,2\n012,1\n")
    assert rows(people) == []
    send(people, "append", FIRST)
    assert rows(people) == rows(people, 1)


def test_a_key_that_is_twice_in_the_upload_is_refused_in_every_mode(people: World) -> None:
    for mode, data in (
        ("append", b"id,part,word\n1,1,\n1,1,\n"),
        ("upsert", b"id,part,word\n1,1,\n1,1,\n"),
        ("delete", b"id,part\n1,1\n1,1\n"),
    ):
        done = send(people, mode, data)
        assert {each.rule for each in done.rejects} == {"key_repeated"}
        assert done.version is None


def test_a_dry_run_counts_what_a_change_would_do_and_writes_nothing(people: World) -> None:
    before = sorted(people.root.joinpath("objects").rglob("*"))
    done = send(people, "upsert", b"id,part,word\n007,1,q\n099,1,z\n", dry_run=True)
    assert (done.version, done.changes.inserted, done.changes.updated) == (None, 1, 1)
    assert sorted(people.root.joinpath("objects").rglob("*")) == before


def test_a_change_names_its_base_or_takes_the_latest_and_never_another(people: World) -> None:
    send(people, "append", b"id,part,word\n099,1,z\n", base=1)
    late = refused(lambda: send(people, "append", b"id,part,word\n098,1,z\n", base=1))
    assert (late.code, version(people).number) == ("conflict", 2)
    assert refused(lambda: send(people, "replace", FIRST, base=1)).code == "conflict"


def test_a_version_that_comes_while_a_change_arrives_is_a_conflict_and_loses_nothing(people: World) -> None:
    def overtaken() -> Iterator[bytes]:
        yield b"id,part,word\n"
        send(people, "append", b"id,part,word\n098,1,first\n")
        yield b"099,1,second\n"

    upload = Upload(chunks=overtaken(), null_words=(), key=(), accept_schema=False, dry_run=False, mode=Mode.APPEND)
    with pytest.raises(Conflict):
        people.exchange.publish.publish(people.person("bts", "steward"), NAME, upload)
    assert rows(people)[-1] == ("098", 1, "first")


def test_two_changes_at_once_become_two_versions_or_one_and_a_conflict(people: World) -> None:
    ends: list[str] = []

    def one(number: int) -> None:
        try:
            ends.append(str(send(people, "append", b"id,part,word\n%d,1,z\n" % number).version))
        except Conflict as late:
            ends.append(late.code)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(50, 56)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(ends) == 6
    done = [end for end in ends if end != "conflict"]
    assert len(rows(people)) == 3 + len(done)
    assert version(people).number == 1 + len(done)


def test_what_has_no_version_no_key_or_another_schema_cannot_be_changed(world: World) -> None:
    steward = world.person("bts", "steward")
    world.exchange.publish.declare(steward, NAME, Declaration(schema=parse_table_schema({**SCHEMA, "primaryKey": []})))
    assert refused(lambda: send(world, "append", FIRST)).code == "conflict"
    send(world, "replace", FIRST)
    assert send(world, "append", b"id,part,word\n007,1,a\n").version == 2  # without a key rows may be equal
    keyless = refused(lambda: send(world, "upsert", FIRST))
    assert (keyless.code, keyless.advice.who_can_change) == ("conflict", "a steward of bts")
    world.exchange.publish.declare(steward, NAME, Declaration(schema=parse_table_schema(SCHEMA), schema_change=True))
    assert refused(lambda: send(world, "append", FIRST)).code == "schema_is_contract"


def test_the_entry_of_a_change_says_how_it_came_out_of_the_version_before(people: World) -> None:
    done = send(people, "upsert", b"id,part,word\n099,1,z\n007,1,q\n")
    assert done.entry is not None
    ((_, data),) = people.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=done.entry, limit=1).entries
    said = json.loads(data)
    assert (said["mode"], said["base"], said["rows"]) == ("upsert", 1, 4)
    assert said["changes"] == {"deleted": 0, "inserted": 1, "updated": 1}


KEYS = st.tuples(st.sampled_from(["007", "7", "a", ""]).filter(bool), st.integers(-2, 2))
WORDS = st.sampled_from(["x", "NA", "a,b", 'say "so"', "é"])
CHANGES = st.lists(
    st.tuples(st.sampled_from(["append", "upsert", "delete"]), st.dictionaries(KEYS, WORDS, max_size=4)),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=15)
@given(CHANGES)
def test_any_chain_of_changes_is_what_a_dictionary_says(tmp_path_factory: pytest.TempPathFactory, chain: list[Any]) -> None:
    world = make_world(tmp_path_factory.mktemp("chain") / "home")
    try:
        world.publish(str(NAME), FIRST, schema=SCHEMA, null_words=("",))
        present: dict[tuple[str, int], str] = {("007", 1): "a", ("007", 2): "b", ("012", 1): "c"}
        history = [dict(present)]
        for mode, change in chain:
            header = b"id,part\n" if mode == "delete" else b"id,part,word\n"
            lines = [
                f"{key},{part}\n" if mode == "delete" else f'{key},{part},"{word.replace(chr(34), chr(34) * 2)}"\n'
                for (key, part), word in change.items()
            ]
            done = send(world, mode, header + "".join(lines).encode())
            met = sum(key in present for key in change)
            assert done.rows_read == done.rows_loaded + done.rows_rejected == len(change)
            if mode == "append" and met:
                assert (done.version, done.rows_rejected) == (None, met)
                continue
            counts = {"append": (len(change), 0, 0, 0), "upsert": (len(change) - met, met, 0, 0), "delete": (0, 0, met, len(change) - met)}
            found = done.changes
            assert (found.inserted, found.updated, found.deleted, found.unmatched) == counts[mode]
            present = {key: word for key, word in present.items() if key not in change} if mode == "delete" else {**present, **change}
            history.append(dict(present))
        for number, then in enumerate(history, start=1):
            assert rows(world, number) == sorted((*key, word) for key, word in then.items())
    finally:
        world.exchange.close()


@pytest.mark.slow
def test_changes_are_sent_by_the_client_and_reported(people: World) -> None:
    with serving(people.root) as server, Client(server.url, people.secrets["bts", "steward"]) as steward:
        report = steward.publish(str(NAME), [b"id,part,word\n007,1,new\n"], mode="upsert", base=1)
        assert (report.changes.mode, report.changes.base, report.changes.updated) == ("upsert", 1, 1)
        assert refused(lambda: steward.publish(str(NAME), [FIRST], mode="merge")).code == "invalid_request"
        assert refused(lambda: steward.publish(str(NAME), [FIRST], mode="append", base=1)).code == "conflict"
        changed = steward.changes(str(NAME), since=1)
        assert [(each.change, each.item["word"]) for each in changed if each.item] == [("update", "new")]

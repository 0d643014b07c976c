"""Whole answers as streams: every row, in order, in each format; entered when they begin and when they end; never whole when cut."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving, wait_until
from raw_http import Reply, Wire, server_holds

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("streams")]

ROWS = 200_000
MANY = "/api/v1/collections/bts.many/items"
TYPED = "/api/v1/collections/bts.typed/items"
TINY = 4096
GONE = 1.25
TYPE_LINES = (
    "id,text,amount,small,ratio,flag,day,instant,wall",
    "1,plain,1.50,0.00000012,0.1,true,2026-01-31,2026-01-31T10:00:00Z,2026-01-31T10:00:00",
    '2,"with, comma and ""quotes""",-0.01,0,1e300,false,1999-12-31,1999-12-31T23:59:59.123456Z,1999-12-31T23:59:59',
    '3,"two\nlines",0.00,-1.5,-0.0,true,0001-01-01,2026-06-01T00:00:00+02:00,2026-06-01T00:00:00.5',
    '4," spaced ",12345678901234567.89,99.12345678,2,NULL,NULL,NULL,NULL',
    "5,NULL,NULL,NULL,NULL,false,2026-01-01,2026-01-01T00:00:00Z,2026-01-01T00:00:00",
    '6,"",1,1,1,true,2026-01-01,2026-01-01T00:00:00Z,2026-01-01T00:00:00\n',
)
TYPES = "\n".join(TYPE_LINES).encode()
SCHEMA = {
    "fields": [
        {"name": "id", "type": "integer"},
        {"name": "text", "type": "string"},
        {"name": "amount", "type": "number", "baybridge:type": "decimal(19,2)"},
        {"name": "small", "type": "number", "baybridge:type": "decimal(18,8)"},
        {"name": "ratio", "type": "number", "baybridge:type": "double"},
        {"name": "flag", "type": "boolean"},
        {"name": "day", "type": "date"},
        {"name": "instant", "type": "datetime"},
        {"name": "wall", "type": "datetime", "baybridge:type": "datetime"},
    ],
    "missingValues": ["NULL"],
}


def many_rows(rows: int = ROWS) -> bytes:
    return b"id,words\n" + b"".join(b"%d,row %07d of many with words\n" % (row, row * 7919 % rows) for row in range(rows))


@dataclass(frozen=True)
class Shown:
    """A served home with a large dataset, whose reader and auditor the tests are."""

    world: World
    server: Server

    def wire(self, **options: Any) -> Wire:
        return Wire(self.server.url, **options)

    def ask(self, wire: Wire, path: str, *, token: str | None = None, **headers: str) -> None:
        wire.ask(path, token=token or self.world.secrets["dot", "analyst"], baybridge_purpose="noise-study", **headers)

    def get(self, path: str, *, token: str | None = None, **headers: str) -> Reply:
        with self.wire() as wire:
            self.ask(wire, path, token=token, **headers)
            reply = wire.head()
            return wire.fill_chunks(reply) if reply.chunked else wire.fill(reply)

    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        with self.server.client(self.world.secrets["bts", "auditor"]) as auditor:
            while True:
                page = auditor.get("/api/v1/audit/bts/entries", params={"start": len(found)}).json()
                found += [{"index": each["index"], **json.loads(base64.b64decode(each["data"]))} for each in page["entries"]]
                if not page["entries"]:
                    return found

    def ended(self, opening: int) -> dict[str, Any]:
        """The closing entry of the stream with that opening entry, once it is there."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [each for each in self.entries() if each["kind"] == "stream_ended" and each["opening"] == opening]
            return bool(found)

        wait_until(there)
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    world = make_world(tmp_path_factory.mktemp("streams") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    world.publish("bts.many", many_rows(), key=("id",))
    world.publish("bts.open", FLIGHTS, access="public")
    world.publish("bts.typed", TYPES, key=("id",), schema={**SCHEMA, "primaryKey": ["id"]}, null_words=("NULL",))
    world.sign(world.terms())
    world.sign(world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}))
    world.sign(world.terms(dataset="bts.typed", columns=[field["name"] for field in SCHEMA["fields"]], row_filter=None, masks={}))
    with serving(world.root) as server:
        ready = Shown(world, server)
        wait_until(lambda: ready.get(f"{MANY}?limit=1").status == 200, seconds=60)
        yield ready
    world.exchange.close()


def ndjson(reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bytes(reply.body).decode().splitlines()]


def opening(reply: Reply) -> int:
    log, _, index = reply.headers["baybridge-entry"].partition("/")
    assert log == "bts"
    return int(index)


@pytest.mark.parametrize("format_", ["ndjson", "csv"])
def test_a_stream_has_every_row_in_order(shown: Shown, format_: str) -> None:
    reply = shown.get(f"{MANY}?f={format_}")
    assert (reply.status, reply.whole) == (200, True)
    if format_ == "csv":
        rows = [(int(row["id"]), row["words"]) for row in csv.DictReader(io.StringIO(bytes(reply.body).decode()))]
    else:
        rows = [(row["id"], row["words"]) for row in ndjson(reply)]
    assert rows == [(row, f"row {row * 7919 % ROWS:07d} of many with words") for row in range(ROWS)]


def test_a_stream_is_entered_when_it_begins_and_when_it_has_ended(shown: Shown) -> None:
    reply = shown.get(f"{MANY}?f=ndjson&{urlencode({'filter': 'id < 1000'})}")
    begun = next(each for each in shown.entries() if each["index"] == opening(reply))
    assert begun["kind"] == "disclosure"
    assert (begun["rows"], begun["bytes"], begun["sha256"], begun["stream"]) == (1000, None, None, True)
    ended = shown.ended(opening(reply))
    assert (ended["ending"], ended["rows"], ended["bytes"], ended["sha256"]) == ("whole", 1000, len(reply.body), reply.sha256)
    assert ended["actor"] == begun["actor"]
    assert ended["index"] > begun["index"]


def test_filter_order_columns_and_limit_hold_for_streams(shown: Shown) -> None:
    query = urlencode({"f": "ndjson", "filter": "id BETWEEN 10 AND 5000", "sortby": "-id", "properties": "id", "limit": "20"})
    assert ndjson(shown.get(f"{MANY}?{query}")) == [{"id": row} for row in range(5000, 4980, -1)]


def test_a_limit_without_an_order_gives_the_first_rows(shown: Shown) -> None:
    query = urlencode({"f": "ndjson", "filter": "id >= 100", "properties": "id", "limit": "70000"})
    assert ndjson(shown.get(f"{MANY}?{query}")) == [{"id": row} for row in range(100, 70_100)]


def test_a_line_of_ndjson_is_an_item_of_a_page(shown: Shown) -> None:
    page = json.loads(shown.get(TYPED).body)["items"]
    lines = ndjson(shown.get(f"{TYPED}?f=ndjson"))
    assert lines == page
    assert [line["small"] for line in lines] == ["0.00000012", "0.00000000", "-1.50000000", "99.12345678", None, "1.00000000"]


def test_csv_keeps_null_and_empty_text_apart_and_every_value_readable(shown: Shown) -> None:
    reply = shown.get(f"{TYPED}?f=csv")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    lines = bytes(reply.body).decode().split("\r\n")
    assert lines[0] == "id,text,amount,small,ratio,flag,day,instant,wall"
    assert lines[-2] == '6,"",1.00,1.00000000,1.0,true,2026-01-01,2026-01-01T00:00:00Z,2026-01-01T00:00:00'
    assert lines[-3] == "5,,,,,false,2026-01-01,2026-01-01T00:00:00Z,2026-01-01T00:00:00"
    rows = list(csv.DictReader(io.StringIO(bytes(reply.body).decode(), newline="")))
    items = json.loads(shown.get(TYPED).body)["items"]
    assert [row["text"] for row in rows] == [item["text"] or "" for item in items]
    for name in ("amount", "small", "day", "instant", "wall"):
        assert [row[name] for row in rows] == [item[name] or "" for item in items], name
    assert [row["ratio"] and float(row["ratio"]) for row in rows] == [item["ratio"] if item["ratio"] is not None else "" for item in items]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv", "text/csv; charset=utf-8; header=present"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html, text/csv;q=0.5, application/json;q=0.1", "text/csv; charset=utf-8; header=present"),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_accept_names_the_format_where_the_address_does_not(shown: Shown, accept: str, media_type: str) -> None:
    assert shown.get(f"{MANY}?limit=3", accept=accept).headers["content-type"] == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", ","])
def test_a_format_that_is_not_there_is_406(shown: Shown, accept: str) -> None:
    reply = shown.get(MANY, accept=accept)
    assert (reply.status, json.loads(reply.body)["code"]) == (406, "not_acceptable")


def test_a_stream_that_the_caller_has_is_304(shown: Shown) -> None:
    first = shown.get(f"{MANY}?f=csv&limit=5")
    again = shown.get(f"{MANY}?f=csv&limit=5", if_none_match=first.headers["etag"])
    assert (again.status, bytes(again.body)) == (304, b"")
    assert shown.get(f"{MANY}?f=ndjson&limit=5", if_none_match=first.headers["etag"]).status == 200
    assert "baybridge-entry" in again.headers


def test_a_refused_stream_is_a_problem_and_not_a_stream(shown: Shown) -> None:
    reply = shown.get("/api/v1/collections/bts.flights/items?f=csv&properties=dest")
    assert (reply.status, json.loads(reply.body)["code"]) == (403, "column_not_in_agreement")


def test_anyone_streams_a_public_dataset_without_an_entry(shown: Shown) -> None:
    before = len(shown.entries())
    with shown.wire() as wire:
        wire.ask("/api/v1/collections/bts.open/items?f=csv")
        reply = wire.fill_chunks(wire.head())
    assert (reply.whole, reply.body.count(b"\r\n")) == (True, 8)
    assert "baybridge-entry" not in reply.headers
    assert len(shown.entries()) == before


def begin_slowly(shown: Shown, *, token: str | None = None, path: str = f"{MANY}?f=csv") -> tuple[Wire, Reply]:
    wire = shown.wire(receive_buffer=TINY)
    shown.ask(wire, path, token=token)
    reply = wire.head()
    assert reply.status == 200
    return wire, wire.fill_chunks(reply, piece=TINY, until=lambda: bool(reply.body) or len(wire._pending) > TINY)


def consumer(shown: Shown, name: str) -> tuple[str, str]:
    """A new consumer of all of bts.many: its agreement and its reader's token."""
    shown.world.add_organization(name)
    agreement = shown.world.sign(shown.world.terms(dataset="bts.many", columns=["id", "words"], row_filter=None, masks={}), consumer=name)
    return agreement.id, shown.world.secrets[name, "analyst"]


def test_a_slow_reader_of_a_stream_is_cut_within_a_second(shown: Shown) -> None:
    agreement, token = consumer(shown, "slow")
    wire, reply = begin_slowly(shown, token=token)
    time.sleep(0.6)
    assert server_holds(wire), "it is not cut for being slow"
    shown.world.exchange.agree.revoke(shown.world.person("bts", "steward"), agreement, "as the test says")
    time.sleep(GONE)
    with wire:
        assert not server_holds(wire)
        before = len(reply.body)
        wire.fill_chunks(reply)
        assert reply.reset
        assert not reply.whole
        assert len(reply.body) - before <= wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) * 2
    ended = shown.ended(opening(reply))
    assert ended["ending"] == "cut"
    assert len(reply.body) <= ended["bytes"] < ROWS * 20


def test_a_fast_reader_of_a_stream_is_cut_too(shown: Shown) -> None:
    agreement, token = consumer(shown, "fast")
    with shown.wire() as wire:
        shown.ask(wire, f"{MANY}?f=ndjson&sortby=words", token=token)
        reply = wire.head()
        wire.fill_chunks(reply, piece=20_000, pause=0.02, until=lambda: len(reply.body) > 100_000)
        shown.world.exchange.agree.revoke(shown.world.person("bts", "steward"), agreement, "as the test says")
        answered = time.monotonic()
        wire.fill_chunks(reply, piece=20_000, pause=0.02)
    assert reply.reset
    assert not reply.whole
    assert reply.chunks[-1][0] - answered <= GONE


def test_a_client_that_leaves_ends_its_stream(shown: Shown) -> None:
    wire, reply = begin_slowly(shown)
    wire.close()
    ended = shown.ended(opening(reply))
    assert ended["ending"] == "left"
    assert ended["rows"] < ROWS


def test_a_client_that_leaves_with_the_rest_of_a_small_stream_unread_has_not_had_the_whole(shown: Shown) -> None:
    """All of it fits into the server's kernel: it is written, and has not left."""
    wire, reply = begin_slowly(shown, path=f"{MANY}?f=csv&limit=800")
    time.sleep(0.3)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
    ended = shown.ended(opening(reply))
    assert (ended["ending"], ended["rows"]) == ("left", 800)


def test_a_stream_whose_server_dies_is_broken_and_has_no_closing_entry(tmp_path: Path) -> None:
    """A missing closing entry says that all that was asked for may have left."""
    world = make_world(tmp_path / "home")
    world.publish("bts.many", many_rows(), key=("id",))
    with serving(world.root) as server:
        shown = Shown(world, server)
        _, token = consumer(shown, "slow")
        wait_until(lambda: shown.get(f"{MANY}?limit=1", token=token).status == 200, seconds=60)
        wire, reply = begin_slowly(shown, token=token)
        server.process.kill()
        server.process.wait(timeout=10)
        with wire:
            wire.fill_chunks(reply)
        assert not reply.whole
    with serving(world.root) as server:
        entries = Shown(world, server).entries()
    world.exchange.close()
    assert [each["index"] for each in entries if each.get("stream")] == [opening(reply)]
    assert [each for each in entries if each["kind"] == "stream_ended"] == []


def test_a_stream_that_fails_midway_is_seen_as_broken(tmp_path: Path) -> None:
    """Blocks in the middle of the extract are damaged: the first rows can be read, and those after them cannot."""
    world = make_world(tmp_path / "home")
    world.publish("bts.many", many_rows(3 * ROWS), key=("id",))
    with serving(world.root) as server:
        shown = Shown(world, server)
        _, token = consumer(shown, "reader")
        wait_until(lambda: shown.get(f"{MANY}?limit=1", token=token).status == 200, seconds=60)
    (extract,) = world.root.glob("extracts/*/serve.duckdb")
    damaged = bytearray(extract.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 300_000] = os.urandom(300_000)
    extract.chmod(0o600)
    extract.write_bytes(damaged)
    with serving(world.root) as server:
        shown = Shown(world, server)
        reply = shown.get(f"{MANY}?f=csv", token=token)
        assert reply.status == 200
        assert ROWS / 10 < reply.body.count(b"\r\n") < 3 * ROWS
        assert reply.reset
        assert not reply.whole
        assert shown.ended(opening(reply))["ending"] == "failed"
        assert server.process.poll() is None
    world.exchange.close()

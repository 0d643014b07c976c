"""Long answers through the SDK: taken in as they arrive, whole or not at all, and of what was cut there is no trace."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Server, World, make_world, serving
from raw_http import sending

from baybridge.client import AsyncClient, Client, Download, exceptions

pytestmark = pytest.mark.xdist_group("client")

ROWS = 20_000
PURPOSE = "noise-study"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nbaybridge-version: 1\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
PIECES = (b'{"a":1}\n{"a":', b"2}\n", b'{"a":3}\n')
WHOLE = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in PIECES) + b"0\r\n\r\n"
BUSY_BODY = json.dumps({"type": "t", "title": "t", "status": 503, "detail": "d", "code": "extract_building", "retry": 0}).encode()
BUSY = b"HTTP/1.1 503 X\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n\r\n%s" % (len(BUSY_BODY), BUSY_BODY)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("long") / "home")
    made.publish("bts.many", b"id,words\n" + b"".join(b"%d,row %d\n" % (row, row) for row in range(ROWS)), key=("id",))
    made.sign(made.terms(dataset="bts.many", columns=["id", "words"], masks={}, row_filter=None))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


def collect(url: str, into: list[object]) -> None:
    with Client(url, patience=0) as client:
        into.extend(client.stream_rows("a.b"))


def collect_awaited(url: str, into: list[object]) -> None:
    async def run() -> None:
        async with AsyncClient(url, patience=0) as client:
            into.extend([row async for row in client.stream_rows("a.b")])

    asyncio.run(run())


def fetch(url: str, path: Path, form: str = "ndjson") -> Download:
    with Client(url, patience=0) as client:
        return client.download("a.b", path, form)


def fetch_awaited(url: str, path: Path, form: str = "ndjson") -> Download:
    async def run() -> Download:
        async with AsyncClient(url, patience=0) as client:
            return await client.download("a.b", path, form)

    return asyncio.run(run())


Rows = Callable[[str, list[object]], None]
File = Callable[[str, Path], Download]
BOTH = pytest.mark.parametrize("rows_of", [collect, collect_awaited])
BOTH_FILES = pytest.mark.parametrize("file_of", [fetch, fetch_awaited])


def test_every_row_is_streamed_as_pages_give_it(exchange: World, server: Server) -> None:
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        paged = list(client.rows("bts.many", limit=10_000, sortby=["-id"]))
        assert list(client.stream_rows("bts.many", sortby=["-id"])) == paged == client.table("bts.many", sortby=["-id"]).items
        assert len(paged) == ROWS
        assert list(client.stream_rows("bts.many", limit=3, filter="id > 7", properties=["id"])) == [{"id": 8}, {"id": 9}, {"id": 10}]
        with pytest.raises(exceptions.PurposeNotAllowed):
            next(client.stream_rows("bts.many", purpose="marketing"))


def test_a_download_is_the_bytes_that_the_log_says(exchange: World, server: Server, tmp_path: Path) -> None:
    """The oracle is the entry of the stream's end."""
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        found = client.download("bts.many", tmp_path / "many.csv", sortby=["id"])
    data = (tmp_path / "many.csv").read_bytes()
    assert (found.path, found.bytes, found.sha256) == (tmp_path / "many.csv", len(data), hashlib.sha256(data).hexdigest())
    assert [int(row["id"]) for row in csv.DictReader(data.decode().splitlines())] == list(range(ROWS))
    assert [each.name for each in tmp_path.iterdir()] == ["many.csv"]
    assert (tmp_path / "many.csv").stat().st_mode & 0o777 == 0o600
    with Client(server.url, exchange.secrets["bts", "auditor"]) as auditor:
        entries = [json.loads(data) for _, data in auditor.all_entries("bts")]
    ends = [each for each in entries if each["kind"] == "stream_ended" and f"bts/{each['opening']}" == found.provenance.entry]
    assert [(each["ending"], each["sha256"], each["bytes"]) for each in ends] == [("whole", found.sha256, found.bytes)]


def test_the_awaited_download_is_the_same_file(exchange: World, server: Server, tmp_path: Path) -> None:
    async def run() -> Download:
        async with AsyncClient(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
            return await client.download("bts.many", tmp_path / "awaited.ndjson", "ndjson")

    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        assert client.download("bts.many", tmp_path / "waited.ndjson", "ndjson").sha256 == asyncio.run(run()).sha256
    assert len((tmp_path / "awaited.ndjson").read_bytes().splitlines()) == ROWS


@BOTH
def test_rows_are_whole_wherever_the_pieces_are_cut(rows_of: Rows) -> None:
    found: list[object] = []
    with sending(WHOLE) as url:
        rows_of(url, found)
    assert found == [{"a": 1}, {"a": 2}, {"a": 3}]


@BOTH
@BOTH_FILES
@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("left", [1, 5, 12, len(WHOLE) - len(CHUNKED)])
def test_an_answer_that_is_cut_raises_and_leaves_no_file(rows_of: Rows, file_of: File, left: int, ending: str, tmp_path: Path) -> None:
    kept = tmp_path / "rows.ndjson"
    kept.write_bytes(b"of yesterday")
    cut = WHOLE[:-left]
    with sending(cut, cut, reset=ending == "reset") as url:
        with pytest.raises(exceptions.Unreachable):
            rows_of(url, [])
        with pytest.raises(exceptions.Unreachable):
            file_of(url, kept)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("rows.ndjson", b"of yesterday")]


@BOTH_FILES
def test_an_answer_that_cannot_show_its_end_is_not_taken(file_of: File, tmp_path: Path) -> None:
    with sending(HEAD + b'connection: close\r\n\r\n{"a":1}\n') as url, pytest.raises(exceptions.AnswerNotUnderstood):
        file_of(url, tmp_path / "rows.ndjson")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_is_asked_for_again_until_it_begins_and_never_after(tmp_path: Path) -> None:
    with sending(BUSY, WHOLE) as url, Client(url) as client:
        assert len(list(client.stream_rows("a.b"))) == 3
    with sending(BUSY, WHOLE[:-3]) as url, Client(url) as client, pytest.raises(exceptions.Unreachable):
        client.download("a.b", tmp_path / "x")


def test_a_table_that_is_cut_is_asked_for_again_whole() -> None:
    schema = b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"fields": []}'
    with sending(WHOLE[:-12], WHOLE, schema) as url, Client(url) as client:
        assert client.table("a.b").items == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize("line", [b"[1]\n", b"{\n"])
def test_a_line_that_is_no_row_is_not_understood(line: bytes) -> None:
    sent = CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(line), line)
    with sending(sent) as url, Client(url) as client, pytest.raises(exceptions.AnswerNotUnderstood):
        list(client.stream_rows("a.b"))


@pytest.mark.slow
def test_a_stream_that_a_revocation_cuts_raises(exchange: World, server: Server) -> None:
    wide = b"".join(b"%d,%s\n" % (row, b"words " * 20) for row in range(100_000))  # 12 MB: more than lies between server and client
    exchange.publish("bts.wide", b"id,words\n" + wide, key=("id",))
    agreement = exchange.sign(exchange.terms(dataset="bts.wide", columns=["id", "words"], masks={}, row_filter=None))
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE, patience=60) as client:
        rows = client.stream_rows("bts.wide")
        next(rows)
        with Client(server.url, exchange.secrets["bts", "steward"]) as steward:
            steward.revoke(agreement.id, "The study is over")
        time.sleep(1.25)
        with pytest.raises(exceptions.Unreachable):
            list(rows)
        with pytest.raises(exceptions.AgreementRevoked):
            next(client.stream_rows("bts.wide"))


def test_a_stream_can_be_left_early(exchange: World, server: Server) -> None:
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        assert next(client.stream_rows("bts.many", sortby=["id"])) == {"id": 0, "words": "row 0"}
        assert client.whoami().organization == "dot"


def test_a_governed_answer_names_its_agreement(exchange: World, server: Server, tmp_path: Path) -> None:
    exchange.publish("bts.open", b"a\n1\n", access="public")
    with Client(server.url, exchange.secrets["dot", "analyst"], purpose=PURPOSE) as client:
        read = (
            client.items("bts.many").provenance,
            client.table("bts.many").provenance,
            client.download("bts.many", tmp_path / "x").provenance,
        )
        assert {each.agreement for each in read} == {"AGR-0001"}
        assert client.items("bts.open").provenance.agreement is None


def test_streamed_rows_take_no_memory_that_grows_with_them() -> None:
    line = json.dumps({"words": "x" * 1000}).encode() + b"\n"
    piece = line * 64
    whole = CHUNKED + (b"%x\r\n%s\r\n" % (len(piece), piece)) * 300 + b"0\r\n\r\n"
    with sending(whole) as url, Client(url) as client:
        tracemalloc.start()
        rows = sum(1 for _ in client.stream_rows("a.b"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert rows == 64 * 300
    assert peak < len(whole) / 8


@BOTH_FILES
@pytest.mark.parametrize("place", ["nowhere/rows.ndjson", "file/rows.ndjson", "."])
def test_a_download_that_has_no_place_is_not_asked_for(tmp_path: Path, file_of: File, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(exceptions.Invalid) as refused:
        file_of("http://127.0.0.1:1", tmp_path / place)  # where nothing answers: Unreachable, had it been asked
    assert str((tmp_path / place).parent) in refused.value.detail
    assert refused.value.advice.next_step is not None
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_download_that_is_given_up_leaves_no_file(tmp_path: Path) -> None:
    over = threading.Event()

    async def give_up(url: str) -> None:
        async with AsyncClient(url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.download("a.b", tmp_path / "rows.ndjson", "ndjson"), 0.5)

    with sending(WHOLE[:-5], until=over) as url:
        asyncio.run(give_up(url))
        over.set()
    assert list(tmp_path.iterdir()) == []

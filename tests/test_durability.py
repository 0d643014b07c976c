"""Promises 1 and 4, watched from the kernel's side: what is synced before what, by strace around real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import World
from raw_http import Reply, Wire

from baybridge.audit.entry import decode
from baybridge.audit.store import entries

pytestmark = pytest.mark.slow

LAUNCHERS = Path(__file__).with_name("launchers")
SERVE = ("-m", "baybridge.cli.main", "serve", "--port", "0", "--home")
ITEMS = "/api/v1/collections/bts.flights/items"

CALL = re.compile(r"(\d+)\s+(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+)(?:.*)$")
UNFINISHED = re.compile(r"(\d+)\s+(\d+\.\d+) (\w+)\((.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"(\d+)\s+(\d+\.\d+) <\.\.\. (\w+) resumed>(.*)\)\s+= (-?\d+)(?:.*)$")
DESCRIPTOR = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Call:
    """A system call: the lines of the trace at which it began and had returned, the file of its descriptor, and its byte strings."""

    began: int
    returned: int
    thread: str
    name: str
    file: str
    data: tuple[bytes, ...]
    result: int


def read_trace(lines: list[str]) -> list[Call]:
    """Every call that returned, in the order they began. Order in the trace is order in time: strace stops whom it writes about."""
    begun: dict[str, tuple[int, str]] = {}
    calls = []
    for number, line in enumerate(lines):
        whole, begins, ends = CALL.match(line), UNFINISHED.match(line), RESUMED.match(line)
        if begins:
            begun[begins[1]] = (number, begins[4])
        elif ends:
            began, arguments = begun.pop(ends[1])
            calls.append(make_call(began, number, thread=ends[1], name=ends[3], arguments=arguments + ends[4], result=ends[5]))
        elif whole:
            calls.append(make_call(number, number, thread=whole[1], name=whole[3], arguments=whole[4], result=whole[5]))
    return sorted(calls, key=lambda call: call.began)


def make_call(began: int, returned: int, *, thread: str, name: str, arguments: str, result: str) -> Call:
    descriptor = DESCRIPTOR.match(arguments)
    file = "" if descriptor is None else plain(descriptor[1]).decode()
    return Call(began, returned, thread, name, file, tuple(plain(text) for text in TEXT.findall(arguments)), int(result))


def plain(hexed: str) -> bytes:
    return bytes.fromhex(hexed.replace("\\x", ""))


def is_sync(call: Call) -> bool:
    return call.name in {"fsync", "fdatasync"} and call.result == 0


def writes_to_log(call: Call) -> bool:
    return call.name == "pwrite64" and call.file.endswith("catalog.sqlite-wal")


def commit_of(calls: list[Call], nonce: str) -> Call:
    """The write that ends the transaction in which the entry of that nonce was first written.

    In the write-ahead log a page follows its frame's header of 24 bytes, whose bytes 4 to 8 are zero except in a transaction's last
    frame (sqlite.org/fileformat2.html, 4.1). One writer writes at a time.
    """
    written = next(position for position, call in enumerate(calls) if writes_to_log(call) and nonce.encode() in b"".join(call.data))
    frames = [call for call in calls[: written + 1] if writes_to_log(call) and len(call.data[0]) == 24]
    last_header = calls.index(frames[-1])
    for position in range(last_header, len(calls)):
        call = calls[position]
        if writes_to_log(call) and len(call.data[0]) == 24 and call.data[0][4:8] != bytes(4):
            return next(page for page in calls[position + 1 :] if writes_to_log(page) and page.thread == call.thread)
    raise AssertionError("the entry's transaction was never ended")


def synced_after(calls: list[Call], commit: Call) -> int | None:
    """The line at which the first sync of the write-ahead log that began after that write had returned."""
    syncs = (call for call in calls if is_sync(call) and call.file == commit.file and call.began > commit.returned)
    return next((call.returned for call in syncs), None)


def sent_with(calls: list[Call], needle: bytes) -> list[Call]:
    return [call for call in calls if call.file.startswith(("socket:", "TCP:")) and needle in b"".join(call.data)]


def violations(calls: list[Call], nonces: dict[str, str], bodies: dict[str, bytes]) -> list[str]:
    """Each entry (by its Baybridge-Entry header) of whose answer a byte was handed to the kernel before the entry was durable."""
    found = []
    for entry, nonce in nonces.items():
        durable = synced_after(calls, commit_of(calls, nonce))
        head = sent_with(calls, f"baybridge-entry: {entry}\r\n".encode())
        body = sent_with(calls, bodies[entry]) if bodies[entry] else head
        assert head, "the trace shows the answer's head"
        assert body, "the trace shows the answer's body"
        first = min(call.began for call in head + body)
        if durable is None or durable >= first:
            found.append(entry)
    return found


@contextmanager
def traced(trace: Path, *arguments: str) -> Iterator[str]:
    """A server under strace for the block; gives its address. The trace is whole once the block has ended."""
    command = [
        *("strace", "-f", "-ttt", "-y", "-xx", "-s", "10000", "-o", str(trace)),
        *("-e", "trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64"),
        *(sys.executable, *arguments),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if "http://" in line), "")
        assert line, "the server did not start"
        yield line[line.index("http://") :].strip()
    finally:
        tracee = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()[0])
        os.kill(tracee, signal.SIGTERM)
        process.wait(timeout=30)
        process.stdout.close()


def read_and_trace(world: World, trace: Path, *server: str) -> tuple[list[Call], dict[str, str], dict[str, bytes]]:
    """Read one after another, once again with the ETag, and four at a time; give the trace, and nonce and body of each entry."""
    token = world.secrets["dot", "analyst"]

    def get(url: str, query: str, **headers: str) -> Reply:
        with Wire(url) as wire:
            return wire.get(f"{ITEMS}{query}", token=token, baybridge_purpose="noise-study", **headers)

    with traced(trace, *server, str(world.root)) as url:
        replies = [get(url, "?limit=1"), get(url, "?limit=2"), get(url, "")]
        unchanged = get(url, "", if_none_match=replies[-1].headers["etag"])
        with ThreadPoolExecutor(4) as readers:
            replies += readers.map(lambda limit: get(url, f"?limit={limit}"), (3, 4, 5, 6))
    assert (unchanged.status, bytes(unchanged.body)) == (304, b"")
    assert {reply.status for reply in replies} == {200}
    by_entry = {reply.headers["baybridge-entry"]: bytes(reply.body) for reply in [*replies, unchanged]}
    assert len(by_entry) == 8
    with world.exchange.database.read() as connection:
        stored = {f"bts/{index}": decode(data).nonce.hex() for index, data in entries(connection, "bts")}
    return read_trace(trace.read_text(encoding="ascii").splitlines()), {entry: stored[entry] for entry in by_entry}, by_entry


@pytest.fixture
def agreed(flights: World) -> World:
    flights.sign(flights.terms())
    return flights


def test_an_entry_is_synced_before_its_answers_first_byte(agreed: World, tmp_path: Path) -> None:
    calls, nonces, bodies = read_and_trace(agreed, tmp_path / "trace", *SERVE)
    assert violations(calls, nonces, bodies) == []


def test_the_checker_catches_a_server_that_does_not_sync(agreed: World, tmp_path: Path) -> None:
    calls, nonces, bodies = read_and_trace(agreed, tmp_path / "trace", str(LAUNCHERS / "unsynced_server.py"))
    assert sorted(violations(calls, nonces, bodies)) == sorted(nonces)


def test_the_checker_catches_a_byte_that_leaves_early(agreed: World, tmp_path: Path) -> None:
    """The same trace, with the first write of one body moved to where its entry's page was only just written."""
    calls, nonces, bodies = read_and_trace(agreed, tmp_path / "trace", *SERVE)
    entry = next(entry for entry, body in bodies.items() if body)
    commit = commit_of(calls, nonces[entry])
    early = [
        Call(commit.began, commit.returned, call.thread, call.name, call.file, call.data, call.result)
        if call in sent_with(calls, bodies[entry])
        else call
        for call in calls
    ]
    assert violations(early, nonces, bodies) == [entry]


def publish_traced(world: World, trace: Path, rows: int) -> list[Call]:
    file = trace.with_name("flights.csv")
    file.write_text("flight,origin\n" + "".join(f"{number},JFK\n" for number in range(rows)), encoding="ascii")
    command = [
        *("strace", "-f", "-ttt", "-y", "-xx", "-s", "10000", "-o", str(trace)),
        *("-e", "trace=fsync,fdatasync,write,pwrite64,rename,renameat,renameat2,mkdir,mkdirat"),
        *(sys.executable, "-m", "baybridge.cli.main", "publish", "bts.traced", str(file)),
        *("--accept-schema", "--key", "flight", "--home", str(world.root)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return read_trace(trace.read_text(encoding="ascii").splitlines())


def undurable(calls: list[Call], names: list[str], nonce: str, objects: Path) -> list[str]:
    """The objects whose bytes, or whose name in its folder, or whose folder in its own, were not on disk before the commit was."""
    commit = commit_of(calls, nonce)
    assert synced_after(calls, commit) is not None
    found = []
    for name in names:
        target = str(objects / name[:2] / name)
        moved = next(call for call in calls if call.name.startswith("rename") and call.data[-1].decode() == target)
        source = moved.data[0].decode()
        last_write = max(call.returned for call in calls if call.name in {"write", "pwrite64"} and call.file == source)
        folders = [str(objects / name[:2])]
        made = [call.began for call in calls if call.name.startswith("mkdir") and call.data[0].decode() == folders[0] and call.result == 0]
        folders += [str(objects)] if made else []
        synced = any(is_sync(call) and call.file == source and last_write < call.began and call.returned < moved.began for call in calls)
        entered = all(
            any(is_sync(call) and call.file == folder and moved.returned < call.began and call.returned < commit.began for call in calls)
            for folder in folders
        )
        if not (synced and entered):
            found.append(name)
    return found


def test_a_versions_objects_are_synced_with_their_folders_before_the_version_is(world: World, tmp_path: Path) -> None:
    calls = publish_traced(world, tmp_path / "trace", 1000)
    objects = world.root.absolute() / "objects"
    names = sorted(path.name for path in objects.rglob("*") if path.is_file())
    with world.exchange.database.read() as connection:
        *_, (_, last) = entries(connection, "bts")
    nonce = decode(last).nonce.hex()
    assert len(names) == 2, "one Parquet object, and the original"
    assert undurable(calls, names, nonce, objects) == []
    without_folders = [call for call in calls if not (is_sync(call) and call.file.startswith(str(objects)))]
    assert undurable(without_folders, names, nonce, objects) == names
    without_files = [call for call in calls if not (is_sync(call) and "/scratch/" in call.file)]
    assert undurable(without_files, names, nonce, objects) == names

"""The process in which an upload is read: it has limits that the kernel keeps, nothing of the server, and ends without harm to it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import FLIGHTS, World, wait_until

from baybridge.catalog.dataset import Mode
from baybridge.data.ingest.limits import Limits, bytes_of
from baybridge.data.ingest.order import UPLOAD, Order
from baybridge.data.ingest.room import Room, shared_room
from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName
from baybridge.publish import Publication, Upload

WIDE = Limits("1GB", 60, 10**9)


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.close()


def order(limits: Limits = WIDE) -> Order:
    return Order(schema=None, null_words=("",), key=(), mode=Mode.REPLACE, base=(), write=True, limits=limits)


def many(folder: Path, rows: int) -> Path:
    lines = (f"{n},{n * 2654435761 % 4294967296:010d} some words that differ {n * 7919 % 1000003}\n" for n in range(rows))
    (folder / UPLOAD).write_text("n,words\n" + "".join(lines))
    return folder


def refused(act: Callable[[], object]) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as error:
        act()
    return error.value


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in tasks.read_text().split()] if tasks.exists() else []


def read_by(room: Room) -> int:
    """The process that reads now: the child of the supervisor, which is the child of the clean parent."""
    assert room._parent is not None
    found: list[int] = []

    def there() -> bool:
        found[:] = [child for supervisor in children(room._parent.pid) for child in children(supervisor)]
        return bool(found)

    wait_until(there)
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "limits",
    [Limits("1GB", 0.1, 10**9), Limits("20MB", 60, 10**6), Limits("1GB", 60, 1_000_000)],
    ids=["time", "memory", "file size"],
)
def test_a_file_that_takes_more_than_it_may_is_refused_and_the_next_is_read(room: Room, tmp_path: Path, limits: Limits) -> None:
    error = refused(lambda: room.run(many(tmp_path, 400_000), order(limits)))
    assert error.code == "file_over_limits"
    assert error.advice.next_step
    assert room.run(many(tmp_path, 3), order()).rows_loaded == 3


@pytest.mark.slow
def test_a_reader_that_is_killed_is_an_error_of_its_upload_alone(room: Room, tmp_path: Path) -> None:
    room.run(many(tmp_path, 1), order())
    ends: list[str] = []
    reading = threading.Thread(target=lambda: ends.append(refused(lambda: room.run(many(tmp_path, 400_000), order())).code))
    reading.start()
    os.kill(read_by(room), signal.SIGKILL)
    reading.join()
    assert ends == ["file_over_limits"]
    assert room.run(many(tmp_path, 2), order()).rows_loaded == 2


def test_a_clean_parent_that_is_killed_is_replaced(room: Room, tmp_path: Path) -> None:
    room.run(many(tmp_path, 1), order())
    assert room._parent is not None
    os.kill(room._parent.pid, signal.SIGKILL)
    room._parent.wait(timeout=10)
    assert room.run(many(tmp_path, 2), order()).rows_loaded == 2


def test_the_process_has_nothing_of_the_servers(world: World) -> None:
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    parent = shared_room()._parent
    assert parent is not None
    proc = Path(f"/proc/{parent.pid}")
    assert proc.joinpath("environ").read_bytes() == b""
    opened = [str(each.readlink()) for each in (proc / "fd").iterdir()]
    assert not [each for each in opened if str(world.root) in each]
    assert world.exchange.keys.cursor not in proc.joinpath("cmdline").read_bytes()


def test_the_process_that_reads_reaches_no_network_where_the_kernel_allows_that(room: Room, tmp_path: Path) -> None:
    """Without privilege a kernel may refuse a namespace; the engine has no network extension either way."""
    asked = ["unshare", "--net", "true"] if os.getuid() == 0 else ["unshare", "--user", "--net", "true"]
    allowed = subprocess.run(asked, check=False, capture_output=True).returncode == 0
    room.run(many(tmp_path, 1), order())
    reading = threading.Thread(target=lambda: room.run(many(tmp_path, 400_000), order()))
    reading.start()
    theirs, ours = Path(f"/proc/{read_by(room)}/ns/net"), Path("/proc/self/ns/net").readlink()
    if allowed:
        wait_until(lambda: theirs.readlink() != ours)
    alone = theirs.readlink() != ours
    reading.join()
    assert alone is allowed


def send(world: World, chunks: Iterator[bytes]) -> Publication:
    upload = Upload(chunks=chunks, null_words=(), key=(), accept_schema=False, dry_run=False)
    return world.exchange.publish.publish(world.person("bts", "steward"), DatasetName("bts", "flights"), upload)


def hostile(kind: str) -> Iterator[bytes]:
    if kind == "a million columns":
        yield b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n"
    else:
        yield b'a,b\n1,"'
        for _ in range(256 if kind == "a quoted field without end" else 1):
            yield b"x" * (1 << 20)
        yield b"" if kind == "a quoted field without end" else b'"\n'


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a million columns", "a quoted field without end"])
def test_a_hostile_csv_is_refused_while_others_are_served(flights: World, kind: str) -> None:
    began = time.monotonic()
    assert refused(lambda: send(flights, hostile(kind))).code == "file_unreadable"
    assert time.monotonic() - began < 60
    assert not list((flights.root / "scratch").glob("publish-*"))


def test_sizes_of_settings_are_read_as_they_are_meant() -> None:
    assert [bytes_of(text) for text in ("512MB", "2 GB", "1GiB", "3KiB", "1TB")] == [512 * 10**6, 2 * 10**9, 1 << 30, 3072, 10**12]

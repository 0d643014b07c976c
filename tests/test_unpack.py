"""What an upload may be packed in, and every way in which an archive is refused: by clear words, before it costs anything."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from conftest import FLIGHTS, World

from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName
from baybridge.publish import Publication, Upload

NAME = DatasetName("bts", "flights")


def send(world: World, data: bytes, **changes: Any) -> Publication:
    asked: dict[str, Any] = {"null_words": (), "key": (), "accept_schema": False, "dry_run": False, **changes}
    return world.exchange.publish.publish(world.person("bts", "steward"), NAME, Upload(chunks=[data], **asked))


def refused(act: Callable[[], object]) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as error:
        act()
    return error.value


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def flagged(data: bytes, flag: int) -> bytes:
    """The archive with that flag set, in its local header and in its directory (APPNOTE 4.3.7 and 4.3.12)."""
    changed = bytearray(data)
    changed[6] |= flag
    changed[data.index(b"PK\x01\x02") + 8] |= flag
    return bytes(changed)


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(FLIGHTS),
        gzip.compress(FLIGHTS[:100]) + gzip.compress(FLIGHTS[100:]),
        zipped(("flights.csv", FLIGHTS)),
        zipped(("folder/", b""), ("folder/flights.csv", FLIGHTS), method=zipfile.ZIP_STORED),
        zipped(("flights.csv", FLIGHTS), ("__MACOSX/._flights.csv", b"\0\5")),
    ],
    ids=["gzip", "gzip of two members", "zip", "zip with a folder", "zip as a Mac makes it"],
)
def test_what_is_packed_is_published_like_the_file_itself_and_kept_as_it_was_sent(flights: World, packed: bytes) -> None:
    done = send(flights, packed)
    assert (done.version, done.rows_loaded, done.source.size) == (2, 7, len(packed))
    assert any("unpacked" in note for note in done.notes)
    original = flights.root / "objects" / done.source.sha256[:2] / done.source.sha256
    assert original.read_bytes() == packed


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (zipped(("a.csv", FLIGHTS), ("b.csv", FLIGHTS)), "2 files"),
        (zipped(), "0 files"),
        (zipped(("../a.csv", FLIGHTS)), "absolute path, a drive or .."),
        (zipped(("/etc/a.csv", FLIGHTS)), "absolute path, a drive or .."),
        (zipped(("C:\\a.csv", FLIGHTS)), "absolute path, a drive or .."),
        (zipped(("a.csv", FLIGHTS), method=zipfile.ZIP_BZIP2), "other than deflate"),
        (flagged(zipped(("a.csv", FLIGHTS)), 1), "encrypted"),
        (zipped(("a.zip", zipped(("a.csv", FLIGHTS)))), "inside the archive"),
        (gzip.compress(gzip.compress(FLIGHTS)), "inside the archive"),
        (gzip.compress(zipped(("a.csv", FLIGHTS))), "inside the archive"),
        (gzip.compress(FLIGHTS)[:-30], "damaged"),
        (gzip.compress(FLIGHTS) + b"more", "damaged"),
        (zipped(("a.csv", FLIGHTS))[:-30], "damaged"),
        (zipped(("mimetype", b"x"), ("content.xml", b"x")), "OpenDocument"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "password"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_an_archive_that_is_not_one_plain_table_is_refused_by_clear_words(flights: World, packed: bytes, words: str) -> None:
    error = refused(lambda: send(flights, packed))
    assert (error.code, words in error.detail) == ("file_unreadable", True), error.detail
    assert error.advice.rule
    assert error.advice.who_can_change == "you"
    assert error.advice.next_step


def test_an_archive_with_a_wrong_checksum_is_damaged(flights: World) -> None:
    packed = bytearray(zipped(("a.csv", FLIGHTS), method=zipfile.ZIP_STORED))
    packed[packed.index(b"N14228")] = ord("X")
    assert refused(lambda: send(flights, bytes(packed))).code == "file_unreadable"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gzip", "zip", "zip that lies"])
def test_a_bomb_is_refused_when_it_is_far_larger_than_its_archive(flights: World, kind: str) -> None:
    zeros = (b"1," * 500 + b"\n") * 400_000  # 400 MB in 0.4 MB
    packed = gzip.compress(zeros, 9) if kind == "gzip" else zipped(("a.csv", zeros))
    del zeros
    if kind == "zip that lies":
        at = packed.index(b"PK\x01\x02") + 24
        packed = packed[:at] + (1000).to_bytes(4, "little") + packed[at + 4 :]
    error = refused(lambda: send(flights, packed))
    assert error.code == ("file_unreadable" if kind == "zip that lies" else "file_over_limits")
    assert not list((flights.root / "scratch").glob("publish-*"))

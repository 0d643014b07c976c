"""Owns the way of a CSV upload: how it is read is found, it is made plain, profiled and cast; rows keep the upload's numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from baybridge.catalog.schema import Schema
from baybridge.data.ingest.csv_source import KEPT, Reject
from baybridge.data.ingest.lexical import RULES
from baybridge.data.ingest.profile import Profile, profile, propose
from baybridge.data.ingest.reading.find import Found, find_reading
from baybridge.data.ingest.reading.plain import PlainFile, make_plain, offsets_of
from baybridge.data.ingest.reading.reading import Wanted
from baybridge.data.ingest.records import read_records
from baybridge.data.ingest.stage import Staged, stage
from baybridge.errors import Advice, Conflict, Invalid, Place

REJECTS_HEADER: Final = ("row", "offset", "column", "rule", "value", "message")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that was read: how, what it shows, its schema, and its rows, typed, in a scratch file."""

    found: Found
    profile: Profile
    schema: Schema
    staged: Staged


def load(
    path: Path,
    wanted: Wanted,
    *,
    schema: Schema | None,
    null_words: tuple[str, ...],
    key: tuple[str, ...],
    scratch: Path,
    memory_limit: str,
    confirmed: bool = True,
) -> Loaded:
    """Read the file. Without a schema the profile's proposal, with `key`, is taken.

    Where `confirmed`, a reading that nobody has said or accepted is refused: Conflict (`reading_unconfirmed`), or Invalid
    (`file_unreadable`) where the file cannot be read as a plain one either. Else the proposed reading is taken, to be looked at.
    """
    found = find_reading(path, wanted, scratch=scratch)
    if confirmed and found.unconfirmed:
        _refuse_unconfirmed(path, found)
    plain = make_plain(path, found, scratch=scratch)
    profiled = profile(plain.path, scratch=scratch, null_words=null_words, memory_limit=memory_limit)
    schema = schema or propose(profiled, key)
    staged = stage(plain.path, schema, scratch=scratch, memory_limit=memory_limit)
    return Loaded(
        found,
        replace(profiled, rows_read=profiled.rows_read + len(plain.rejected), rows_ragged=profiled.rows_ragged + len(plain.rejected)),
        schema,
        _whole(path, found, plain, staged, scratch),
    )


def write_rejects(rejects: Iterable[Reject], target: Path) -> None:
    """Write the reasons as CSV: row, byte offset, column, rule, value, and what the rule asks for."""
    with target.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(REJECTS_HEADER)
        lines.writerows((each.row, each.offset, each.column, each.rule, each.value, RULES[each.rule]) for each in rejects)


def _whole(path: Path, found: Found, plain: PlainFile, staged: Staged, scratch: Path) -> Staged:
    """The same with the rows that the plain file has not, numbered as in the upload, each with the byte where it begins."""
    if not staged.rows_rejected and not plain.rejected:
        return staged
    numbered = [replace(each, row=plain.row_in_upload(each.row)) for each in staged.kept]
    kept = sorted([*plain.rejects, *numbered], key=lambda reject: reject.row)[:KEPT]
    offsets = offsets_of(path, found, {each.row for each in kept if each.offset is None}, scratch=scratch)
    return replace(
        staged,
        rows_read=staged.rows_read + len(plain.rejected),
        rows_rejected=staged.rows_rejected + len(plain.rejected),
        kept=tuple(each if each.offset is not None else replace(each, offset=offsets[each.row]) for each in kept),
        rejects_found=staged.rejects_found + len(plain.rejected),
    )


def _refuse_unconfirmed(path: Path, found: Found) -> None:
    said = {each.aspect: each for each in found.remarks}
    words = " ".join(f"{aspect}={said[aspect].value}" for aspect in found.unconfirmed if aspect != "names")
    advice = Advice(
        rule="How a file is read is never guessed: what is not plain UTF-8 CSV with one header row is said or accepted.",
        who_can_change="you",
        next_step=f"Look at a dry run; then send {words + ', or ' if words else ''}accept_reading=true.",
    )
    places = tuple(Place(aspect, f"{said[aspect].value[:100]}: {said[aspect].reason}") for aspect in found.unconfirmed)
    try:
        read_records(path)
    except Invalid as error:
        raise Invalid(error.code, error.detail, advice=replace(advice, rule=error.advice.rule), places=places) from None
    raise Conflict(
        "reading_unconfirmed", "The file seems not to be plain CSV, and nobody has said how it is read.", advice=advice, places=places
    )

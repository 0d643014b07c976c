"""Owns what surrounds the cast of a CSV upload: how it is read is found and made plain; rows and reasons keep the upload's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from baybridge.data.ingest.csv_source import read_source
from baybridge.data.ingest.profile import Profile
from baybridge.data.ingest.reading.find import Found, find_reading
from baybridge.data.ingest.reading.plain import PlainFile, make_plain, offsets_of
from baybridge.data.ingest.reading.reading import Wanted
from baybridge.data.ingest.source import KEPT
from baybridge.data.ingest.stage import Staged
from baybridge.errors import Advice, Conflict, Invalid, Place


@dataclass(frozen=True, slots=True)
class Opened:
    """An upload of CSV: how it is read, and the plain file that says the same."""

    upload: Path
    found: Found
    plain: PlainFile
    scratch: Path

    def profiled(self, profile: Profile) -> Profile:
        """The plain file's profile, counting the upload's rows."""
        lost = len(self.plain.rejected)
        return replace(profile, rows_read=profile.rows_read + lost, rows_ragged=profile.rows_ragged + lost)

    def staged(self, staged: Staged) -> Staged:
        """The same with the rows that the plain file has not, numbered as in the upload, each with the byte where it begins."""
        lost = len(self.plain.rejected)
        against = {name: tuple(map(self.plain.row_in_upload, rows)) for name, rows in staged.against.items()}
        staged = replace(staged, against=against)
        if not staged.rows_rejected and not lost:
            return staged
        numbered = [replace(each, row=self.plain.row_in_upload(each.row)) for each in staged.kept]
        kept = sorted([*self.plain.rejects, *numbered], key=lambda reject: reject.row)[:KEPT]
        offsets = offsets_of(self.upload, self.found, {each.row for each in kept if each.offset is None}, scratch=self.scratch)
        return replace(
            staged,
            rows_read=staged.rows_read + lost,
            rows_rejected=staged.rows_rejected + lost,
            kept=tuple(each if each.offset is not None else replace(each, offset=offsets[each.row]) for each in kept),
            rejects_found=staged.rejects_found + lost,
        )


def open_csv(upload: Path, wanted: Wanted, *, scratch: Path, confirmed: bool) -> Opened:
    """Find how the upload is read, and make it plain.

    Where `confirmed`, a reading that nobody has said or accepted is refused: Conflict (`reading_unconfirmed`), or Invalid
    (`file_unreadable`) where the file cannot be read as a plain one either. Else the proposed reading is taken, to be looked at.
    """
    found = find_reading(upload, wanted, scratch=scratch)
    if confirmed and found.unconfirmed:
        _refuse_unconfirmed(upload, found)
    return Opened(upload, found, make_plain(upload, found, scratch=scratch), scratch)


def _refuse_unconfirmed(path: Path, found: Found) -> None:
    said = {each.aspect: each for each in found.remarks}
    words = " ".join(f"{aspect}={said[aspect].value}" for aspect in found.unconfirmed if aspect != "names")
    advice = Advice(
        rule="How a file is read is never guessed: what is not plain UTF-8 CSV with one header row is said or accepted.",
        who_can_change="you",
        next_step=f"Look at a dry run; then send {words + ', or ' if words else ''}accept_reading=true.",
    )
    places = tuple(
        Place(aspect, f"{said[aspect].value if aspect != 'names' else 'mended'}: {said[aspect].reason}") for aspect in found.unconfirmed
    )
    try:
        read_source(path)
    except Invalid as error:
        raise Invalid(error.code, error.detail, advice=replace(advice, rule=error.advice.rule), places=places) from None
    what = "The file seems not to be plain CSV, and nobody has said how it is read."
    raise Conflict("reading_unconfirmed", what, advice=advice, places=places)

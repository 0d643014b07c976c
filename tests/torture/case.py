"""Owns the shape of one case of the torture set. Cases are written by hand, from the rules that the reference states."""

from __future__ import annotations

from dataclasses import dataclass

from baybridge.catalog.schema import Column, Schema
from baybridge.data.ingest.reading.reading import NOTHING_SAID, Wanted
from baybridge.terms.columns import ColumnType
from baybridge.wire.formats import Format


@dataclass(frozen=True, slots=True)
class Case:
    """A file, and all that must come of it. Types stand by column as `{"zip": "text"}`.

    `found` says what is not plain about the reading, as `aspect=value`. `rows` are the loaded rows, cells parted by `|`, null as ∅.
    `rejects` are (row, column, rule). `counts` are rows read, loaded and rejected. `seen` are facts of the profile, as
        `zip.leading_zeros=2`. `refused` are a code and words of its detail. `declared` is a schema that was there before; without it,
    `types` are proposed.
        A Parquet file is stated as the `table` that the writer is asked for, in the writer's SQL.
    """

    data: bytes = b""
    types: dict[str, str] | None = None
    rows: tuple[str, ...] = ()
    counts: tuple[int, int, int] | None = None
    rejects: tuple[tuple[int, str | None, str], ...] = ()
    found: str = ""
    seen: str = ""
    declared: dict[str, str] | None = None
    key: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    null_words: tuple[str, ...] = ("",)
    refused: tuple[str, str] | None = None
    said: Wanted = NOTHING_SAID
    file_format: Format = Format.CSV
    table: str = ""

    def schema(self) -> Schema | None:
        """The schema that was declared before the file came."""
        if self.declared is None:
            return None
        needed = {*self.key, *self.required}
        columns = tuple(Column(name, ColumnType.parse(text), required=name in needed) for name, text in self.declared.items())
        return Schema(columns, self.key, self.null_words)

"""Owns what is counted in a sheet's XML before a cell is read: its true size, and what a spreadsheet shows or hides (ECMA-376, 18.3.1).

One pass with expat, which holds nothing: declared sizes are not looked at, and a document type, which only an attack has, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, Final
from xml.parsers import expat

_CHUNK: Final = 1 << 20
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_TRUE: Final = frozenset({"1", "true"})


@dataclass(slots=True)
class Facts:
    """The last row and column that hold a value, and how many there are of the others.

    `uncomputed` formulas have no value stored, the first of them in the cell `first_uncomputed`.
    """

    rows: int = 0
    columns: int = 0
    formulas: int = 0
    uncomputed: int = 0
    first_uncomputed: str | None = None
    hidden_rows: int = 0
    hidden_columns: int = 0
    merged: int = 0


class _Count:
    """The state between elements."""

    def __init__(self) -> None:
        self.facts = Facts()
        self._row = 0
        self._column = 0
        self._cell: str | None = None
        self._formula = False
        self._value = False
        self._within = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        facts, element = self.facts, name.rpartition("}")[2]
        if element == "row":
            self._row, self._column = int(attributes.get("r", self._row + 1)), 0
            facts.hidden_rows += attributes.get("hidden") in _TRUE
        elif element == "c":
            found = _REFERENCE.fullmatch(attributes.get("r", ""))
            self._column = _column(found[1]) if found else self._column + 1
            self._cell = found[0] if found else None
            self._formula = self._value = False
        elif element in {"v", "is"}:
            self._within = True
        elif element == "f":
            self._formula = True
        elif element == "col" and attributes.get("hidden") in _TRUE:
            facts.hidden_columns += int(attributes.get("max", 1)) - int(attributes.get("min", 1)) + 1
        elif element == "mergeCell":
            facts.merged += 1

    def text(self, _: str) -> None:
        """A value with nothing in it is none: so is written what was never computed."""
        self._value = self._value or self._within

    def end(self, name: str) -> None:
        element = name.rpartition("}")[2]
        if element in {"v", "is"}:
            self._within = False
        elif element == "c":
            self.facts.formulas += self._formula
            if self._formula and not self._value:
                self.facts.uncomputed += 1
                self.facts.first_uncomputed = self.facts.first_uncomputed or self._cell
            if self._value:
                self.facts.rows = max(self.facts.rows, self._row)
                self.facts.columns = max(self.facts.columns, self._column)


def sheet_facts(xml: IO[bytes]) -> Facts:
    """Count through a sheet's XML. Raise ValueError for XML that is no sheet of a spreadsheet program."""
    count = _Count()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = count.start
    parser.EndElementHandler = count.end
    parser.CharacterDataHandler = count.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        while chunk := xml.read(_CHUNK):
            parser.Parse(chunk, False)  # noqa: FBT003 -- positional only
        parser.Parse(b"", True)  # noqa: FBT003 -- positional only
    except expat.ExpatError as wrong:
        raise ValueError("The sheet is not XML.") from wrong
    return count.facts


def _refuse_doctype(*_: object) -> None:
    raise ValueError("A sheet has no document type.")


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number

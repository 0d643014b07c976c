"""Owns which type the values of JSON prove: what each value was, merged over all records. It keeps no value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from baybridge.catalog.schema import MAX_COLUMNS
from baybridge.data.ingest.json_elements import unreadable
from baybridge.data.ingest.nested import Digits
from baybridge.terms.columns import MAX_PRECISION, TEXT, ColumnType, Field, Kind

_NARROW: Final = 18
_PLAIN: Final = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")


@dataclass(slots=True)
class Seen:
    """The kinds of values seen in one place, nulls left out; the most digits before and after the point; and what stood in them."""

    kinds: set[Kind] = field(default_factory=set)
    whole: int = 0
    fraction: int = 0
    fields: dict[str, Seen] = field(default_factory=dict)
    elements: Seen | None = None

    def add(self, value: Any) -> None:
        """Merge one value."""
        if isinstance(value, dict):
            self.kinds.add(Kind.STRUCT)
            for name, each in value.items():
                self._field(name).add(each)
        elif isinstance(value, list):
            self.kinds.add(Kind.LIST)
            self.elements = self.elements or Seen()
            for each in value:
                self.elements.add(each)
        elif isinstance(value, Digits):
            self._number(value)
        elif value is not None:
            self.kinds.add(Kind.BOOLEAN if isinstance(value, bool) else Kind.TEXT)

    def type(self) -> ColumnType:
        """The one type that all values are of; text where there is none, or nothing was seen.

        Raise Invalid (`schema_invalid`) for a nested type that no schema may have.
        """
        if self.kinds == {Kind.STRUCT} and self.fields:
            return ColumnType(Kind.STRUCT, fields=tuple(Field(name, seen.type()) for name, seen in self.fields.items()))
        if self.kinds == {Kind.LIST} and self.elements is not None:
            return ColumnType(Kind.LIST, element=self.elements.type())
        if self.kinds == {Kind.BOOLEAN}:
            return ColumnType(Kind.BOOLEAN)
        if not self.kinds or self.kinds & {Kind.TEXT, Kind.STRUCT, Kind.LIST, Kind.BOOLEAN}:
            return TEXT
        if Kind.DOUBLE in self.kinds:
            return ColumnType(Kind.DOUBLE)
        if self.kinds == {Kind.INTEGER}:
            return ColumnType(Kind.INTEGER)
        digits = self.whole + self.fraction
        return ColumnType(Kind.DECIMAL, _NARROW if digits <= _NARROW else MAX_PRECISION, self.fraction) if digits <= MAX_PRECISION else TEXT

    def _field(self, name: str) -> Seen:
        if name not in self.fields:
            if len(self.fields) == MAX_COLUMNS:
                raise unreadable(f"Objects have more than {MAX_COLUMNS:,} different names", "Send what varies as a list of objects.")
            self.fields[name] = Seen()
        return self.fields[name]

    def _number(self, digits: Digits) -> None:
        plain = _PLAIN.fullmatch(digits)
        if plain is None:
            self.kinds.add(Kind.DOUBLE)
            return
        self.whole, self.fraction = max(self.whole, len(plain[1])), max(self.fraction, len(plain[2] or ""))
        small = plain[2] is None and (len(plain[1]) <= _NARROW or -(2**63) <= int(digits) < 2**63)
        self.kinds.add(Kind.INTEGER if small else Kind.DECIMAL)

"""Column types: what a schema declares, a filter compares and a mask replaces. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from baybridge.errors import Invalid

MAX_PRECISION: Final = 38


class Kind(StrEnum):
    """The kinds of values a column can hold, by the lexical space that `data.ingest` accepts for them."""

    TEXT = "text"
    INTEGER = "integer"  # 64-bit signed
    DECIMAL = "decimal"  # exact, with precision and scale
    DOUBLE = "double"  # IEEE 754; only ever declared, never proposed
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"  # an instant, kept in UTC
    DATETIME = "datetime"  # a wall-clock time without a zone


@dataclass(frozen=True, slots=True)
class ColumnType:
    """One column's type. `precision` and `scale` are set exactly for decimals: digits in all, digits after the point."""

    kind: Kind
    precision: int = 0
    scale: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `text`, `integer`, `decimal(18,2)`, ...: the inverse of `str`. Raise Invalid (`schema_invalid`)."""
        match = re.fullmatch(r"decimal\((\d{1,2}),(\d{1,2})\)", text)
        if match:
            precision, scale = int(match[1]), int(match[2])
            if 1 <= precision <= MAX_PRECISION and scale <= precision:
                return cls(Kind.DECIMAL, precision, scale)
        elif text in set(Kind) and text != Kind.DECIMAL:
            return cls(Kind(text))
        raise Invalid("schema_invalid", "A column type is not one that this server knows.")

    def __str__(self) -> str:
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        return self.kind.value


TEXT: Final = ColumnType(Kind.TEXT)

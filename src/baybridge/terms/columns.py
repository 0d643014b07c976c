"""Column types: what a schema declares, a filter compares and a mask replaces. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from baybridge.errors import Invalid

MAX_PRECISION: Final = 38
MAX_NESTING: Final = 8
MAX_FIELDS: Final = 256
MAX_NAME: Final = 128
# Cc control, Cf format (bidirectional overrides, zero widths), Cs surrogates, Zl and Zp line and paragraph separators:
# none can be seen in a page or typed in a filter, and surrogates are not UTF-8.
UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_TOKEN: Final = re.compile(r'\s*+([A-Za-z_][A-Za-z0-9_]*+|[0-9]{1,2}|"(?:[^"]|"")++"|[(),])')
_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Kind(StrEnum):
    """The kinds of values a column can hold, by the lexical space that `data.ingest` accepts for them."""

    TEXT = "text"
    INTEGER = "integer"  # 64-bit signed
    DECIMAL = "decimal"  # exact, with precision and scale
    DOUBLE = "double"  # IEEE 754; only ever declared, never proposed of texts
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"  # an instant, kept in UTC
    DATETIME = "datetime"  # a wall-clock time without a zone
    STRUCT = "struct"  # named fields, each of a type
    LIST = "list"  # values of one type, in order


NESTED: Final = frozenset({Kind.STRUCT, Kind.LIST})
"""The kinds whose values hold other values."""

_SIMPLE: Final = frozenset(Kind) - NESTED - {Kind.DECIMAL}


@dataclass(frozen=True, slots=True)
class Field:
    """One named field of a struct. Its existence proves its name legal; raise Invalid (`schema_invalid`) otherwise."""

    name: str
    type: ColumnType

    def __post_init__(self) -> None:
        """Raise Invalid (`schema_invalid`) for a name that may not be."""
        if not self.name.strip() or len(self.name) > MAX_NAME or any(unicodedata.category(each) in UNSEEN for each in self.name):
            raise _invalid(f"A field's name is 1 to {MAX_NAME} characters, not all of them spaces, none a control or format character.")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """One column's type. `precision` and `scale` are set exactly for decimals: digits in all, digits after the point.

    `fields` are a struct's, `element` is a list's. Raise Invalid (`schema_invalid`) for a type that is deeper than 8 levels, has more
    than 256 fields, or two of one name in one struct, upper and lower case being the same.
    """

    kind: Kind
    precision: int = 0
    scale: int = 0
    fields: tuple[Field, ...] = ()
    element: ColumnType | None = None

    def __post_init__(self) -> None:
        """Raise Invalid (`schema_invalid`) for a nested type that may not be."""
        if self.kind not in NESTED:
            return
        if (self.kind is Kind.STRUCT) is not bool(self.fields) or (self.kind is Kind.LIST) is not (self.element is not None):
            raise _invalid("A struct has fields, and a list has one type of its values.")
        if len({field.name.casefold() for field in self.fields}) != len(self.fields):
            raise _invalid("The fields of a struct have different names, also when upper and lower case are the same.")
        if self.depth() > MAX_NESTING or self.size() > MAX_FIELDS:
            raise _invalid(f"A type has at most {MAX_NESTING} levels of structs and lists, and {MAX_FIELDS} fields.")

    @property
    def is_nested(self) -> bool:
        """Whether its values hold other values."""
        return self.kind in NESTED

    def parts(self) -> tuple[ColumnType, ...]:
        """The types of what a value holds: of a struct's fields in order, or of a list's values."""
        return tuple(field.type for field in self.fields) if self.element is None else (self.element,)

    def depth(self) -> int:
        """How many structs and lists stand in one another."""
        return 1 + max((part.depth() for part in self.parts()), default=0) if self.is_nested else 0

    def size(self) -> int:
        """How many fields it has in all."""
        return len(self.fields) + sum(part.size() for part in self.parts())

    def holds(self, kind: Kind) -> bool:
        """Whether it is of that kind, or a value in it is."""
        return self.kind is kind or any(part.holds(kind) for part in self.parts())

    @staticmethod
    def parse(text: str) -> ColumnType:
        """Parse `text`, `decimal(18,2)`, `struct(city text, "zip code" text)`, `list(date)`: the inverse of `str`.

        Raise Invalid (`schema_invalid`).
        """
        tokens, at = [], 0
        while at < len(text) and (match := _TOKEN.match(text, at)):
            tokens.append(match[1])
            at = match.end()
        reader = _Reader([*reversed(tokens)])
        found = reader.read(level=0)
        if text[at:].strip() or reader.tokens:
            raise _unknown()
        return found

    def __str__(self) -> str:
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        if self.kind is Kind.STRUCT:
            return f"struct({', '.join(f'{_written(field.name)} {field.type}' for field in self.fields)})"
        return self.kind.value if self.element is None else f"list({self.element})"


TEXT: Final = ColumnType(Kind.TEXT)


@dataclass(frozen=True, slots=True)
class Reach:
    """A column, or a field that is reached from it through structs: the way there, and its type."""

    path: tuple[str, ...]
    type: ColumnType


def reachable(columns: Mapping[str, ColumnType]) -> dict[str, Reach]:
    """All that a filter may name: the columns, and the fields in their structs as `column.field`. Fields in lists are not reached.

    No two have one name: a schema in which they would is refused.
    """
    found: dict[str, Reach] = {}
    for name, column in columns.items():
        found |= dict(_reached(name, Reach((name,), column)))
    return found


def column_of(name: str, columns: Mapping[str, ColumnType]) -> str:
    """The column that a name of a filter is of or in; the name itself where there is none."""
    if name in columns:
        return name
    starts = (name[: dot.start()] for dot in re.finditer(r"\.", name))
    return next((start for start in starts if start in columns and name in reachable({start: columns[start]})), name)


def _reached(name: str, reach: Reach) -> Iterator[tuple[str, Reach]]:
    yield name, reach
    for field in reach.type.fields:
        yield from _reached(f"{name}.{field.name}", Reach((*reach.path, field.name), field.type))


@dataclass(slots=True)
class _Reader:
    """Reads a type from its tokens, which are in reverse."""

    tokens: list[str]

    def read(self, *, level: int) -> ColumnType:
        word = self._take()
        if level > MAX_NESTING:
            raise _invalid(f"A type has at most {MAX_NESTING} levels of structs and lists.")
        if word in _SIMPLE:
            return ColumnType(Kind(word))
        if word == Kind.DECIMAL:
            return self._decimal()
        if word == Kind.LIST:
            self._expect("(")
            element = self.read(level=level + 1)
            self._expect(")")
            return ColumnType(Kind.LIST, element=element)
        if word != Kind.STRUCT:
            raise _unknown()
        self._expect("(")
        fields = [self._field(level + 1)]
        while (mark := self._take()) == ",":
            fields.append(self._field(level + 1))
        if mark != ")":
            raise _unknown()
        return ColumnType(Kind.STRUCT, fields=tuple(fields))

    def _field(self, level: int) -> Field:
        name = self._take()
        if name in {"(", ")", ","} or name[:1].isdigit():
            raise _unknown()
        return Field(name[1:-1].replace('""', '"') if name.startswith('"') else name, self.read(level=level))

    def _decimal(self) -> ColumnType:
        self._expect("(")
        precision = self._take()
        self._expect(",")
        scale = self._take()
        self._expect(")")
        if not precision.isdigit() or not scale.isdigit() or not 1 <= int(precision) <= MAX_PRECISION or int(scale) > int(precision):
            raise _unknown()
        return ColumnType(Kind.DECIMAL, int(precision), int(scale))

    def _expect(self, mark: str) -> None:
        if self._take() != mark:
            raise _unknown()

    def _take(self) -> str:
        if not self.tokens:
            raise _unknown()
        return self.tokens.pop()


def _written(name: str) -> str:
    return name if _BARE.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def _unknown() -> Invalid:
    return _invalid("A column type is not one that this server knows.")


def _invalid(rule: str) -> Invalid:
    return Invalid("schema_invalid", rule)

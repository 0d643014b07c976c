"""The filter tree: what a filter can say, in one normal form. It knows neither text nor SQL nor columns.

A node's existence is the proof that it is normal: numbers carry no trailing zeros, instants are in UTC, AND and OR are flat, and the
literals of one node are of one kind. So equal filters are equal trees, and `printer.to_text` gives them one text, which agreements sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, TypeAlias

MAX_IN_ITEMS: Final = 10_000
# A number's digits and power of ten are bounded so that its text stays within 80 characters and exact arithmetic on it stays cheap.
MAX_DIGITS: Final = 72
MAX_EXPONENT: Final = 999
_UNWRITABLE: Final = re.compile(r"[\0\ud800-\udfff]")
_PATTERN: Final = re.compile(r"(?:[^\\]|\\[%_\\])*+", re.DOTALL)
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f-\x9f]")

Value: TypeAlias = str | Decimal | bool | date | datetime
Operator: TypeAlias = Literal["=", "<>", "<", "<=", ">", ">="]


class Fold(StrEnum):
    """What a comparison of texts overlooks, on both its sides alike: case, or accents. `data.sql` says what that is exactly."""

    CASEI = "casei"
    ACCENTI = "accenti"


class LiteralKind(StrEnum):
    """The kinds of literals. Python finds TRUE equal to 1, so a node keeps its literals' kind and the two differ."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "timestamp with a zone"
    WALL_CLOCK = "timestamp without a zone"


def kind_of(value: Value) -> LiteralKind:
    """Give the literal's kind. A datetime is a date, and a bool is no number, to Python; here neither is."""
    if isinstance(value, bool):
        return LiteralKind.BOOLEAN
    if isinstance(value, str):
        return LiteralKind.TEXT
    if isinstance(value, Decimal):
        return LiteralKind.NUMBER
    if isinstance(value, datetime):
        return LiteralKind.WALL_CLOCK if value.tzinfo is None else LiteralKind.INSTANT
    return LiteralKind.DATE


def normal_number(number: Decimal) -> Decimal:
    """Give the equal number without trailing zeros and without a negative zero.

    Raise ValueError for infinities and NaN, beyond MAX_DIGITS significant digits, or beyond MAX_EXPONENT as the power of ten.
    `Decimal.normalize` is not used: it rounds to the context's precision.
    """
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")  # noqa: TRY004 - an infinity is a Decimal of the wrong value
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return Decimal(0)
    exponent += len(text) - len(significant)
    if len(significant) > MAX_DIGITS or abs(exponent) > MAX_EXPONENT:
        raise ValueError("a number out of bounds")
    return Decimal((sign, tuple(map(int, significant)), exponent))


def _normal(value: Value) -> Value:
    if isinstance(value, Decimal):
        return normal_number(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if isinstance(value, str) and not is_writable(value):
        raise ValueError("text with a NUL or half a surrogate pair")
    return value


def is_writable(text: str) -> bool:
    """Tell whether the text can stand in a filter: no NUL, and encodable as UTF-8."""
    return _UNWRITABLE.search(text) is None


def has_control(text: str) -> bool:
    """Tell whether the text holds a control character (C0, DEL or C1), which no name may."""
    return _CONTROL.search(text) is not None


def is_pattern(text: str) -> bool:
    """Tell whether the text is a pattern of LIKE: a backslash is followed by %, _ or another backslash."""
    return _PATTERN.fullmatch(text) is not None


def _one_kind(values: tuple[Value, ...], folds: tuple[Fold, ...]) -> LiteralKind:
    kinds = {kind_of(value) for value in values}
    if len(kinds) != 1:
        raise ValueError("literals of one kind are needed here")
    kind = kinds.pop()
    if folds and kind is not LiteralKind.TEXT:
        raise ValueError("only text is folded")
    return kind


def _ordered(folds: tuple[Fold, ...]) -> tuple[Fold, ...]:
    return tuple(fold for fold in Fold if fold in folds)


@dataclass(frozen=True, slots=True)
class Property:
    """A column's name as the filter writes it, and the 1-based character where it stands, which equality leaves out.

    `folds` are those of the whole condition: CASEI(a) = CASEI('x') is `Comparison("=", Property("a", folds=(Fold.CASEI,)), "x")`.
    """

    name: str
    position: int = field(default=1, compare=False)
    folds: tuple[Fold, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a name that no filter text could hold, and for folds twice or out of the order of `Fold`."""
        if not self.name or not is_writable(self.name) or has_control(self.name):
            raise ValueError("not a property name")
        if self.folds != _ordered(self.folds):
            raise ValueError("folds twice or out of order")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`property operator value`; NULL where the column is NULL."""

    operator: Operator
    property: Property
    value: Value
    kind: LiteralKind = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the literal normal. Raise ValueError where it cannot be."""
        object.__setattr__(self, "value", _normal(self.value))
        object.__setattr__(self, "kind", _one_kind((self.value,), self.property.folds))


@dataclass(frozen=True, slots=True)
class ColumnComparison:
    """`property operator other`, two columns of one type; NULL where either is NULL."""

    operator: Operator
    property: Property
    other: Property

    def __post_init__(self) -> None:
        """Raise ValueError unless both sides have the same folds."""
        if self.property.folds != self.other.folds:
            raise ValueError("both columns are folded alike")


@dataclass(frozen=True, slots=True)
class Like:
    """The whole text fits the pattern: % is any characters, _ one character, and a backslash takes their meaning from %, _ and itself.

    `only_pattern` are folds of the pattern beside a column that has none: a LIKE CASEI('X%') is `Like(a, "X%", (Fold.CASEI,))`.
    """

    property: Property
    pattern: str
    only_pattern: tuple[Fold, ...] = ()
    kind: LiteralKind = field(init=False, repr=False, default=LiteralKind.TEXT)

    def __post_init__(self) -> None:
        """Raise ValueError for text that is no pattern, and for folds of the pattern alone that are not, or are twice or out of order."""
        if not is_writable(self.pattern) or not is_pattern(self.pattern):
            raise ValueError("not a pattern")
        if self.only_pattern and (self.property.folds or self.only_pattern != _ordered(self.only_pattern)):
            raise ValueError("folds of the pattern alone beside folds of the column, twice or out of order")

    def pattern_folds(self) -> tuple[Fold, ...]:
        """What the pattern stands in: the column's folds, or its own."""
        return self.property.folds or self.only_pattern


@dataclass(frozen=True, slots=True)
class Between:
    """`property >= low AND property <= high`: both ends are in, and nothing is when low is above high."""

    property: Property
    low: Value
    high: Value
    kind: LiteralKind = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the literals normal. Raise ValueError where they cannot be or differ in kind."""
        object.__setattr__(self, "low", _normal(self.low))
        object.__setattr__(self, "high", _normal(self.high))
        object.__setattr__(self, "kind", _one_kind((self.low, self.high), self.property.folds))


@dataclass(frozen=True, slots=True)
class In:
    """`property` equals one of the values; NULL where the column is NULL."""

    property: Property
    values: tuple[Value, ...]
    kind: LiteralKind = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the literals normal. Raise ValueError for none, more than MAX_IN_ITEMS, or several kinds."""
        if len(self.values) > MAX_IN_ITEMS:
            raise ValueError("too many values in one IN")
        object.__setattr__(self, "values", tuple(map(_normal, self.values)))
        object.__setattr__(self, "kind", _one_kind(self.values, self.property.folds))


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column is NULL: never itself NULL, and nothing to fold."""

    property: Property

    def __post_init__(self) -> None:
        """Raise ValueError for folds, which change no NULL."""
        if self.property.folds:
            raise ValueError("a test for NULL has no folds")


@dataclass(frozen=True, slots=True)
class Always:
    """The literal TRUE or FALSE as a whole condition."""

    value: bool


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more operands, none of them itself an And; `conjunction` makes one of anything."""

    operands: tuple[Filter, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless flat."""
        if len(self.operands) < 2 or any(isinstance(operand, And) for operand in self.operands):  # noqa: PLR2004 - two make a conjunction
            raise ValueError("an And is flat and has two or more operands")


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more operands, none of them itself an Or; `disjunction` makes one of anything."""

    operands: tuple[Filter, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless flat."""
        if len(self.operands) < 2 or any(isinstance(operand, Or) for operand in self.operands):  # noqa: PLR2004 - two make a disjunction
            raise ValueError("an Or is flat and has two or more operands")


@dataclass(frozen=True, slots=True)
class Not:
    """The operand's negation; NULL stays NULL."""

    operand: Filter


Leaf: TypeAlias = Comparison | ColumnComparison | Like | Between | In | IsNull
Filter: TypeAlias = Leaf | Always | And | Or | Not


def conjunction(filters: Iterable[Filter]) -> Filter:
    """All of the filters hold, as one flat tree; TRUE for none. So a request's filter is put beside an agreement's."""
    flat: list[Filter] = []
    for each in filters:
        flat.extend(each.operands if isinstance(each, And) else (each,))
    if not flat:
        return Always(value=True)
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(filters: Iterable[Filter]) -> Filter:
    """Any of the filters holds, as one flat tree; FALSE for none."""
    flat: list[Filter] = []
    for each in filters:
        flat.extend(each.operands if isinstance(each, Or) else (each,))
    if not flat:
        return Always(value=False)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def leaves(tree: Filter) -> tuple[Leaf, ...]:
    """Give the conditions on columns, in the order of the text."""
    found: list[Leaf] = []
    waiting: list[Filter] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, And | Or):
            waiting.extend(reversed(node.operands))
        elif isinstance(node, Not):
            waiting.append(node.operand)
        elif not isinstance(node, Always):
            found.append(node)
    return tuple(found)


def properties_of(tree: Filter) -> tuple[Property, ...]:
    """Give every mention of a column, in the order of the text; a column mentioned twice is there twice."""
    found: list[Property] = []
    for leaf in leaves(tree):
        found.append(leaf.property)
        if isinstance(leaf, ColumnComparison):
            found.append(leaf.other)
    return tuple(found)


def nesting(tree: Filter) -> int:
    """Count the parentheses inside parentheses that the canonical text needs: NOT with its parenthesis is one, and so is AND inside OR."""
    deepest = 0
    waiting: list[tuple[Filter, int]] = [(tree, 0)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(node, And | Or):
            waiting.extend((operand, level + isinstance(operand, And | Or)) for operand in node.operands)
        elif isinstance(node, Not):
            waiting.append((node.operand, level + (not isinstance(node.operand, Like | Between | In | IsNull))))
    return deepest

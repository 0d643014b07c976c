"""CQL2-JSON to the filter tree and back. It decides nothing about the language: what it reads goes once more through the text's parser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NoReturn

import msgspec

from baybridge.errors import Invalid
from baybridge.terms.cql2 import refusals
from baybridge.terms.cql2.literals import date_of, number_of, timestamp_of
from baybridge.terms.cql2.nodes import (
    MAX_IN_ITEMS,
    Always,
    And,
    Between,
    ColumnComparison,
    Comparison,
    Filter,
    Fold,
    In,
    IsNull,
    Like,
    Not,
    Operator,
    Or,
    Property,
    Value,
    conjunction,
    disjunction,
    is_pattern,
    is_writable,
)
from baybridge.terms.cql2.parser import FLIPPED, MAX_NESTING, OPERATORS, parse
from baybridge.terms.cql2.printer import to_text
from baybridge.terms.cql2.refusals import Wrong, refusal_in_json

MAX_JSON_BYTES: Final = 256 * 1024
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "^", "%", "div"})
_SHAPE: Final = Wrong("This is not a condition of CQL2-JSON.", 'Write an object: {"op": "=", "args": [{"property": "city"}, "Suffolk"]}.')
_ARGUMENTS: Final = Wrong(
    "This operator has other arguments.", 'Write them as the standard does: {"op": "isNull", "args": [{"property": "a"}]}.'
)
_SYNTAX: Final = Wrong("The filter is not JSON.", "Numbers are finite, and each object names a member once.")
_OPERAND: Final = Wrong(
    "A column or a literal is needed here.",
    'Write {"property": "a"}, a number, a text, true, {"date": "2024-01-31"} or {"timestamp": "..."}.',
)


def from_json(document: bytes, *, max_bytes: int = MAX_JSON_BYTES) -> Filter:
    """Read CQL2-JSON into the one filter tree. Positions in it are those of its canonical text.

    Numbers keep every digit. `max_bytes` bounds the JSON and the canonical text.
    Raise Invalid (`filter_invalid`) with the JSON pointer of what is wrong.
    """
    if len(document) > max_bytes:
        raise refusal_in_json(Wrong(f"A filter has at most {max_bytes} bytes.", "Ask in several requests."), "")
    try:
        # The standard library's reader, because it alone gives numbers as they are written and members as often as they are named.
        loaded = json.loads(document.decode(), parse_float=_Number, parse_int=_Number, parse_constant=_refuse, object_pairs_hook=_members)
    except RecursionError as error:
        raise refusal_in_json(refusals.DEPTH, "") from error
    except ValueError as error:
        raise refusal_in_json(_SYNTAX, "") from error
    return parse(to_text(_condition(_Part(loaded, "", 0))), max_bytes=max_bytes)


def to_json(tree: Filter) -> bytes:
    """Write the filter as CQL2-JSON. `from_json` gives the same tree back."""
    return _ENCODER.encode(_written(tree))


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as it is written, until its place is known."""

    text: str


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN or an infinity")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a member named twice")
    return read


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the document: its value, its JSON pointer, and how many conditions it stands in."""

    value: Any
    pointer: str
    level: int

    def wrong(self, wrong: Wrong) -> Invalid:
        return refusal_in_json(wrong, self.pointer)

    def inner(self, step: str, value: Any) -> _Part:
        return _Part(value, f"{self.pointer}/{step}", self.level + 1)

    def operation(self) -> tuple[str, tuple[_Part, ...]]:
        """The operator and its arguments."""
        found = self.value
        if not isinstance(found, dict) or set(found) != {"op", "args"} or not isinstance(found["op"], str):
            raise self.wrong(_SHAPE)
        if not isinstance(found["args"], list):
            raise self.wrong(_ARGUMENTS)
        return found["op"], tuple(self.inner(f"args/{n}", each) for n, each in enumerate(found["args"]))

    def items(self) -> tuple[_Part, ...]:
        if not isinstance(self.value, list) or not self.value:
            raise self.wrong(_ARGUMENTS)
        if len(self.value) > MAX_IN_ITEMS:
            raise self.wrong(refusals.ITEMS)
        return tuple(self.inner(str(n), each) for n, each in enumerate(self.value))


def _condition(part: _Part) -> Filter:
    if part.level > MAX_NESTING:
        raise part.wrong(refusals.DEPTH)
    if isinstance(part.value, bool):
        return Always(part.value)
    operator, arguments = part.operation()
    if operator in {"and", "or"}:
        if len(arguments) < 2:  # noqa: PLR2004 - the standard's schema asks for two
            raise part.wrong(_ARGUMENTS)
        return (conjunction if operator == "and" else disjunction)(_condition(each) for each in arguments)
    count = _COUNTS.get(operator)
    if count is None:
        raise part.wrong(_left_out(operator))
    if len(arguments) != count:
        raise part.wrong(_ARGUMENTS)
    if operator == "not":
        return Not(_condition(arguments[0]))
    try:
        return _predicate(operator, arguments)
    except ValueError as error:
        raise part.wrong(refusals.MIXED) from error


_COUNTS: Final = {**dict.fromkeys(OPERATORS, 2), "like": 2, "in": 2, "between": 3, "isNull": 1, "not": 1}


def _left_out(operator: str) -> Wrong:
    return refusals.ARITHMETIC if operator in _ARITHMETIC else refusals.function_refusal(operator)


def _predicate(operator: str, arguments: tuple[_Part, ...]) -> Filter:
    left, *others = arguments
    column = _operand(left)
    if operator in OPERATORS:
        return _comparison(OPERATORS[operator], column, _operand(others[0]), others[0])
    if not isinstance(column, Property):
        raise left.wrong(refusals.LITERAL_FIRST)
    if operator == "isNull":
        return IsNull(Property(column.name))
    if operator == "in":
        return In(column, tuple(_value(each, column) for each in others[0].items()))
    if operator == "between":
        return Between(column, _value(others[0], column), _value(others[1], column))
    return _like(column, others[0])


def _like(column: Property, place: _Part) -> Like:
    pattern = _literal_of(place)
    if not isinstance(pattern.value, str) or not is_pattern(pattern.value):
        raise place.wrong(refusals.PATTERN)
    if column.folds and pattern.folds != column.folds:
        raise place.wrong(refusals.FOLDS)
    return Like(column, pattern.value, () if column.folds else pattern.folds)


def _comparison(operator: Operator, left: Property | _Literal, right: Property | _Literal, place: _Part) -> Filter:
    if left.folds != right.folds:
        raise place.wrong(refusals.FOLDS)
    if isinstance(left, _Literal):
        if isinstance(right, _Literal):
            raise place.wrong(refusals.TWO_LITERALS)
        return Comparison(FLIPPED[operator], right, left.value)
    return Comparison(operator, left, right.value) if isinstance(right, _Literal) else ColumnComparison(operator, left, right)


@dataclass(frozen=True, slots=True)
class _Literal:
    value: Value
    folds: tuple[Fold, ...]


def _value(part: _Part, column: Property) -> Value:
    found = _literal_of(part)
    if found.folds != column.folds:
        raise part.wrong(refusals.FOLDS)
    return found.value


def _literal_of(part: _Part) -> _Literal:
    found = _operand(part)
    if isinstance(found, Property):
        raise part.wrong(refusals.TWO_COLUMNS)
    return found


def _operand(part: _Part) -> Property | _Literal:
    folds: list[str] = []
    while isinstance(part.value, dict) and part.value.get("op") in set(Fold):
        operator, arguments = part.operation()
        if operator in folds or len(arguments) != 1:
            raise part.wrong(refusals.FOLDED)
        folds.append(operator)
        part = arguments[0]
    ordered = tuple(fold for fold in Fold if fold in folds)
    if isinstance(part.value, dict) and set(part.value) == {"property"}:
        name = part.value["property"]
        try:
            return Property(name if isinstance(name, str) else "", folds=ordered)
        except ValueError as error:
            raise part.wrong(_OPERAND) from error
    value = _literal(part)
    if folds and not isinstance(value, str):
        raise part.wrong(refusals.FOLDED)
    return _Literal(value, ordered)


def _literal(part: _Part) -> Value:
    found = part.value
    if isinstance(found, bool):
        return found
    if isinstance(found, str):
        if not is_writable(found):
            raise part.wrong(refusals.CONTROL)
        return found
    if found is None:
        raise part.wrong(refusals.NULL_LITERAL)
    wrong = _OPERAND
    try:
        if isinstance(found, _Number):
            wrong = refusals.NUMBER
            return number_of(found.text)
        if isinstance(found, dict):
            wrong = _left_out(found["op"]) if isinstance(found.get("op"), str) else wrong
            return _time(found)
    except (ValueError, OverflowError) as error:
        raise part.wrong(wrong) from error
    raise part.wrong(_OPERAND)


def _time(members: Mapping[str, Any]) -> date:
    match members:
        case {"date": str(text), **rest} if not rest:
            return date_of(text)
        case {"timestamp": str(text), **rest} if not rest:
            return timestamp_of(text)
    raise ValueError("not a date and not a timestamp")


# The tree as JSON.


def _written(tree: Filter) -> Any:
    if isinstance(tree, Always):
        return tree.value
    if isinstance(tree, And | Or):
        return {"op": "and" if isinstance(tree, And) else "or", "args": [_written(each) for each in tree.operands]}
    if isinstance(tree, Not):
        return {"op": "not", "args": [_written(tree.operand)]}
    column = _column(tree.property)
    folds = tree.property.folds
    if isinstance(tree, IsNull):
        return {"op": "isNull", "args": [column]}
    if isinstance(tree, In):
        return {"op": "in", "args": [column, [_scalar(each, folds) for each in tree.values]]}
    if isinstance(tree, Between):
        return {"op": "between", "args": [column, _scalar(tree.low, folds), _scalar(tree.high, folds)]}
    if isinstance(tree, Like):
        return {"op": "like", "args": [column, _scalar(tree.pattern, tree.pattern_folds())]}
    other = _column(tree.other) if isinstance(tree, ColumnComparison) else _scalar(tree.value, folds)
    return {"op": tree.operator, "args": [column, other]}


def _column(column: Property) -> Any:
    return _folded({"property": column.name}, column.folds)


def _scalar(value: Value, folds: tuple[Fold, ...]) -> Any:
    if isinstance(value, datetime):
        return {"timestamp": value.replace(tzinfo=None).isoformat() + ("" if value.tzinfo is None else "Z")}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    return _folded(value, folds)


def _folded(inner: Any, folds: tuple[Fold, ...]) -> Any:
    for fold in reversed(folds):
        inner = {"op": fold.value, "args": [inner]}
    return inner

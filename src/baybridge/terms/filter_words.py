"""A row filter in plain words: one short line for each condition. A condition that has no words here refuses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from baybridge.errors import Advice, Refused
from baybridge.terms.cql2 import Always, And, Between, ColumnComparison, Comparison, Filter, Fold, In, IsNull, Like, Not, Or, Property
from baybridge.terms.cql2.nodes import Leaf, leaves
from baybridge.terms.words import day, moment, number, quoted

_NUMBERS: Final = {"<": "is less than {}", "<=": "is {} or less", ">": "is more than {}", ">=": "is {} or more"}
_TIMES: Final = {"<": "is before {}", "<=": "is {} or before", ">": "is after {}", ">=": "is {} or after"}
_TEXTS: Final = {
    "<": "sorts before {}",
    "<=": "is {} or sorts before it",
    ">": "sorts after {}",
    ">=": "is {} or sorts after it",
}
_COLUMNS: Final = {
    "=": "is the same as",
    "<>": "is not the same as",
    "<": "is below",
    "<=": "is below or the same as",
    ">": "is above",
    ">=": "is above or the same as",
}
_FOLDS: Final = {
    (): "",
    (Fold.CASEI,): " Case does not count.",
    (Fold.ACCENTI,): " Accents do not count.",
    (Fold.CASEI, Fold.ACCENTI): " Case and accents do not count.",
}
# Where the pattern alone is folded, the column's text has to be written so.
_PATTERN_FOLDS: Final = {
    (): "",
    (Fold.CASEI,): " in small letters",
    (Fold.ACCENTI,): " without accents",
    (Fold.CASEI, Fold.ACCENTI): " in small letters without accents",
}
# A pattern that is one text with %, any characters, at its start or its end. Others are shown as they are.
_AFFIX: Final = re.compile(r"(%?)((?:[^%_\\]|\\.)+)(%?)", re.DOTALL)
_AFFIXES: Final = {("", "%"): "starts with", ("%", ""): "ends with", ("%", "%"): "holds"}


def filter_notes(tree: Filter) -> Iterator[str]:
    """What a reader must know to read the lines of this filter, a sentence each."""
    found = leaves(tree)
    if any(isinstance(leaf, Like) and _affix(leaf.pattern) is None for leaf in found):
        yield "In a pattern, % is any text, and _ is any one letter or sign."
        yield "With a mark \\\\ before them, they are just signs."
    if any(isinstance(leaf, ColumnComparison) and leaf.operator not in {"=", "<>"} for leaf in found):
        yield "Below means less, before, or sorted before. Above is the reverse."


def filter_lines(tree: Filter, *, indent: str = "") -> Iterator[str]:
    """The filter as lines of a nested list. Raise Refused (`terms_not_understood`) for a node that is not known here."""
    match tree:
        case And(operands=operands):
            yield from _group("All of these hold:", operands, indent)
        case Or(operands=operands):
            yield from _group("At least one of these holds:", operands, indent)
        case Not(operand=Like() | In() | Between() | IsNull() as leaf):
            yield f"{indent}- {_leaf(leaf, 'not ')}.{_overlooked(leaf)}"
        case Not(operand=operand):
            yield from _group("This does not hold:", (operand,), indent)
        case Always(value=value):
            yield f"{indent}- This {'always' if value else 'never'} holds."
        case _:
            yield f"{indent}- {_leaf(tree, '')}.{_overlooked(tree)}"


def _group(heading: str, operands: tuple[Filter, ...], indent: str) -> Iterator[str]:
    yield f"{indent}- {heading}"
    for operand in operands:
        yield from filter_lines(operand, indent=indent + "  ")


def _leaf(leaf: object, negation: str) -> str:
    match leaf:
        case Comparison(operator=operator, property=column, value=value):
            return f"{_column(column)} {_compared(operator, value)}"
        case ColumnComparison(operator=operator, property=column, other=other):
            return f"{_column(column)} {_COLUMNS[operator]} the column {_column(other)}"
        case Like(property=column, pattern=pattern, only_pattern=folds):
            return f"{_column(column)} is {negation}text that {_fitted(pattern)}{_PATTERN_FOLDS[folds]}"
        case Between(property=column, low=low, high=high):
            return f"{_column(column)} is {negation}from {_value(low)} to {_value(high)}, ends included"
        case In(property=column, values=values):
            return f"{_column(column)} is {negation}one of: {', '.join(map(_value, values))}"
        case IsNull(property=column):
            return f"{_column(column)} is {negation}empty"
        case _:
            raise _unknown()


def _column(column: object) -> str:
    if type(column) is not Property:
        raise _unknown()
    return quoted(column.name)


def _overlooked(leaf: Leaf) -> str:
    return _FOLDS[leaf.property.folds]


def _fitted(pattern: str) -> str:
    found = _affix(pattern)
    return f"fits the pattern {quoted(pattern)}" if found is None else f"{found[0]} {quoted(found[1])}"


def _affix(pattern: str) -> tuple[str, str] | None:
    """The words for the pattern and its text without escapes, or None where it has to be shown as a pattern."""
    match = _AFFIX.fullmatch(pattern)
    if match is None or (match[1], match[3]) not in _AFFIXES:
        return None
    return _AFFIXES[match[1], match[3]], re.sub(r"\\(.)", r"\1", match[2])


def _compared(operator: str, value: object) -> str:
    if operator in {"=", "<>"}:
        return f"is {'not ' if operator == '<>' else ''}{_value(value)}"
    words = _NUMBERS if isinstance(value, Decimal) else _TEXTS if isinstance(value, str) else _TIMES
    if operator not in words:
        raise _unknown()
    return words[operator].format(_value(value))


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case Decimal():
            return number(value)
        case datetime():
            return moment(value)
        case date():
            return day(value)
        case _:
            raise _unknown()


def _unknown() -> Refused:
    return Refused(
        "terms_not_understood",
        "The row filter holds a condition that this server has no words for.",
        advice=Advice(
            rule="Terms are shown in plain words in whole, or not at all.",
            who_can_change="the operator of this server, by an upgrade, or the two parties, by a new agreement",
            next_step="Read the terms as JSON, and tell the operator.",
        ),
    )

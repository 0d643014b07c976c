"""The filter tree against a dataset's columns: every name is a column, and every literal fits its type. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from baybridge.errors import Advice, Invalid, Place
from baybridge.names import nearest
from baybridge.terms.columns import NESTED, ColumnType, Kind, reachable
from baybridge.terms.cql2.nodes import (
    Between,
    ColumnComparison,
    Comparison,
    Filter,
    In,
    IsNull,
    Like,
    LiteralKind,
    Operator,
    Property,
    leaves,
    properties_of,
)
from baybridge.terms.cql2.refusals import Wrong, refusal


@dataclass(frozen=True, slots=True)
class _Fit:
    """Which literals a column takes, and how one is written."""

    kind: LiteralKind
    written: str


_NUMBER: Final = _Fit(LiteralKind.NUMBER, "a number without quotes, like 12 or 0.5")
_FITS: Final[dict[Kind, _Fit]] = {
    Kind.TEXT: _Fit(LiteralKind.TEXT, "text in single quotes, like '02116'"),
    Kind.INTEGER: _NUMBER,
    Kind.DECIMAL: _NUMBER,
    Kind.DOUBLE: _NUMBER,
    Kind.BOOLEAN: _Fit(LiteralKind.BOOLEAN, "TRUE or FALSE"),
    Kind.DATE: _Fit(LiteralKind.DATE, "a date, DATE('2024-01-31')"),
    Kind.TIMESTAMP: _Fit(LiteralKind.INSTANT, "an instant with its zone, TIMESTAMP('2024-01-31T12:00:00Z')"),
    Kind.DATETIME: _Fit(LiteralKind.WALL_CLOCK, "a time without a zone, TIMESTAMP('2024-01-31T12:00:00')"),
}
_NESTED: Final = {
    Kind.STRUCT: Wrong("A struct is compared by its fields, not whole.", "Write: address.city = 'Boston', or: address IS NULL."),
    Kind.LIST: Wrong(
        "A list, and what is in it, is not compared (class Array Functions).", "Write: column IS NULL; else read the rows and look there."
    ),
}


def check(tree: Filter, columns: Mapping[str, ColumnType]) -> None:
    """Refuse a filter at the first place that names an unknown column, or compares one with a literal of another kind, or a struct or list.

    `columns` are those that the caller may know: the hint for an unknown name is the nearest of them.
    Raise Invalid (`unknown_column`, `filter_invalid`) with the position of the name.
    """
    named = {name: reach.type for name, reach in reachable(columns).items()}
    for mentioned in properties_of(tree):
        if mentioned.name not in named:
            raise _unknown(mentioned, named)
    for leaf in leaves(tree):
        column = named[leaf.property.name]
        if isinstance(leaf, IsNull):
            continue
        if column.kind in NESTED:
            raise refusal(_NESTED[column.kind], leaf.property.position)
        if isinstance(leaf, ColumnComparison):
            _check_columns(leaf, column, named[leaf.other.name])
        else:
            _check_literals(leaf, column)


def _check_columns(leaf: ColumnComparison, column: ColumnType, other: ColumnType) -> None:
    # One type, not one that both could be brought to: a common type rounds or overflows, and what is compared would be changed silently.
    if column != other:
        message = f"A column of type {column} is compared with one of type {other}."
        raise refusal(Wrong(message, "Only columns of the same type are compared with each other."), leaf.other.position)
    if leaf.property.folds and column.kind is not Kind.TEXT:
        raise refusal(Wrong(f"This column's type is {column}.", "CASEI and ACCENTI take columns of type text."), leaf.property.position)
    _check_order(leaf.operator, leaf.property, column)


def _check_literals(leaf: Comparison | Like | Between | In, column: ColumnType) -> None:
    fit = _FITS[column.kind]
    if leaf.kind is not fit.kind:
        message = f"This column's type is {column}, and it is compared with a {leaf.kind.value}."
        raise refusal(Wrong(message, f"Write {fit.written}."), leaf.property.position)
    if isinstance(leaf, Comparison | Between):
        _check_order("<=" if isinstance(leaf, Between) else leaf.operator, leaf.property, column)


def _check_order(operator: Operator, place: Property, column: ColumnType) -> None:
    if operator not in {"=", "<>"} and column.kind is Kind.BOOLEAN:
        wrong = Wrong(
            "This column's type is boolean, which has no order.", "Write: column = TRUE, column <> TRUE, or column IN (TRUE, FALSE)."
        )
        raise refusal(wrong, place.position)


def _unknown(name: Property, columns: Mapping[str, ColumnType]) -> Invalid:
    hint = nearest(name.name, columns)
    return Invalid(
        "unknown_column",
        f"The filter names, at character {name.position}, a column or field that this dataset does not have.",
        advice=Advice(
            rule="A filter names columns of the dataset, in the same letters, capitals included.",
            who_can_change="you",
            next_step="Read the dataset's schema for its columns' names. Text is written in single quotes.",
        ),
        places=(Place("filter", "There is no column or field of this name.", column=name.position, hint=hint),),
    )

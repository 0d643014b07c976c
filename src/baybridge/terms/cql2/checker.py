"""The filter tree against a dataset's columns: every name is a column, and every literal fits its type. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from baybridge.errors import Advice, Invalid, Place
from baybridge.names import nearest
from baybridge.terms.columns import ColumnType, Kind
from baybridge.terms.cql2.nodes import Between, Comparison, Filter, In, IsNull, LiteralKind, Property, leaves
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


def check(tree: Filter, columns: Mapping[str, ColumnType]) -> None:
    """Refuse a filter that names an unknown column or compares one with a literal of another kind, at its first such place.

    `columns` are those that the caller may know: the hint for an unknown name is the nearest of them.
    Raise Invalid (`unknown_column`, `filter_invalid`) with the position of the name.
    """
    for leaf in leaves(tree):
        column = columns.get(leaf.property.name)
        if column is None:
            raise _unknown(leaf.property, columns)
        if not isinstance(leaf, IsNull):
            _check_literals(leaf, column)


def _check_literals(leaf: Comparison | Between | In, column: ColumnType) -> None:
    fit = _FITS[column.kind]
    if leaf.kind is not fit.kind:
        message = f"This column's type is {column}, and it is compared with a {leaf.kind.value}."
        raise refusal(Wrong(message, f"Write {fit.written}."), leaf.property.position)
    ordered = isinstance(leaf, Between) or (isinstance(leaf, Comparison) and leaf.operator not in {"=", "<>"})
    if ordered and column.kind is Kind.BOOLEAN:
        wrong = Wrong(
            "This column's type is boolean, which has no order.", "Write: column = TRUE, column <> TRUE, or column IN (TRUE, FALSE)."
        )
        raise refusal(wrong, leaf.property.position)


def _unknown(name: Property, columns: Mapping[str, ColumnType]) -> Invalid:
    hint = nearest(name.name, columns)
    return Invalid(
        "unknown_column",
        f"The filter names, at character {name.position}, a column that this dataset does not have.",
        advice=Advice(
            rule="A filter names columns of the dataset, in the same letters, capitals included.",
            who_can_change="you",
            next_step="Read the dataset's schema for its columns' names.",
        ),
        places=(Place("filter", "There is no column of this name.", column=name.position, hint=hint),),
    )

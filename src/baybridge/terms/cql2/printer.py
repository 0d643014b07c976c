"""The filter tree to its canonical CQL2 text, the one that agreements sign. It chooses nothing by taste: equal trees, one text.

Keywords in capitals, one space between tokens, AND and OR inside one another and all that NOT negates in parentheses, names bare only
where every reader agrees that they may be. Source: cql2.bnf 1.0.0; what goes beyond it is listed in `parser`.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from baybridge.terms.cql2.nodes import (
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
    Or,
    Property,
    Value,
)

# Words that the grammar gives a meaning of their own wherever they stand; a column so named goes in double quotes.
RESERVED: Final = frozenset({"AND", "BETWEEN", "DIV", "FALSE", "ILIKE", "IN", "IS", "LIKE", "NOT", "NULL", "OR", "TRUE"})
_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES: Final = str.maketrans(
    {"'": "''", "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}
)
# The longest number that is written out; a longer one has a power of ten, since the parser's own bound is 80 characters.
_PLAIN: Final = 80


def to_text(tree: Filter) -> str:
    """Write the filter as canonical CQL2 text. `parse` gives the same tree back, and no two texts have the same tree."""
    if isinstance(tree, And | Or):
        word = " AND " if isinstance(tree, And) else " OR "
        return word.join(f"({to_text(operand)})" if isinstance(operand, And | Or) else to_text(operand) for operand in tree.operands)
    if isinstance(tree, Not):
        if isinstance(tree.operand, Like | Between | In | IsNull):
            return _about_column(tree.operand, "NOT ")
        return f"NOT ({to_text(tree.operand)})"
    if isinstance(tree, Always):
        return _value(tree.value)
    if isinstance(tree, Comparison):
        return f"{_property(tree.property)} {tree.operator} {_folded(_value(tree.value), tree.property.folds)}"
    if isinstance(tree, ColumnComparison):
        return f"{_property(tree.property)} {tree.operator} {_property(tree.other)}"
    return _about_column(tree, "")


def _about_column(leaf: Like | Between | In | IsNull, negation: str) -> str:
    name = _property(leaf.property)
    if isinstance(leaf, IsNull):
        return f"{name} IS {negation}NULL"
    values = leaf.values if isinstance(leaf, In) else (leaf.low, leaf.high) if isinstance(leaf, Between) else (leaf.pattern,)
    folds = leaf.pattern_folds() if isinstance(leaf, Like) else leaf.property.folds
    written = [_folded(_value(value), folds) for value in values]
    if isinstance(leaf, Between):
        return f"{name} {negation}BETWEEN {written[0]} AND {written[1]}"
    if isinstance(leaf, In):
        return f"{name} {negation}IN ({', '.join(written)})"
    return f"{name} {negation}LIKE {written[0]}"


def _property(column: Property) -> str:
    return _folded(_name(column.name), column.folds)


def _folded(text: str, folds: tuple[Fold, ...]) -> str:
    for fold in reversed(folds):
        text = f"{fold.value.upper()}({text})"
    return text


def _name(name: str) -> str:
    if _BARE.fullmatch(name) and name.upper() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime):
        zone = "" if value.tzinfo is None else "Z"
        return f"TIMESTAMP('{value.replace(tzinfo=None).isoformat()}{zone}')"
    if isinstance(value, date):
        return f"DATE('{value.isoformat()}')"
    return f"'{value.translate(_ESCAPES)}'"


def _number(number: Decimal) -> str:
    """Write the number out, `-0.05`, `1200`; where that takes more than 80 characters, as digits and a power of ten, `12e98`."""
    if abs(number.adjusted()) <= _PLAIN:
        plain = format(number, "f")
        if len(plain) <= _PLAIN:
            return plain
    sign, digits, exponent = number.as_tuple()
    return f"{'-' if sign else ''}{''.join(map(str, digits))}e{exponent}"

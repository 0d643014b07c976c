"""The filter tree to DuckDB SQL with bound parameters. It is the only place where a filter becomes SQL, and no literal is ever in the text.

Rules of translation (golden pairs: tests/fixtures/filters.txt):
- SQL's three-valued logic is CQL2's: a condition on a NULL is NULL, and a row is in when the whole is TRUE.
- Integers and decimals compare exactly. A literal that the column's type cannot hold, 2.5 against integers or 1e999, is never rounded and
  never an error: it becomes the nearest value below, or a constant that stays NULL for NULL.
- Doubles compare with the double nearest to the literal, so that 0.1 finds what was stored from 0.1; beyond the largest double that is
  infinity. As in DuckDB, NaN equals itself and is above everything, infinity included.
- Text compares by Unicode code point, which is the order of UTF-8's bytes: no collation, no case folding, no normalisation.
- CASEI replaces each character by the lower case of its upper case, one for one (Unicode's simple mappings), and then every sharp s by ss.
  So I, i, and Turkish dotted and dotless i are one letter, and both sigmas are one. It does not compose: a letter and a combining accent
  stay two characters.
- ACCENTI decomposes (NFD), drops every mark (general category M) and composes again (NFC). Both together drop the marks first.
- LIKE counts characters by code point, after folding; % and _ stand for line breaks too. Where its pattern alone is folded, the column's
  text is taken as it is.
- Instants are bound as instants and wall-clock times as such, so the session's time zone decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from baybridge.terms.columns import ColumnType, Kind, Reach, reachable
from baybridge.terms.cql2 import (
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
    check,
)
from baybridge.terms.cql2.nodes import leaves

_SQL_TYPES: Final[dict[Kind, str]] = {
    Kind.TEXT: "VARCHAR",
    Kind.INTEGER: "BIGINT",
    Kind.DOUBLE: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
    Kind.DATETIME: "TIMESTAMP",
}
_LOWEST_INTEGER: Final = -(2**63)
_HIGHEST_INTEGER: Final = 2**63 - 1
# Up to here a list's values are parameters of their own; beyond, one parameter of a subquery. Ten thousand parameters take DuckDB 380 ms to
# plan, a list 18 ms, but a hundred subqueries 360 ms and four hundred 15 s.
_FEW_VALUES: Final = 100
# Up to here AND and OR inside one another are only in parentheses. DuckDB looks for what the parts of an OR of ANDs share in time that
# grows with the square of their number, through NOT and parentheses, and cannot be interrupted at it. It does not look into COALESCE,
# which changes no value here: 1,600 parts take 0.2 s to plan for 4.4 s.
_FEW_CONDITIONS: Final = 100
_PLAIN: Final = "({})"
_SEALED: Final = "COALESCE({}, NULL)"
# More digits before the point than this are outside every column's range, more zeros after it below every column's unit.
_MAGNITUDE: Final = 50


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL text with a `?` for each of its parameters, in order."""

    text: str
    parameters: tuple[object, ...] = ()


def quote(identifier: str) -> str:
    """Write the identifier in DuckDB's double quotes. Raise ValueError for an empty one or a NUL, which DuckDB would cut at."""
    if not identifier or "\0" in identifier:
        raise ValueError("an identifier is not empty and holds no NUL")
    return '"' + identifier.replace('"', '""') + '"'


def path_literal(path: Path) -> str:
    """A path of our own as a string literal, for ATTACH and COPY, which take no parameters."""
    return "'" + str(path).replace("'", "''") + "'"


def fetched(value: str, column: ColumnType) -> str:
    """Print how a value leaves the engine: instants as UTC without their zone, which the driver would want a further library for."""
    return _fetched(value, column, 0) if column.holds(Kind.TIMESTAMP) else value


def _fetched(value: str, column: ColumnType, level: int) -> str:
    """The same of what holds an instant; `level` tells the lists' own names apart."""
    if column.element is not None:
        return f"list_transform({value}, lambda x{level}: {_fetched(f'x{level}', column.element, level + 1)})"
    if column.fields:
        fields = (f"{quote(field.name)} := {_fetched(f'({value}).{quote(field.name)}', field.type, level)}" for field in column.fields)
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    return f"timezone('UTC', {value})" if column.kind is Kind.TIMESTAMP else value


def sql_type(column: ColumnType) -> str:
    """Name the DuckDB type that holds the column's values."""
    if column.kind is Kind.DECIMAL:
        return f"DECIMAL({column.precision},{column.scale})"
    if column.element is not None:
        return f"{sql_type(column.element)}[]"
    if column.fields:
        return f"STRUCT({', '.join(f'{quote(field.name)} {sql_type(field.type)}' for field in column.fields)})"
    return _SQL_TYPES[column.kind]


def predicate(tree: Filter, columns: Mapping[str, ColumnType]) -> Sql:
    """Print the filter as one SQL condition over columns of exactly these names and types.

    Raise Invalid (`unknown_column`, `filter_invalid`) where the filter does not fit the columns, so that no other name reaches the SQL.
    """
    check(tree, columns)
    named = reachable(columns)
    group = _PLAIN if len(leaves(tree)) <= _FEW_CONDITIONS else _SEALED
    if isinstance(tree, And):  # what stands at the top of an AND is plain, because DuckDB skips what a file's statistics rule out by it
        return _joined(" AND ", tuple(_condition(operand, named, group) for operand in tree.operands), _PLAIN)
    return _condition(tree, named, group)


def _condition(tree: Filter, columns: Mapping[str, Reach], group: str) -> Sql:
    """Print the filter; `group` is what AND and OR stand in."""
    if isinstance(tree, And | Or):
        parts = tuple(_condition(operand, columns, group) for operand in tree.operands)
        return _joined(" AND " if isinstance(tree, And) else " OR ", parts, group)
    if isinstance(tree, Not):
        inner = _condition(tree.operand, columns, group)
        text = inner.text if isinstance(tree.operand, And | Or | Between) else f"({inner.text})"
        return Sql(f"NOT {text}", inner.parameters)
    if isinstance(tree, Always):
        return Sql("TRUE" if tree.value else "FALSE")
    target = _Target.of(tree.property, columns)
    if isinstance(tree, ColumnComparison):
        return Sql(f"{target.name} {tree.operator} {_Target.of(tree.other, columns).name}")
    if isinstance(tree, Between):
        return _joined(" AND ", (_comparison(">=", tree.low, target), _comparison("<=", tree.high, target)), group)
    return _about_column(tree, target)


def _about_column(leaf: Comparison | Like | In | IsNull, target: _Target) -> Sql:
    if isinstance(leaf, IsNull):
        return Sql(f"{target.name} IS NULL")
    if isinstance(leaf, Like):
        pattern = _folded("?::VARCHAR", leaf.pattern_folds())
        return Sql(f"{target.name} LIKE {pattern} ESCAPE '\\'", (leaf.pattern,))
    if isinstance(leaf, In):
        return _in(leaf.values, target)
    return _comparison(leaf.operator, leaf.value, target)


def _joined(word: str, parts: tuple[Sql, ...], group: str) -> Sql:
    return Sql(group.format(word.join(part.text for part in parts)), tuple(parameter for part in parts for parameter in part.parameters))


def _folded(text: str, folds: tuple[Fold, ...]) -> str:
    if Fold.ACCENTI in folds:
        text = f"strip_accents({text})"
    return f"replace(lower(upper({text})), 'ß', 'ss')" if Fold.CASEI in folds else text


@dataclass(frozen=True, slots=True)
class _Target:
    """The column, or the field in a struct, that a condition is about: its quoted name inside its folds, its type, and its folds."""

    name: str
    type: ColumnType
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, column: Property, columns: Mapping[str, Reach]) -> _Target:
        first, *fields = columns[column.name].path
        # In parentheses the engine takes the column's name for no table's.
        name = f"({quote(first)}).{'.'.join(map(quote, fields))}" if fields else quote(first)
        return cls(_folded(name, column.folds), columns[column.name].type, column.folds)

    @property
    def bound(self) -> str:
        """The place of one parameter of the column's type, inside the column's folds."""
        return _folded(f"?::{sql_type(self.type)}", self.folds)

    def always(self, answer: str) -> Sql:
        """Give the answer for every value of the column, and NULL for NULL."""
        return Sql(f"CASE WHEN {self.name} IS NULL THEN NULL ELSE {answer} END")

    def compare(self, operator: Operator, bound: object) -> Sql:
        return Sql(f"{self.name} {operator} {self.bound}", (bound,))


def _comparison(operator: Operator, value: Value, target: _Target) -> Sql:
    if isinstance(value, Decimal) and target.type.kind is not Kind.DOUBLE:
        return _exact_comparison(operator, _Units.of(value, target.type), target)
    return target.compare(operator, _bound(value))


def _in(values: tuple[Value, ...], target: _Target) -> Sql:
    if target.type.kind in {Kind.INTEGER, Kind.DECIMAL}:
        units = [_Units.of(value, target.type) for value in values if isinstance(value, Decimal)]
        bound = [unit.bound() for unit in units if unit.is_held()]
    else:
        bound = [_bound(value) for value in values]
    if not bound:
        return target.always("FALSE")
    if len(bound) <= _FEW_VALUES:
        return Sql(f"{target.name} IN ({', '.join([target.bound] * len(bound))})", tuple(bound))
    # The list holds no NULL and is not empty, so IN over it is NULL exactly where the column is.
    listed = _folded(f"unnest(?::{sql_type(target.type)}[])", target.folds)
    return Sql(f"{target.name} IN (SELECT {listed})", (bound,))


def _bound(value: Value) -> object:
    return float(value) if isinstance(value, Decimal) else value


@dataclass(frozen=True, slots=True)
class _Units:
    """A number counted in the smallest unit of a column's type: `floor` whole units, and `exact` when nothing is left over."""

    floor: int
    exact: bool
    type: ColumnType

    @classmethod
    def of(cls, number: Decimal, column: ColumnType) -> _Units:
        if number and number.adjusted() > _MAGNITUDE:
            # Beyond every column's range whatever its digits: one power of ten stands for all, so that 1e999 costs nothing.
            return cls(-(10 ** (2 * _MAGNITUDE)) if number < 0 else 10 ** (2 * _MAGNITUDE), exact=True, type=column)
        if number and number.adjusted() < -_MAGNITUDE:
            return cls(-1 if number < 0 else 0, exact=False, type=column)
        numerator, denominator = number.as_integer_ratio()
        floor, rest = divmod(numerator * 10**column.scale, denominator)
        return cls(floor, exact=rest == 0, type=column)

    @property
    def lowest(self) -> int:
        return _LOWEST_INTEGER if self.type.kind is Kind.INTEGER else 1 - 10**self.type.precision

    @property
    def highest(self) -> int:
        return _HIGHEST_INTEGER if self.type.kind is Kind.INTEGER else 10**self.type.precision - 1

    def is_held(self) -> bool:
        """Tell whether the column's type can hold the number."""
        return self.exact and self.lowest <= self.floor <= self.highest

    def bound(self) -> object:
        """Give the parameter: an integer as such, a decimal as text, because DuckDB brings a list of decimals to one type and rounds."""
        if self.type.kind is Kind.INTEGER:
            return self.floor
        digits = str(abs(self.floor)).zfill(self.type.scale + 1)
        whole = len(digits) - self.type.scale
        sign = "-" if self.floor < 0 else ""
        return f"{sign}{digits[:whole]}.{digits[whole:]}" if self.type.scale else sign + digits


def _exact_comparison(operator: Operator, units: _Units, target: _Target) -> Sql:
    if units.is_held():
        return target.compare(operator, units.bound())
    if operator in {"=", "<>"}:
        return target.always("FALSE" if operator == "=" else "TRUE")
    below_all, above_all = units.floor < units.lowest, units.floor > units.highest
    wants_less = operator in {"<", "<="}
    if below_all or above_all:
        return target.always("TRUE" if wants_less is above_all else "FALSE")
    # The number lies between two neighbours: being below it is being at most the lower one.
    return target.compare("<=" if wants_less else ">", units.bound())

"""What a reader must get, in plain Python. It shares no code with the parser, the projection or the engine that it judges.

A cell is None or a plain value of its column: str, int, Decimal, float, bool, date, or datetime, aware for instants and naive for
wall-clock times. A condition is a nested tuple, printed as CQL2 here and judged here in three-valued logic: ("=", column, value) and
its five kin, ("between", column, low, high), ("in", column, values), ("null", column), ("and" | "or", conditions), ("not", condition).

A mask is a tuple too: ("redact",), ("null",), ("pseudonym",), ("year",), ("month",), ("prefix", length), ("round", places),
("bucket", edges), ("generalize", codes, otherwise).
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

NULL_WORD = "~"
LONG_AGO = timedelta(days=400)
ORDERED = {"<", "<=", ">", ">="}
COMPARISONS = ORDERED | {"=", "<>"}
TABLE_TYPES = {"text": "string", "integer": "integer", "double": "number", "boolean": "boolean", "date": "date"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A dataset as its provider has it: `types` by column, rows as they were uploaded."""

    types: dict[str, str]
    key: tuple[str, ...]
    rows: tuple[Row, ...]

    def schema(self) -> dict[str, object]:
        fields = [{"name": name, "type": table_type(type_), "baybridge:type": type_} for name, type_ in self.types.items()]
        return {"fields": fields, "primaryKey": list(self.key), "missingValues": [NULL_WORD]}

    def csv(self) -> bytes:
        file = io.StringIO()
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(self.types)
        writer.writerows([printed(row[name]) for name in self.types] for row in self.rows)
        return file.getvalue().encode()


@dataclass(frozen=True)
class Deal:
    """An agreement in neutral words. `state` is requested, offered, half, signed, suspended, revoked or terminated."""

    consumer: str
    columns: tuple[str, ...]
    masks: dict[str, tuple[Any, ...]]
    row_filter: tuple[Any, ...] | None
    purposes: tuple[str, ...]
    begins: timedelta
    ends: timedelta
    domain: str | None
    history: str
    state: str
    id: str = ""
    key: bytes = field(default=b"", repr=False)

    def is_live(self) -> bool:
        return self.state == "signed" and self.begins <= timedelta(0) < self.ends


@dataclass(frozen=True)
class Asker:
    """Who reads: an organization's person in one role, with the purpose that its token is bound to."""

    organization: str
    role: str
    bound: str | None = None


@dataclass(frozen=True)
class Reading:
    """One request. `version` None is the latest, `columns` None all that are released; `sort` pairs a column with whether it descends."""

    asker: Asker | None
    purpose: str | None
    agreement: str | None
    version: int | None
    columns: tuple[str, ...] | None
    row_filter: tuple[Any, ...] | None
    sort: tuple[tuple[str, bool], ...]
    limit: int

    def used(self) -> set[str]:
        mentioned = set() if self.row_filter is None else mentions(self.row_filter)
        return set(self.columns or ()) | mentioned | {name for name, _ in self.sort}


@dataclass(frozen=True)
class Expected:
    """Either whose terms the rows come under (None: the whole table), or every refusal code that the facts admit."""

    deal: Deal | None = None
    codes: frozenset[str] = frozenset()


def table_type(type_: str) -> str:
    return TABLE_TYPES.get(type_, "number" if type_.startswith("decimal") else "datetime")


def printed(cell: Any) -> str:
    if cell is None:
        return NULL_WORD
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, date):
        return cell.isoformat()
    return repr(cell) if isinstance(cell, float) else format(cell, "f") if isinstance(cell, Decimal) else str(cell)


# Conditions.


def mentions(condition: tuple[Any, ...]) -> set[str]:
    if condition[0] in {"and", "or"}:
        return set().union(*(mentions(each) for each in condition[1]))
    return mentions(condition[1]) if condition[0] == "not" else {condition[1]}


def leaves(condition: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
    if condition[0] in {"and", "or"}:
        for each in condition[1]:
            yield from leaves(each)
    elif condition[0] == "not":
        yield from leaves(condition[1])
    else:
        yield condition


def cql(condition: tuple[Any, ...]) -> str:
    word = condition[0]
    if word in {"and", "or"}:
        return f" {word.upper()} ".join(f"({cql(each)})" for each in condition[1])
    if word == "not":
        return f"NOT ({cql(condition[1])})"
    name = '"' + condition[1].replace('"', '""') + '"'
    if word == "null":
        return f"{name} IS NULL"
    if word == "between":
        return f"{name} BETWEEN {literal(condition[2])} AND {literal(condition[3])}"
    if word == "in":
        return f"{name} IN ({', '.join(map(literal, condition[2]))})"
    return f"{name} {word} {literal(condition[2])}"


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n") + "'"
    if isinstance(value, datetime):
        return f"TIMESTAMP('{value.replace(tzinfo=None).isoformat()}{'Z' if value.tzinfo else ''}')"
    return f"DATE('{value.isoformat()}')" if isinstance(value, date) else printed(value)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, datetime):
        return "timestamp" if value.tzinfo else "datetime"
    return "date" if isinstance(value, date) else "number"


def fits(condition: tuple[Any, ...], types: Mapping[str, str]) -> bool:
    """Whether every literal is of its column's kind, and nothing that has no order is asked for one."""
    for word, name, *values in leaves(condition):
        numeric = types[name] in {"integer", "double"} or types[name].startswith("decimal")
        wanted = "number" if numeric else types[name]
        found = values[0] if word == "in" else values
        if any(kind(value) != wanted for value in found) or (wanted == "boolean" and word in ORDERED | {"between"}):
            return False
    return True


def holds(condition: tuple[Any, ...], row: Row) -> bool | None:
    word = condition[0]
    if word in {"and", "or"}:
        found = [holds(each, row) for each in condition[1]]
        decisive = word == "or"
        return decisive if decisive in found else None if None in found else not decisive
    if word == "not":
        inner = holds(condition[1], row)
        return None if inner is None else not inner
    cell = row[condition[1]]
    if word == "null":
        return cell is None
    if cell is None:
        return None
    if word == "between":
        return compares("<=", condition[2], cell) and compares("<=", cell, condition[3])
    if word == "in":
        return any(compares("=", cell, value) for value in condition[2])
    return compares(word, cell, condition[2])


def compares(operator: str, left: Any, right: Any) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        left, right = float(left), float(right)
    less, same = left < right, left == right
    return {"=": same, "<>": not same, "<": less, "<=": less or same, ">": not less and not same, ">=": not less}[operator]


# What a deal leaves.


def pseudonym(key: bytes, type_: str, cell: Any) -> str:
    return hmac.new(key, f"{type_.partition('(')[0]}:{canonical(cell)}".encode(), hashlib.sha256).digest()[:16].hex()


def canonical(cell: Any) -> str:
    if isinstance(cell, datetime):
        text = cell.replace(tzinfo=None).isoformat(timespec="microseconds")
        return text + ("Z" if cell.tzinfo else "")
    if isinstance(cell, Decimal):
        text = format(cell, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return printed(cell)


def released_types(table: Table, deal: Deal | None) -> dict[str, str]:
    if deal is None:
        return dict(table.types)
    return {name: released_type(deal.masks.get(name), table.types[name]) for name in deal.columns}


def released_type(mask: tuple[Any, ...] | None, type_: str) -> str:
    if mask is None or mask[0] in {"null", "round"}:
        return type_
    return {"year": "integer", "month": "date"}.get(mask[0], "text")


def released_rows(table: Table, deal: Deal | None) -> list[Row]:
    """The rows that leave, in the order in which they are served unless another is asked for."""
    if deal is None:
        rows = [dict(row) for row in table.rows]
    else:
        kept = [row for row in table.rows if deal.row_filter is None or holds(deal.row_filter, row) is True]
        rows = [{name: masked(deal, table.types[name], name, row[name]) for name in deal.columns} for row in kept]
    return arranged(rows, [(name, False) for name in own_order(table, deal)], signed_zeros=True)


def masked(deal: Deal, type_: str, name: str, cell: Any) -> Any:
    word, *arguments = deal.masks.get(name, ("",))
    if word == "redact":
        return "[redacted]"
    if word == "null" or cell is None:
        return None
    if word == "pseudonym":
        return pseudonym(deal.key, type_, cell)
    return coarsened(type_, cell, word, arguments)


def coarsened(type_: str, cell: Any, word: str, arguments: Sequence[Any]) -> Any:
    if word == "year":
        return cell.year
    if word == "month":
        return date(cell.year, cell.month, 1)
    if word == "prefix":
        return "".join(list(cell)[: arguments[0]])
    if word == "round":
        return rounded(type_, cell, arguments[0])
    if word == "bucket":
        return label(type_, cell, arguments[0])
    return arguments[0].get(printed(cell), arguments[1]) if word == "generalize" else cell


def rounded(type_: str, cell: Any, places: int) -> Any:
    """Halves away from zero, in whole numbers of 10 to the power of minus `places`; towards zero where the type is too small for that."""
    unit = Fraction(10) ** -places
    units = math.floor(abs(Fraction(cell)) / unit + Fraction(1, 2))
    if not holds_number(type_, -units * unit if cell < 0 else units * unit):
        units = math.floor(abs(Fraction(cell)) / unit)
    value = (-units if cell < 0 else units) * unit
    return int(value) if type_ == "integer" else number(value)


def holds_number(type_: str, value: Fraction) -> bool:
    if type_ == "integer":
        return -(2**63) <= value < 2**63
    precision, scale = map(int, type_.removeprefix("decimal(").rstrip(")").split(","))
    return abs(value) * 10**scale < 10**precision


def number(value: Fraction) -> Decimal:
    """The decimal of exactly that value, which has at most 38 digits after its point."""
    units = value * 10**38
    assert units.denominator == 1
    return Decimal((int(units < 0), tuple(map(int, str(abs(units.numerator)))), -38))


def label(type_: str, cell: Any, edges: Sequence[Any]) -> str:
    days = isinstance(edges[0], date)
    words = [edge.isoformat() if days else format(edge, "f") for edge in edges]
    position = sum(not compares("<", cell, edge_of(type_, edge)) for edge in edges)
    if position == len(edges):
        return f"{words[-1]} or {'later' if days else 'more'}"
    under = f"{'before' if days else 'under'} {words[position]}"
    return f"{words[position - 1]} to {under}" if position else under


def edge_of(type_: str, edge: Any) -> Any:
    if type_ in {"timestamp", "datetime"}:
        return datetime(edge.year, edge.month, edge.day, tzinfo=UTC if type_ == "timestamp" else None)
    return edge


def mask_text(mask: tuple[Any, ...], code_list: str) -> str:
    word, *arguments = mask
    if word == "bucket":
        return f"bucket({','.join(edge.isoformat() if isinstance(edge, date) else format(edge, 'f') for edge in arguments[0])})"
    if word == "generalize":
        return f"generalize({code_list})"
    return f"{word}({arguments[0]})" if arguments else word


def own_order(table: Table, deal: Deal | None) -> list[str]:
    """The whole key if it is released as it is; else what is released of it, and then every other released column."""
    columns = list(table.types) if deal is None else list(deal.columns)
    plain = [name for name in table.key if name in columns and (deal is None or name not in deal.masks)]
    if table.key and plain == list(table.key):
        return plain
    return plain + [name for name in columns if name not in plain]


def arranged(rows: Iterable[Row], sort: Sequence[tuple[str, bool]], *, signed_zeros: bool = False) -> list[Row]:
    """Nulls last in both directions; rows that compare equal stay as they stood. Negative zero is below zero where rows are numbered."""
    ordered = list(rows)
    for name, descends in reversed(sort):
        known = [row for row in ordered if row[name] is not None]

        def place(row: Row, name: str = name) -> Any:
            cell = row[name]
            return (cell, math.copysign(1.0, cell)) if signed_zeros and isinstance(cell, float) else cell

        ordered = sorted(known, key=place, reverse=descends) + [row for row in ordered if row[name] is None]
    return ordered


def answer(table: Table, deal: Deal | None, reading: Reading) -> list[tuple[Any, ...]]:
    rows = released_rows(table, deal)
    kept = [row for row in rows if reading.row_filter is None or holds(reading.row_filter, row) is True]
    types = released_types(table, deal)
    columns = types if reading.columns is None else reading.columns
    return [tuple(served(types[name], row[name]) for name in columns) for row in arranged(kept, reading.sort)]


def served(type_: str, cell: Any) -> Any:
    """A decimal leaves as text with all the digits of its type."""
    if cell is None or not type_.startswith("decimal"):
        return cell
    scale = int(type_.rstrip(")").partition(",")[2])
    units = Fraction(cell) * 10**scale
    digits = str(abs(units.numerator)).zfill(scale + 1)
    return "-" * (units < 0) + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def exact(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """Rows so that equal means the same type and value, the sign of zero included."""
    return [[f"{type(cell).__name__} {canonical(cell) if cell is not None else ''}" for cell in row] for row in rows]


# Who may read what.

LIFE_CODES = {
    "requested": "request_pending",
    "offered": "request_pending",
    "half": "request_pending",
    "suspended": "agreement_suspended",
    "revoked": "agreement_revoked",
    "terminated": "no_agreement",
}


def reaches(deal: Deal, version: int, latest: int) -> bool:
    if deal.history == "latest":
        return version == latest
    return deal.history == "all" or version >= int(deal.history.removeprefix("from(").removesuffix(")"))


def expected(table: Table, provider: str, deals: Sequence[Deal], reading: Reading, *, latest: int, public: bool) -> Expected:
    asker = reading.asker
    reads = asker is not None and asker.role in {"analyst", "steward"}
    if asker is not None and asker.bound is not None and reading.purpose not in {None, asker.bound}:
        return Expected(codes=frozenset({"purpose_not_allowed"}))
    if public or (asker is not None and asker.organization == provider and reads):
        return _columns(table, None, reading)
    if asker is None:
        return Expected(codes=frozenset({"not_signed_in"}))
    if not reads:
        return Expected(codes=frozenset({"role_required"}))
    mine = [deal for deal in deals if deal.consumer == asker.organization and reading.agreement in {None, deal.id}]
    purpose = reading.purpose or asker.bound
    live = [deal for deal in mine if deal.is_live()]
    usable = [deal for deal in live if purpose in deal.purposes]
    if len(usable) == 1:
        reached = reaches(usable[0], reading.version or latest, latest)
        return _columns(table, usable[0], reading) if reached else Expected(codes=frozenset({"version_not_in_agreement"}))
    if usable:
        return Expected(codes=frozenset({"agreement_ambiguous"}))
    if live and purpose is None:
        return Expected(codes=frozenset({"purpose_required"}))
    codes = {_life_code(deal) for deal in mine if not deal.is_live()}
    codes |= {"purpose_not_allowed"} if live else set()
    return Expected(codes=frozenset(codes or {"no_agreement"}))


def _life_code(deal: Deal) -> str:
    ended = deal.ends <= timedelta(0)
    if deal.state == "signed" and not ended:
        return "agreement_not_started"
    if ended and deal.state in {"signed", "suspended"}:
        return "agreement_expired"
    if ended and deal.state in {"requested", "offered", "half"}:
        return "no_agreement"
    return LIFE_CODES[deal.state]


def _columns(table: Table, deal: Deal | None, reading: Reading) -> Expected:
    types = released_types(table, deal)
    used = reading.used()
    codes = set()
    if used - set(table.types):
        codes.add("unknown_column")
    if (used & set(table.types)) - set(types):
        codes.add("column_not_in_agreement")
    if not codes and reading.row_filter is not None and not fits(reading.row_filter, types):
        codes.add("filter_invalid")
    return Expected(codes=frozenset(codes)) if codes else Expected(deal=deal)


def instant(offset: timedelta, now: datetime) -> str:
    return (now + offset).astimezone(UTC).isoformat()

"""Clean files, mutated byte by byte: what is loaded stands in the file, what is not is a reject; judged by Python's csv and json."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_torture import loaded, read
from torture.case import Case

from baybridge.data.ingest.reading.reading import Wanted
from baybridge.errors import BaybridgeError
from baybridge.wire.formats import Format

NAMES = ("zip", "n", "p", "d")
TYPES = {"zip": "text", "n": "integer", "p": "decimal(18,2)", "d": "date"}
AS_IT_IS = Wanted(header_rows=1, footer=0, skip=0)
REFUSALS = {"file_unreadable", "reading_unconfirmed", "schema_invalid"}
Outcome = tuple[tuple[str, ...], set[int], int]

# The oracle: what a file says, by Python alone. None where nobody can tell.

CELL = r'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
PLAIN = re.compile(rf"{CELL}(?:,{CELL})*(?:\r?\n{CELL}(?:,{CELL})*)*")


class Digits(str):
    """A number as it stands."""

    __slots__ = ()


def value(name: str, text: str) -> str | None:
    """How a text is loaded into that column; None where it is no value of its type."""
    if name == "zip":
        return text
    if name == "n":
        good = re.fullmatch(r"-?[1-9][0-9]*|0", text) and -(2**63) <= int(text) < 2**63
        return text if good else None
    if name == "p":
        good = re.fullmatch(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,2})?", text) and text != "-0"
        return f"{Decimal(text) + 0:.2f}" if good else None
    try:
        return text if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and date.fromisoformat(text) else None
    except ValueError:
        return None


def row(cells: list[str | None]) -> str | None:
    values = ["∅" if cell is None else value(name, cell) for name, cell in zip(NAMES, cells, strict=True)]
    return None if None in values else "|".join(str(each) for each in values)


def sorted_out(rows: list[str | None]) -> Outcome:
    return tuple(each for each in rows if each is not None), {at for at, each in enumerate(rows, start=1) if each is None}, len(rows)


def csv_says(data: bytes) -> Outcome | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if "\0" in text or not PLAIN.fullmatch(text):
        return None
    header, *records = [each for each in csv.reader(io.StringIO(text, newline=""), strict=True) if each] or [[]]
    if sorted(header) != sorted(NAMES):
        return None
    places = [header.index(name) for name in NAMES]
    return sorted_out([row([each[at] or None for at in places]) if len(each) == 4 else None for each in records])


def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(found)) != len(found):
        raise ValueError
    return dict(found)


def no_constant(_: str) -> None:
    raise ValueError


def line_says(line: bytes) -> str | None:
    try:
        found = json.loads(line.decode(), object_pairs_hook=pairs, parse_int=Digits, parse_float=Digits, parse_constant=no_constant)
        json.dumps(found, ensure_ascii=False).encode()
    except ValueError:
        return None
    if not isinstance(found, dict) or not found.keys() <= set(NAMES) or "\\u0000" in json.dumps(found):
        return None
    kinds = {"zip": (str,), "n": (Digits,), "p": (str, Digits), "d": (str,)}
    if any(each is not None and type(each) not in kinds[name] for name, each in found.items()):
        return None
    return row([found.get(name) for name in NAMES])


def ndjson_says(data: bytes) -> Outcome | None:
    lines = [each for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if (each := line.strip(b" \t\r"))]
    return sorted_out([line_says(each) for each in lines])


# Clean files, and what happens to them.

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["02116", "00501", "10001", "a,b", 'say "x"', "é", "two\nlines", "NA", " "]),
        st.integers(-(10**10), 10**10).map(str),
        st.decimals(-9999, 9999, places=2).map(lambda each: str(each + 0)),
        st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(str),
    ),
    min_size=2,
    max_size=5,
)
MARKS = [
    '"',
    '""',
    '","',
    ",",
    ",,",
    ";",
    ":",
    ".",
    "-",
    "+",
    "0",
    "00",
    "e5",
    "1E5",
    "NaN",
    "null",
    "#",
    "{",
    "}",
    "[",
    "]",
    "\\",
]
BYTES = st.sampled_from(
    [mark.encode() for mark in [*MARKS, "é", " ", "\t", "\n", "\r\n", "\r", '"\n"', "\0", "\xa0", "\ufeff"]] + [b"\xff", b"\xe9"]
)
CHANGES = st.lists(st.tuples(st.sampled_from(["insert", "replace", "cut", "again", "end"]), st.floats(0, 1), BYTES), min_size=1, max_size=4)


def mutated(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for what, where, put in changes:
        at = int(where * len(data))
        match what:
            case "insert":
                data = data[:at] + put + data[at:]
            case "replace":
                data = data[:at] + put + data[at + len(put) :]
            case "cut":
                data = data[:at] + data[at + 1 :]
            case "again":  # from here to the end of the line twice
                end = data.find(b"\n", at) + 1 or len(data)
                data = data[:end] + data[at:]
            case _:
                data = data[: max(at, len(data) - 12)]
    return data


def clean_csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([NAMES, *rows])
    return text.getvalue().encode()


def clean_ndjson(rows: list[tuple[str, ...]]) -> bytes:
    made = (f'{{"zip": {json.dumps(zip_code)}, "n": {n}, "p": {p}, "d": "{d}"}}' for zip_code, n, p, d in rows)
    return "\n".join(made).encode()


def judge(data: bytes, file_format: Format, says: Callable[[bytes], Outcome | None]) -> None:
    """Hold the file against the oracle: it is refused as a whole, or every row is loaded as it stands or rejected by its number."""
    case = Case(data, declared=TYPES, said=AS_IT_IS, file_format=file_format)
    with TemporaryDirectory() as folder:
        try:
            staged = read(case, Path(folder)).staged
        except BaybridgeError as error:
            refused = error.code
        else:
            refused, rows = None, loaded(staged)
    if refused:
        assert refused in REFUSALS
        return
    rejected = {each.row for each in staged.rejects}
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (len(rows) + len(rejected), len(rows), len(rejected))
    expected = says(data)
    if expected is None:
        assert rejected, "what nobody can tell was loaded without a reject"
    else:
        assert (rows, rejected, staged.rows_read) == expected


def judge_both(rows: list[tuple[str, ...]], changes: list[tuple[str, float, bytes]], *, as_csv: bool) -> None:
    if as_csv:
        judge(mutated(clean_csv(rows), changes), Format.CSV, csv_says)
    else:
        # A broken first line refuses the whole file, which would hide the others.
        first, end, rest = clean_ndjson(rows).partition(b"\n")
        judge(first + end + mutated(rest, changes), Format.NDJSON, ndjson_says)


@given(ROWS)
@settings(max_examples=10)
def test_a_clean_file_is_loaded_whole(rows: list[tuple[str, ...]]) -> None:
    for data, says in ((clean_csv(rows), csv_says), (clean_ndjson(rows), ndjson_says)):
        found = says(data)
        assert found is not None
        assert (len(found[0]), found[1]) == (len(rows), set())
        judge(data, Format.CSV if says is csv_says else Format.NDJSON, says)


@pytest.mark.slow
@given(ROWS, CHANGES, st.booleans())
@settings(max_examples=60)
def test_a_mutated_file_loses_or_changes_no_value_without_a_reject(rows, changes, as_csv) -> None:
    judge_both(rows, changes, as_csv=as_csv)


@pytest.mark.prove
@given(ROWS, CHANGES, st.booleans())
@settings(max_examples=2_000)
def test_2000_mutated_files_lose_or_change_no_value_without_a_reject(rows, changes, as_csv) -> None:
    judge_both(rows, changes, as_csv=as_csv)

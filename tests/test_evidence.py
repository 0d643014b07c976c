"""Evidence: a report says why each column's type is proposed, and which rows speak against a stronger one. No value is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import World
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.catalog.dataset import Mode
from baybridge.cli.main import baybridge as command_line
from baybridge.data.ingest.evidence import ROWS_NAMED, evidence
from baybridge.data.ingest.limits import Limits
from baybridge.data.ingest.order import UPLOAD, Order
from baybridge.data.ingest.profile import ColumnProfile
from baybridge.data.ingest.reading.reading import Wanted
from baybridge.data.ingest.work import work
from baybridge.wire.formats import Format

LIMITS = Limits.of("256MB", 60, "1GB")


def column_of(folder: Path, data: bytes, *, file_format: Format = Format.CSV, name: str = "c") -> ColumnProfile:
    folder.mkdir(exist_ok=True)
    (folder / UPLOAD).write_bytes(data)
    order = Order(None, ("", "NA"), (), Mode.REPLACE, (), write=False, limits=LIMITS, file_format=file_format, wanted=Wanted(accept=True))
    return next(each for each in work(folder, order).profile.columns if each.name == name)


@pytest.mark.parametrize(
    ("data", "proposed", "said"),
    [
        (b"c\n2026-01-01\n02/01/2026\n2026-01-03\n", "text", "2 of 3 values are dates; row 2 is not."),
        (b"c\n1\n2\nx\n3\ny\n", "text", "3 of 5 values are whole numbers; rows 3 and 5 are not."),
        (b"c\n1.5\n2\nx\n", "text", "2 of 3 values are numbers; row 3 is not."),
        (b"c\n1\nx\n", "text", "1 of 2 values is a whole number; row 2 is not."),
        (b"c\ntrue\nfalse\nNA\nmaybe\n", "text", "2 of 3 values are true or false; row 4 is not."),
        (b"c\n" + b"1\n" * 9 + b"x\n" * 8, "text", "9 of 17 values are whole numbers; rows 10, 11, 12, 13, 14 and 3 more are not."),
        (
            b"c\n02116\n10001\n10002\n",
            "text",
            "2 of 3 values are whole numbers; row 1 is not. 1 of 3 has a leading zero, which a number would lose.",
        ),
        (b"c\n1\nx\ny\n", "text", "No other type is proved by half of the values."),
        (b'c\nNA\n""\n', "text", "No row has a value, so nothing proves a type."),
        (b"c\n7\n", "integer", "The one value is a whole number."),
        (b"c\n2026-01-01\nNA\n2026-01-02\n", "date", "All 2 values are dates."),
        (b"c\n2026-01-01T10:00:00Z\n", "timestamp", "The one value is an instant."),
        (
            b"c\n1234567890123456\nx\n",
            "text",
            "Some have more than 15 digits, which not every program keeps in a number.",
        ),
    ],
)  # fmt: skip
def test_evidence_says_what_the_values_prove_and_names_the_rows_that_do_not(data: bytes, proposed: str, said: str, tmp_path: Path) -> None:
    column = column_of(tmp_path, data)
    assert (str(column.proposed), evidence(column)) == (proposed, said)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"c,d\n1,a\n2\nx,b\n3,c\ny,d\n4,e\n", (3, 5)),  # row 2 is too short
        (b"c,d\r\n1,a\n2\nx,b\r\n3,c\ny,d\r\n4,e\n", (3, 5)),  # and the file is not plain
        (b'c,d\n1,"a\nb"\n\n2,c\nx,d\n', (3,)),  # a line end in a cell, and a blank line
    ],
)
def test_the_rows_are_those_of_the_file(data: bytes, rows: tuple[int, ...], tmp_path: Path) -> None:
    doubt = column_of(tmp_path, data).doubt
    assert doubt is not None
    assert doubt.rows == rows


def test_a_format_with_types_of_its_own_is_doubted_for_its_texts_alone(tmp_path: Path) -> None:
    data = b'{"c": 1, "d": "2026-01-01"}\n{"c": 2, "d": "2026-01-02"}\n{"c": 3, "d": "soon"}\n'
    number = column_of(tmp_path / "a", data, file_format=Format.NDJSON)
    assert (number.doubt, evidence(number)) == (None, "The file's format says it.")
    text = column_of(tmp_path / "b", data, file_format=Format.NDJSON, name="d")
    assert evidence(text) == "2 of 3 values are dates; row 3 is not."


@settings(max_examples=15)
@given(cells=st.lists(st.sampled_from(["7", "-12", "x", "12b", "NA", "007"]), min_size=1, max_size=30))
def test_the_rows_named_are_the_first_that_are_no_number(cells: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    column = column_of(tmp_path_factory.mktemp("cells"), "\n".join(["c", *cells, ""]).encode())
    values = [(row, cell) for row, cell in enumerate(cells, start=1) if cell != "NA"]
    others = [row for row, cell in values if cell not in {"7", "-12"}]
    if not values or not others or 2 * (len(values) - len(others)) < len(values):
        assert column.doubt is None
    else:
        assert column.doubt is not None
        assert column.doubt.rows == tuple(others[:ROWS_NAMED])


def test_a_steward_is_told_of_the_one_cell_that_makes_a_column_text(world: World, tmp_path: Path) -> None:
    file = tmp_path / "days.csv"
    file.write_bytes(b"id,day\n1,2026-01-01\n2,02/01/2026\n3,2026-01-03\n")
    arguments = ["publish", "bts.days", str(file), "--home", str(world.root)]
    said = "day is proposed as text: 2 of 3 values are dates; row 2 is not."
    assert said in CliRunner().invoke(command_line, [*arguments, "--dry-run"]).output
    assert said in CliRunner().invoke(command_line, [*arguments, "--accept-schema"]).output
    shown = json.loads(CliRunner().invoke(command_line, [*arguments, "--dry-run", "--json"]).stdout)
    assert shown["profile"][1]["doubt"] == {"type": "date", "proven": 2, "others": 1, "rows": [2]}

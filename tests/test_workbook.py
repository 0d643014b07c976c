"""Excel workbooks: what a sheet stores and shows becomes rows without a value changed, and what cannot be told is refused or rejected."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import duckdb
import openpyxl
import pytest
from conftest import World
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING
from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName
from baybridge.publish import Declaration, Publication, Upload

NAME = DatasetName("bts", "sheet")
AT = dt.datetime(2026, 7, 1, 10, 5)  # noqa: DTZ001 -- a sheet knows no zones
MIDNIGHT = dt.datetime(2026, 7, 1)  # noqa: DTZ001 -- as above
BOX = "xl/worksheets/sheet1.xml"


def workbook(rows: list[list[Any]], change: Callable[[Any], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(book)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def rewritten(data: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """The workbook with one part's text changed, as a program other than openpyxl would have written it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as after:
        for each in before.namelist():
            text = before.read(each)
            after.writestr(each, change(text.decode()).encode() if each == part else text)
    return file.getvalue()


def send(world: World, data: bytes, **changes: Any) -> Publication:
    steward = world.person("bts", "steward")
    world.exchange.publish.declare(steward, NAME, Declaration())
    asked: dict[str, Any] = {"null_words": ("",), "key": (), "accept_schema": True, "dry_run": False, **changes}
    return world.exchange.publish.publish(steward, NAME, Upload(chunks=[data], **asked))


def refused(act: Callable[[], object]) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as error:
        act()
    return error.value


def rows(world: World) -> list[tuple[Any, ...]]:
    with world.exchange.database.read() as connection:
        version = catalog.find_version(connection, catalog.require(connection, NAME, EVERYTHING), None)
    (each,) = version.manifest.objects
    with duckdb.connect(":memory:") as engine:
        engine.execute("SET TimeZone = 'UTC'")
        path = world.root / "objects" / each.sha256[:2] / each.sha256
        return engine.execute("SELECT columns(*)::VARCHAR FROM read_parquet(?)", [str(path)]).fetchall()


def types(done: Publication) -> dict[str, str]:
    return {name: str(column) for name, column in done.schema.types.items()}


def test_a_sheet_is_published_with_the_types_that_its_cells_prove(world: World) -> None:
    done = send(
        world,
        workbook(
            [
                ["name", "count", "share", "day", "at", "open", "big"],
                ["a, b", 1, 0.25, dt.date(2026, 7, 1), AT, True, 123456789012345],
                ['say "so"', -20, 1e-7, dt.date(2026, 12, 31), MIDNIGHT, False, 0],
                [None, None, None, None, None, None, None],
                ["é\nline", 3, 2.5, None, None, True, 7],
            ]
        ),
    )
    assert (done.rows_read, done.rows_loaded, done.rows_rejected) == (3, 3, 0)
    assert types(done) == {
        "name": "text",
        "count": "integer",
        "share": "text",  # 1e-07 is written with an exponent, which proves no decimal
        "day": "date",
        "at": "datetime",
        "open": "boolean",
        "big": "integer",
    }
    assert rows(world) == [
        ("a, b", "1", "0.25", "2026-07-01", "2026-07-01 10:05:00", "true", "123456789012345"),
        ('say "so"', "-20", "1e-07", "2026-12-31", "2026-07-01 00:00:00", "false", "0"),
        ("é\nline", "3", "2.5", None, None, "true", "7"),
    ]


def test_a_number_keeps_the_leading_zeros_and_marks_that_its_format_shows(world: World) -> None:
    def formats(book: Any) -> None:
        for column, shown in zip("ABCDE", ("00000", r"000\-00\-0000", '00000"-"0000', "0", "0.00"), strict=True):
            for row in (2, 3):
                book.active[f"{column}{row}"].number_format = shown

    done = send(world, workbook([["zip", "ssn", "zip4", "n", "d"], [2116, 12345678, 21161234, 7, 5], [123456, 1, 99, 10, 2.5]], formats))
    assert rows(world) == [
        ("02116", "012-34-5678", "02116-1234", "7", "5.0"),
        ("123456", "000-00-0001", "00000-0099", "10", "2.5"),
    ]
    assert types(done)["zip"] == "text"
    assert types(done)["n"] == "integer"


def test_dates_of_the_1904_system_are_the_days_that_they_show(world: World) -> None:
    def mac(book: Any) -> None:
        book.epoch = CALENDAR_MAC_1904

    data = workbook([["day"], [dt.date(2026, 7, 1)], [dt.date(1999, 12, 31)]], mac)
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        assert 'date1904="1"' in parts.read("xl/workbook.xml").decode()
        assert "46204" not in parts.read(BOX).decode()  # 2026-07-01 in the system of 1900
    send(world, data)
    assert rows(world) == [("2026-07-01",), ("1999-12-31",)]


def test_title_rows_above_the_header_are_passed_over_and_told(world: World) -> None:
    def merge(book: Any) -> None:
        book.active.merge_cells("A1:C1")

    done = send(world, workbook([["Visits by county, 2026"], [], ["id", "county", "n"], ["a", "06001", 1]], merge))
    assert rows(world) == [("a", "06001", "1")]
    assert "1 title rows above the header were passed over." in done.notes
    assert any("merged" in note for note in done.notes)


def test_a_row_with_an_error_cell_is_rejected_under_its_number_and_counted(world: World) -> None:
    data = workbook([["id", "n"], ["a", 1], ["b", "#N/A"], ["c", 3], ["#REF!", "#DIV/0!"], ["e", "x"]])
    done = send(world, data, accept_schema=False, dry_run=True)
    assert [(each.row, each.column, each.rule, each.value) for each in done.rejects][:2] == [
        (2, "n", "cell_error", "#N/A"),
        (4, "id", "cell_error", "#REF!"),
    ]
    assert (done.rows_read, done.rows_loaded, done.rows_rejected) == (5, 3, 2)
    assert send(world, data).version is None


def test_rejects_behind_a_row_with_an_error_are_numbered_as_in_the_sheet(world: World) -> None:
    send(world, workbook([["id", "n"], ["a", 1]]))
    done = send(world, workbook([["id", "n"], ["a", "#N/A"], ["b", 2], ["c", "many"], ["d", "#N/A"], ["e", "few"]]))
    assert [(each.row, each.rule) for each in done.rejects] == [
        (1, "cell_error"),
        (3, "not_integer"),
        (4, "cell_error"),
        (5, "not_integer"),
    ]
    assert (done.rows_read, done.rows_loaded, done.rows_rejected) == (5, 1, 4)


def test_a_formula_is_its_last_value_and_one_without_is_refused(world: World) -> None:
    bare = workbook([["id", "n"], ["a", "=1+1"]])
    error = refused(lambda: send(world, bare))
    assert (error.code, "no computed value in the file, the first in cell B2" in error.detail) == ("file_unreadable", True)
    done = send(world, rewritten(bare, BOX, lambda xml: re.sub(r"</f><v */>|</f><v></v>", "</f><v>2</v>", xml)))
    assert rows(world) == [("a", "2")]
    assert "1 cells are formulas; their last computed value was taken." in done.notes


def test_hidden_rows_columns_and_sheets_are_told(world: World) -> None:
    def hide(book: Any) -> None:
        book.active.row_dimensions[2].hidden = True
        book.active.column_dimensions["B"].hidden = True
        book.create_sheet("draft").sheet_state = "hidden"

    done = send(world, workbook([["id", "n"], ["a", 1], ["b", 2]], hide))
    assert rows(world) == [("a", "1"), ("b", "2")]
    assert {note.split(" ", 1)[1] for note in done.notes if note.startswith("1 ")} == {
        "hidden rows were read like the others.",
        "hidden columns were read like the others.",
        "sheets are hidden, and were not read unless named.",
    }


def test_of_several_sheets_one_is_named(world: World) -> None:
    def another(book: Any) -> None:
        book.active.title = "first"
        book.create_sheet("second").append(["x"])
        book["second"].append([5])

    data = workbook([["id"], ["a"]], another)
    error = refused(lambda: send(world, data))
    assert (error.code, [place.message for place in error.places]) == ("file_unreadable", ["'first', visible", "'second', visible"])
    assert refused(lambda: send(world, data, sheet="third")).code == "file_unreadable"
    send(world, data, sheet="second")
    assert rows(world) == [("5",)]
    assert refused(lambda: send(world, b"x\n6\n", sheet="second")).code == "file_unreadable"


def cells_far_apart(xml: str) -> str:
    return xml.replace("</sheetData>", '<row r="1048576"><c r="ALL1048576"><v>1</v></c></row></sheetData>')


def test_a_sheet_that_spans_a_thousand_million_cells_is_refused_before_it_is_read(world: World) -> None:
    data = rewritten(workbook([["id"], ["a"]]), BOX, cells_far_apart)
    assert refused(lambda: send(world, data)).code == "file_over_limits"
    wide = rewritten(workbook([["id"], ["a"]]), BOX, lambda xml: xml.replace("ALL1048576", "x").replace('r="A2"', 'r="XFD2"'))
    assert refused(lambda: send(world, wide)).code == "file_unreadable"


def test_what_a_sheet_says_of_its_own_size_is_not_looked_at(world: World) -> None:
    data = rewritten(workbook([["id"], ["a"]]), BOX, lambda xml: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1:XFD1048576"', xml))
    send(world, data)
    assert rows(world) == [("a",)]


def shared(data: bytes) -> bytes:
    """The workbook with its texts in a part of their own, as Excel writes them."""
    texts = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>id</t></si><si><t>a</t></si></sst>'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    data = rewritten(data, BOX, lambda xml: re.sub(r't="inlineStr"><is><t>(id|a)</t></is>', _numbered, xml))
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    data = rewritten(data, "[Content_Types].xml", lambda xml: xml.replace("</Types>", part))
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as book:
        book.writestr("xl/sharedStrings.xml", texts)
    return file.getvalue()


def _numbered(found: re.Match[str]) -> str:
    return f't="s"><v>{["id", "a"].index(found[1])}</v>'


def test_texts_in_a_part_of_their_own_are_read(world: World) -> None:
    done = send(world, shared(workbook([["id"], ["a"]])))
    assert (list(done.schema.types), rows(world)) == (["id"], [("a",)])


@pytest.mark.parametrize("part", [BOX, "xl/workbook.xml", "xl/styles.xml", "xl/sharedStrings.xml"])
@pytest.mark.parametrize(
    "attack",
    [
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY e "&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>',
        "<!--" + "x" * 70_000 + '--><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><y>&e;</y>',
        "<not xml",
    ],
    ids=["external entity", "entities in entities", "an entity far away", "no xml"],
)
def test_hostile_xml_is_refused(world: World, part: str, attack: str) -> None:
    def hostile(xml: str) -> str:
        return attack + (xml.partition("?>")[2] if xml.startswith("<?xml") else xml).replace("<t>id</t>", "<t>&e;</t>")

    error = refused(lambda: send(world, rewritten(shared(workbook([["id"], ["a"]])), part, hostile)))
    assert error.code == "file_unreadable"


@pytest.mark.slow
def test_a_workbook_that_unpacks_to_far_more_than_it_is_is_a_bomb(world: World) -> None:
    data = rewritten(workbook([["id"], ["a"]]), BOX, lambda xml: xml.replace("</sheetData>", "</sheetData>" + " " * 200_000_000))
    assert refused(lambda: send(world, data)).code == "file_over_limits"

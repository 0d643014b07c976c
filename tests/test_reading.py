"""How a CSV is read: each case is bytes, what must be found, and the table that they mean, written by hand; and no value is ever lost."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from hypothesis import given
from hypothesis import strategies as st

from baybridge.data.ingest.load import open_csv
from baybridge.data.ingest.profile import profile, propose
from baybridge.data.ingest.reading.reading import Wanted
from baybridge.data.ingest.stage import stage
from baybridge.errors import BaybridgeError, Conflict, Invalid
from baybridge.names import DatasetName
from baybridge.publish import Declaration, Publication, Upload

ROWS = "id,name\n1,{}\n2,b\n"
ACCENT = ROWS.format("José")

# The bytes; what is found that is not plain; the rows with their header, cells by |, as they must come out.
CASES: dict[str, tuple[bytes, str, str]] = {
    "plain": (b"id,name\n1,a\n2,b\n", "", "id|name 1|a 2|b"),
    "plain in CRLF": (b"id,name\r\n1,a\r\n2,b\r\n", "", "id|name 1|a 2|b"),
    "no line end at the end": (b"id,name\n1,a\n2,b", "", "id|name 1|a 2|b"),
    "UTF-8": (ACCENT.encode(), "", "id|name 1|José 2|b"),
    "UTF-8 with a mark": (ACCENT.encode("utf-8-sig"), "", "id|name 1|José 2|b"),
    "UTF-16 little with a mark": (b"\xff\xfe" + ACCENT.encode("utf-16-le"), "encoding=utf-16", "id|name 1|José 2|b"),
    "UTF-16 big with a mark": (b"\xfe\xff" + ACCENT.encode("utf-16-be"), "encoding=utf-16", "id|name 1|José 2|b"),
    "UTF-16 little without a mark": (ACCENT.encode("utf-16-le"), "encoding=utf-16-le", "id|name 1|José 2|b"),
    "UTF-16 big without a mark": (ACCENT.encode("utf-16-be"), "encoding=utf-16-be", "id|name 1|José 2|b"),
    "UTF-16 and semicolons": ("id;n\n1;a\n2;b\n".encode("utf-16"), "encoding=utf-16 delimiter=semicolon", "id|n 1|a 2|b"),
    "Windows-1252": (ACCENT.encode("cp1252"), "encoding=windows-1252", "id|name 1|José 2|b"),
    "Windows-1252 smart quotes": (ROWS.format("“x”").encode("cp1252"), "encoding=windows-1252", "id|name 1|“x” 2|b"),
    "Windows-1252 euro": (ROWS.format("€5").encode("cp1252"), "encoding=windows-1252", "id|name 1|€5 2|b"),
    "semicolons": (b"id;name\n1;a\n2;b\n", "delimiter=semicolon", "id|name 1|a 2|b"),
    "semicolons and decimal commas": (b"id;sum\n1;1,50\n2;2,30\n", "delimiter=semicolon", "id|sum 1|1,50 2|2,30"),
    "tabs": (b"id\tname\n1\ta\n2\tb\n", "delimiter=tab", "id|name 1|a 2|b"),
    "pipes": (b"id|name\n1|a\n2|b\n", "delimiter=pipe", "id|name 1|a 2|b"),
    "commas with a semicolon in each row": (b"id,x;y\n1,a;b\n2,c;d\n", "", "id|x;y 1|a;b 2|c;d"),
    "single quotes": (b"id,name\n1,'a,b'\n2,'c,d'\n3,'e'\n", "quote=single", "id|name 1|a,b 2|c,d 3|e"),
    "apostrophes": (b"id,name\n1,O'Brien\n2,D'Arcy\n", "", "id|name 1|O'Brien 2|D'Arcy"),
    "escaped quotes": (b'id,name\n1,"a \\"b\\""\n2,"c,d"\n', "escape=backslash", 'id|name 1|a~"b" 2|c,d'),
    "doubled quotes": (b'id,name\n1,"a""b"\n2,"c,d"\n', "", 'id|name 1|a"b 2|c,d'),
    "mixed line ends": (b"id,name\r\n1,a\n2,b\r\n", "line_end=any", "id|name 1|a 2|b"),
    "CR as the line end": (b"id,name\r1,a\r2,b\r", "line_end=any", "id|name 1|a 2|b"),
    "LF in quotes in a CRLF file": (b'id,name\r\n1,"a\nb"\r\n2,b\r\n', "", "id|name 1|a^b 2|b"),
    "a line break in quotes with semicolons": (b'id;name\n1;"a\nb"\n2;b\n', "delimiter=semicolon", "id|name 1|a^b 2|b"),
    "blank lines with semicolons": (b"id;name\n\n1;a\n\n2;b\n\n", "delimiter=semicolon", "id|name 1|a 2|b"),
    "a title line": (b"Report of 2024\nid,name\n1,a\n2,b\n", "skip=1", "id|name 1|a 2|b"),
    "three lines before the header": (b"Report\nPrinted by X\n\nid,name\n1,a\n2,b\n", "skip=3", "id|name 1|a 2|b"),
    "a title as wide as the table": (b"Report of 2024,,\nid,name,n\n1,a,2\n2,b,3\n", "skip=1", "id|name|n 1|a|2 2|b|3"),
    "a quote in the title": (b'The "big" report, it is 5" long\nid,name,n\n1,a,2\n2,b,3\n', "skip=1", "id|name|n 1|a|2 2|b|3"),
    "two header rows": (
        b"place,births,,deaths,\n,male,female,male,female\nA,1,2,3,4\nB,5,6,7,8\n",
        "header_rows=2",
        "place|births~male|births~female|deaths~male|deaths~female A|1|2|3|4 B|5|6|7|8",
    ),
    "three header rows": (
        b"place,people,,,\n,births,,deaths,\n,male,female,male,female\nA,1,2,3,4\nB,5,6,7,8\n",
        "header_rows=3",
        "place|people~births~male|people~births~female|people~deaths~male|people~deaths~female A|1|2|3|4 B|5|6|7|8",
    ),
    "no header row": (b"1,2.5\n3,4.5\n5,6.5\n", "header_rows=0", "column_1|column_2 1|2.5 3|4.5 5|6.5"),
    "years in the header": (b"county,2019,2020\nA,1,2\nB,3,4\n", "", "county|2019|2020 A|1|2 B|3|4"),
    "a total row": (b"id,name,n\n1,a,2\n2,b,3\nTotal,,5\n", "footer=1", "id|name|n 1|a|2 2|b|3"),
    "a grand total": (b"id,name,n\n1,a,2\n2,b,3\nGrand Total,,5\n", "footer=1", "id|name|n 1|a|2 2|b|3"),
    "a note": (b"id,name,n\n1,a,2\n2,b,3\nSource: the county\n", "footer=1", "id|name|n 1|a|2 2|b|3"),
    "a total and a note": (b"id,name,n\n1,a,2\n2,b,3\nTotal,,5\nSource: x\n", "footer=2", "id|name|n 1|a|2 2|b|3"),
    "a name that begins like total": (b"id,name,n\n1,a,2\nTotality,b,3\n", "", "id|name|n 1|a|2 Totality|b|3"),
    "a name twice": (b"id,name,name\n1,a,2\n2,b,3\n", "names=id,name,name_2", "id|name|name_2 1|a|2 2|b|3"),
    "a name twice but for case": (b"id,Name,name\n1,a,2\n2,b,3\n", "names=id,Name,name_2", "id|Name|name_2 1|a|2 2|b|3"),
    "a name that is taken": (b"a,a,a_2\n1,x,2\n2,y,3\n", "names=a,a_3,a_2", "a|a_3|a_2 1|x|2 2|y|3"),
    "no name": (b"id,,n\n1,a,2\n2,b,3\n", "names=id,column_2,n", "id|column_2|n 1|a|2 2|b|3"),
    "a name with a line break": (b'id,"first\nname"\n1,a\n2,b\n', "names=id,first name", "id|first~name 1|a 2|b"),
    "a zero-width space in a name": ("id,na\u200bme\n1,a\n2,b\n".encode(), "names=id,name", "id|name 1|a 2|b"),
    "leading zeros": (b"zip;n\n02116;1\n01001;2\n", "delimiter=semicolon", "zip|n 02116|1 01001|2"),
    "a big integer": (b"id;n\n12345678901234567890;1\n2;2\n", "delimiter=semicolon", "id|n 12345678901234567890|1 2|2"),
    "one column": (b"a\n1\n2\n", "", "a 1 2"),
    "one column with an empty cell": (b'a\r1\r""\r2\r', "line_end=any", "a 1 - 2"),
    "a title, semicolons and Windows-1252": (
        "Übersicht 2024\nid;name\n1;Käse\n2;b\n".encode("cp1252"),
        "encoding=windows-1252 delimiter=semicolon skip=1",
        "id|name 1|Käse 2|b",
    ),
}


def words(found: Any) -> str:
    return " ".join(f"{each.aspect}={each.value}" for each in found.remarks)


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [row for row in csv.reader(file) if row]


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_any_make_is_read_as_a_person_would_and_nothing_is_confirmed_by_itself(case: str, tmp_path: Path) -> None:
    content, expected, table = CASES[case]
    path = tmp_path / "file"
    path.write_bytes(content)
    opened = open_csv(path, Wanted(), scratch=tmp_path, confirmed=False)
    assert words(opened.found) == expected
    cells = [[cell.replace("~", " ").replace("^", "\n").replace("-", "") for cell in row.split("|")] for row in table.split(" ")]
    got = [[cell.replace("-", "") for cell in row] for row in read(opened.plain.path)]
    assert got == cells
    assert opened.plain.rejected == ()
    unproven = [each.aspect for each in opened.found.remarks if not each.proven]
    assert list(opened.found.unconfirmed) == unproven
    accepted = open_csv(path, Wanted(accept=True), scratch=tmp_path, confirmed=True)
    assert accepted.found.reading == opened.found.reading
    if not unproven:
        return
    with pytest.raises(BaybridgeError) as refused:
        open_csv(path, Wanted(), scratch=tmp_path, confirmed=True)
    assert refused.value.code in {"reading_unconfirmed", "file_unreadable"}
    assert [place.parameter for place in refused.value.places] == unproven


REJECTED: dict[str, tuple[bytes, Wanted, list[tuple[Any, ...]]]] = {
    "a byte that is no UTF-8": (b"a,b\n1,x\n2,\xff\n3,y\n", Wanted(encoding="utf-8"), [(2, "b", "bad_encoding", 10)]),
    "a byte that is no Windows-1252": (b"a,b\n1,x\n2,\x81\n3,y\n", Wanted(encoding="windows-1252"), [(2, "b", "bad_encoding", 10)]),
    "half a surrogate": (
        "a,b\n1,x\n2,".encode("utf-16-le") + b"\x00\xd8" + "\n3,y\n".encode("utf-16-le"),
        Wanted(encoding="utf-16-le"),
        [(2, "b", "bad_encoding", 20)],
    ),
    "a NUL": (b"a,b\n1,x\n2,\x00z\n3,y\n", Wanted(accept=True), [(2, "b", "nul", 10)]),
    "a row too short": (b"a;b\n1;x\n2\n3;y\n", Wanted(accept=True), [(2, None, "missing_columns", 8)]),
    "a row too long": (b"a;b\n1;x\n2;y;z\n3;y\n4;y\n5;y\n6;y\n7;y\n8;y\n9;y\n", Wanted(delimiter=";"), [(2, None, "too_many_columns", 8)]),
    "a plain row too short": (b"a,b\n1,x\n2\n3,y\n", Wanted(), [(2, None, "missing_columns", 8)]),
}


@pytest.mark.parametrize("case", REJECTED)
def test_what_cannot_be_a_row_is_a_reject_with_its_byte_and_the_counts_balance(case: str, tmp_path: Path) -> None:
    content, wanted, expected = REJECTED[case]
    path = tmp_path / "file"
    path.write_bytes(content)
    opened = open_csv(path, wanted, scratch=tmp_path, confirmed=True)
    seen = profile(opened.plain.path, scratch=tmp_path)
    staged = opened.staged(stage(opened.plain.path, propose(seen), scratch=tmp_path))
    assert [(each.row, each.column, each.rule, each.offset) for each in staged.rejects] == expected
    assert staged.rows_read == staged.rows_loaded + staged.rows_rejected == opened.profiled(seen).rows_read
    assert staged.rows_rejected == len({row for row, *_ in expected})


def test_candidates_are_shown_with_the_lines_on_which_they_differ(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(ROWS.format("caf\u00e9").encode("cp1252"))
    found = open_csv(path, Wanted(), scratch=tmp_path, confirmed=False).found
    texts = dict(zip([each.encoding for each in found.candidates], found.differing[0].texts, strict=True))
    assert found.differing[0].line == 2
    assert (texts["windows-1252"], texts["windows-1251"], texts["utf-8"]) == ("1,caf\u00e9", "1,caf\u0439", None)


@pytest.mark.parametrize("content", [b'a;b\n1;"x\n2;y\n', b'a;b\n1; "x"\n2;y\n', b'a;b\n"x" ;2\n3;4\n'])
def test_quotes_that_leave_the_cells_open_to_guessing_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Invalid) as refused:
        open_csv(path, Wanted(delimiter=";", accept=True), scratch=tmp_path, confirmed=True)
    assert refused.value.code == "file_unreadable"
    assert "line 2" in refused.value.detail


# No value is lost: whatever is written in a dialect, comes out.

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_every_cell_written_in_a_dialect_comes_out_of_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str, encoding: str, line_end: str
) -> None:
    folder = tmp_path_factory.mktemp("reading")
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    (folder / "file").write_bytes(text.getvalue().encode(encoding))
    wanted = Wanted(encoding=encoding, delimiter=delimiter, quote='"', escape="", line_end="same", skip=0, header_rows=1, footer=0)
    opened = open_csv(folder / "file", wanted, scratch=folder, confirmed=True)
    staged = stage(opened.plain.path, propose(profile(opened.plain.path, scratch=folder)), scratch=folder)
    assert read(opened.plain.path) == [["a", "b"], *rows]
    assert (opened.plain.rejected, staged.rows_loaded) == ((), len(rows))


# As a publication.


def publish(world: World, content: bytes, **said: Any) -> Publication:
    steward, name = world.person("bts", "steward"), DatasetName("bts", "read")
    upload = Upload(chunks=[content], null_words=("",), key=(), accept_schema=True, **{"dry_run": False, **said})
    return world.exchange.publish.publish(steward, name, upload)


def test_a_reading_is_looked_at_in_a_dry_run_and_published_only_when_it_is_said(world: World) -> None:
    world.exchange.publish.declare(world.person("bts", "steward"), DatasetName("bts", "read"), Declaration())
    content = "id;name\n1;Jos\u00e9\n2;b\n".encode("cp1252")
    dry = publish(world, content, dry_run=True)
    assert dry.found is not None
    assert dry.found.unconfirmed == ("encoding", "delimiter")
    assert [column.name for column in dry.profile.columns] == ["id", "name"]
    with pytest.raises(Invalid) as unreadable:
        publish(world, content)
    assert "encoding=windows-1252 delimiter=semicolon" in str(unreadable.value.advice.next_step)
    with pytest.raises(Conflict) as unconfirmed:
        publish(world, b"id;name\n1;a\n2;b\n")
    assert unconfirmed.value.code == "reading_unconfirmed"
    said = publish(world, content, wanted=Wanted(encoding="windows-1252", delimiter=";"))
    assert (said.version, said.rows_loaded) == (1, 2)

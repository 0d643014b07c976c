"""Owns the cases of CSV whose shape is hostile: encodings, dialects, quotes, headers, titles, totals, ragged rows, keys."""

from __future__ import annotations

from baybridge.data.ingest.reading.reading import Wanted
from torture.case import Case

TWO = {"id": "integer", "name": "text"}

CASES: dict[str, Case] = {
    # Encodings.
    "smart quotes of Windows-1252": Case(
        b"id,name\n1,\x93x\x94\n2,it\x92s\n",
        types=TWO,
        rows=("1|\u201cx\u201d", "2|it\u2019s"),
        counts=(2, 2, 0),
        found="encoding=windows-1252",
    ),
    "UTF-16 with a mark": Case(
        b"\xff\xfei\0d\0,\0n\0a\0m\0e\0\n\x001\0,\0\xe9\0\n\0", types=TWO, rows=("1|é",), counts=(1, 1, 0), found="encoding=utf-16"
    ),
    "UTF-16 without a mark": Case(
        "id,name\n1,é\n2,b\n".encode("utf-16-be"), types=TWO, rows=("1|é", "2|b"), counts=(2, 2, 0), found="encoding=utf-16-be"
    ),
    "a byte order mark": Case(b"\xef\xbb\xbfid,name\n1,a\n", types=TWO, rows=("1|a",), counts=(1, 1, 0)),
    "a byte order mark before a quoted header": Case(b'\xef\xbb\xbf"id","name"\n1,a\n', types=TWO, rows=("1|a",), counts=(1, 1, 0)),
    "a byte order mark inside is a character": Case(b"id,name\n1,\xef\xbb\xbfa\n", types=TWO, rows=("1|\ufeffa",), counts=(1, 1, 0)),
    "one byte that is no UTF-8": Case(
        b"id,name\n1,a\n2,\xff\n3,c\n",
        said=Wanted(encoding="utf-8"),
        types=TWO,
        rows=("1|a", "3|c"),
        counts=(3, 2, 1),
        rejects=((2, "name", "bad_encoding"),),
    ),
    "a NUL": Case(
        b"id,name\n1,a\n2,b\0c\n", types=TWO, rows=("1|a",), counts=(2, 1, 1), rejects=((2, "name", "nul"),), found="encoding=utf-8"
    ),
    "characters beyond the first plane": Case("id,name\n1,🇫🇷\n2,🐘\n".encode(), types=TWO, rows=("1|🇫🇷", "2|🐘"), counts=(2, 2, 0)),
    "UTF-8 that was decoded wrongly once stays so": Case("id,name\n1,Ã©\n".encode(), types=TWO, rows=("1|Ã©",), counts=(1, 1, 0)),
    # Line ends.
    "CRLF": Case(b"id,name\r\n1,a\r\n2,b\r\n", types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0)),
    "mixed line ends": Case(b"id,name\r\n1,a\n2,b\r3,c\n", types=TWO, rows=("1|a", "2|b", "3|c"), counts=(3, 3, 0), found="line_end=any"),
    "CR": Case(b"id,name\r1,a\r2,b\r", types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0), found="line_end=any"),
    "no line end at the end": Case(b"id,name\n1,a\n2,b", types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0)),
    "blank lines": Case(b"id,name\n\n1,a\n\n\n2,b\n\n", types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0)),
    "line breaks in quotes": Case(b'id,name\n1,"a\nb"\n2,"c\r\nd"\n', types=TWO, rows=("1|a\nb", "2|c\r\nd"), counts=(2, 2, 0)),
    "a blank line in quotes": Case(b'id,name\n1,"a\n\nb"\n', types=TWO, rows=("1|a\n\nb",), counts=(1, 1, 0)),
    # Dialects.
    "tabs": Case(b"id\tname\n1\ta,b\n2\tc\n", types=TWO, rows=("1|a,b", "2|c"), counts=(2, 2, 0), found="delimiter=tab"),
    "pipes": Case(b"id|name\n1|a\n2|b\n", types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0), found="delimiter=pipe"),
    "semicolons in cells of commas": Case(b"id,name\n1,a;b\n2,c;d\n", types=TWO, rows=("1|a;b", "2|c;d"), counts=(2, 2, 0)),
    "a colon, said": Case(b"id:name\n1:a\n", said=Wanted(delimiter=":"), types=TWO, rows=("1|a",), counts=(1, 1, 0)),
    "doubled quotes": Case(b'id,name\n1,"a ""b"""\n2,""""\n', types=TWO, rows=('1|a "b"', '2|"'), counts=(2, 2, 0)),
    "quoted commas": Case(b'id,name\n1,"a,b"\n', types=TWO, rows=("1|a,b",), counts=(1, 1, 0)),
    "apostrophes": Case(b"id,name\n1,O'Brien\n2,'tis\n", types=TWO, rows=("1|O'Brien", "2|'tis"), counts=(2, 2, 0)),
    "quotes that are escaped": Case(
        b'id,name\n1,"a \\"b\\""\n2,"c,d"\n', types=TWO, rows=('1|a "b"', "2|c,d"), counts=(2, 2, 0), found="escape=backslash"
    ),
    "backslashes are characters": Case(b"id,name\n1,C:\\new\n2,\\N\n", types=TWO, rows=("1|C:\\new", "2|\\N"), counts=(2, 2, 0)),
    "a hash is no comment": Case(b"id,name\n#1,a\n2,b\n", types={"id": "text", "name": "text"}, rows=("#1|a", "2|b"), counts=(2, 2, 0)),
    "a quote that never closes": Case(b'id,name\n1,"a\n2,b\n', refused=("file_unreadable", "")),
    "a quote with company": Case(
        b'id,name\n1,"a"b\n2,c\n', types=TWO, rows=("2|c",), counts=(2, 1, 1), rejects=((1, None, "bad_quoting"),)
    ),
    "a quote inside a bare cell": Case(b'id,name\n1,5" pipe\n', refused=("file_unreadable", "line 2")),
    # Headers.
    "blank and doubled names": Case(
        b"id,name,,name,\n1,a,b,c,d\n",
        types={"id": "integer", "name": "text", "column_3": "text", "name_2": "text", "column_5": "text"},
        rows=("1|a|b|c|d",),
        counts=(1, 1, 0),
        found="names=id,name,column_3,name_2,column_5",
    ),
    "names that differ in case alone": Case(
        b"id,ID\n1,2\n", types={"id": "integer", "ID_2": "integer"}, rows=("1|2",), counts=(1, 1, 0), found="names=id,ID_2"
    ),
    "columns in another order than declared": Case(b"name,id\na,1\nb,2\n", declared=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0)),
    "a column that is not declared": Case(b"id,name,extra\n1,a,x\n", declared=TWO, refused=("schema_invalid", "extra")),
    "a declared column that is missing": Case(b"id\n1\n", declared=TWO, refused=("schema_invalid", "name")),
    "a name with a space at its end is another": Case(b"id,name \n1,a\n", declared=TWO, refused=("schema_invalid", "name ")),
    "two header rows": Case(
        b"place,births,,deaths,\n,male,female,male,female\nA,1,2,3,4\nB,5,6,7,8\n",
        types={"place": "text"} | dict.fromkeys(("births male", "births female", "deaths male", "deaths female"), "integer"),
        rows=("A|1|2|3|4", "B|5|6|7|8"),
        counts=(2, 2, 0),
        found="header_rows=2",
    ),
    "no header": Case(
        b"1,2.5\n3,4.5\n5,6.5\n",
        types={"column_1": "integer", "column_2": "decimal(18,1)"},
        rows=("1|2.5", "3|4.5", "5|6.5"),
        counts=(3, 3, 0),
        found="header_rows=0",
    ),
    "a header alone": Case(b"id,name\n", types={"id": "text", "name": "text"}, rows=(), counts=(0, 0, 0)),
    "a header alone, declared": Case(b"id,name\n", declared=TWO, rows=(), counts=(0, 0, 0)),
    "nothing at all": Case(b"", refused=("file_unreadable", "")),
    "line ends alone": Case(b"\n\n\n", refused=("file_unreadable", "")),
    # Titles and totals.
    "title lines before the header": Case(
        b"Report of 2024\nPrinted by X\n\nid,name\n1,a\n2,b\n", types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0), found="skip=3"
    ),
    "a total row": Case(
        b"place,kind,n\nA,x,2\nB,y,3\nTotal,,5\n",
        types={"place": "text", "kind": "text", "n": "integer"},
        rows=("A|x|2", "B|y|3"),
        counts=(2, 2, 0),
        found="footer=1",
    ),
    "a total row that is said to be a row": Case(
        b"place,kind,n\nA,x,2\nB,y,3\nTotal,,5\n",
        said=Wanted(footer=0),
        types={"place": "text", "kind": "text", "n": "integer"},
        rows=("A|x|2", "B|y|3", "Total|∅|5"),
        counts=(3, 3, 0),
    ),
    "a note below": Case(
        b"place,kind,n\nA,x,2\nB,y,3\nSource: the county\n",
        types={"place": "text", "kind": "text", "n": "integer"},
        rows=("A|x|2", "B|y|3"),
        counts=(2, 2, 0),
        found="footer=1",
    ),
    # Ragged rows.
    "a row too short": Case(
        b"id,name,n\n1,a,1\n2,b\n3,c,3\n",
        types={"id": "integer", "name": "text", "n": "integer"},
        rows=("1|a|1", "3|c|3"),
        counts=(3, 2, 1),
        rejects=((2, None, "missing_columns"),),
    ),
    "a row too long": Case(
        b"id,name\n1,a\n2,b,x\n3,c\n", types=TWO, rows=("1|a", "3|c"), counts=(3, 2, 1), rejects=((2, None, "too_many_columns"),)
    ),
    "a row too long by an empty cell": Case(
        b"id,name\n1,a\n2,b,\n3,c\n", types=TWO, rows=("1|a", "3|c"), counts=(3, 2, 1), rejects=((2, None, "too_many_columns"),)
    ),
    "rows of many lengths are all counted": Case(
        b"a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,11,12\n",
        types={"a": "integer", "b": "integer", "c": "integer"},
        rows=("1|2|3", "10|11|12"),
        counts=(4, 2, 2),
        rejects=((2, None, "missing_columns"), (3, None, "too_many_columns")),
    ),
    "rejects are numbered as in the file": Case(
        b"id,name\n1,a\n2\nx,c\n4,d,e\ny,f\n",
        declared=TWO,
        rows=("1|a",),
        counts=(5, 1, 4),
        rejects=((2, None, "missing_columns"), (3, "id", "not_integer"), (4, None, "too_many_columns"), (5, "id", "not_integer")),
    ),
    "blank lines do not count as rows": Case(
        b"id,name\n\n1,a\n\nx,b\n", declared=TWO, rows=("1|a",), counts=(2, 1, 1), rejects=((2, "id", "not_integer"),)
    ),
    # Keys and nulls that may not be.
    "a key twice rejects both": Case(
        b"id,name\n1,a\n2,b\n1,c\n",
        declared=TWO,
        key=("id",),
        rows=("2|b",),
        counts=(3, 1, 2),
        rejects=((1, "id", "key_repeated"), (3, "id", "key_repeated")),
    ),
    "a key that is missing": Case(
        b"id,name\n1,a\n,b\n", declared=TWO, key=("id",), rows=("1|a",), counts=(2, 1, 1), rejects=((2, "id", "key_missing"),)
    ),
    "keys that are twice as numbers and not as texts": Case(
        b"id,n\n1.0,1\n1.00,2\n",
        declared={"id": "decimal(18,2)", "n": "integer"},
        key=("id",),
        rows=(),
        counts=(2, 0, 2),
        rejects=((1, "id", "key_repeated"), (2, "id", "key_repeated")),
    ),
    "zeros make keys differ": Case(
        b"id,n\n01,1\n1,2\n", key=("id",), types={"id": "text", "n": "integer"}, rows=("01|1", "1|2"), counts=(2, 2, 0)
    ),
    "a required cell that is null": Case(
        b"id,name\n1,a\n2,\n", declared=TWO, required=("name",), rows=("1|a",), counts=(2, 1, 1), rejects=((2, "name", "required"),)
    ),
    "two faults in one row are two rejects of one row": Case(
        b"a,b\n1,2\nx,y\n",
        declared={"a": "integer", "b": "integer"},
        rows=("1|2",),
        counts=(2, 1, 1),
        rejects=((2, "a", "not_integer"), (2, "b", "not_integer")),
    ),
    # Structs and lists in cells.
    "structs and lists in cells": Case(
        b'id,s,l\n1,"{""a"": 1}","[1, 2]"\n2,"{""a"": ""x""}","[1]"\n3,"{""b"": 1}","[1]"\n4,{},"[""x""]"\n5,,{}\n',
        declared={"id": "integer", "s": "struct(a integer)", "l": "list(integer)"},
        rows=('1|{"a":1}|[1,2]',),
        counts=(5, 1, 4),
        rejects=((2, "s", "not_struct"), (3, "s", "not_struct"), (4, "l", "not_list"), (5, "l", "not_list")),
    ),
    # Files that are none.
    "a zip, such as a workbook": Case(b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0", refused=("file_unreadable", "not text")),
    "gzip": Case(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0", refused=("file_unreadable", "not text")),
}

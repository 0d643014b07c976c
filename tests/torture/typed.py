"""Owns the cases of files with types of their own: NDJSON, JSON, and Parquet, which is stated as the SQL of the engine that writes it."""

from __future__ import annotations

from functools import partial

from baybridge.data.ingest.formats import Format
from torture.case import Case

Lines = partial(Case, file_format=Format.NDJSON)
Array = partial(Case, file_format=Format.JSON)
Parquet = partial(Case, file_format=Format.PARQUET)

TWO = {"id": "integer", "name": "text"}

CASES: dict[str, Case] = {
    # NDJSON: what proves what.
    "lines: texts of digits stay texts": Lines(
        b'{"zip": "02116", "n": "1"}\n{"zip": "10001", "n": "2"}\n',
        types={"zip": "text", "n": "text"},
        rows=("02116|1", "10001|2"),
        counts=(2, 2, 0),
    ),
    "lines: big whole numbers keep their digits": Lines(
        b'{"n": 9007199254740993}\n{"n": 9223372036854775807}\n',
        types={"n": "integer"},
        rows=("9007199254740993", "9223372036854775807"),
        counts=(2, 2, 0),
    ),
    "lines: above 64 bits": Lines(
        b'{"n": 9223372036854775808}\n', types={"n": "decimal(38,0)"}, rows=("9223372036854775808",), counts=(1, 1, 0)
    ),
    "lines: a decimal is no float": Lines(
        b'{"n": 0.1}\n{"n": 1.10}\n', types={"n": "decimal(18,2)"}, rows=("0.10", "1.10"), counts=(2, 2, 0)
    ),
    "lines: an exponent is a double": Lines(b'{"n": 1e5}\n{"n": 1}\n', types={"n": "double"}, rows=("100000.0", "1.0"), counts=(2, 2, 0)),
    "lines: a number among texts is not made a text": Lines(
        b'{"n": "a"}\n{"n": 1.50}\n', types={"n": "text"}, rows=("a",), counts=(2, 1, 1), rejects=((2, "n", "not_text"),)
    ),
    "lines: dates in texts": Lines(b'{"d": "2024-01-31"}\n{"d": null}\n', types={"d": "date"}, rows=("2024-01-31", "∅"), counts=(2, 2, 0)),
    "lines: booleans": Lines(b'{"b": true}\n{"b": false}\n', types={"b": "boolean"}, rows=("true", "false"), counts=(2, 2, 0)),
    "lines: the text true is no boolean": Lines(b'{"b": "true"}\n', types={"b": "text"}, rows=("true",), counts=(1, 1, 0)),
    "lines: an empty text is not null": Lines(
        b'{"id": 1, "name": ""}\n{"id": 2, "name": null}\n{"id": 3}\n',
        types=TWO,
        rows=("1|", "2|∅", "3|∅"),
        counts=(3, 3, 0),
        seen="name.nulls=2",
    ),
    "lines: words for null are texts": Lines(
        b'{"name": "NA"}\n{"name": "null"}\n', types={"name": "text"}, rows=("NA", "null"), counts=(2, 2, 0)
    ),
    "lines: a name that first comes later": Lines(b'{"id": 1}\n{"id": 2, "name": "b"}\n', types=TWO, rows=("1|∅", "2|b"), counts=(2, 2, 0)),
    "lines: the zero of a struct's text": Lines(
        b'{"home": {"zip": "02116", "n": 1}}\n',
        types={"home": "struct(zip text, n integer)"},
        rows=('{"zip":"02116","n":1}',),
        counts=(1, 1, 0),
    ),
    "lines: lists": Lines(b'{"l": [1, null, 3]}\n{"l": []}\n', types={"l": "list(integer)"}, rows=("[1,null,3]", "[]"), counts=(2, 2, 0)),
    "lines: a byte order mark, CRLF and blank lines": Lines(
        b'\xef\xbb\xbf{"id": 1, "name": "a"}\r\n\r\n{"id": 2, "name": "b"}\r\n', types=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0)
    ),
    "lines: escapes": Lines(rb'{"name": "\u00e9\n\"\ud83d\ude00"}', types={"name": "text"}, rows=('é\n"😀',), counts=(1, 1, 0)),
    "lines: names in any order": Lines(
        b'{"name": "a", "id": 1}\n{"id": 2, "name": "b"}\n', declared=TWO, rows=("1|a", "2|b"), counts=(2, 2, 0)
    ),
    # NDJSON: what is refused.
    "lines: a broken line": Lines(
        b'{"id": 1}\n{"id": 2\n{"id": 3}\n', types={"id": "integer"}, rows=("1", "3"), counts=(3, 2, 1), rejects=((2, None, "bad_json"),)
    ),
    "lines: a key twice": Lines(
        b'{"id": 1}\n{"id": 2, "id": 3}\n', types={"id": "integer"}, rows=("1",), counts=(2, 1, 1), rejects=((2, None, "bad_json"),)
    ),
    "lines: a NUL": Lines(
        b'{"id": "a"}\n{"id": "a\\u0000"}\n', types={"id": "text"}, rows=("a",), counts=(2, 1, 1), rejects=((2, None, "bad_json"),)
    ),
    "lines: half a surrogate": Lines(
        b'{"id": "a"}\n{"id": "\\ud83d"}\n', types={"id": "text"}, rows=("a",), counts=(2, 1, 1), rejects=((2, None, "bad_json"),)
    ),
    "lines: a byte that is no UTF-8": Lines(
        b'{"id": "a"}\n{"id": "\xff"}\n', types={"id": "text"}, rows=("a",), counts=(2, 1, 1), rejects=((2, None, "bad_json"),)
    ),
    "lines: NaN and leading zeros": Lines(
        b'{"id": 1}\n{"id": NaN}\n{"id": 01}\n',
        types={"id": "integer"},
        rows=("1",),
        counts=(3, 1, 2),
        rejects=((2, None, "bad_json"), (3, None, "bad_json")),
    ),
    "lines: a list among objects": Lines(
        b'{"id": 1}\n[2]\n3\n',
        types={"id": "integer"},
        rows=("1",),
        counts=(3, 1, 2),
        rejects=((2, None, "not_object"), (3, None, "not_object")),
    ),
    "lines: a name that is not declared": Lines(
        b'{"id": 1, "name": "a"}\n{"id": 2, "nmae": "b"}\n',
        declared=TWO,
        rows=("1|a",),
        counts=(2, 1, 1),
        rejects=((2, "nmae", "unknown_field"),),
    ),
    "lines: a number where a text is declared": Lines(
        b'{"id": 1, "name": "a"}\n{"id": 2, "name": 5}\n', declared=TWO, rows=("1|a",), counts=(2, 1, 1), rejects=((2, "name", "not_text"),)
    ),
    "lines: a text where a number is declared": Lines(
        b'{"id": 1, "name": "a"}\n{"id": "2", "name": "b"}\n',
        declared=TWO,
        rows=("1|a",),
        counts=(2, 1, 1),
        rejects=((2, "id", "not_integer"),),
    ),
    "lines: a fraction where a whole number is declared": Lines(
        b'{"id": 1, "name": "a"}\n{"id": 2.5, "name": "b"}\n{"id": 1e3, "name": "c"}\n',
        declared=TWO,
        rows=("1|a",),
        counts=(3, 1, 2),
        rejects=((2, "id", "not_integer"), (3, "id", "not_integer")),
    ),
    "lines: structs and lists of other shapes": Lines(
        b'{"s": {"a": 1}, "l": [1]}\n{"s": {"b": 1}, "l": [1]}\n{"s": {"a": 1}, "l": ["x"]}\n{"s": [], "l": [1]}\n',
        declared={"s": "struct(a integer)", "l": "list(integer)"},
        rows=('{"a":1}|[1]',),
        counts=(4, 1, 3),
        rejects=((2, "s", "not_struct"), (3, "l", "not_list"), (4, "s", "not_struct")),
    ),
    "lines: a key twice in the file": Lines(
        b'{"id": 1, "name": "a"}\n{"id": 1, "name": "b"}\n',
        declared=TWO,
        key=("id",),
        rows=(),
        counts=(2, 0, 2),
        rejects=((1, "id", "key_repeated"), (2, "id", "key_repeated")),
    ),
    "lines: nothing": Lines(b"", refused=("file_unreadable", "")),
    "lines: an array": Lines(b'[{"id": 1}]\n', refused=("file_unreadable", "")),
    "lines: a table of commas": Lines(b"id,name\n1,a\n", refused=("file_unreadable", "")),
    # JSON.
    "array: objects over many lines": Array(
        b'[\n  {"id": 1,\n   "name": "a"},\n  {"id": 2, "name": "}],["}\n]\n', types=TWO, rows=("1|a", "2|}],["), counts=(2, 2, 0)
    ),
    "array: escaped quotes and brackets": Array(
        rb'[{"id": 1, "name": "\"[{\\"}, {"id": 2, "name": "b"}]', types=TWO, rows=('1|"[{\\', "2|b"), counts=(2, 2, 0)
    ),
    "array: a number among the objects": Array(
        b'[{"id": 1, "name": "a"}, 5]', types=TWO, rows=("1|a",), counts=(2, 1, 1), rejects=((2, None, "not_object"),)
    ),
    "array: a fraction where a whole number is declared": Array(
        b'[{"id": 1, "name": "a"}, {"id": 1.5, "name": "b"}]',
        declared=TWO,
        rows=("1|a",),
        counts=(2, 1, 1),
        rejects=((2, "id", "not_integer"),),
    ),
    "array: cut off": Array(b'[{"id": 1}, {"id": 2', refused=("file_unreadable", "ends before")),
    "array: something behind": Array(b'[{"id": 1}] [{"id": 2}]', refused=("file_unreadable", "behind")),
    "array: a comma too many": Array(b'[{"id": 1},]', refused=("file_unreadable", "")),
    "array: two commas": Array(b'[{"id": 1},,{"id": 2}]', refused=("file_unreadable", "")),
    "array: a key twice": Array(b'[{"id": 1}, {"id": 2, "id": 3}]', refused=("file_unreadable", "Element 2")),
    "array: one object": Array(b'{"id": 1}', refused=("file_unreadable", "no JSON array")),
    "array: empty": Array(b"[]", refused=("file_unreadable", "")),
    "array: empty, declared": Array(b"[]", declared=TWO, rows=(), counts=(0, 0, 0)),
    "array: objects without a name, declared": Array(b"[{}, {}]", declared=TWO, rows=("∅|∅", "∅|∅"), counts=(2, 2, 0)),
    "lines: none, declared": Lines(b"", declared=TWO, rows=(), counts=(0, 0, 0)),
    "lines: blank ones, declared": Lines(b"\xef\xbb\xbf\n \n", declared=TWO, rows=(), counts=(0, 0, 0)),
    "array: nested too deep": Array(b'[{"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}]", refused=("file_unreadable", "")),
    "array: brackets that do not match": Array(b'[{"id": 1]}', refused=("file_unreadable", "")),
    # Parquet.
    "parquet: whole numbers and codes": Parquet(
        table="SELECT 1::TINYINT AS a, 9007199254740993::BIGINT AS b, '02116' AS zip",
        types={"a": "integer", "b": "integer", "zip": "text"},
        rows=("1|9007199254740993|02116",),
        counts=(1, 1, 0),
    ),
    "parquet: unsigned 64 bits": Parquet(
        table="SELECT 18446744073709551615::UBIGINT AS a", types={"a": "decimal(20,0)"}, rows=("18446744073709551615",), counts=(1, 1, 0)
    ),
    "parquet: decimals": Parquet(
        table="SELECT 12345678901234567890.1234::DECIMAL(38,4) AS a",
        types={"a": "decimal(38,4)"},
        rows=("12345678901234567890.1234",),
        counts=(1, 1, 0),
    ),
    "parquet: a float is the double that it equals": Parquet(
        table="SELECT 0.1::FLOAT AS a", types={"a": "double"}, rows=("0.10000000149011612",), counts=(1, 1, 0)
    ),
    "parquet: nulls and empty texts": Parquet(
        table="SELECT * FROM (VALUES (1, ''), (2, NULL), (3, 'NA')) AS t(id, name)",
        types=TWO,
        rows=("1|", "2|∅", "3|NA"),
        counts=(3, 3, 0),
        seen="name.nulls=1",
    ),
    "parquet: moments and local times": Parquet(
        table="SELECT TIMESTAMPTZ '2024-01-01 05:00:00-05:00' AS a, TIMESTAMP '2024-01-01 10:00:00.123456' AS b, DATE '2024-02-29' AS c",
        types={"a": "timestamp", "b": "datetime", "c": "date"},
        rows=("2024-01-01 10:00:00+00|2024-01-01 10:00:00.123456|2024-02-29",),
        counts=(1, 1, 0),
    ),
    "parquet: a nanosecond is not cut off": Parquet(
        table="SELECT id, moment::TIMESTAMP_NS AS moment FROM"
        " (VALUES (1, '2024-01-01 10:00:00.123456'), (2, '2024-01-01 10:00:00.123456789')) AS t(id, moment)",
        types={"id": "integer", "moment": "datetime"},
        rows=("1|2024-01-01 10:00:00.123456",),
        counts=(2, 1, 1),
        rejects=((2, "moment", "not_datetime"),),
    ),
    "parquet: not a number": Parquet(
        table="SELECT * FROM (VALUES (1, 1.5::DOUBLE), (2, 'nan'::DOUBLE), (3, 'inf'::DOUBLE)) AS t(id, x)",
        types={"id": "integer", "x": "double"},
        rows=("1|1.5",),
        counts=(3, 1, 2),
        rejects=((2, "x", "not_double"), (3, "x", "not_double")),
    ),
    "parquet: structs and lists": Parquet(
        table="SELECT {'zip': '02116', 'n': [1, NULL]} AS s, ['a', ''] AS l",
        types={"s": "struct(zip text, n list(integer))", "l": "list(text)"},
        rows=('{"zip":"02116","n":[1,null]}|["a",""]',),
        counts=(1, 1, 0),
    ),
    "parquet: a key twice": Parquet(
        table="SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (1, 'c')) AS t(id, name)",
        declared=TWO,
        key=("id",),
        rows=("2|b",),
        counts=(3, 1, 2),
        rejects=((1, "id", "key_repeated"), (3, "id", "key_repeated")),
    ),
    "parquet: a decimal that is declared shorter": Parquet(
        table="SELECT * FROM (VALUES (1.25::DECIMAL(9,3)), (1.255::DECIMAL(9,3))) AS t(p)",
        declared={"p": "decimal(18,2)"},
        rows=(),
        counts=(2, 0, 2),
        rejects=((1, "p", "not_decimal"), (2, "p", "not_decimal")),
    ),
    "parquet: a type without a counterpart": Parquet(table="SELECT INTERVAL 1 DAY AS i", refused=("file_unreadable", "Column 1")),
    "parquet: a NUL in a text": Parquet(table="SELECT 'a' || chr(0) AS t", refused=("file_unreadable", "NUL")),
    "parquet: a table of commas": Parquet(b"id,name\n1,a\n", refused=("file_unreadable", "PAR1")),
    "parquet: cut off": Parquet(b"PAR1\x15\x04\x15", refused=("file_unreadable", "")),
}

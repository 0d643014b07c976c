"""Structs and lists: from every format in, through filters and masks, to every answer; no value is lost or changed without a reject."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import duckdb
import pytest
from conftest import serving
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.catalog.schema import Column, Schema, parse_table_schema, queryables_schema
from baybridge.data.ingest.profile import profile, propose
from baybridge.data.ingest.stage import stage
from baybridge.data.sql import predicate
from baybridge.errors import Invalid
from baybridge.names import DatasetName
from baybridge.publish import Declaration, Upload
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType
from baybridge.terms.masks import MASKS, Plain, check_mask, parse_mask
from baybridge.wire.formats import Format, format_of_name, parse_format

RECORDS = [
    b'{"id": 1, "zip": "02116", "pay": 1.10, "home": {"city": "Bos\\u00e9", "since": "2024-01-31", "n.o": [1, null]}, "tags": ["a", ""]}',
    b'{"id": 2, "zip": "", "pay": 12345678901234567.5, "home": {"city": null}, "tags": []}',
    b'{"id": 9007199254740993, "zip": null, "home": null}',
]
NDJSON = b"\n".join(RECORDS) + b"\n"
ARRAY = b"[" + b", ".join(RECORDS) + b"]"
ROWS = [
    (1, "02116", Decimal("1.1"), {"city": "Bosé", "since": "2024-01-31", "n.o": [1, None]}, ["a", ""]),
    (2, "", Decimal("12345678901234567.5"), {"city": None, "since": None, "n.o": None}, []),
    (9007199254740993, None, None, None, None),
]


def loaded(folder: Path, data: bytes, file_format: Format, schema: Schema | None = None):
    """The staged rows, the whole report, and the schema by which it was read."""
    file = folder / "upload"
    file.write_bytes(data)
    schema = schema or propose(profile(file, scratch=folder, file_format=file_format))
    staged = stage(file, schema, scratch=folder, file_format=file_format)
    with duckdb.connect(str(staged.path), read_only=True) as connection:
        return connection.execute("FROM rows").fetchall(), staged, schema


def schema_of(**types: str) -> Schema:
    return Schema(tuple(Column(name, ColumnType.parse(text)) for name, text in types.items()))


@pytest.mark.parametrize(("data", "file_format"), [(NDJSON, Format.NDJSON), (ARRAY, Format.JSON), (b"\xef\xbb\xbf " + ARRAY, Format.JSON)])
def test_objects_keep_their_structs_lists_digits_and_zeros(tmp_path, data, file_format):
    rows, staged, schema = loaded(tmp_path, data, file_format)
    assert rows == ROWS
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (3, 3, 0)
    assert [str(each) for each in schema.types.values()] == [
        "integer",
        "text",
        "decimal(38,2)",
        'struct(city text, since text, "n.o" list(integer))',
        "list(text)",
    ]


def test_parquet_keeps_its_types_exactly(tmp_path):
    source = tmp_path / "source.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "COPY (SELECT 18446744073709551615::UBIGINT AS big, '007' AS code, 0.1::FLOAT AS thin,"
            " TIMESTAMPTZ '2024-01-31 12:00:00+00' AS moment,"
            " {'amount': 0.10::DECIMAL(18,2), 'q\"': [DATE '2024-01-31', NULL]} AS s"
            f" UNION ALL SELECT NULL, '', NULL, NULL, NULL) TO '{source}'"
        )
    file = tmp_path / "upload"
    file.write_bytes(source.read_bytes())
    schema = propose(profile(file, scratch=tmp_path, file_format=Format.PARQUET))
    assert [str(each) for each in schema.types.values()] == [
        "decimal(20,0)",
        "text",
        "double",
        "timestamp",
        'struct(amount decimal(18,2), "q""" list(date))',
    ]
    staged = stage(file, schema, scratch=tmp_path, file_format=Format.PARQUET)
    with duckdb.connect(str(staged.path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        different = connection.execute(
            f"SELECT count(*) FROM ((SELECT big::DECIMAL(20,0), code, thin::DOUBLE, moment, s FROM '{source}') EXCEPT ALL FROM rows)"
        ).fetchall()
    assert different == [(0,)]
    assert (staged.rows_read, staged.rows_loaded) == (2, 2)


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ('{"n": 1, "n": 2}', "not_struct"),
        ('{"m": 1}', "not_struct"),
        ('{"N": 1}', "not_struct"),
        ('{"n": "1"}', "not_struct"),
        ('{"n": 1.5}', "not_struct"),
        ('{"n": 1e2}', "not_struct"),
        ('{"n": 9223372036854775808}', "not_struct"),
        ('{"t": 1}', "not_struct"),
        ('{"t": "a\\u0000"}', "not_struct"),
        ('{"t": "\\ud800"}', "not_struct"),
        ('{"t": "a",}', "not_struct"),
        ('{"l": [1.555]}', "not_struct"),
        ('{"n": NaN}', "not_struct"),
        ("null", "not_struct"),
        ("[]", "not_struct"),
        ("[" * 100_000, "not_struct"),
        ('{"n": 1, "t": "x", "l": ["1.55", 2, null]}', None),
        ("{}", None),
    ],
)
@pytest.mark.parametrize("file_format", [Format.CSV, Format.NDJSON])
def test_a_struct_that_is_not_as_declared_is_a_reject_and_never_changed(tmp_path, cell, rule, file_format):
    schema = schema_of(id="integer", s="struct(n integer, t text, l list(decimal(5,2)))")
    quoted = '"' + cell.replace('"', '""') + '"'
    data = f"id,s\n1,\n2,{quoted}\n" if file_format is Format.CSV else f'{{"id": 1}}\n{{"id": 2, "s": {cell}}}\n'
    rows, staged, _ = loaded(tmp_path, data.encode(), file_format, schema)
    if rule is None or (cell == "null" and file_format is Format.NDJSON):
        assert len(rows) == 2
        return
    assert rows == [(1, None)]
    assert (staged.rows_read, staged.rows_loaded, staged.rows_rejected) == (2, 1, 1)
    (reject,) = staged.rejects
    assert reject.row == 2
    assert reject.rule in {rule, "bad_json"}


@pytest.mark.parametrize(
    ("line", "column", "rule"),
    [
        ('{"id": "1", "t": "x"}', "id", "not_integer"),
        ('{"id": 1, "t": 5}', "t", "not_text"),
        ('{"id": 1, "u": 5}', "u", "unknown_field"),
        ('{"id": 1, "id": 1}', None, "bad_json"),
        ('{"id": 1', None, "bad_json"),
        ("[1]", None, "not_object"),
        ('{"id": 1.0}', "id", "not_integer"),
    ],
)
def test_a_record_that_is_not_as_declared_is_a_reject_with_its_row_column_and_rule(tmp_path, line, column, rule):
    data = ('{"id": 7, "t": "x"}\n' + line + '\n{"t": null, "id": 8}\n').encode()
    rows, staged, _ = loaded(tmp_path, data, Format.NDJSON, schema_of(id="integer", t="text"))
    assert rows == [(7, "x"), (8, None)]
    assert [(each.row, each.column, each.rule) for each in staged.rejects] == [(2, column, rule)]


@pytest.mark.parametrize(
    ("data", "file_format"),
    [
        (b"", Format.NDJSON),
        (b"id,name\n1,x\n", Format.NDJSON),
        (b"[1]", Format.NDJSON),
        (b'{"a": 1}', Format.JSON),
        (b'[{"a": 1}', Format.JSON),
        (b'[{"a": 1}] x', Format.JSON),
        (b'[{"a": 1},]', Format.JSON),
        (b'[{"a": 1}}', Format.JSON),
        (b'[{"a": "\xff"}]', Format.JSON),
        (b"[]", Format.JSON),
        (b"a\n1\n", Format.PARQUET),
        (b"PAR1 and nothing", Format.PARQUET),
    ],
)
def test_a_file_that_is_not_of_its_format_is_refused(tmp_path, data, file_format):
    with pytest.raises(Invalid) as caught:
        loaded(tmp_path, data, file_format)
    assert caught.value.code == "file_unreadable"


def test_an_array_is_cut_where_its_elements_end_wherever_the_reading_stops(tmp_path):
    """Brackets, commas and quotes in texts, and an element that is longer than what is read at once."""
    texts = ['],[{"', "\\", 'x" , ' * 300_000, "é" * 600_000, ""]
    data = json.dumps([{"t": text} for text in texts], ensure_ascii=False).encode()
    rows, _, _ = loaded(tmp_path, data, Format.JSON)
    assert rows == [(text,) for text in texts]


LEAVES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
HOSTILE = ["a", "A b", "a.b", 'q"', "'", "\u202ertl"[1:], "f0", "select", "größe"]


@settings(max_examples=60)
@given(st.lists(st.tuples(LEAVES.filter(lambda each: not isinstance(each, str)), st.lists(LEAVES, max_size=4), st.sampled_from(HOSTILE))))
def test_no_nested_value_is_lost_or_changed_without_a_reject(cells):
    """Lists of mixed values: those that are all texts or null load exactly, every other is a reject, and the counts balance."""
    name = cells[0][2] if cells else "a"
    written = '"' + name.replace('"', '""') + '"'
    schema = schema_of(s=f"struct({written} integer, l list(text))")
    data = "".join(json.dumps({"s": {name: number, "l": texts}}) + "\n" for number, texts, _ in cells) + '{"s": null}\n'
    with TemporaryDirectory() as folder:
        data_rows, staged, _ = loaded(Path(folder), ('{"s": null}\n' + data).encode(), Format.NDJSON, schema)
    fitting = [({name: number, "l": texts},) for number, texts, _ in cells if not any(isinstance(each, int) for each in texts)]
    assert data_rows == [(None,), *fitting, (None,)]
    assert staged.rows_read == len(cells) + 2 == staged.rows_loaded + staged.rows_rejected


COLUMNS = {
    "address": ColumnType.parse('struct(city text, geo struct(lat decimal(9,6)), "zip.code" text, tags list(text))'),
    "a.b": ColumnType.parse("text"),
}


@pytest.mark.parametrize(
    ("text", "sql", "parameters"),
    [
        ("address.city = 'X'", '("address")."city" = ?::VARCHAR', ("X",)),
        ("address.geo.lat > 1.5", '("address")."geo"."lat" > ?::DECIMAL(9,6)', ("1.500000",)),
        ("address.zip.code IN ('1')", '("address")."zip.code" IN (?::VARCHAR)', ("1",)),
        ("\"a.b\" = 'x'", '"a.b" = ?::VARCHAR', ("x",)),
        ("a.b = 'x'", '"a.b" = ?::VARCHAR', ("x",)),
        ("address IS NULL", '"address" IS NULL', ()),
        ("address.tags IS NOT NULL", 'NOT (("address")."tags" IS NULL)', ()),
    ],
)
def test_a_filter_reaches_into_structs_in_text_and_json_alike(text, sql, parameters):
    tree = cql2.parse(text)
    assert (predicate(tree, COLUMNS).text, predicate(tree, COLUMNS).parameters) == (sql, parameters)
    assert cql2.parse(cql2.to_text(tree)) == tree
    assert cql2.from_json(cql2.to_json(tree)) == tree


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("address.citi = 'X'", "unknown_column", "address.city"),
        ("address.geo.lat.x = 1", "unknown_column", None),
        ("address = 'X'", "filter_invalid", None),
        ("address.tags = 'X'", "filter_invalid", None),
        ("address.geo = address.geo", "filter_invalid", None),
        ("address.city = 5", "filter_invalid", None),
    ],
)
def test_what_a_filter_cannot_reach_it_refuses_by_name(text, code, hint):
    with pytest.raises(Invalid) as caught:
        cql2.check(cql2.parse(text), COLUMNS)
    assert caught.value.code == code
    if hint is not None:
        assert caught.value.places[0].hint == hint


def test_a_schema_in_which_one_name_would_mean_two_things_is_refused():
    with pytest.raises(Invalid, match="same name in a filter"):
        Schema((Column("a", ColumnType.parse("struct(b text)")), Column("a.b", ColumnType.parse("text"))))


@pytest.mark.parametrize("text", ["struct(a text)", "list(text)"])
def test_a_struct_or_list_is_released_whole_redacted_or_null_and_under_no_other_mask(text):
    column = ColumnType.parse(text)
    for name, facts in MASKS.items():
        if name in {"redact", "null"}:
            check_mask(Plain(name), column, name="s")
        elif name != "generalize":
            mask = parse_mask(facts.written.partition(" or ")[0], column="s", code_lists={})
            with pytest.raises(Invalid) as caught:
                check_mask(mask, column, name="s")
            assert caught.value.code == "terms_invalid"
            assert caught.value.advice.next_step


def test_a_key_is_of_simple_values():
    fields = [{"name": "s", "type": "object", "baybridge:type": "struct(a text)"}]
    with pytest.raises(Invalid, match="simple values"):
        parse_table_schema({"fields": fields, "primaryKey": "s"})
    with pytest.raises(Invalid, match="exact type"):
        parse_table_schema({"fields": [{"name": "s", "type": "array"}]})


def test_queryables_name_the_fields_that_a_filter_reaches():
    found = queryables_schema(Schema(tuple(Column(name, each) for name, each in COLUMNS.items())), address="/q", title="t")
    assert list(found["properties"]) == [
        *("address", "address.city", "address.geo", "address.geo.lat", "address.zip.code", "address.tags", "a.b")
    ]


@pytest.mark.parametrize(
    ("named", "media_type", "found"),
    [(None, None, "csv"), (None, "application/json; charset=utf-8", "json"), ("parquet", "text/csv", "parquet"), (None, "x/y", "csv")],
)
def test_a_format_is_named_or_told_by_the_media_type(named, media_type, found):
    assert parse_format(named, media_type) == found
    assert format_of_name(PurePath("x.JSONL")) == "ndjson"
    with pytest.raises(Invalid):
        parse_format("xml")


PEOPLE = b"""
{"id": 1, "home": {"city": "Boston", "rent": 1.50, "at": "x"}, "tags": ["a", "b\\u00e9"]}
{"id": 2, "home": {"city": "Salem", "rent": null, "at": "y"}, "tags": []}
{"id": 3, "home": null, "tags": null}
"""
SCHEMA = {
    "fields": [
        {"name": "id", "type": "integer"},
        {"name": "home", "type": "object", "baybridge:type": "struct(city text, rent decimal(9,2), at text)"},
        {"name": "tags", "type": "array", "baybridge:type": "list(text)"},
    ],
    "primaryKey": ["id"],
}


@pytest.mark.parametrize(("content", "file_format"), [(b"[]", Format.JSON), (b"\n", Format.NDJSON)])
def test_no_object_is_a_version_of_no_rows_where_the_schema_was_declared(world, content, file_format):
    name, steward = DatasetName.parse("bts.people"), world.person("bts", "steward")
    world.exchange.publish.declare(steward, name, Declaration(schema=parse_table_schema(SCHEMA)))
    upload = Upload(chunks=[content], null_words=("",), key=(), accept_schema=False, dry_run=False, file_format=file_format)
    report = world.exchange.publish.publish(steward, name, upload)
    assert (report.version, report.rows_read, report.rows_loaded) == (1, 0, 0)


@pytest.mark.slow
def test_structs_and_lists_are_served_nested_filtered_by_field_and_masked_whole(world):
    name, steward = DatasetName.parse("bts.people"), world.person("bts", "steward")
    world.exchange.publish.declare(steward, name, Declaration(schema=parse_table_schema(SCHEMA)))
    with serving(world.root) as server:
        client = server.client(world.secrets["bts", "steward"])
        address = "/api/v1/collections/bts.people"
        sent = client.post(f"{address}/versions", content=PEOPLE, headers={"content-type": "application/x-ndjson"})
        assert sent.status_code == 201, sent.text
        rows = client.get(f"{address}/items").json()["items"]
        assert rows == [
            {"id": 1, "home": {"city": "Boston", "rent": "1.50", "at": "x"}, "tags": ["a", "bé"]},
            {"id": 2, "home": {"city": "Salem", "rent": None, "at": "y"}, "tags": []},
            {"id": 3, "home": None, "tags": None},
        ]
        assert [json.loads(line) for line in client.get(f"{address}/items?f=ndjson").text.splitlines()] == rows
        csv = client.get(f"{address}/items?f=csv&filter=home.city='Boston'").text
        assert csv == 'id,home,tags\r\n1,"{""city"":""Boston"",""rent"":""1.50"",""at"":""x""}","[""a"",""bé""]"\r\n'
        again = client.post(
            f"{address}/versions", content=client.get(f"{address}/items?f=csv").content, headers={"content-type": "text/csv"}
        )
        assert again.status_code == 201, again.text
        assert client.get(f"{address}/items").json()["items"] == rows
        assert client.get(f"{address}/items?sortby=home").json()["code"] == "invalid_request"
        for ask, hint in (("filter=home.citi='Boston'", "home.city"), ("properties=home.city", "home"), ("sortby=home.city", "home")):
            assert client.get(f"{address}/items?{ask}").json()["errors"][0]["hint"] == hint
        home = client.get(f"{address}/profile").json()["columns"][1]
        assert (home["nulls"], home["distinct"], home["min"], home["max"], home["top"]) == (1, 2, None, None, [])
        corrected = PEOPLE.replace(b"Salem", b"Lynn").replace(b'"b\\u00e9"', b'"c"')
        assert client.post(f"{address}/versions?format=ndjson", content=corrected).status_code == 201
        changes = client.get(f"{address}/versions/3/changes?since=2").json()
        assert [(each["change"], each["item"]["home"]["city"], each["before"]["tags"]) for each in changes["changes"]] == [
            ("update", "Boston", ["a", "bé"]),
            ("update", "Lynn", []),
        ]

    terms = world.terms(
        dataset="bts.people", columns=["id", "home", "tags"], row_filter="home.city <> 'Lynn'", masks={"home": "redact", "tags": "null"}
    )
    signed = world.sign(terms)
    assert signed.id
    with serving(world.root) as server:
        reader = server.client(world.secrets["dot", "analyst"], purpose="noise-study")
        assert reader.get(f"{address}/items").json()["items"] == [{"id": 1, "home": "[redacted]", "tags": None}]
        refused = reader.get(f"{address}/items?filter=home.city='Boston'").json()
        assert (refused["code"], refused["errors"][0]["hint"]) == ("unknown_column", "home")

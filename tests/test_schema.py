"""The schema is a contract: it round-trips through Table Schema, and what it does not understand it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baybridge.catalog.schema import MAX_COLUMNS, Column, Schema, parse_table_schema, to_table_schema
from baybridge.errors import Invalid
from baybridge.terms.columns import ColumnType, Field, Kind

PLAIN = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))
NAMES = st.text(PLAIN, min_size=1, max_size=128).filter(
    lambda name: bool(name.strip()) and name.casefold() != "_row" and not name.casefold().startswith("_baybridge")
)
TEXTS = st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
DECIMALS = st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: ColumnType(Kind.DECIMAL, p, s)))
SIMPLE = DECIMALS | st.sampled_from([ColumnType(kind) for kind in Kind if kind not in {Kind.DECIMAL, Kind.STRUCT, Kind.LIST}])
FIELD_NAMES = st.text(PLAIN, min_size=1, max_size=20).filter(lambda name: bool(name.strip()) and "." not in name)
TYPES = st.recursive(
    SIMPLE,
    lambda inner: (
        inner.map(lambda element: ColumnType(Kind.LIST, element=element))
        | st.lists(st.builds(Field, FIELD_NAMES, inner), min_size=1, max_size=3, unique_by=lambda field: field.name.casefold()).map(
            lambda fields: ColumnType(Kind.STRUCT, fields=tuple(fields))
        )
    ),
    max_leaves=4,
).filter(lambda column: column.depth() <= 8)


@st.composite
def schemas(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=str.casefold))
    key = tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=3)))
    columns = tuple(
        Column(
            name,
            draw(SIMPLE if name in key else TYPES),
            draw(TEXTS),
            draw(TEXTS),
            draw(TEXTS),
            draw(TEXTS),
            required=name in key or draw(st.booleans()),
        )
        for name in names
    )
    return Schema(columns, key, tuple(draw(st.lists(st.text(PLAIN, max_size=8), unique=True, max_size=4))))


def table(*fields, **properties):
    return {"fields": list(fields), **properties}


def refusal(document):
    with pytest.raises(Invalid) as caught:
        parse_table_schema(document)
    assert caught.value.code == "schema_invalid"
    return caught.value


@given(schemas())
def test_a_schema_survives_the_trip_through_table_schema_json(schema):
    assert parse_table_schema(json.loads(json.dumps(to_table_schema(schema)))) == schema


@pytest.mark.parametrize(
    ("declared", "ours"),
    [
        ({"type": "string"}, "text"),
        ({"type": "integer"}, "integer"),
        ({"type": "number"}, "decimal(38,9)"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "date"}, "date"),
        ({"type": "datetime"}, "timestamp"),
        ({"type": "datetime", "baybridge:type": "datetime"}, "datetime"),
        ({"type": "number", "baybridge:type": "double"}, "double"),
        ({"type": "number", "baybridge:type": "decimal(18,2)"}, "decimal(18,2)"),
        ({"baybridge:type": "timestamp"}, "timestamp"),
        ({"type": "string", "format": "default", "example": "x", "rdfType": "http://schema.org/name"}, "text"),
    ],
)
def test_a_field_has_the_type_it_declares(declared, ours):
    schema = parse_table_schema(table({"name": "a", **declared}))
    assert {name: str(column_type) for name, column_type in schema.types.items()} == {"a": ours}


@pytest.mark.parametrize("spelled", ["a", ["a"]])
def test_a_key_makes_its_columns_required(spelled):
    schema = parse_table_schema(table({"name": "a", "type": "integer", "constraints": {"unique": True}}, primaryKey=spelled))
    assert schema.key == ("a",)
    assert schema.columns[0].required


def test_the_empty_cell_is_null_unless_the_schema_says_otherwise():
    field = {"name": "a", "type": "string"}
    assert parse_table_schema(table(field)).null_words == ("",)
    assert parse_table_schema(table(field, missingValues=["", "NA"])).null_words == ("", "NA")
    assert parse_table_schema(table(field, missingValues=[])).null_words == ()


A = {"name": "a", "type": "string"}
REFUSED_FIELDS = {
    "a type of Table Schema that is not ours": ({"name": "a", "type": "geopoint"}, "fields[0].type"),
    "the type any": ({"name": "a", "type": "any"}, "fields[0].type"),
    "a type that is no text": ({"name": "a", "type": ["string"]}, "fields[0].type"),
    "no type at all": ({"name": "a"}, "fields[0].type"),
    "an exact type that is not ours": (A | {"baybridge:type": "money"}, "fields[0].baybridge:type"),
    "an exact type beyond 38 digits": ({"name": "a", "type": "number", "baybridge:type": "decimal(39,2)"}, "fields[0].baybridge:type"),
    "an exact type that contradicts the type": (A | {"baybridge:type": "integer"}, "fields[0].baybridge:type"),
    "a format": (A | {"format": "email"}, "fields[0].format"),
    "a decimal comma": ({"name": "a", "type": "number", "decimalChar": ","}, "fields[0].decimalChar"),
    "a group mark": ({"name": "a", "type": "number", "groupChar": ","}, "fields[0].groupChar"),
    "bare numbers": ({"name": "a", "type": "number", "bareNumber": False}, "fields[0].bareNumber"),
    "words for true": ({"name": "a", "type": "boolean", "trueValues": ["yes"]}, "fields[0].trueValues"),
    "null words of one field": (A | {"missingValues": ["-"]}, "fields[0].missingValues"),
    "a constraint that is not enforced": (A | {"constraints": {"pattern": "[A-Z]+"}}, "fields[0].constraints.pattern"),
    "uniqueness that is not enforced": (A | {"constraints": {"unique": True}}, "fields[0].constraints.unique"),
    "a constraint that is no truth value": (A | {"constraints": {"required": "true"}}, "fields[0].constraints.required"),
    "a misspelled property": (A | {"titel": "A"}, "fields[0].titel"),
    "a property that is no UTF-8": (A | {"\ud800": 1}, "fields[0].?"),
    "a title that is no text": (A | {"title": 7}, "fields[0].title"),
    "a title that is no UTF-8": (A | {"title": "\ud800"}, "fields[0].title"),
    "no name": ({"type": "string"}, "fields[0]"),
    "an empty name": (A | {"name": ""}, "fields[0].name"),
    "a name of spaces": (A | {"name": "  "}, "fields[0].name"),
    "a name with a line break": (A | {"name": "a\nb"}, "fields[0].name"),
    "a name that turns the writing direction": (A | {"name": "a\u202eb"}, "fields[0].name"),
    "a name that is no UTF-8": (A | {"name": "a\ud800"}, "fields[0].name"),
    "a name that is too long": (A | {"name": "a" * 129}, "fields[0].name"),
    "the row's name": (A | {"name": "_ROW"}, "fields[0].name"),
    "a name kept for the server": (A | {"name": "_baybridge_version"}, "fields[0].name"),
    "a field that is no object": ("a", "fields[0]"),
}


@pytest.mark.parametrize("case", REFUSED_FIELDS)
def test_a_field_that_says_what_we_would_not_do_is_refused_by_name(case):
    field, place = REFUSED_FIELDS[case]
    error = refusal(table(field))
    assert [where.parameter for where in error.places] == [place]
    assert error.advice.next_step
    json.dumps([error.detail, place], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "schema"),
        (table(), "fields"),
        ({"fields": {"a": A}}, "fields"),
        (table(*({"name": f"c{i}", "type": "string"} for i in range(MAX_COLUMNS + 1))), "fields"),
        (table(A, A | {"name": "A"}), "fields"),
        (table(A, primaryKey="b"), "primaryKey"),
        (table(A, primaryKey=["a", "a"]), "primaryKey"),
        (table(A, primaryKey=[None]), "primaryKey"),
        (table(A, primaryKey={"a": 1}), "primaryKey"),
        (table(A | {"constraints": {"required": False}}, primaryKey="a"), "fields[0].constraints.required"),
        (table(A, missingValues=["NA", "NA"]), "missingValues"),
        (table(A, missingValues="NA"), "missingValues"),
        (table(A, missingValues=[{"value": "NA", "label": "not asked"}]), "missingValues[0]"),
        (table(A, foreignKeys=[{"fields": "a"}]), "schema.foreignKeys"),
        (table(A, uniqueKeys=[["a"]]), "schema.uniqueKeys"),
        (table(A, fieldsMatch="superset"), "fieldsMatch"),
    ],
)
def test_a_schema_that_says_what_we_would_not_do_is_refused_by_place(document, place):
    assert [where.parameter for where in refusal(document).places] == [place]


def test_a_misspelled_property_is_answered_with_the_nearest_one():
    assert "`title`" in refusal(table(A | {"titel": "A"})).places[0].hint
    assert "'unit'" in refusal(table(A | {"name": "unit"}, primaryKey="units")).places[0].hint


def test_a_key_column_must_be_required():
    with pytest.raises(Invalid) as caught:
        Schema((Column("a", ColumnType(Kind.TEXT)),), ("a",))
    assert caught.value.code == "schema_invalid"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["fields", "name", "type", "primaryKey", "missingValues", "constraints"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_schema_or_is_refused(document):
    try:
        schema = parse_table_schema(document)
    except Invalid as error:
        assert error.code == "schema_invalid"  # noqa: PT017 -- both outcomes are lawful
    else:
        assert parse_table_schema(to_table_schema(schema)) == schema

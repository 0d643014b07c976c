"""A dataset's schema and its Frictionless Table Schema form. Pure; it never guesses a type and never drops what changes a value."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NoReturn

from baybridge.errors import Advice, Invalid, Place
from baybridge.names import nearest
from baybridge.terms.columns import MAX_NAME, UNSEEN, ColumnType, Kind, reachable

MAX_COLUMNS: Final = 2_000
MAX_TEXT: Final = 4_000
MAX_NULL_WORDS: Final = 100
DEFAULT_NULL_WORDS: Final = ("",)

_RESERVED_PREFIX: Final = "_baybridge"
_RESERVED_NAME: Final = "_row"
_TYPE: Final = "baybridge:type"
_UNIT: Final = "baybridge:unit"
_CLASSIFICATION: Final = "baybridge:classification"
_IGNORED: Final = ("example", "rdfType")
_FIELD_PROPERTIES: Final = ("name", "type", "title", "description", "format", "constraints", _TYPE, _UNIT, _CLASSIFICATION, *_IGNORED)
_SCHEMA_PROPERTIES: Final = ("fields", "primaryKey", "missingValues", "fieldsMatch", "$schema")
_CONSTRAINTS: Final = ("required", "unique")

_TABLE_TYPE: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.TEXT: "string",
        Kind.INTEGER: "integer",
        Kind.DECIMAL: "number",
        Kind.DOUBLE: "number",
        Kind.BOOLEAN: "boolean",
        Kind.DATE: "date",
        Kind.TIMESTAMP: "datetime",
        Kind.DATETIME: "datetime",
        Kind.STRUCT: "object",
        Kind.LIST: "array",
    }
)
_OUR_TYPE: Final[Mapping[str, ColumnType]] = MappingProxyType(
    {
        "string": ColumnType(Kind.TEXT),
        "integer": ColumnType(Kind.INTEGER),
        "number": ColumnType(Kind.DECIMAL, 38, 9),
        "boolean": ColumnType(Kind.BOOLEAN),
        "date": ColumnType(Kind.DATE),
        "datetime": ColumnType(Kind.TIMESTAMP),
    }
)
_NESTED: Final = {"object": "struct(city text, zip text)", "array": "list(text)"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a schema. Its existence proves its name legal; raise Invalid (`schema_invalid`) otherwise.

    A name is 1 to 128 characters, none a control or format character, and neither `_row` nor one beginning with `_baybridge`.
    """

    name: str
    type: ColumnType
    title: str | None = None
    description: str | None = None
    unit: str | None = None
    classification: str | None = None
    required: bool = False

    def __post_init__(self) -> None:
        """Raise Invalid (`schema_invalid`) for a name that may not be."""
        folded = self.name.casefold()
        if not self.name.strip() or len(self.name) > MAX_NAME:
            _refuse("name", f"A column's name is 1 to {MAX_NAME} characters, not all of them spaces.")
        if any(unicodedata.category(character) in UNSEEN for character in self.name):
            _refuse("name", "A column's name holds a control or format character, such as a line break.")
        if folded == _RESERVED_NAME or folded.startswith(_RESERVED_PREFIX):
            _refuse("name", f"The column names {_RESERVED_NAME} and {_RESERVED_PREFIX}... are kept for the server.")


@dataclass(frozen=True, slots=True)
class Schema:
    """The contract for a dataset's versions: its columns in order, its key, and the words that mean null.

    Names differ also when case is ignored, because SQL ignores it. Key columns exist, differ and are required.
    Cells equal to a null word are null and no others are; the empty word `""` is one of them unless a schema says otherwise.
    Raise Invalid (`schema_invalid`) where this does not hold.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    null_words: tuple[str, ...] = DEFAULT_NULL_WORDS

    def __post_init__(self) -> None:
        """Raise Invalid (`schema_invalid`) for columns, key or null words that contradict each other."""
        if not 1 <= len(self.columns) <= MAX_COLUMNS:
            _refuse("fields", f"A schema has 1 to {MAX_COLUMNS:,} columns.")
        seen: set[str] = set()
        for column in self.columns:
            if column.name.casefold() in seen:
                _refuse("fields", f"Two columns are called {column.name!r}, or differ only in upper and lower case.")
            seen.add(column.name.casefold())
        self._check_names()
        self._check_key()
        if len(self.null_words) > MAX_NULL_WORDS or len(set(self.null_words)) != len(self.null_words):
            _refuse("missingValues", f"Null words are at most {MAX_NULL_WORDS} different words.")

    def _check_names(self) -> None:
        """A filter names a field as `column.field`, so nothing else is called that."""
        count = sum(1 + _named_fields(column.type) for column in self.columns)
        if len(reachable(self.types)) != count:
            _refuse("fields", "A column and a field, or two fields, would have the same name in a filter, `column.field`.")

    def _check_key(self) -> None:
        nested = {column.name for column in self.columns if column.type.is_nested}
        required = {column.name: column.required for column in self.columns}
        for name in self.key:
            if name not in required:
                near = nearest(name, required)
                _refuse("primaryKey", f"The key names {name!r}, which is not a column.", near and f"Did you mean {near!r}?")
            if name in nested:
                _refuse("primaryKey", f"The key column {name!r} is a struct or a list; a key is of simple values.")
            if not required[name]:
                _refuse("primaryKey", f"The key column {name!r} is not required; a key cell cannot be null.")
        if len(set(self.key)) != len(self.key):
            _refuse("primaryKey", "The key names a column twice.")

    @property
    def types(self) -> Mapping[str, ColumnType]:
        """Each column's type by its name, in schema order."""
        return MappingProxyType({column.name: column.type for column in self.columns})


def parse_table_schema(document: object) -> Schema:
    """Read a Frictionless Table Schema, refusing whatever it says that this server would not do.

    The exact type is the field property `baybridge:type` (`decimal(18,2)`, `timestamp`, `datetime`, `double`, ...). Without it `type`
    decides: string is text, integer integer, number decimal(38,9), boolean, date, and datetime timestamp. Carried are title, description,
    `baybridge:unit` and `baybridge:classification`. `example`, `rdfType` and the schema's `$schema` change no value and are not kept.
    `primaryKey` makes its columns required (Table Schema v2). `constraints.unique` is accepted only on a column that is the whole key.
    `fieldsMatch` may only be `equal`: columns are matched by name, in any order. Raise Invalid (`schema_invalid`) naming field and rule.
    """
    table = _object(document, "schema", _SCHEMA_PROPERTIES)
    if table.get("fieldsMatch", "equal") not in ("equal", ["equal"]):
        _refuse("fieldsMatch", "Columns are matched by name and all must be there; fieldsMatch may only be `equal`.")
    fields = table.get("fields")
    if not isinstance(fields, list) or not fields:
        _refuse("fields", "A schema has a list `fields` with one object for each column.")
    if len(fields) > MAX_COLUMNS:
        _refuse("fields", f"A schema has 1 to {MAX_COLUMNS:,} columns.")
    key = _words(table.get("primaryKey", []), "primaryKey")
    columns = tuple(_column(field, f"fields[{index}]", key) for index, field in enumerate(fields))
    null_words: tuple[str, ...] = DEFAULT_NULL_WORDS
    if "missingValues" in table:
        if isinstance(table["missingValues"], str):
            _refuse("missingValues", "missingValues is a list of words.")
        null_words = _words(table["missingValues"], "missingValues")
    return Schema(columns, key, null_words)


def to_table_schema(schema: Schema) -> dict[str, object]:
    """Write the schema as Table Schema JSON: the inverse of `parse_table_schema`."""
    document: dict[str, object] = {"fields": [_field(column) for column in schema.columns], "missingValues": list(schema.null_words)}
    if schema.key:
        document["primaryKey"] = list(schema.key)
    return document


_JSON_TYPE: Final[Mapping[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        Kind.TEXT: {"type": "string"},
        Kind.INTEGER: {"type": "integer"},
        Kind.DECIMAL: {"type": "number"},
        Kind.DOUBLE: {"type": "number"},
        Kind.BOOLEAN: {"type": "boolean"},
        Kind.DATE: {"type": "string", "format": "date"},
        Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
        Kind.DATETIME: {"type": "string"},
    }
)


def _named_fields(column: ColumnType) -> int:
    """How many fields a filter can reach in it."""
    return sum(1 + _named_fields(field.type) for field in column.fields)


def _json_schema(column: ColumnType) -> dict[str, object]:
    """The type as JSON Schema."""
    if column.element is not None:
        return {"type": "array", "items": _json_schema(column.element)}
    if column.fields:
        properties = {field.name: _json_schema(field.type) for field in column.fields}
        return {"type": "object", "properties": properties, "additionalProperties": False}
    return dict(_JSON_TYPE[column.kind])


def queryables_schema(schema: Schema, *, address: str, title: str) -> dict[str, object]:
    """Columns and fields in structs as a JSON Schema of what a filter may name (OGC API Features, part 3, section 6.2)."""
    properties: dict[str, object] = {}
    for column in schema.columns:
        told: dict[str, object] = {"title": column.title or column.name, **_json_schema(column.type), _TYPE: str(column.type)}
        properties[column.name] = told | ({} if column.description is None else {"description": column.description})
        for name, reach in reachable({column.name: column.type}).items():
            if len(reach.path) > 1:
                properties[name] = {"title": name, **_json_schema(reach.type), _TYPE: str(reach.type)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "type": "object",
        "title": title,
        "properties": properties,
        "additionalProperties": False,
    }


def _field(column: Column) -> dict[str, object]:
    optional = {
        "title": column.title,
        "description": column.description,
        _UNIT: column.unit,
        _CLASSIFICATION: column.classification,
        "constraints": {"required": True} if column.required else None,
    }
    field: dict[str, object] = {"name": column.name, "type": _TABLE_TYPE[column.type.kind], _TYPE: str(column.type)}
    return field | {name: value for name, value in optional.items() if value is not None}


def _column(document: object, place: str, key: tuple[str, ...]) -> Column:
    field = _object(document, place, _FIELD_PROPERTIES)
    name = _text(field.get("name"), f"{place}.name")
    if name is None:
        _refuse(place, "A field has a `name`.")
    if field.get("format", "default") != "default":
        _refuse(f"{place}.format", "Only the format `default` is understood.")
    required = _required(field.get("constraints", {}), f"{place}.constraints", name, key)
    try:
        return Column(
            name,
            _type(field, place),
            _text(field.get("title"), f"{place}.title"),
            _text(field.get("description"), f"{place}.description"),
            _text(field.get(_UNIT), f"{place}.{_UNIT}"),
            _text(field.get(_CLASSIFICATION), f"{place}.{_CLASSIFICATION}"),
            required,
        )
    except Invalid as error:
        at = (where.parameter if where.parameter.startswith(place) else f"{place}.{where.parameter}" for where in error.places)
        raise error.with_places(*(replace(where, parameter=parameter) for where, parameter in zip(error.places, at, strict=True))) from None


def _required(document: object, place: str, name: str, key: tuple[str, ...]) -> bool:
    constraints = _object(document, place, _CONSTRAINTS)
    for constraint, value in constraints.items():
        if not isinstance(value, bool):
            _refuse(f"{place}.{constraint}", "A constraint is true or false.")
    if constraints.get("unique") and key != (name,):
        _refuse(f"{place}.unique", "Only a key is checked for repeats: name this column alone as `primaryKey`, or leave `unique` out.")
    if name not in key:
        return bool(constraints.get("required", False))
    if constraints.get("required") is False:
        _refuse(f"{place}.required", "A key column is required.")
    return True


def _type(field: Mapping[str, object], place: str) -> ColumnType:
    table_type, exact = field.get("type"), field.get(_TYPE)
    if table_type is not None and (not isinstance(table_type, str) or table_type not in _TABLE_TYPE.values()):
        _refuse(f"{place}.type", f"This server's Table Schema types are {', '.join((*_OUR_TYPE, *_NESTED))}.")
    if exact is None:
        if table_type is None:
            # Table Schema v1 reads a missing type as string and v2 as any: the two disagree, so the steward says which.
            _refuse(f"{place}.type", f"A field has a `type`: {', '.join(_OUR_TYPE)}.")
        if table_type in _NESTED:
            _refuse(f"{place}.{_TYPE}", f"What is in an {table_type} is said by its exact type, like {_NESTED[table_type]}.")
        return _OUR_TYPE[table_type]
    if not isinstance(exact, str):
        _refuse(f"{place}.{_TYPE}", "The exact type is a text.")
    try:
        column_type = ColumnType.parse(exact)
    except Invalid as wrong:
        simple = ", ".join(kind for kind in _JSON_TYPE if kind is not Kind.DECIMAL)
        nested = " and ".join(_NESTED.values())
        _refuse(f"{place}.{_TYPE}", f"{wrong.detail} Exact types are {simple}, decimal(p,s) with p <= 38, and like {nested}.")
    if table_type is not None and _TABLE_TYPE[column_type.kind] != table_type:
        _refuse(f"{place}.{_TYPE}", f"{exact} is a Table Schema {_TABLE_TYPE[column_type.kind]}, and `type` says otherwise.")
    return column_type


def _object(document: object, place: str, properties: tuple[str, ...]) -> Mapping[str, object]:
    """Give the JSON object back when it has no property that this server would not honour."""
    if not isinstance(document, dict):
        _refuse(place, "A JSON object is expected here.")
    for name in document:
        if name not in properties:
            near = nearest(str(name), properties)
            hint = f"Did you mean `{near}`?" if near else None
            _refuse(f"{place}.{_printable(name)}", f"This property is not understood; allowed are {', '.join(properties)}.", hint)
    return document


def _printable(name: object) -> str:
    """Give a property's name as it can be written into an answer: a lone surrogate is not UTF-8."""
    return str(name)[:MAX_NAME].encode("utf-8", "replace").decode("utf-8")


def _text(value: object, place: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT or any(unicodedata.category(character) == "Cs" for character in value):
        _refuse(place, f"A text of at most {MAX_TEXT:,} characters is expected here.")
    return value


def _words(value: object, place: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        _refuse(place, "A list of texts is expected here.")
    words = tuple(_text(item, f"{place}[{index}]") for index, item in enumerate(items))
    if any(word is None for word in words):
        _refuse(place, "A list of texts is expected here.")
    return tuple(word for word in words if word is not None)


def _refuse(place: str, rule: str, hint: str | None = None) -> NoReturn:
    raise Invalid(
        "schema_invalid",
        f"The schema is not accepted at {place}: {rule}",
        advice=Advice(rule=rule, who_can_change="you", next_step="Correct the schema and send it again."),
        places=(Place(place, rule, hint=hint),),
    )

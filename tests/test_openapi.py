"""The OpenAPI document says what is served: no more, no less, and in a form that other tools read."""

from __future__ import annotations

import json
from typing import Any, Final

import jsonschema_rs
import pytest

from baybridge.errors import CODES
from baybridge.http.addresses import ADDRESSES
from baybridge.http.contract import Address, Token
from baybridge.http.openapi import document

DOCUMENT: Final[dict[str, Any]] = json.loads(document(ADDRESSES))
ROWS: Final = {f"{each.method} {each.template}": each for each in ADDRESSES}


def operation(address: Address) -> dict[str, Any]:
    return DOCUMENT["paths"][address.template][address.method.lower()]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {node["$ref"]} if isinstance(node.get("$ref"), str) else set().union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_the_document_has_every_address_and_nothing_else() -> None:
    documented = [f"{method.upper()} {path}" for path, operations in DOCUMENT["paths"].items() for method in operations]
    assert sorted(documented) == sorted(ROWS)
    assert len(ROWS) == len(ADDRESSES)


def test_no_two_operations_have_one_name() -> None:
    names = [operation(each)["operationId"] for each in ADDRESSES]
    assert len(set(names)) == len(names)


def test_every_reference_leads_to_a_schema() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) == known


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_json_schema_2020_12(name: str) -> None:
    assert jsonschema_rs.meta.is_valid({"$schema": DOCUMENT["jsonSchemaDialect"], **DOCUMENT["components"]["schemas"][name]})


@pytest.mark.parametrize("row", sorted(ROWS))
def test_every_answer_of_a_row_is_documented_with_its_codes(row: str) -> None:
    address = ROWS[row]
    answers = operation(address)["responses"]
    for status in address.gives:
        assert str(status) in answers
    for code in address.all_codes():
        assert f"`{code}`" in answers[str(CODES[code].status)]["description"]
        assert "application/problem+json" in answers[str(CODES[code].status)]["content"]


@pytest.mark.parametrize("row", sorted(ROWS))
def test_a_token_is_asked_for_where_the_row_says_so(row: str) -> None:
    needed = {Token.UNREAD: [], Token.OPTIONAL: [{}, {"token": []}], Token.NEEDED: [{"token": []}]}
    assert operation(ROWS[row])["security"] == needed[ROWS[row].who.token]

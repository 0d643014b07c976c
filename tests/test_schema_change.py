"""A version that takes a column from agreements in force: said beforehand, confirmed, and then they are suspended with it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import FLIGHTS, World
from negotiating import log, outcome, perform

from baybridge.agreements.agreement import Agreement
from baybridge.catalog.schema import Schema, parse_table_schema, to_table_schema
from baybridge.errors import Conflict
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR
from baybridge.publish import Declaration, Publication, Upload

NAME = DatasetName("bts", "flights")
DROPPED = b"\n".join(b",".join(cells for at, cells in enumerate(line.split(b",")) if at != 2) for line in FLIGHTS.splitlines()) + b"\n"
"""The flights without `tailnum`."""


def schema_without(flights: World, *dropped: str, **retyped: str) -> Schema:
    document: dict[str, Any] = to_table_schema(flights.exchange.catalog.schema(LOCAL_OPERATOR, NAME, None))
    fields = [each for each in document["fields"] if each["name"] not in dropped]
    for each in fields:
        if each["name"] in retyped:
            each["type"], each["baybridge:type"] = "string", retyped[each["name"]]
    return parse_table_schema(document | {"fields": fields})


def declare(flights: World, schema: Schema, *, confirmed: bool = True) -> None:
    steward = flights.person("bts", "steward")
    flights.exchange.publish.declare(steward, NAME, Declaration(schema=schema, schema_change=confirmed))


def publish(flights: World, data: bytes, *, dry_run: bool = False, suspend: bool = False) -> Publication:
    upload = Upload([data], ("",), (), accept_schema=False, dry_run=dry_run, suspend=suspend)
    return flights.exchange.publish.publish(flights.person("bts", "steward"), NAME, upload)


def show(flights: World, agreement: Agreement) -> Agreement:
    return flights.exchange.agree.show(LOCAL_OPERATOR, agreement.id)


def test_a_schema_changes_under_versions_only_where_a_steward_confirms_it(flights: World) -> None:
    changed = schema_without(flights, "tailnum")
    assert outcome(lambda: declare(flights, changed, confirmed=False)) == "schema_is_contract"
    assert outcome(lambda: declare(flights, changed)) == "ok"
    assert publish(flights, DROPPED).version == 2


def test_a_version_that_drops_a_column_suspends_who_names_it_and_tells_both_sides(flights: World) -> None:
    masked = flights.sign(flights.terms())
    filtered = flights.sign(flights.terms(columns=["flight"], masks={}, row_filter="tailnum = 'N24211'", purposes=["b"]))
    other = flights.sign(flights.terms(columns=["flight", "origin"], masks={}, purposes=["c"]))
    declare(flights, schema_without(flights, "tailnum"))
    database = flights.stored()
    dry = publish(flights, DROPPED, dry_run=True)
    assert [(each.agreement.id, each.columns) for each in dry.suspends] == [(masked.id, ("tailnum",)), (filtered.id, ("tailnum",))]
    with pytest.raises(Conflict) as refused:
        publish(flights, DROPPED)
    assert refused.value.code == "agreements_affected"
    assert [place.parameter for place in refused.value.places] == [masked.id, filtered.id]
    assert flights.stored() == database, "neither a dry run nor a refusal changes anything"
    entries = len(log(flights))
    assert publish(flights, DROPPED, suspend=True).version == 2
    assert [(show(flights, each).state, show(flights, each).code) for each in (masked, filtered, other)] == [
        ("SUSPENDED", "schema_changed"),
        ("SUSPENDED", "schema_changed"),
        ("FINALIZED", None),
    ]
    added = [(each["kind"], each.get("agreement"), each.get("code")) for each in log(flights)[entries:]]
    assert added == [
        ("agreement_act", masked.id, "schema_changed"),
        ("agreement_act", filtered.id, "schema_changed"),
        ("publication", None, None),
    ]
    for side in ("bts", "dot"):
        newest = flights.exchange.inbox.notices(flights.person(side, "analyst"), before=None, limit=2)
        assert [(each.kind, each.subject) for each in newest] == [("suspend", filtered.id), ("suspend", masked.id)]


def test_what_lost_a_column_is_not_resumed_but_replaced(flights: World) -> None:
    first = flights.sign(flights.terms())
    declare(flights, schema_without(flights, "tailnum"))
    publish(flights, DROPPED, suspend=True)
    assert outcome(lambda: perform(flights, first.id, "resume")) == "conflict"
    fitting = flights.terms(columns=["flight", "origin"], masks={})
    begun = flights.exchange.agree.succeed(flights.person("dot", "analyst"), first.id, fitting)
    perform(flights, begun.id, "sign_as_provider")
    assert perform(flights, begun.id, "sign_as_consumer").took_over is not None


def test_a_version_that_retypes_a_column_suspends_who_names_it(flights: World) -> None:
    named = flights.sign(flights.terms(columns=["flight", "delay"], masks={}))
    other = flights.sign(flights.terms(columns=["flight"], masks={}, purposes=["b"]))
    declare(flights, schema_without(flights, delay="text"))
    assert publish(flights, FLIGHTS, suspend=True).version == 2
    assert [show(flights, each).state for each in (named, other)] == ["SUSPENDED", "FINALIZED"]


def test_an_agreement_that_is_over_or_suspended_already_is_left_alone(flights: World) -> None:
    suspended, revoked = flights.sign(flights.terms()), flights.sign(flights.terms())
    perform(flights, suspended.id, "suspend")
    perform(flights, revoked.id, "revoke")
    before = [show(flights, each) for each in (suspended, revoked)]
    declare(flights, schema_without(flights, "tailnum"))
    assert publish(flights, DROPPED).version == 2
    assert [show(flights, each) for each in (suspended, revoked)] == before


def test_a_new_column_costs_nobody_anything(flights: World) -> None:
    signed = flights.sign(flights.terms())
    document: dict[str, Any] = to_table_schema(flights.exchange.catalog.schema(LOCAL_OPERATOR, NAME, None))
    document["fields"].append({"name": "gate", "type": "string"})
    declare(flights, parse_table_schema(document))
    lines = FLIGHTS.splitlines()
    wider = b"\n".join([lines[0] + b",gate", *(line + b",A1" for line in lines[1:])]) + b"\n"
    assert publish(flights, wider).version == 2
    assert show(flights, signed).state == "FINALIZED"

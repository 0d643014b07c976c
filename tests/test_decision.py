"""The decision, case by case: every code that it refuses with, the instants at its edges, and that it denies by default."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
import rfc8785
import sqlalchemy as sa
from conftest import CONSUMER, PROVIDER, World, page_request
from hypothesis import given, settings

from baybridge.agreements import store
from baybridge.agreements.agreement import Agreement, Standing, State
from baybridge.catalog.dataset import Access, Condition, Dataset, Version
from baybridge.catalog.dataset import State as VersionState
from baybridge.catalog.manifest import Manifest
from baybridge.catalog.schema import Column, Schema
from baybridge.disclose import Stop
from baybridge.errors import CODES, Invalid, Refused, Unavailable
from baybridge.names import DatasetName
from baybridge.policy.decision import Ask, Grant, Refusal, UsedColumn, decide
from baybridge.policy.refusals import limit_reached
from baybridge.principals.principal import LOCAL_OPERATOR, Principal, PrincipalKind, Role, Scope
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType
from baybridge.terms.history import WALK_LASTS, History
from baybridge.terms.masks import Plain
from baybridge.terms.terms import Limits, Terms

NAME = DatasetName("bts", "flights")
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SCHEMA = Schema(
    (
        Column("flight", ColumnType.parse("integer"), required=True),
        Column("carrier", ColumnType.parse("text")),
        Column("tailnum", ColumnType.parse("text")),
        Column("delay", ColumnType.parse("integer")),
        Column("load", ColumnType.parse("double")),
    ),
    key=("flight",),
)
TERMS = Terms(
    dataset=NAME,
    columns=("carrier", "tailnum", "delay"),
    row_filter=cql2.parse("flight > 10"),
    masks=(("tailnum", Plain.PSEUDONYM),),
    purposes=("audit", "noise-study"),
    provider_authority="Statute",
    consumer_authority="Charter",
    start=START,
    end=END,
    history=History(),
    linkage=False,
    pseudonym_domain=None,
    limits=Limits(),
)


def dataset(access: Access = Access.AGREEMENT, *, latest: int = 1) -> Dataset:
    return Dataset(NAME, "Flights", "", access, SCHEMA, latest, START)


VERSION = Version(NAME, 1, SCHEMA, Manifest((), "00" * 32, 0), START)


def agreement(
    number: int = 1, *, state: State = State.FINALIZED, updated: datetime = START, handed_over: datetime | None = None, **terms: Any
) -> Agreement:
    agreed = replace(TERMS, **terms)
    return Agreement(
        id=f"AGR-{number:04d}",
        provider=PROVIDER,
        consumer=CONSUMER,
        dataset=NAME,
        state=state,
        terms=agreed,
        terms_sha256=agreed.digest(),
        epoch=1,
        domain_key="key_1",
        signatures=(),
        reason=None,
        created=START,
        updated=updated,
        handed_over=handed_over,
    )


def someone(organization: str = CONSUMER, *roles: Role, purpose: str | None = None) -> Principal:
    return Principal("prn_1", organization, "Someone", PrincipalKind.PERSON, frozenset(roles or (Role.ANALYST,)), purpose)


def narrowed_steward() -> Principal:
    return replace(someone(PROVIDER, Role.STEWARD), scopes=frozenset({Scope.PUBLISH}))


def decided(
    ask: Ask,
    *agreements: Agreement,
    by: Principal | None = None,
    access: Access = Access.AGREEMENT,
    version: Version = VERSION,
    now: datetime = NOW,
    latest: int = 1,
    superseded: datetime | None = None,
) -> Grant | Refusal:
    return decide(ask, by, dataset(access, latest=latest), version, agreements, now=now, superseded=superseded)


def asking(*columns: str, purpose: str | None = "audit", agreement: str | None = None, row_filter: str | None = None) -> Ask:
    return Ask(
        NAME,
        tuple(UsedColumn(name, "properties", 1) for name in columns),
        None if row_filter is None else cql2.parse(row_filter),
        purpose,
        agreement,
    )


def code_of(decision: Grant | Refusal) -> str:
    return decision.code if isinstance(decision, Refusal) else "granted"


ONE = (agreement(),)
REFUSALS: dict[str, tuple[str, Ask, Principal | None, Sequence[Agreement]]] = {
    "nobody": ("not_signed_in", asking(), None, ()),
    "nobody, though an agreement lies there": ("not_signed_in", asking(), None, ONE),
    "an auditor of the consumer": ("role_required", asking(), someone(CONSUMER, Role.AUDITOR), ONE),
    "a signatory and admin of the consumer": ("role_required", asking(), someone(CONSUMER, Role.SIGNATORY, Role.ADMIN), ONE),
    "an auditor of the owner": ("role_required", asking(), someone(PROVIDER, Role.AUDITOR), ONE),
    "a token narrowed to other scopes": ("scope_required", asking(), replace(someone(), scopes=frozenset({Scope.AGREE})), ONE),
    "the owner's token narrowed to publishing": ("scope_required", asking(), narrowed_steward(), ()),
    "the local operator": ("role_required", asking(), LOCAL_OPERATOR, ()),
    "no agreement": ("no_agreement", asking(), someone(), ()),
    "an agreement that is not the caller's": ("no_agreement", asking(agreement="AGR-0002"), someone(), ONE),
    "an id in another spelling": ("no_agreement", asking(agreement="agr-0001"), someone(), ONE),
    "only what was ended before it was signed": ("no_agreement", asking(), someone(), (agreement(state=State.TERMINATED),)),
    "asked for": ("request_pending", asking(), someone(), (agreement(state=State.REQUESTED),)),
    "offered": ("request_pending", asking(), someone(), (agreement(state=State.OFFERED),)),
    "signed by the consumer only": ("request_pending", asking(), someone(), (agreement(state=State.ACCEPTED),)),
    "signed by the provider only": ("request_pending", asking(), someone(), (agreement(state=State.AGREED),)),
    "not started": ("agreement_not_started", asking(), someone(), (agreement(start=NOW + TICK),)),
    "expired": ("agreement_expired", asking(), someone(), (agreement(end=NOW),)),
    "suspended": ("agreement_suspended", asking(), someone(), (agreement(state=State.SUSPENDED),)),
    "revoked": ("agreement_revoked", asking(), someone(), (agreement(state=State.REVOKED),)),
    "superseded": ("agreement_superseded", asking(), someone(), (agreement(handed_over=NOW),)),
    "closed": ("agreement_closed", asking(), someone(), (agreement(state=State.CLOSED),)),
    "two that fit": ("agreement_ambiguous", asking(), someone(), (agreement(1), agreement(2))),
    "no purpose": ("purpose_required", asking(purpose=None), someone(), ONE),
    "no purpose, two agreements": ("purpose_required", asking(purpose=None), someone(), (agreement(1), agreement(2))),
    "another purpose": ("purpose_not_allowed", asking(purpose="marketing"), someone(), ONE),
    "a purpose that begins like one": ("purpose_not_allowed", asking(purpose="noise"), someone(), ONE),
    "a token bound to another purpose than asked": ("purpose_not_allowed", asking(), someone(purpose="noise-study"), ONE),
    "a token bound to a purpose not agreed": ("purpose_not_allowed", asking(purpose=None), someone(purpose="marketing"), ONE),
    "a withheld column": ("column_not_in_agreement", asking("carrier", "load"), someone(), ONE),
    "the withheld key": ("column_not_in_agreement", asking("flight"), someone(), ONE),
    "a filter on a withheld column": ("column_not_in_agreement", asking(row_filter="flight > 11"), someone(), ONE),
    "a filter that hides a withheld column": (
        "column_not_in_agreement",
        asking(row_filter="NOT (delay > 1 OR load IS NULL)"),
        someone(),
        ONE,
    ),
    "an unknown column": ("unknown_column", asking("carier"), someone(), ONE),
    "a column in other capitals": ("unknown_column", asking("Carrier"), someone(), ONE),
    "a filter on an unknown column": ("unknown_column", asking(row_filter="carier = 'UA'"), someone(), ONE),
    "an unknown column beside a withheld one": ("unknown_column", asking("load", "carier"), someone(), ONE),
    "a filter of the wrong kind": ("filter_invalid", asking(row_filter="delay = 'late'"), someone(), ONE),
    "a number against a pseudonym, which is text": ("filter_invalid", asking(row_filter="tailnum = 1"), someone(), ONE),
    "a version before those agreed": ("version_not_in_agreement", asking(), someone(), (agreement(history=History(2)),)),
    "terms that are not understood": ("terms_not_understood", asking(), someone(), (replace(agreement(), terms=None),)),
    "the same without a purpose": ("terms_not_understood", asking(purpose=None), someone(), (replace(agreement(), terms=None),)),
    "a column that the version lacks": ("terms_not_understood", asking(), someone(), (agreement(columns=("carrier", "gone"), masks=()),)),
    "a mask that does not fit": (
        "terms_not_understood",
        asking(),
        someone(),
        (agreement(columns=("load",), masks=(("load", Plain.PSEUDONYM),)),),
    ),
    "a row filter that does not fit": ("terms_not_understood", asking(), someone(), (agreement(row_filter=cql2.parse("flight = 'x'")),)),
    "a row filter on a column that is gone": ("terms_not_understood", asking(), someone(), (agreement(row_filter=cql2.parse("gone = 1")),)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_has_its_code_and_says_what_to_do(case):
    code, ask, principal, agreements = REFUSALS[case]
    refusal = decided(ask, *agreements, by=principal)
    assert code_of(refusal) == code
    assert isinstance(refusal, Refusal)
    assert refusal.detail
    if code != "filter_invalid":
        assert refusal.advice.rule
        assert refusal.advice.who_can_change
    error = refusal.error()
    assert isinstance(error, Invalid if CODES[code].status == 400 else Refused)
    assert error.code == code


def test_every_code_that_the_decision_can_refuse_with_has_a_case():
    codes = {code for code, facts in CODES.items() if facts.status in {400, 401, 403}}
    elsewhere = {
        *("invalid_request", "unknown_parameter", "cursor_invalid", "terms_invalid", "schema_invalid", "file_unreadable"),
        *("settings_invalid", "token_expired", "token_wrong_organisation", "version_withdrawn", "key_not_released"),
        *("approvals_missing", "duties_not_separate"),
        *("role_unconfirmed", "second_person_required", "principal_suspended", "organization_suspended"),
    }
    assert {case[0] for case in REFUSALS.values()} == codes - elsewhere


@pytest.mark.parametrize(
    ("state", "code"), [("published", "granted"), ("withdrawn", "version_withdrawn"), ("purging", "gone"), ("purged", "gone")]
)
def test_what_is_not_published_is_refused_to_everyone_who_might_read_it(state, code):
    version = replace(VERSION, state=VersionState(state))
    for granted in (
        decided(asking(), *ONE, by=someone(), version=version),
        decided(asking(), by=someone(PROVIDER, Role.STEWARD), version=version),
        decided(asking(), access=Access.PUBLIC, version=version),
    ):
        assert code_of(granted) == code
    assert code_of(decided(asking(), by=someone(), version=version)) == "no_agreement"


@pytest.mark.parametrize(
    ("whole", "own", "said", "step"),
    [
        ("withdrawn", "withdrawn", "flights was withdrawn", "restores it"),
        ("withdrawn", "purged", "Version 1 of", "restores it"),
        ("purged", "purged", "flights was purged", "is left"),
        ("published", "withdrawn", "Version 1 of", "Read version 3"),
        ("published", "purged", "Version 1 of", "Read version 3"),
    ],
)
def test_what_is_not_published_says_whether_all_of_it_is_and_names_no_version_that_cannot_be_read(whole, own, said, step):
    version = replace(VERSION, state=VersionState(own))
    of = replace(dataset(Access.PUBLIC, latest=3), condition=Condition(VersionState(whole)))
    refused = decide(asking(), None, of, version, (), now=NOW)
    assert isinstance(refused, Refusal)
    assert said in refused.detail
    assert step in (refused.advice.next_step or "")
    assert ("Read version" in (refused.advice.next_step or "")) is (whole == "published")


def test_a_version_outside_the_agreements_history_is_never_advised():
    signed = agreement(history=History(4))
    version = replace(VERSION, number=5, state=VersionState.WITHDRAWN)
    refused = decided(asking(), signed, by=someone(), version=version, latest=3)
    assert isinstance(refused, Refusal)
    assert refused.code == "version_withdrawn"
    assert "Wait for" in (refused.advice.next_step or "")


def test_the_analyst_is_granted_exactly_the_terms():
    grant = decided(asking("delay", "carrier"), *ONE, by=someone())
    assert isinstance(grant, Grant)
    assert (grant.agreement, grant.purpose, grant.standing) == (ONE[0], "audit", "signed")
    assert [(column.name, str(column.source), column.mask) for column in grant.projection.columns] == [
        ("carrier", "text", None),
        ("tailnum", "text", Plain.PSEUDONYM),
        ("delay", "integer", None),
    ]
    assert (grant.projection.row_filter, grant.projection.domain_key) == (TERMS.row_filter, "key_1")
    assert code_of(decided(asking(), *ONE, by=someone(CONSUMER, Role.STEWARD))) == "granted"


def test_no_pseudonym_key_goes_where_nothing_is_pseudonymised():
    grant = decided(asking(), agreement(masks=(("tailnum", Plain.REDACT),)), by=someone())
    assert isinstance(grant, Grant)
    assert grant.projection.domain_key is None


def test_start_is_inclusive_and_end_exclusive():
    found = {
        at: code_of(decided(asking(), *ONE, by=someone(), now=at))
        for at in (START - TICK, START, START + TICK, END - TICK, END, END + TICK)
    }
    assert list(found.values()) == ["agreement_not_started", "granted", "granted", "granted", "agreement_expired", "agreement_expired"]


def test_an_instant_is_the_same_in_every_zone():
    for hours in (-12, -5, 0, 14):
        there = timezone(timedelta(hours=hours))
        assert code_of(decided(asking(), *ONE, by=someone(), now=START.astimezone(there))) == "granted"
        assert code_of(decided(asking(), *ONE, by=someone(), now=END.astimezone(there))) == "agreement_expired"


def test_a_bound_token_needs_no_header_and_serves_no_other_purpose():
    bound = someone(purpose="noise-study")
    grant = decided(asking(purpose=None), *ONE, by=bound)
    assert isinstance(grant, Grant)
    assert grant.purpose == "noise-study"
    assert code_of(decided(asking(purpose="noise-study"), *ONE, by=bound)) == "granted"
    assert code_of(decided(asking(purpose="audit"), *ONE, by=bound)) == "purpose_not_allowed"


def test_one_of_several_agreements_is_named_by_its_purpose_or_its_id():
    study, audit = agreement(1, purposes=("noise-study",)), agreement(2, purposes=("audit",), columns=("delay",), masks=())
    by_purpose = decided(asking(purpose="audit"), study, audit, by=someone())
    assert isinstance(by_purpose, Grant)
    assert by_purpose.agreement == audit
    first, second = agreement(1), agreement(2)
    by_id = decided(asking(agreement="AGR-0002"), first, second, by=someone())
    assert isinstance(by_id, Grant)
    assert by_id.agreement == second


def test_an_ambiguous_refusal_names_the_agreements():
    refusal = decided(asking(), agreement(7), agreement(3), by=someone())
    assert isinstance(refusal, Refusal)
    assert "AGR-0003, AGR-0007" in (refusal.advice.next_step or "")


@pytest.mark.parametrize("state", [State.SUSPENDED, State.REVOKED, State.REQUESTED, State.TERMINATED])
def test_an_agreement_in_force_serves_beside_one_that_is_not(state):
    for pair in ((agreement(1, state=state), agreement(2)), (agreement(2), agreement(1, state=state))):
        grant = decided(asking(), *pair, by=someone())
        assert isinstance(grant, Grant)
        assert grant.agreement == agreement(2)


def test_naming_an_agreement_that_is_not_in_force_never_falls_back_to_another():
    pair = (agreement(1, state=State.SUSPENDED), agreement(2))
    assert code_of(decided(asking(agreement="AGR-0001"), *pair, by=someone())) == "agreement_suspended"
    assert code_of(decided(asking("load", agreement="AGR-0002"), *pair, by=someone())) == "column_not_in_agreement"


def test_the_nearest_standing_is_told():
    order = [
        (agreement(1, state=State.SUSPENDED), "agreement_suspended"),
        (agreement(2, start=NOW + TICK), "agreement_not_started"),
        (agreement(3, state=State.OFFERED), "request_pending"),
        (agreement(4, handed_over=NOW), "agreement_superseded"),
        (agreement(5, end=NOW), "agreement_expired"),
        (agreement(6, state=State.REVOKED), "agreement_revoked"),
        (agreement(7, state=State.CLOSED), "agreement_closed"),
        (agreement(8, state=State.TERMINATED), "no_agreement"),
    ]
    for position, (each, code) in enumerate(order):
        rest = [later for later, _ in order[position:]]
        refusal = decided(asking(), *reversed(rest), by=someone())
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.agreement) == (code, each.id if position < 7 else "AGR-0008")


@pytest.mark.parametrize(
    ("state", "who"),
    [
        (State.REQUESTED, f"a steward of {PROVIDER}, by an offer"),
        (State.OFFERED, f"the signatories of {PROVIDER} and {CONSUMER}"),
        (State.ACCEPTED, f"a signatory of {PROVIDER}"),
        (State.AGREED, f"a signatory of {CONSUMER}"),
    ],
)
def test_what_is_pending_waits_for_whose_move_it_is(state, who):
    refusal = decided(asking(), agreement(state=state), by=someone())
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.advice.who_can_change) == ("request_pending", who)


def test_what_is_superseded_names_its_successor():
    refusal = decided(asking(), replace(agreement(handed_over=NOW), successor="AGR-0002"), by=someone())
    assert isinstance(refusal, Refusal)
    assert refusal.advice.next_step == "Send Baybridge-Agreement with AGR-0002, or leave it out."


@pytest.mark.parametrize("state", [State.REQUESTED, State.OFFERED, State.ACCEPTED, State.AGREED])
def test_a_negotiation_that_has_run_out_hides_no_other_reason(state):
    dead = agreement(2, state=state, end=NOW, updated=NOW)
    assert code_of(decided(asking(), agreement(1, state=State.REVOKED), dead, by=someone())) == "agreement_revoked"
    assert code_of(decided(asking(), dead, by=someone())) == "no_agreement"
    assert code_of(decided(asking(), agreement(2, state=state, end=NOW + TICK), by=someone())) == "request_pending"


def test_terms_that_are_not_understood_are_never_skipped_for_others():
    strange = replace(agreement(1), terms=None)
    assert code_of(decided(asking(), strange, agreement(2), by=someone())) in {"agreement_ambiguous", "terms_not_understood"}
    assert code_of(decided(asking(agreement="AGR-0001"), strange, agreement(2), by=someone())) == "terms_not_understood"


def test_what_is_asked_for_without_a_purpose_is_told_which_there_are():
    refusal = decided(asking(purpose=None), agreement(1, purposes=("noise-study",)), agreement(2, purposes=("audit",)), by=someone())
    assert isinstance(refusal, Refusal)
    assert "audit, noise-study" in (refusal.advice.next_step or "")


# Which versions.


def test_without_a_history_only_the_latest_version_is_read():
    assert code_of(decided(asking(), *ONE, by=someone(), latest=1)) == "granted"
    refusal = decided(asking(), *ONE, by=someone(), latest=2)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.agreement) == ("version_not_in_agreement", "AGR-0001")
    assert refusal.advice.who_can_change == "a steward of bts, by a new agreement"
    assert "latest" in (refusal.advice.rule or "")


@pytest.mark.parametrize(("history", "first"), [("latest", 5), ("all", 1), ("from(1)", 1), ("from(4)", 4), ("from(6)", 6)])
def test_a_history_reaches_back_to_its_first_version(history, first):
    agreed = agreement(history=History.parse(history))
    for number in range(1, 6):
        code = code_of(decided(asking(), agreed, by=someone(), version=replace(VERSION, number=number), latest=5))
        assert code == ("granted" if number >= first else "version_not_in_agreement")


def test_a_walk_comes_to_its_end_within_a_day_after_a_later_version_came():
    def code(superseded: datetime | None, *agreements: Agreement) -> str:
        return code_of(decided(asking(), *(agreements or ONE), by=someone(), latest=2, superseded=superseded))

    assert code(NOW) == code(NOW - WALK_LASTS + TICK) == "granted"
    assert code(NOW - WALK_LASTS) == code(None) == "version_not_in_agreement"
    assert code(NOW, agreement(state=State.REVOKED)) == "agreement_revoked"
    assert code(NOW, agreement(end=NOW)) == "agreement_expired"


def test_the_owner_and_the_public_read_every_version():
    for by, access in ((someone(PROVIDER, Role.ANALYST), Access.AGREEMENT), (None, Access.PUBLIC)):
        assert code_of(decided(asking(), by=by, access=access, latest=9)) == "granted"


def test_a_limit_is_told_with_the_seconds_to_midnight_utc():
    for now, seconds in ((NOW, 86_400), (NOW + timedelta(hours=23, minutes=59, seconds=59, microseconds=1), 1), (NOW + TICK, 86_400)):
        refusal = limit_reached(agreement(), "rows", 5, now=now)
        error = refusal.error()
        assert isinstance(error, Unavailable)
        assert (error.code, error.retry_after, refusal.agreement) == ("limit_reached", seconds, "AGR-0001")
        assert error.advice.rule
        assert error.advice.who_can_change
        assert error.advice.next_step


def test_the_owner_reads_everything_as_it_is():
    for role in (Role.STEWARD, Role.ANALYST):
        for access in Access:
            grant = decided(asking("flight", "load", purpose=None), by=someone(PROVIDER, role), access=access)
            assert isinstance(grant, Grant)
            assert (grant.standing, grant.agreement, grant.projection.row_filter) == ("owner", None, None)
            assert [(column.name, column.mask) for column in grant.projection.columns] == [(name, None) for name in SCHEMA.types]


@pytest.mark.parametrize(
    "principal", [None, someone(), someone(CONSUMER, Role.AUDITOR), someone(PROVIDER, Role.AUDITOR), LOCAL_OPERATOR], ids=str
)
def test_everyone_reads_a_public_dataset(principal):
    grant = decided(asking("flight", "load", purpose=None), by=principal, access=Access.PUBLIC)
    assert isinstance(grant, Grant)
    assert (grant.standing, grant.agreement, grant.projection.row_filter) == ("public", None, None)


def test_public_and_owner_are_refused_what_does_not_exist_or_fit():
    for principal, access in ((None, Access.PUBLIC), (someone(PROVIDER, Role.STEWARD), Access.AGREEMENT)):
        assert code_of(decided(asking("nothing"), by=principal, access=access)) == "unknown_column"
        assert code_of(decided(asking(row_filter="delay = 'x'"), by=principal, access=access)) == "filter_invalid"


def test_an_unknown_column_is_told_the_nearest_name_and_a_withheld_one_is_told_apart():
    unknown = decided(asking("tailnums"), *ONE, by=someone())
    assert isinstance(unknown, Refusal)
    assert [(place.parameter, place.column, place.hint) for place in unknown.places] == [("properties", 1, "tailnum")]
    withheld = decided(asking(row_filter="delay > 1 AND load > 2"), *ONE, by=someone())
    assert isinstance(withheld, Refusal)
    assert [(place.parameter, place.column) for place in withheld.places] == [("filter", 15)]
    assert (withheld.agreement, unknown.agreement) == ("AGR-0001", None)


# Default deny.

STATES = st.sampled_from(list(State))
INSTANTS = st.sampled_from([START - TICK, START, NOW, END - TICK, END, END + timedelta(days=900)])
PRINCIPALS = st.none() | st.builds(
    Principal,
    id=st.just("prn_1"),
    organization=st.sampled_from([PROVIDER, CONSUMER, "ohio", ""]),
    name=st.just("Someone"),
    kind=st.sampled_from(PrincipalKind),
    roles=st.frozensets(st.sampled_from(Role)),
    purpose=st.sampled_from([None, "audit", "noise-study", "marketing"]),
)
ASKS = st.builds(
    asking,
    st.sampled_from([*SCHEMA.types, "nothing"]),
    purpose=st.sampled_from([None, "audit", "noise-study", "marketing"]),
    agreement=st.sampled_from([None, "AGR-0001", "AGR-0002", "AGR-0009"]),
    row_filter=st.sampled_from([None, "delay > 1", "flight = 1", "carrier = 'UA'", "TRUE"]),
)


def owns(principal: Principal | None) -> bool:
    return principal is not None and principal.organization == PROVIDER and bool(principal.roles & {Role.ANALYST, Role.STEWARD})


@given(ASKS, PRINCIPALS, INSTANTS)
@settings(max_examples=500)
def test_without_an_agreement_nothing_is_ever_granted(ask, principal, now):
    if not owns(principal):
        assert isinstance(decided(ask, by=principal, now=now), Refusal)


@given(
    ASKS,
    PRINCIPALS,
    INSTANTS,
    st.lists(
        st.tuples(
            STATES,
            st.sampled_from([TERMS.purposes, ("audit",), ("planning",)]),
            st.booleans(),
            st.sampled_from(["latest", "all", "from(2)"]),
        ),
        max_size=3,
    ),
    st.tuples(st.integers(1, 3), st.integers(0, 1)),
)
@settings(max_examples=1500)
def test_every_grant_rests_on_one_agreement_that_allows_it(ask, principal, now, drawn, versions):
    number, later = versions
    agreements = [
        agreement(position, state=state, purposes=purposes, history=History.parse(history))
        for position, (state, purposes, _, history) in enumerate(drawn, start=1)
    ]
    agreements = [each if known[2] else replace(each, terms=None) for each, known in zip(agreements, drawn, strict=True)]
    decision = decided(ask, *agreements, by=principal, now=now, version=replace(VERSION, number=number), latest=number + later)
    if isinstance(decision, Refusal) or owns(principal):
        return
    assert principal is not None
    assert principal.roles & {Role.ANALYST, Role.STEWARD}
    under = decision.agreement
    assert under in agreements
    assert under is not None
    assert under.terms is not None
    assert (under.state, under.standing(now)) == (State.FINALIZED, Standing.ACTIVE)
    assert START <= now < END
    assert not later or str(under.terms.history) == "all" or (str(under.terms.history) == "from(2)" and number > 1)
    assert number > 1 or str(under.terms.history) != "from(2)"
    assert decision.purpose in under.terms.purposes
    assert {decision.purpose} >= {each for each in (ask.purpose, principal.purpose) if each is not None}
    assert ask.agreement in {None, under.id}
    filtered = "" if ask.row_filter is None else cql2.to_text(ask.row_filter)
    used = {column.name for column in ask.columns} | {name for name in SCHEMA.types if name in filtered}
    assert used <= set(under.terms.columns) == set(decision.projection.types)
    assert decision.projection.row_filter == under.terms.row_filter


# What is stored and not understood.


def rewrite(world: World, changes: dict[str, object], *, digest: bool) -> None:
    """Change the stored terms of every agreement behind the program's back; with `digest`, so that their SHA-256 is right again."""
    with world.exchange.database.write() as connection:
        for number, terms in connection.execute(sa.select(store.AGREEMENTS.c.number, store.AGREEMENTS.c.terms)).all():
            changed = rfc8785.dumps({**msgspec.json.decode(terms), **changes})
            values: dict[str, object] = {"terms": changed}
            if digest:
                values["terms_sha256"] = hashlib.sha256(changed).hexdigest()
            connection.execute(sa.update(store.AGREEMENTS).where(store.AGREEMENTS.c.number == number).values(**values))


def read(world: World) -> int:
    served: list[object] = []

    def encode(page: Any) -> bytes:
        served.extend(page.page.rows)
        return b"rows"

    ask = Ask(DatasetName.parse("bts.flights"), purpose="noise-study")
    request = page_request(ask, encode)
    try:
        world.exchange.disclose.read(request, world.person(CONSUMER, "analyst"), Stop())
    except Refused:
        assert not served
        raise
    return len(served)


STRANGE_TERMS = {
    "an extra term": {"retention": "P30D"},
    "an extra term that says nothing": {"limits": None},
    "an earlier format": {"format": 1},
    "a later format": {"format": 3},
    "an unknown mask": {"masks": {"tailnum": "hash"}},
    "a mask of a list that is not there": {"masks": {"tailnum": "generalize(makers)"}},
    "a list that no mask uses": {"code_lists": {"makers": {"codes": {"N1": "N"}, "otherwise": "other"}}},
    "an unknown history": {"history": "until(3)"},
    "a limit of nothing": {"rows_per_day": 0},
    "a domain without linkage": {"pseudonym_domain": "cohort"},
    "a filter in another language": {"row_filter": "origin ILIKE 'J%'"},
    "no purpose": {"purposes": []},
    "a column named twice": {"columns": ["flight", "flight"]},
    "a filter that is not in canonical form": {"row_filter": "origin='JFK'"},
}


@pytest.mark.parametrize("case", STRANGE_TERMS)
def test_stored_terms_with_anything_unknown_refuse_to_serve(flights, case):
    signed = flights.sign(flights.terms())
    assert read(flights) == 5
    rewrite(flights, STRANGE_TERMS[case], digest=True)
    with pytest.raises(Refused) as refused:
        read(flights)
    assert refused.value.code == "terms_not_understood"
    with flights.exchange.database.read() as connection:
        assert store.find(connection, signed.id).terms is None


def test_stored_terms_that_are_not_those_that_were_signed_refuse_to_serve(flights):
    flights.sign(flights.terms())
    rewrite(flights, {"row_filter": None}, digest=False)
    with pytest.raises(Refused) as refused:
        read(flights)
    assert refused.value.code == "terms_not_understood"


@pytest.mark.parametrize("case", STRANGE_TERMS)
def test_terms_that_are_not_understood_cannot_be_signed_and_can_be_stopped(flights, case):
    agree = flights.exchange.agree
    asked = agree.request(flights.person(CONSUMER, "analyst"), flights.terms())
    agree.offer(flights.person(PROVIDER, "steward"), asked.id, None)
    rewrite(flights, STRANGE_TERMS[case], digest=True)
    shown = agree.show(flights.person(PROVIDER, "signatory"), asked.id)
    for organization in (PROVIDER, CONSUMER):
        with pytest.raises(Refused) as refused:
            agree.sign(flights.person(organization, "signatory"), asked.id, shown.terms_sha256)
        assert refused.value.code == "terms_not_understood"
    with pytest.raises(Refused) as refused:
        agree.offer(flights.person(PROVIDER, "steward"), asked.id, None)
    assert refused.value.code == "terms_not_understood"
    assert agree.terminate(flights.person(CONSUMER, "analyst"), asked.id, "not readable").state is State.TERMINATED


def test_an_agreement_in_force_that_is_not_understood_can_still_be_revoked(flights):
    signed = flights.sign(flights.terms())
    rewrite(flights, {"retention": "P30D"}, digest=True)
    flights.exchange.agree.revoke(flights.person(PROVIDER, "steward"), signed.id, "not readable")
    with pytest.raises(Refused) as refused:
        read(flights)
    assert refused.value.code == "agreement_revoked"

"""Agreements: who may do what in which state, and what a signature is over."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from conftest import FLIGHTS, ROLES, Server, World, make_world, serving

from baybridge.agreements import store
from baybridge.agreements.agreement import TRANSITIONS, Action, Agreement, State
from baybridge.errors import CODES, BaybridgeError, Conflict, Refused
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Principal
from baybridge.publish import Declaration
from baybridge.terms.terms import Terms

# The table as docs/reference/terms.md tells it to people, written down once more.
MOVES = {
    ("REQUESTED", "offer"): "OFFERED",
    ("REQUESTED", "terminate"): "TERMINATED",
    ("OFFERED", "offer"): "OFFERED",
    ("OFFERED", "sign_as_consumer"): "ACCEPTED",
    ("OFFERED", "sign_as_provider"): "AGREED",
    ("OFFERED", "terminate"): "TERMINATED",
    ("ACCEPTED", "sign_as_provider"): "FINALIZED",
    ("ACCEPTED", "terminate"): "TERMINATED",
    ("AGREED", "sign_as_consumer"): "FINALIZED",
    ("AGREED", "terminate"): "TERMINATED",
    ("FINALIZED", "suspend"): "SUSPENDED",
    ("FINALIZED", "revoke"): "REVOKED",
    ("SUSPENDED", "resume"): "FINALIZED",
    ("SUSPENDED", "revoke"): "REVOKED",
}
PATHS = {
    "REQUESTED": (),
    "OFFERED": ("offer",),
    "ACCEPTED": ("offer", "sign_as_consumer"),
    "AGREED": ("offer", "sign_as_provider"),
    "FINALIZED": ("offer", "sign_as_provider", "sign_as_consumer"),
    "SUSPENDED": ("offer", "sign_as_consumer", "sign_as_provider", "suspend"),
    "REVOKED": ("offer", "sign_as_consumer", "sign_as_provider", "revoke"),
    "TERMINATED": ("terminate",),
}
DOERS = {
    "offer": ("bts", "steward"),
    "sign_as_provider": ("bts", "signatory"),
    "sign_as_consumer": ("dot", "signatory"),
    "terminate": ("dot", "analyst"),
    "suspend": ("bts", "steward"),
    "resume": ("bts", "steward"),
    "revoke": ("bts", "steward"),
}
# Who may: every other principal of a party is refused with role_required or, on the other side, token_wrong_organisation.
ALLOWED = {
    "offer": {"bts steward"},
    "sign": {"bts signatory", "dot signatory"},
    "suspend": {"bts steward", "bts signatory"},
    "resume": {"bts steward", "bts signatory"},
    "revoke": {"bts steward", "bts signatory"},
    "terminate": {f"{side} {role}" for side in ("bts", "dot") for role in ("steward", "signatory", "analyst")},
}
ONE_SIDED = {"offer", "suspend", "resume", "revoke"}
STARTS = {
    "offer": "REQUESTED",
    "sign": "OFFERED",
    "suspend": "FINALIZED",
    "resume": "SUSPENDED",
    "revoke": "FINALIZED",
    "terminate": "OFFERED",
}
EVERYBODY = ("operator", *(f"{organization} {role}" for organization in ("bts", "dot", "epa") for role in ROLES))

ACT = """
import sys
from pathlib import Path
from baybridge.errors import BaybridgeError
from baybridge.exchange import Exchange
from baybridge.principals.principal import LOCAL_OPERATOR

root, agreement, *acts = sys.argv[1:]
with Exchange.open(Path(root)) as exchange:
    steward = next(each for each in exchange.administer.principals(LOCAL_OPERATOR, "bts") if each.name == "steward of bts")
    print("ready", flush=True)
    sys.stdin.readline()
    for act in acts:
        try:
            print(getattr(exchange.agree, act)(steward, agreement, "raced").epoch)
        except BaybridgeError as error:
            print(error.code)
"""


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Provider bts with its flights, consumer dot, and the stranger epa. Each test makes agreements of its own."""
    made = make_world(tmp_path_factory.mktemp("parties") / "home", "bts", "dot", "epa")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def door(parties: World) -> Iterator[Server]:
    with serving(parties.root) as server:
        yield server


def who(world: World, name: str) -> Principal:
    return LOCAL_OPERATOR if name == "operator" else world.person(*name.split())


def perform(world: World, agreement_id: str, action: str, principal: Principal | None = None) -> Agreement:
    """Do one act, as who may do it unless told otherwise."""
    agree = world.exchange.agree
    doer = principal or world.person(*DOERS[action])
    if action == "offer":
        return agree.offer(doer, agreement_id, None)
    if action.startswith("sign"):
        return agree.sign(doer, agreement_id, agree.show(LOCAL_OPERATOR, agreement_id).terms_sha256)
    act: Callable[[Principal, str, str], Agreement] = getattr(agree, action)
    return act(doer, agreement_id, f"because of {action}")


def in_state(world: World, state: str, **changes: object) -> Agreement:
    """A new agreement, brought into that state by the acts that lead there."""
    agreement = world.exchange.agree.request(world.person("dot", "analyst"), world.terms(**changes))
    for action in PATHS[state]:
        agreement = perform(world, agreement.id, action)
    assert agreement.state == state
    return agreement


def stored(world: World) -> list[str]:
    """The whole database as text, but for the checkpoints, which the server signs by the clock."""
    connection = sqlite3.connect(world.root / "catalog.sqlite")
    try:
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "checkpoints"')]
    finally:
        connection.close()


def log(world: World) -> list[dict[str, Any]]:
    return [json.loads(data) for _, data in world.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=10_000).entries]


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except BaybridgeError as error:
        return error.code
    return "ok"


# --- the life of an agreement ---


def test_the_transition_table_is_the_documented_one() -> None:
    assert {(str(before), str(action)): str(after) for (before, action), after in TRANSITIONS.items()} == MOVES
    assert PATHS.keys() == set(State)
    assert DOERS.keys() == set(Action)


@pytest.mark.parametrize("state", sorted(PATHS))
def test_each_act_moves_as_the_table_says_or_is_a_conflict_that_changes_nothing(parties: World, state: str) -> None:
    for action in sorted(DOERS):
        before = in_state(parties, state)
        database, entries = stored(parties), log(parties)
        after = MOVES.get((state, action))
        if after is None:
            with pytest.raises(Conflict) as refused:
                perform(parties, before.id, action)
            assert refused.value.code == "conflict"
            possible = sorted({act for each, act in MOVES if each == state})
            assert all(act in (refused.value.advice.next_step or "") for act in possible)
            assert stored(parties) == database
        else:
            moved = perform(parties, before.id, action)
            assert moved == parties.exchange.agree.show(LOCAL_OPERATOR, before.id)
            assert (moved.state, moved.epoch) == (after, before.epoch + 1)
            (entry,) = log(parties)[len(entries) :]
            wanted = {"agreement": before.id, "state": after, "epoch": moved.epoch, "terms_sha256": moved.terms_sha256}
            assert wanted.items() <= entry.items()
            assert entry["act"] == ("sign" if action.startswith("sign") else action)
            assert entry["actor"] == {"organization": DOERS[action][0], "principal": parties.person(*DOERS[action]).id}


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("act", sorted(ALLOWED))
def test_who_may_do_what_and_every_refusal_is_entered(parties: World, act: str, name: str) -> None:
    agreement = in_state(parties, STARTS[act])
    database, entries = stored(parties), log(parties)
    if name in ALLOWED[act]:
        wanted = "ok"
    elif name.startswith("epa"):
        wanted = "not_found"
    elif name == "operator" or (act in ONE_SIDED and name.startswith("dot")):
        wanted = "token_wrong_organisation"
    else:
        wanted = "role_required"
    assert outcome(lambda: perform(parties, agreement.id, act, who(parties, name))) == wanted
    added = log(parties)[len(entries) :]
    if wanted == "ok":
        assert [(entry["kind"], entry["act"]) for entry in added] == [("agreement_act", act)]
    elif wanted == "not_found":
        assert stored(parties) == database
    else:
        (entry,) = added
        assert (entry["kind"], entry["act"], entry["code"]) == ("refusal", act, wanted)
        assert entry["actor"] == {"organization": who(parties, name).organization, "principal": who(parties, name).id}
        assert parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id) == agreement


@pytest.mark.parametrize("name", EVERYBODY)
def test_who_may_ask(parties: World, name: str) -> None:
    if name.startswith("bts"):
        wanted = "terms_invalid" if name in ("bts analyst", "bts steward") else "role_required"  # it reads its own without
    else:
        wanted = "ok" if name.rpartition(" ")[2] in ("analyst", "steward") else "role_required"
    entries = log(parties)
    assert outcome(lambda: parties.exchange.agree.request(who(parties, name), parties.terms())) == wanted
    kinds = {"ok": ["agreement_act"], "role_required": ["refusal"], "terms_invalid": []}[wanted]
    assert [entry["kind"] for entry in log(parties)[len(entries) :]] == kinds


@pytest.mark.parametrize("name", EVERYBODY)
def test_an_agreement_is_shown_to_its_parties_and_to_nobody_else(parties: World, name: str) -> None:
    agreement, agree = in_state(parties, "OFFERED"), parties.exchange.agree
    wanted = "not_found" if name.startswith("epa") else "ok"
    assert outcome(lambda: agree.show(who(parties, name), agreement.id)) == wanted
    assert (agreement.id in {each.id for each in agree.listing(who(parties, name))}) is (wanted == "ok")


def test_a_stranger_gets_the_same_answer_for_what_is_there_and_what_is_not(parties: World, door: Server) -> None:
    agreement = in_state(parties, "FINALIZED")
    with door.client(parties.secrets["epa", "steward"]) as stranger:
        for method, act, body in (
            ("GET", "", None),
            ("POST", "/offer", {"terms": None}),
            ("POST", "/sign", {"terms_sha256": agreement.terms_sha256}),
            ("POST", "/suspend", {"reason": "x"}),
            ("POST", "/revoke", {"reason": "x"}),
            ("POST", "/terminate", {"reason": "x"}),
        ):
            there, not_there = (
                stranger.request(method, f"/api/v1/agreements/{number}{act}", json=body) for number in (agreement.id, "AGR-9999999")
            )
            assert there.status_code == not_there.status_code == 404
            assert there.json() | {"request_id": ""} == not_there.json() | {"request_id": ""}
    assert parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id) == agreement


@pytest.mark.parametrize(
    "agreement_id", ["AGR-0", "AGR-", "agr-0001", "AGR-0001 ", "0001", "AGR-99999999999999999999", "AGR--1", "AGR-१", ""]
)
def test_an_id_that_is_none_is_not_found(parties: World, agreement_id: str) -> None:
    assert outcome(lambda: parties.exchange.agree.show(LOCAL_OPERATOR, agreement_id)) == "not_found"
    assert outcome(lambda: parties.exchange.agree.revoke(parties.person("bts", "steward"), agreement_id, "x")) == "not_found"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "two\nlines", "\x1b[2J"])
@pytest.mark.parametrize("act", ["suspend", "revoke"])
def test_an_act_has_a_reason_that_can_be_printed(parties: World, act: str, reason: str) -> None:
    agreement = in_state(parties, "FINALIZED")
    database = stored(parties)
    doing = getattr(parties.exchange.agree, act)
    assert outcome(lambda: doing(parties.person("bts", "steward"), agreement.id, reason)) == "invalid_request"
    assert stored(parties) == database
    assert doing(parties.person("bts", "steward"), agreement.id, f" {'x' * 499}").reason == "x" * 499


# --- signatures ---


def test_both_sides_sign_once_each_and_then_it_is_in_force(parties: World) -> None:
    agreement = in_state(parties, "FINALIZED")
    signed = [(each.side, each.organization, each.principal, each.terms_sha256) for each in agreement.signatures]
    assert signed == [
        ("provider", "bts", parties.person("bts", "signatory").id, agreement.terms_sha256),
        ("consumer", "dot", parties.person("dot", "signatory").id, agreement.terms_sha256),
    ]
    assert all(each.time.tzinfo is UTC for each in agreement.signatures)
    assert agreement.shown_state(datetime.now(UTC)) == "ACTIVE"
    assert agreement.domain_key is not None


@pytest.mark.parametrize("side", ["bts", "dot"])
def test_one_side_cannot_sign_for_both(parties: World, side: str) -> None:
    agreement = in_state(parties, "OFFERED")
    colleague = parties.exchange.administer.add_principal(
        parties.person(side, "admin"), side, f"also of {agreement.id}", "person", ["signatory"]
    )
    perform(parties, agreement.id, "sign", parties.person(side, "signatory"))
    for again in (parties.person(side, "signatory"), colleague):
        assert outcome(lambda again=again: perform(parties, agreement.id, "sign", again)) == "conflict"
    assert len(parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id).signatures) == 1


@pytest.mark.parametrize("side", ["bts", "dot"])
def test_a_service_account_cannot_sign(parties: World, side: str) -> None:
    agreement = in_state(parties, "OFFERED")
    service = parties.exchange.administer.add_principal(
        parties.person(side, "admin"), side, f"robot of {agreement.id}", "service", ["signatory"]
    )
    with pytest.raises(Refused, match="person") as refused:
        perform(parties, agreement.id, "sign", service)
    assert refused.value.code == "role_required"
    assert log(parties)[-1]["actor"]["principal"] == service.id
    assert parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id).signatures == ()


def test_a_signature_is_over_exactly_the_digest_of_the_terms_as_they_stand(parties: World) -> None:
    agreement, signatory = in_state(parties, "OFFERED"), parties.person("dot", "signatory")
    database, digest = stored(parties), agreement.terms_sha256
    for other in ("", digest[:-1], digest.upper(), f" {digest}", "0" * 64, hashlib.sha256(b"").hexdigest(), f"sha256:{digest}"):
        with pytest.raises(Conflict) as refused:
            parties.exchange.agree.sign(signatory, agreement.id, other)
        assert refused.value.advice.next_command == f"baybridge agreement show {agreement.id}"
    assert stored(parties) == database
    assert parties.exchange.agree.sign(signatory, agreement.id, digest).state == "ACCEPTED"


def test_what_was_read_before_a_new_offer_can_no_longer_be_signed(parties: World) -> None:
    read = in_state(parties, "OFFERED")
    offered = parties.exchange.agree.offer(parties.person("bts", "steward"), read.id, parties.terms(columns=["flight"], masks={}))
    assert offered.terms_sha256 != read.terms_sha256
    assert outcome(lambda: parties.exchange.agree.sign(parties.person("dot", "signatory"), read.id, read.terms_sha256)) == "conflict"
    signed = parties.exchange.agree.sign(parties.person("dot", "signatory"), read.id, offered.terms_sha256)
    assert signed.terms is not None
    assert signed.terms.columns == ("flight",)


@pytest.mark.parametrize("state", ["ACCEPTED", "AGREED", "FINALIZED"])
def test_signed_terms_cannot_be_replaced_by_an_offer(parties: World, state: str) -> None:
    agreement = in_state(parties, state)
    database = stored(parties)
    wider = parties.terms(columns=["flight", "dest", "distance"], masks={}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, wider)) == "conflict"
    assert stored(parties) == database


def test_signatures_that_an_agreement_no_longer_carries_are_gone(parties: World) -> None:
    agreement = in_state(parties, "ACCEPTED")
    with parties.exchange.database.write() as connection:
        store.save(connection, replace(agreement, signatures=()))
    assert parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id).signatures == ()


def test_terms_that_are_over_cannot_be_signed(parties: World) -> None:
    now = datetime.now(UTC)
    start, end = (now - timedelta(days=2)).isoformat(), (now - timedelta(days=1)).isoformat()
    agreement = in_state(parties, "OFFERED", start=start, end=end)
    database = stored(parties)
    for side in ("bts", "dot"):
        assert outcome(lambda side=side: perform(parties, agreement.id, "sign", parties.person(side, "signatory"))) == "conflict"
    assert stored(parties) == database


def test_an_agreement_shows_what_the_clock_adds(parties: World) -> None:
    agreement = in_state(parties, "FINALIZED", start="2030-01-01T00:00:00-05:00", end="2031-01-01T00:00:00-05:00")
    start, end, moment = datetime(2030, 1, 1, 5, tzinfo=UTC), datetime(2031, 1, 1, 5, tzinfo=UTC), timedelta(microseconds=1)
    shown = [agreement.shown_state(when) for when in (start - moment, start, end - moment, end)]
    assert shown == ["SCHEDULED", "ACTIVE", "ACTIVE", "EXPIRED"]
    suspended = perform(parties, agreement.id, "suspend")
    assert {suspended.shown_state(when) for when in (start - moment, start, end)} == {"SUSPENDED"}


def test_terms_that_are_not_understood_can_be_ended_but_not_signed_or_offered_as_they_are(parties: World) -> None:
    acts = {"offer": "terms_not_understood", "sign_as_consumer": "terms_not_understood", "suspend": "ok", "revoke": "ok", "terminate": "ok"}
    states = {"offer": "OFFERED", "sign_as_consumer": "OFFERED", "suspend": "FINALIZED", "revoke": "SUSPENDED", "terminate": "AGREED"}
    for act, wanted in acts.items():
        agreement = in_state(parties, states[act])
        with parties.exchange.database.write() as connection:
            text = connection.exec_driver_sql("SELECT terms FROM agreements WHERE number = ?", (int(agreement.id[4:]),)).scalar_one()
            newer = json.dumps(json.loads(text) | {"quota": 5}, sort_keys=True, separators=(",", ":")).encode()
            connection.exec_driver_sql("UPDATE agreements SET terms = ? WHERE number = ?", (newer, int(agreement.id[4:])))
        assert parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id).terms is None
        assert outcome(lambda act=act, agreement=agreement: perform(parties, agreement.id, act)) == wanted
        with parties.exchange.database.read() as connection:
            kept = connection.exec_driver_sql("SELECT terms FROM agreements WHERE number = ?", (int(agreement.id[4:]),)).scalar_one()
        assert kept == newer, "terms that nobody understood are never rewritten"


# --- several at once ---


def race(world: World, agreement: Agreement, *acts: tuple[str, ...]) -> list[list[str]]:
    """Processes that each do their acts on one agreement, all let go at once; what each got."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", ACT, str(world.root), agreement.id, *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for each in acts
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * len(racers)
    return said


@pytest.mark.slow
@pytest.mark.parametrize("act", ["suspend", "revoke"])
def test_of_two_processes_that_do_the_same_exactly_one_wins(parties: World, act: str) -> None:
    agreement = in_state(parties, "FINALIZED")
    said = race(parties, agreement, (act,), (act,))
    assert sorted(said) == sorted([[str(agreement.epoch + 1)], ["conflict"]])


@pytest.mark.slow
def test_processes_that_suspend_and_resume_never_share_an_epoch(parties: World) -> None:
    agreement = in_state(parties, "FINALIZED")
    entries = log(parties)
    said = race(parties, agreement, ("suspend", "resume") * 10, ("resume", "suspend") * 10)
    won = sorted(int(word) for words in said for word in words if word != "conflict")
    assert won == list(range(agreement.epoch + 1, agreement.epoch + 1 + len(won)))
    assert len(won) > 2
    added = log(parties)[len(entries) :]
    assert [entry["epoch"] for entry in added] == won
    assert all(before["state"] != after["state"] for before, after in pairwise(added))


def test_of_eight_threads_that_revoke_exactly_one_wins(parties: World) -> None:
    agreement, got, ready = in_state(parties, "FINALIZED"), [], threading.Barrier(8)

    def revoke() -> None:
        ready.wait()
        got.append(outcome(lambda: perform(parties, agreement.id, "revoke")))

    threads = [threading.Thread(target=revoke) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["conflict"] * 7 + ["ok"]


def test_requests_at_once_get_ids_of_their_own(parties: World) -> None:
    ids: list[str] = []

    def ask() -> None:
        ids.append(parties.exchange.agree.request(parties.person("dot", "analyst"), parties.terms()).id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8


# --- terms that are refused ---

REFUSED_TERMS: list[tuple[dict[str, object], str, str | None, str | None]] = [
    ({"columns": ["flight", "carier"], "masks": {}}, "unknown_column", "columns", "carrier"),
    ({"columns": ["FLIGHT"], "masks": {}}, "unknown_column", "columns", "flight"),
    ({"columns": [], "masks": {}}, "terms_invalid", "columns", None),
    ({"columns": ["flight", "flight"], "masks": {}}, "terms_invalid", "columns", None),
    ({"columns": ["_row"], "masks": {}}, "unknown_column", "columns", None),
    ({"masks": {"tailnum": "hash"}}, "terms_invalid", "masks", None),
    ({"masks": {"tailnum": "pseudonim"}}, "terms_invalid", "masks", "pseudonym"),
    ({"masks": {"dest": "redact"}}, "terms_invalid", "masks", None),
    ({"masks": {"nothing": "redact"}}, "terms_invalid", "masks", None),
    ({"purposes": []}, "terms_invalid", "purposes", None),
    ({"purposes": ["Noise Study"]}, "invalid_request", "purposes", None),
    ({"provider_authority": ""}, "terms_invalid", "provider_authority", None),
    ({"consumer_authority": "  "}, "terms_invalid", "consumer_authority", None),
    ({"consumer_authority": "x" * 501}, "terms_invalid", "consumer_authority", None),
    ({"consumer_authority": "two\nlines"}, "terms_invalid", "consumer_authority", None),
    ({"start": "2030-01-01T00:00:00"}, "invalid_request", "start", None),
    ({"end": "2030-01-01"}, "invalid_request", "end", None),
    ({"end": "9999-12-31T23:59:59-14:00"}, "invalid_request", "end", None),
    ({"start": "0001-01-01T00:00:00+14:00"}, "invalid_request", "start", None),
    ({"start": "2030-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"}, "terms_invalid", "end", None),
    ({"start": "2030-01-01T00:00:00Z", "end": "2030-01-01T05:00:00+06:00"}, "terms_invalid", "end", None),
    ({"row_filter": "origin ="}, "filter_invalid", None, None),
    ({"row_filter": ""}, "filter_invalid", None, None),
    ({"row_filter": "orgin = 'JFK'"}, "unknown_column", None, "origin"),
    ({"row_filter": "origin > 5"}, "filter_invalid", None, None),
    ({"row_filter": "flight = 'five'"}, "filter_invalid", None, None),
    ({"row_filter": "departed > DATE('2013-01-01')"}, "filter_invalid", None, None),
    ({"linkage": True, "pseudonym_domain": "My Domain"}, "invalid_request", "pseudonym_domain", None),
    ({"dataset": "bts"}, "invalid_request", "dataset", None),
    ({"dataset": "bts.nothing"}, "not_found", None, None),
    ({"dataset": "nobody.flights"}, "not_found", None, None),
]


@pytest.mark.parametrize(("changes", "code", "place", "hint"), REFUSED_TERMS)
def test_terms_that_mean_nothing_here_are_refused_and_told_where(
    parties: World, changes: dict[str, object], code: str, place: str | None, hint: str | None
) -> None:
    database = stored(parties)
    with pytest.raises(BaybridgeError) as refused:
        parties.exchange.agree.request(parties.person("dot", "analyst"), parties.terms(**changes))
    assert refused.value.code == code
    if place is not None:
        assert refused.value.places[0].parameter == place
    if hint is not None:
        assert refused.value.places[0].hint == hint
    assert stored(parties) == database


@pytest.mark.parametrize(("changes", "code", "place", "hint"), REFUSED_TERMS)
def test_what_cannot_be_asked_for_cannot_be_offered(
    parties: World, changes: dict[str, object], code: str, place: str | None, hint: str | None
) -> None:
    del place, hint
    agreement = in_state(parties, "REQUESTED")
    database = stored(parties)
    wanted = "terms_invalid" if code == "not_found" else code  # another dataset cannot be offered, whether there is one or not
    terms = parties.terms(**changes)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, terms)) == wanted
    assert stored(parties) == database


def test_an_offer_cannot_be_about_another_dataset(parties: World) -> None:
    agreement = in_state(parties, "REQUESTED")
    parties.publish("bts.airlines", b"carrier,name\nUA,United\n", key=("carrier",))
    terms = parties.terms(dataset="bts.airlines", columns=["carrier"], masks={}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, terms)) == "terms_invalid"


def test_a_double_cannot_be_pseudonymised(parties: World) -> None:
    schema = {"fields": [{"name": "level", "type": "number", "baybridge:type": "double"}], "missingValues": ["", "NA"]}
    parties.publish("bts.levels", b"level\n1.5\n", schema=schema)
    terms = parties.terms(dataset="bts.levels", columns=["level"], masks={"level": "pseudonym"}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), terms)) == "terms_invalid"
    redacted = parties.terms(dataset="bts.levels", columns=["level"], masks={"level": "redact"}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), redacted)) == "ok"


def test_terms_cannot_be_asked_for_before_there_is_a_schema(parties: World) -> None:
    parties.exchange.publish.declare(parties.person("bts", "steward"), DatasetName("bts", "later"), Declaration())
    terms = parties.terms(dataset="bts.later")
    assert outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), terms)) == "conflict"


def test_terms_are_at_most_64_kilobytes(parties: World) -> None:
    purposes = [f"p{number:04d}{'x' * 58}" for number in range(1_100)]
    assert (
        outcome(lambda: parties.exchange.agree.request(parties.person("dot", "analyst"), parties.terms(purposes=purposes)))
        == "terms_invalid"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"quota": 5},
        {"history": 1},
        {"linkage": "yes"},
        {"rows_per_day": "5"},
        {"code_lists": {"makers": {"codes": {"N1": "N"}}}},
        {"row_filters": "origin = 'JFK'"},
        {"columns": "flight"},
        {"columns": [1]},
        {"masks": [["tailnum", "redact"]]},
        {"start": 5},
        {"end": None},
        {"provider_authority": None},
    ],
)
def test_a_term_that_is_unknown_or_of_another_type_is_never_skipped(parties: World, door: Server, body: dict[str, object]) -> None:
    database = stored(parties)
    plain = msgspec.to_builtins(parties.terms())
    with door.client(parties.secrets["dot", "analyst"]) as client:
        answer = client.post("/api/v1/agreements", json=plain | body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["errors"][0]["parameter"]
        del plain["end"]
        assert client.post("/api/v1/agreements", json=plain).json()["code"] == "invalid_request"
    assert [line for line in stored(parties) if "agreements" in line] == [line for line in database if "agreements" in line]


def test_an_agreement_is_made_and_ended_over_http(parties: World, door: Server) -> None:
    sides = {
        name: door.client(parties.secrets[*name])
        for name in (("dot", "analyst"), ("bts", "steward"), ("bts", "signatory"), ("dot", "signatory"))
    }
    try:
        asked = sides["dot", "analyst"].post("/api/v1/agreements", json=msgspec.to_builtins(parties.terms()))
        assert asked.status_code == 201
        agreement = asked.json()
        assert agreement["terms"] == msgspec.to_builtins(
            Terms.parse(parties.terms(start=agreement["terms"]["start"], end=agreement["terms"]["end"])).shape()
        )
        at = f"/api/v1/agreements/{agreement['id']}"
        offered = sides["bts", "steward"].post(f"{at}/offer", json={}).json()
        signature = {"terms_sha256": offered["terms_sha256"]}
        states = [
            agreement["state"],
            offered["state"],
            *(sides[side, "signatory"].post(f"{at}/sign", json=signature).json()["state"] for side in ("dot", "bts")),
            *(sides["bts", "steward"].post(f"{at}/{act}", json={"reason": "x"}).json()["state"] for act in ("suspend", "resume", "revoke")),
        ]
        assert states == ["REQUESTED", "OFFERED", "ACCEPTED", "ACTIVE", "SUSPENDED", "ACTIVE", "REVOKED"]
        refused = sides["bts", "steward"].post(f"{at}/resume", json={"reason": "x"})
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert sides["bts", "steward"].post(f"{at}/suspend", json={}).json()["code"] == "invalid_request"
        mine = sides["dot", "analyst"].get("/api/v1/agreements").json()["agreements"]
        assert sides["dot", "analyst"].get(at).json() in mine
    finally:
        for client in sides.values():
            client.close()


def test_every_code_that_these_tests_expect_is_one() -> None:
    assert {code for _, code, _, _ in REFUSED_TERMS} <= CODES.keys()

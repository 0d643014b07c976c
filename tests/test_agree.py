"""Agreements: who may do what in which state, and what a signature is over."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from conftest import FLIGHTS, ROLES, Server, World, make_world, serving, wait_until
from negotiating import in_state, log, outcome, perform, who

from baybridge.agreements import store
from baybridge.agreements.agreement import Agreement
from baybridge.errors import Conflict, Refused
from baybridge.principals.principal import LOCAL_OPERATOR

# Who may: every other principal of a party is refused with role_required or, on the other side, token_wrong_organisation.
ALLOWED = {
    "offer": {"bts steward"},
    "sign": {"bts signatory", "dot signatory"},
    "suspend": {"bts steward", "bts signatory"},
    "resume": {"bts steward", "bts signatory"},
    "revoke": {"bts steward", "bts signatory"},
    "close": {"dot steward", "dot signatory"},
    "terminate": {f"{side} {role}" for side in ("bts", "dot") for role in ("steward", "signatory", "analyst")},
}
ONE_SIDED = {"offer": "bts", "suspend": "bts", "resume": "bts", "revoke": "bts", "close": "dot"}
STARTS = {
    "offer": "REQUESTED",
    "sign": "OFFERED",
    "suspend": "FINALIZED",
    "resume": "SUSPENDED",
    "revoke": "FINALIZED",
    "close": "REVOKED",
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


# --- the life of an agreement ---


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("act", sorted(ALLOWED))
def test_who_may_do_what_and_every_refusal_is_entered(parties: World, act: str, name: str) -> None:
    agreement = in_state(parties, STARTS[act])
    database, entries = parties.stored(), log(parties)
    if name in ALLOWED[act]:
        wanted = "ok"
    elif name.startswith("epa"):
        wanted = "not_found"
    elif name == "operator" or not name.startswith(ONE_SIDED.get(act, name)):
        wanted = "token_wrong_organisation"
    else:
        wanted = "role_required"
    assert outcome(lambda: perform(parties, agreement.id, act, who(parties, name))) == wanted
    added = log(parties)[len(entries) :]
    if wanted == "ok":
        assert [(entry["kind"], entry["act"]) for entry in added] == [("agreement_act", act)]
    elif wanted == "not_found":
        assert parties.stored() == database
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
    database = parties.stored()
    doing = getattr(parties.exchange.agree, act)
    assert outcome(lambda: doing(parties.person("bts", "steward"), agreement.id, reason)) == "invalid_request"
    assert parties.stored() == database
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
    database, digest = parties.stored(), agreement.terms_sha256
    for other in ("", digest[:-1], digest.upper(), f" {digest}", "0" * 64, hashlib.sha256(b"").hexdigest(), f"sha256:{digest}"):
        with pytest.raises(Conflict) as refused:
            parties.exchange.agree.sign(signatory, agreement.id, other)
        assert refused.value.advice.next_command == f"baybridge agreement show {agreement.id}"
    assert parties.stored() == database
    assert parties.exchange.agree.sign(signatory, agreement.id, digest).state == "ACCEPTED"


def test_what_was_read_before_a_new_offer_can_no_longer_be_signed(parties: World) -> None:
    read = in_state(parties, "OFFERED")
    offered = parties.exchange.agree.offer(parties.person("bts", "steward"), read.id, parties.terms(columns=["flight"], masks={}))
    assert offered.terms_sha256 != read.terms_sha256
    assert outcome(lambda: parties.exchange.agree.sign(parties.person("dot", "signatory"), read.id, read.terms_sha256)) == "conflict"
    signed = parties.exchange.agree.sign(parties.person("dot", "signatory"), read.id, offered.terms_sha256)
    assert signed.terms is not None
    assert signed.terms.columns == ("flight",)


@pytest.mark.parametrize("state", ["FINALIZED", "SUSPENDED", "REVOKED", "CLOSED"])
def test_terms_that_both_have_signed_are_never_replaced(parties: World, state: str) -> None:
    agreement = in_state(parties, state)
    database = parties.stored()
    wider = parties.terms(columns=["flight", "dest", "distance"], masks={}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.offer(parties.person("bts", "steward"), agreement.id, wider)) == "conflict"
    assert outcome(lambda: parties.exchange.agree.counter(parties.person("dot", "analyst"), agreement.id, wider)) == "conflict"
    assert parties.stored() == database


def test_signatures_that_an_agreement_no_longer_carries_are_gone(parties: World) -> None:
    agreement = in_state(parties, "ACCEPTED")
    with parties.exchange.database.write() as connection:
        store.save(connection, replace(agreement, signatures=()))
    assert parties.exchange.agree.show(LOCAL_OPERATOR, agreement.id).signatures == ()


def test_terms_that_are_over_cannot_be_signed(parties: World) -> None:
    end = datetime.now(UTC) + timedelta(seconds=1)
    agreement = in_state(parties, "OFFERED", end=end.isoformat())
    wait_until(lambda: datetime.now(UTC) > end)
    database = parties.stored()
    for side in ("bts", "dot"):
        assert outcome(lambda side=side: perform(parties, agreement.id, "sign", parties.person(side, "signatory"))) == "conflict"
    assert parties.stored() == database


def test_an_agreement_shows_what_the_clock_adds(parties: World) -> None:
    agreement = in_state(parties, "FINALIZED", start="2030-01-01T00:00:00-05:00", end="2031-01-01T00:00:00-05:00")
    start, end, moment = datetime(2030, 1, 1, 5, tzinfo=UTC), datetime(2031, 1, 1, 5, tzinfo=UTC), timedelta(microseconds=1)
    shown = [agreement.shown_state(when) for when in (start - moment, start, end - moment, end)]
    assert shown == ["SCHEDULED", "ACTIVE", "ACTIVE", "EXPIRED"]
    suspended = perform(parties, agreement.id, "suspend")
    shown = [suspended.shown_state(when) for when in (start - moment, start, end - moment, end)]
    assert shown == ["SUSPENDED", "SUSPENDED", "SUSPENDED", "EXPIRED"]


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


def test_an_agreement_that_has_moved_leaves_no_reference_to_an_extract_behind(parties: World) -> None:
    """A revoke that comes between the decision and the note of its extract: nothing would ever drop that note again."""
    agreement = in_state(parties, "FINALIZED")
    perform(parties, agreement.id, "revoke")
    with parties.exchange.database.write() as connection:
        assert not store.refer_to_extract(connection, agreement, "0" * 64, now=agreement.created)
        kept = sa.select(sa.func.count()).select_from(store.EXTRACT_REFERENCES).where(store.EXTRACT_REFERENCES.c.extract_sha256 == "0" * 64)
        assert connection.execute(kept).scalar() == 0

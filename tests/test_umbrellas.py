"""What an organization does as a whole: umbrellas signed in one act, approvals before a signature, and what it is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conftest import FLIGHTS, OFFICERS, World, make_world, serving
from negotiating import in_state, log, outcome, perform

from baybridge.agreements.agreement import Agreement
from baybridge.agreements.umbrellas import Umbrella
from baybridge.principals.principal import LOCAL_OPERATOR


@pytest.fixture
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("umbrellas") / "home", "bts", "dot", "epa")
    for organization in ("bts", "dot"):
        made.employ(organization, *OFFICERS)
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    made.publish("bts.airlines", b"carrier,name\nUA,United\n", key=("carrier",))
    yield made
    made.exchange.close()


def asked(world: World) -> Umbrella:
    airlines = world.terms(dataset="bts.airlines", columns=["carrier"], masks={}, row_filter=None)
    return world.exchange.umbrellas.request(world.person("dot", "analyst"), "Noise of the airports", [world.terms(), airlines])


def sign(world: World, umbrella: Umbrella, side: str, digest: str | None = None) -> Umbrella:
    return world.exchange.umbrellas.sign(world.person(side, "signatory"), umbrella.id, digest or umbrella.digest())


def approve(world: World, agreement: Agreement, organization: str, role: str) -> Agreement:
    return world.exchange.agree.approve(world.person(organization, role), agreement.id, role, agreement.terms_sha256)


# --- umbrellas ---


def test_one_act_signs_every_agreement_under_an_umbrella_each_with_its_own_entry(parties: World) -> None:
    umbrella = parties.exchange.umbrellas.offer(parties.person("bts", "steward"), asked(parties).id)
    assert [each.state for each in umbrella.agreements] == ["OFFERED", "OFFERED"]
    entries = len(log(parties))
    sign(parties, umbrella, "dot")
    signed = sign(parties, umbrella, "bts")
    assert [each.state for each in signed.agreements] == ["FINALIZED", "FINALIZED"]
    mine = [(each["agreement"], each["umbrella"]) for each in log(parties)[entries:] if each["act"] == "sign"]
    assert mine == [(each.id, umbrella.id) for _ in range(2) for each in umbrella.agreements]


def test_the_digest_of_an_umbrella_is_over_the_digests_in_order(parties: World) -> None:
    umbrella = asked(parties)
    listed = [{"agreement": each.id, "terms_sha256": each.terms_sha256} for each in umbrella.agreements]
    text = json.dumps(
        {"agreements": listed, "format": 1, "title": "Noise of the airports", "umbrella": umbrella.id},
        separators=(",", ":"),
        sort_keys=True,
    )
    assert umbrella.digest() == hashlib.sha256(text.encode()).hexdigest()


def test_all_are_signed_or_none_is(parties: World) -> None:
    umbrella = asked(parties)
    parties.exchange.agree.offer(parties.person("bts", "steward"), umbrella.agreements[0].id, None)
    database = parties.stored()
    assert outcome(lambda: sign(parties, umbrella, "dot")) == "conflict", "the second is not offered"
    assert parties.stored() == database


def test_an_umbrella_covers_the_rest_where_one_of_its_agreements_was_signed_alone(parties: World) -> None:
    """The provider signed the second before anything was offered; the consumer signs the first alone once it is."""
    umbrella = asked(parties)
    first, second = umbrella.agreements
    alone = perform(parties, second.id, "sign_as_provider")
    umbrella = parties.exchange.umbrellas.offer(parties.person("bts", "steward"), umbrella.id)
    assert [each.state for each in umbrella.agreements] == ["OFFERED", "AGREED"]
    mine = perform(parties, first.id, "sign_as_consumer")
    assert [each.state for each in sign(parties, umbrella, "bts").agreements] == ["FINALIZED", "AGREED"]
    signed = sign(parties, umbrella, "dot")
    assert [each.state for each in signed.agreements] == ["FINALIZED", "FINALIZED"]
    assert signed.digest() == umbrella.digest()
    assert (signed.agreements[0].signatures[0], signed.agreements[1].signatures[0]) == (*mine.signatures, *alone.signatures)
    assert [len(each.signatures) for each in signed.agreements] == [2, 2]


def test_an_umbrella_with_nothing_left_is_neither_signed_nor_offered_again(parties: World) -> None:
    umbrella = parties.exchange.umbrellas.offer(parties.person("bts", "steward"), asked(parties).id)
    sign(parties, umbrella, "dot")
    database = parties.stored()
    assert outcome(lambda: sign(parties, umbrella, "dot")) == "conflict"
    assert outcome(lambda: parties.exchange.umbrellas.offer(parties.person("bts", "steward"), umbrella.id)) == "conflict"
    assert parties.stored() == database


def test_what_was_read_before_a_text_changed_cannot_be_signed(parties: World) -> None:
    umbrella = asked(parties)
    other = parties.terms(columns=["flight"], masks={})
    parties.exchange.agree.counter(parties.person("dot", "analyst"), umbrella.agreements[0].id, other)
    assert outcome(lambda: sign(parties, umbrella, "bts")) == "conflict"
    assert outcome(lambda: sign(parties, parties.exchange.umbrellas.show(LOCAL_OPERATOR, umbrella.id), "bts")) == "ok"


def test_a_negotiation_that_was_ended_is_not_covered(parties: World) -> None:
    umbrella = asked(parties)
    perform(parties, umbrella.agreements[1].id, "terminate")
    umbrella = parties.exchange.umbrellas.show(LOCAL_OPERATOR, umbrella.id)
    assert [each.state for each in sign(parties, umbrella, "bts").agreements] == ["AGREED", "TERMINATED"]


def test_an_umbrella_is_of_one_provider_and_shown_to_its_parties(parties: World) -> None:
    analyst, umbrellas = parties.person("dot", "analyst"), parties.exchange.umbrellas
    parties.publish("epa.air", b"site\nA\n", key=("site",))
    foreign = parties.terms(dataset="epa.air", columns=["site"], masks={}, row_filter=None)
    database = parties.stored()
    for terms in ([], [parties.terms(), foreign], [parties.terms()] * 51):
        assert outcome(lambda terms=terms: umbrellas.request(analyst, "Noise", terms)) == "terms_invalid"
    assert outcome(lambda: umbrellas.request(analyst, "Noise", [parties.terms(), parties.terms(columns=["nothing"])])) != "ok"
    assert parties.stored() == database, "nothing of it is asked for when one cannot be"
    umbrella = asked(parties)
    assert outcome(lambda: umbrellas.show(parties.person("epa", "steward"), umbrella.id)) == "not_found"
    assert outcome(lambda: umbrellas.show(parties.person("bts", "auditor"), umbrella.id)) == "ok"
    assert [each.id for each in umbrellas.listing(analyst)] == [umbrella.id]
    for nothing in ("UMB-0", "UMB-9999", "AGR-0001", "UMB-१", ""):
        assert outcome(lambda nothing=nothing: umbrellas.show(LOCAL_OPERATOR, nothing)) == "not_found"


def test_an_umbrella_of_an_unknown_provider_or_by_the_operator_is_refused_before_it_is_made(parties: World) -> None:
    stranger = parties.terms(dataset="nobody.flights")
    umbrellas = parties.exchange.umbrellas
    assert outcome(lambda: umbrellas.request(parties.person("dot", "analyst"), "t", [stranger])) == "not_found"
    assert outcome(lambda: umbrellas.request(LOCAL_OPERATOR, "t", [parties.terms()])) == "role_required"
    assert umbrellas.listing(parties.person("dot", "analyst")) == ()


# --- approvals ---


def test_a_signatory_waits_for_the_approvals_that_its_organization_requires(parties: World) -> None:
    parties.exchange.inbox.require_approvals(parties.person("dot", "admin"), "dot", list(OFFICERS))
    agreement = in_state(parties, "OFFERED")
    for role in OFFICERS:
        assert outcome(lambda: perform(parties, agreement.id, "sign_as_consumer")) == "approvals_missing"
        approve(parties, agreement, "dot", role)
    assert log(parties)[-1]["role"] == "counsel"
    assert perform(parties, agreement.id, "sign_as_provider").state == "AGREED", "the other organization requires none"
    assert perform(parties, agreement.id, "sign_as_consumer").state == "FINALIZED"


def test_the_approvals_of_one_side_do_not_count_for_the_other(parties: World) -> None:
    parties.exchange.inbox.require_approvals(parties.person("dot", "admin"), "dot", ["counsel"])
    agreement = in_state(parties, "OFFERED")
    approve(parties, agreement, "bts", "counsel")
    assert outcome(lambda: perform(parties, agreement.id, "sign_as_consumer")) == "approvals_missing"


def test_who_asked_or_wrote_the_terms_does_not_approve_them_and_nobody_approves_twice(parties: World) -> None:
    agree, administer = parties.exchange.agree, parties.exchange.administer
    everything = administer.add_principal(LOCAL_OPERATOR, "dot", "All of it", "person", ["analyst", "steward", *OFFICERS])
    writer = administer.add_principal(LOCAL_OPERATOR, "bts", "Writer", "person", ["steward", "counsel"])
    agreement = agree.request(everything, parties.terms())
    assert outcome(lambda: agree.approve(everything, agreement.id, "counsel", agreement.terms_sha256)) == "duties_not_separate"
    offered = agree.offer(writer, agreement.id, parties.terms(columns=["flight"], masks={}))
    for person in (everything, writer):
        assert outcome(lambda person=person: agree.approve(person, agreement.id, "counsel", offered.terms_sha256)) == "duties_not_separate"
    other = agree.request(parties.person("dot", "analyst"), parties.terms())
    agree.approve(everything, other.id, "counsel", other.terms_sha256)
    assert outcome(lambda: agree.approve(everything, other.id, "privacy_officer", other.terms_sha256)) == "duties_not_separate"
    assert outcome(lambda: approve(parties, other, "dot", "counsel")) == "conflict"


def test_an_approval_needs_the_role_a_person_and_the_digest_that_stands(parties: World) -> None:
    agree = parties.exchange.agree
    agreement = in_state(parties, "OFFERED")
    robot = parties.exchange.administer.add_principal(LOCAL_OPERATOR, "dot", "Robot", "service", ["counsel"])
    digest = agreement.terms_sha256
    assert outcome(lambda: agree.approve(parties.person("dot", "signatory"), agreement.id, "counsel", digest)) == "role_required"
    assert outcome(lambda: agree.approve(robot, agreement.id, "counsel", digest)) == "role_required"
    assert outcome(lambda: agree.approve(parties.person("dot", "counsel"), agreement.id, "counsel", "0" * 64)) == "conflict"
    assert outcome(lambda: agree.approve(parties.person("dot", "steward"), agreement.id, "steward", digest)) == "invalid_request"
    assert outcome(lambda: agree.approve(LOCAL_OPERATOR, agreement.id, "counsel", digest)) == "token_wrong_organisation"


def test_only_an_admin_says_which_approvals_are_required_and_it_is_entered(parties: World) -> None:
    inbox = parties.exchange.inbox
    assert outcome(lambda: inbox.require_approvals(parties.person("bts", "steward"), "bts", [])) == "role_required"
    assert outcome(lambda: inbox.require_approvals(parties.person("dot", "admin"), "bts", [])) == "token_wrong_organisation"
    assert outcome(lambda: inbox.require_approvals(parties.person("bts", "admin"), "bts", ["analyst"])) == "invalid_request"
    assert inbox.require_approvals(parties.person("bts", "admin"), "bts", ["counsel", "counsel"]) == ("counsel",)
    assert (log(parties)[-1]["kind"], log(parties)[-1]["roles"]) == ("approvals_required", ["counsel"])
    assert inbox.approvals(parties.person("dot", "analyst"), "bts") == ("counsel",)


# --- notices ---


def test_each_act_tells_the_other_side_and_a_step_of_the_server_tells_both(parties: World) -> None:
    agreement = in_state(parties, "REVOKED")

    def told(organization: str) -> list[str]:
        found = parties.exchange.inbox.notices(parties.person(organization, "analyst"), before=None, limit=100)
        assert all(each.subject == agreement.id and "because" not in each.text for each in found)
        return [each.kind for each in reversed(found)]

    assert told("bts") == ["request", "sign", "finalize"]
    assert told("dot") == ["offer", "sign", "finalize", "revoke"]
    assert parties.exchange.inbox.notices(parties.person("epa", "analyst"), before=None, limit=100) == ()


@pytest.mark.slow
def test_notices_are_paged_newest_first_and_marked_as_read_by_their_own_organization_only(parties: World) -> None:
    for _ in range(3):
        in_state(parties, "OFFERED")
    with serving(parties.root) as server:
        mine, other = (server.client(parties.secrets[name, "analyst"]) for name in ("dot", "bts"))
        first = mine.get("/api/v1/notices", params={"limit": "2"}).json()
        (following,) = [link["href"] for link in first["links"] if link["rel"] == "next"]
        second = mine.get(following).json()
        assert second["links"] == []
        numbers = [each["id"] for page in (first, second) for each in page["notices"]]
        assert numbers == sorted(numbers, reverse=True)
        assert len(set(numbers)) == 3
        marked = [mine.post(f"/api/v1/notices/{numbers[0]}/read").json() for _ in range(2)]
        assert marked[0]["read"] is not None
        assert marked[0] == marked[1] == mine.get("/api/v1/notices").json()["notices"][0]
        assert other.post(f"/api/v1/notices/{numbers[1]}/read").status_code == 404
        assert mine.post("/api/v1/notices/nothing/read").status_code == 404
        for wrong in ({"limit": "0"}, {"limit": "1001"}, {"before": "-1"}, {"before": "x"}):
            assert mine.get("/api/v1/notices", params=wrong).status_code == 400


def test_what_ends_soon_and_has_no_successor_is_named(parties: World) -> None:
    soon = (datetime.now(UTC) + timedelta(days=20)).isoformat()
    ending = in_state(parties, "FINALIZED", end=soon)
    in_state(parties, "FINALIZED")
    in_state(parties, "OFFERED", end=soon)
    analyst = parties.person("dot", "analyst")
    assert [each.id for each in parties.exchange.inbox.ending_soon(analyst)] == [ending.id]
    begun = parties.exchange.agree.succeed(analyst, ending.id, parties.terms())
    perform(parties, begun.id, "sign_as_provider")
    perform(parties, begun.id, "sign_as_consumer")
    assert parties.exchange.inbox.ending_soon(analyst) == ()

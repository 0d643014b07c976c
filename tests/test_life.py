"""The life of an agreement through HTTP: every act in every state by every side, and one whole life from the request to its close."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest
from conftest import FLIGHTS, OFFICERS, Server, World, make_world, serving, wait_until
from life_story import STORY, Step
from negotiating import log

from baybridge.agreements.agreement import MESSAGES, SIDES, TRANSITIONS, Action

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("life")]

# Written down once more, as people are told it: in each state, each act that is possible, whose it is, and what it leads to.
BOTH = ("provider", "consumer")
OPEN = {"request": (("consumer",), "REQUESTED"), "offer": (("provider",), "OFFERED"), "terminate": (BOTH, "TERMINATED")}
ALIVE = {"suspend": (("provider",), "SUSPENDED"), "revoke": (("provider",), "REVOKED"), "successor": (BOTH, "NEW")}
POSSIBLE: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "REQUESTED": {**OPEN, "approve": (BOTH, "REQUESTED"), "sign": (("provider",), "AGREED")},
    "OFFERED": {**OPEN, "approve": (BOTH, "OFFERED"), "sign": (BOTH, "ACCEPTED|AGREED")},
    "ACCEPTED": {**OPEN, "approve": (BOTH, "ACCEPTED"), "sign": (("provider",), "ACTIVE")},
    "AGREED": {**OPEN, "approve": (BOTH, "AGREED"), "sign": (("consumer",), "ACTIVE")},
    "SCHEDULED": ALIVE,
    "ACTIVE": ALIVE,
    "SUSPENDED": {"resume": (("provider",), "ACTIVE"), "revoke": (("provider",), "REVOKED"), "successor": (BOTH, "NEW")},
    "REVOKED": {"close": (("consumer",), "CLOSED")},
    "EXPIRED": {"close": (("consumer",), "CLOSED"), "successor": (BOTH, "NEW")},
    "SUPERSEDED": {},
    "CLOSED": {},
    "TERMINATED": {},
}
WAYS = {
    "REQUESTED": (),
    "OFFERED": ("offer",),
    "ACCEPTED": ("offer", "sign consumer"),
    "AGREED": ("sign provider",),
    "SCHEDULED": ("sign provider", "sign consumer"),
    "ACTIVE": ("offer", "sign consumer", "sign provider"),
    "SUSPENDED": ("sign provider", "sign consumer", "suspend"),
    "REVOKED": ("sign provider", "sign consumer", "revoke"),
    "EXPIRED": ("sign provider", "sign consumer", "wait"),
    "SUPERSEDED": ("sign provider", "sign consumer", "supersede"),
    "CLOSED": ("sign provider", "sign consumer", "revoke", "close"),
    "TERMINATED": ("terminate",),
}
ACTS = {
    "request": {"provider": "steward", "consumer": "analyst"},
    "offer": {"provider": "steward", "consumer": "steward"},
    "approve": {"provider": "counsel", "consumer": "counsel"},
    "sign": {"provider": "signatory", "consumer": "signatory"},
    "terminate": {"provider": "steward", "consumer": "analyst"},
    "suspend": {"provider": "steward", "consumer": "steward"},
    "resume": {"provider": "steward", "consumer": "steward"},
    "revoke": {"provider": "signatory", "consumer": "signatory"},
    "close": {"provider": "steward", "consumer": "steward"},
    "successor": {"provider": "steward", "consumer": "analyst"},
}
ONE_SIDED = {"request": "consumer", "offer": "provider", "close": "consumer"} | dict.fromkeys(("suspend", "resume", "revoke"), "provider")
PARTIES = {"provider": "bts", "consumer": "dot"}


@dataclass
class Stage:
    """A served exchange, with a client for everybody."""

    world: World
    server: Server
    clients: dict[tuple[str, str], httpx2.Client]

    def post(self, who: tuple[str, str], path: str, body: object) -> httpx2.Response:
        if who not in self.clients:
            self.clients[who] = self.server.client(self.world.secrets[who])
        return self.clients[who].post(f"/api/v1/agreements{path}", json=msgspec.to_builtins(body))

    def show(self, agreement_id: str) -> dict[str, Any]:
        answer = self.clients["dot", "analyst"].get(f"/api/v1/agreements/{agreement_id}")
        found: dict[str, Any] = answer.json()
        return found

    def act(self, act: str, side: str, agreement: dict[str, Any]) -> httpx2.Response:
        bodies: dict[str, object] = {
            "request": {"terms": self.world.terms(columns=["flight"], masks={})},
            "offer": {"terms": self.world.terms(columns=["flight", "origin"], masks={})},
            "approve": {"role": "counsel", "terms_sha256": agreement["terms_sha256"]},
            "sign": {"terms_sha256": agreement["terms_sha256"]},
            "close": {"statement": "All copies are destroyed."},
            "successor": {"terms": self.world.terms()},
        }
        body = bodies.get(act, {"reason": f"because of {act}"})
        return self.post((PARTIES[side], ACTS[act][side]), f"/{agreement['id']}/{act}", body)

    def begin(self, state: str) -> dict[str, Any]:
        """A new agreement on its way to that state; one that shall expire does so in six seconds."""
        now = datetime.now(UTC)
        changes: dict[str, object] = {
            "SCHEDULED": {"start": (now + timedelta(days=9)).isoformat()},
            "EXPIRED": {"end": (now + timedelta(seconds=6)).isoformat()},
        }.get(state, {})
        asked = self.post(("dot", "analyst"), "", self.world.terms(**changes))
        assert asked.status_code == 201
        agreement: dict[str, Any] = asked.json()
        for step in WAYS[state]:
            act, _, side = step.partition(" ")
            if act == "supersede":
                successor = self.act("successor", "consumer", agreement).json()
                for side in ("provider", "consumer"):
                    assert self.act("sign", side, successor).status_code == 200
            elif act != "wait":
                done = self.act(act, side or ONE_SIDED.get(act, "consumer"), agreement)
                assert done.status_code == 200, done.text
            agreement = self.show(agreement["id"])
        return agreement


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    world = make_world(tmp_path_factory.mktemp("life") / "home")
    for organization in PARTIES.values():
        world.employ(organization, *OFFICERS)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    with serving(world.root) as server:
        yield Stage(world, server, {})
    world.exchange.close()


def test_the_table_of_the_code_is_the_one_told_here() -> None:
    told = {
        (state, act, side)
        for state, acts in POSSIBLE.items()
        for act, (sides, _) in acts.items()
        for side in sides
        if act != "successor" and state not in ("SCHEDULED", "ACTIVE")
    }
    coded = {(str(state), action.word, str(side)) for state, action in TRANSITIONS for side in SIDES[action] if state != "FINALIZED"}
    assert coded == told
    assert {action.word for action in Action if SIDES[action]} | {"successor"} == ACTS.keys()


@pytest.mark.parametrize("state", sorted(POSSIBLE))
def test_every_act_in_every_state_by_every_side_happens_or_is_a_conflict_that_says_what_is_possible(stage: Stage, state: str) -> None:
    possible = POSSIBLE[state]
    fresh = {(act, side): stage.begin(state) for act, (sides, _) in possible.items() for side in sides}
    standing = stage.begin(state)
    if state == "EXPIRED":
        wait_until(lambda: stage.show(standing["id"])["state"] == "EXPIRED")
    assert stage.show(standing["id"])["state"] == state
    for act, sides in ACTS.items():
        for side in sides:
            if (act, side) in fresh:
                before = stage.show(fresh[act, side]["id"])
                done = stage.act(act, side, before)
                after = done.json()
                assert done.status_code == (201 if act == "successor" else 200), (act, side, done.text)
                if act == "successor":
                    assert (after["state"], after["supersedes"]) == ({"provider": "OFFERED", "consumer": "REQUESTED"}[side], before["id"])
                    assert stage.show(before["id"]) == before
                else:
                    assert after["state"] in possible[act][1].split("|"), (act, side)
                    assert after["epoch"] > before["epoch"]
                    assert stage.show(before["id"]) == after
            else:
                refused = stage.act(act, side, standing)
                if side != ONE_SIDED.get(act, side):
                    assert (refused.status_code, refused.json()["code"]) == (403, "token_wrong_organisation"), (act, side)
                else:
                    assert (refused.status_code, refused.json()["code"]) == (409, "conflict"), (act, side, refused.text)
                    says = refused.json()["next_step"]
                    for each, (sides_of_it, _) in possible.items():
                        named = f"{each} ({' or '.join(sides_of_it)})"
                        assert named in says, (named, says)
                    assert possible or "final" in says
    assert stage.show(standing["id"])["epoch"] == standing["epoch"]


@pytest.mark.parametrize("address", ["agreements/AGR-9999", "umbrellas/UMB-9999", "collections/bts.none", "audit/none/checkpoint", "none"])
def test_what_is_not_found_is_told_with_rule_and_next_step(stage: Stage, address: str) -> None:
    problem = stage.server.client(stage.world.secrets["dot", "analyst"]).get(f"/api/v1/{address}").json()
    assert problem["code"] == "not_found"
    assert all(problem[told] for told in ("rule", "who_can_change", "next_step")), problem


def test_an_agreement_says_itself_what_is_possible(stage: Stage) -> None:
    for state in ("REQUESTED", "ACTIVE", "REVOKED", "CLOSED"):
        named = [f"{act} ({' or '.join(sides)})" for act, (sides, _) in POSSIBLE[state].items()]
        assert sorted(stage.begin(state)["possible"]) == sorted(named)


def test_the_whole_life_of_an_agreement_through_rest(stage: Stage) -> None:
    told: dict[str, dict[str, Any]] = {}
    for step in STORY:
        answer = replay(stage, step, told)
        assert answer.status_code in (200, 201), (step, answer.text)
        told[step.on] = answer.json()
        assert told[step.on]["state"] == step.state, step
        for other, state in step.others.items():
            assert stage.show(told[other]["id"])["state"] == state, step
    first, second = stage.show(told["first"]["id"]), stage.show(told["second"]["id"])
    assert (first["successor"], second["supersedes"], first["handed_over"]) == (second["id"], first["id"], second["took_over"])
    assert second["statement"] == "All copies are destroyed"
    assert (told["third"]["code"], told["third"]["reason"]) == ("declined", "Not this year")


def replay(stage: Stage, step: Step, told: dict[str, dict[str, Any]]) -> httpx2.Response:
    terms = None if step.terms is None else stage.world.terms(**({"masks": {}} | step.terms))
    if step.act == "request":
        return stage.post(step.who, "", terms)
    if step.act == "successor":
        assert step.of is not None
        return stage.post(step.who, f"/{told[step.of]['id']}/successor", {"terms": terms})
    digest = told[step.on]["terms_sha256"]
    bodies: dict[str, object] = {
        "offer": {"terms": terms},
        "counter": {"terms": terms},
        "sign": {"terms_sha256": digest},
        "approve": {"role": step.role, "terms_sha256": digest},
        "close": {"statement": step.text},
    }
    address = {"counter": "request"}.get(step.act, step.act)
    return stage.post(step.who, f"/{told[step.on]['id']}/{address}", bodies.get(step.act, {"reason": step.text}))


def test_each_step_is_entered_with_the_name_of_its_message(stage: Stage) -> None:
    agreement = stage.begin("ACTIVE")
    steps = [
        (each["act"], each["state"], each["message"], each["epoch"])
        for each in log(stage.world)
        if each.get("agreement") == agreement["id"]
    ]
    assert steps == [
        ("request", "REQUESTED", "ContractRequestMessage", 1),
        ("offer", "OFFERED", "ContractOfferMessage", 2),
        ("sign", "ACCEPTED", "ContractNegotiationEventMessage:ACCEPTED", 3),
        ("sign", "AGREED", "ContractAgreementMessage", 4),
        ("verify", "VERIFIED", "ContractAgreementVerificationMessage", 5),
        ("finalize", "FINALIZED", "ContractNegotiationEventMessage:FINALIZED", 6),
    ]
    assert len(set(MESSAGES.values())) == len(MESSAGES)


@pytest.mark.parametrize(("state", "act", "side"), [("ACCEPTED", "offer", "provider"), ("AGREED", "request", "consumer")])
def test_a_change_of_text_voids_every_approval_and_signature_and_is_entered_as_such(stage: Stage, state: str, act: str, side: str) -> None:
    agreement = stage.begin(state)
    assert stage.act("approve", "provider", agreement).status_code == 200
    after = stage.act(act, side, agreement).json()
    assert (after["signatures"], after["approvals"]) == ([], [])
    entry = [each for each in log(stage.world) if each.get("agreement") == agreement["id"]][-1]
    assert entry["voided"] == {"approvals": 1, "signatures": 1}
    assert stage.act("sign", "provider", agreement).json()["code"] == "conflict", "the digest that was read is void too"


def test_the_text_that_is_signed_cannot_be_proposed_again(stage: Stage) -> None:
    agreement = stage.begin("ACCEPTED")
    again = stage.post(("bts", "steward"), f"/{agreement['id']}/offer", {"terms": None})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert stage.show(agreement["id"]) == agreement

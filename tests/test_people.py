"""Who vouches for whom, who takes part, and what a token reaches: two people behind each signatory, and no way back from off-boarded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import FLIGHTS, ROLES, World, make_world, serving, wait_until

from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName
from baybridge.operate.administer import Administer
from baybridge.principals.principal import LOCAL_OPERATOR, MOVES, Move, Principal, Role, Scope, Status, parse_identity
from baybridge.publish import Declaration, Upload

NOW = datetime(2026, 6, 1, 12, 34, 56, tzinfo=UTC)
VOUCHED = ("admin", "signatory")


@pytest.fixture(scope="module")
def agencies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two agencies that the tests of this file share; each test adds its own people."""
    made = make_world(tmp_path_factory.mktemp("people") / "home")
    yield made
    made.exchange.close()


@pytest.fixture
def administer(agencies: World) -> Administer:
    return agencies.exchange.administer


def add(world: World, *roles: str, by: Principal = LOCAL_OPERATOR, organization: str = "dot", **more: Any) -> Principal:
    """One more principal, under a name that nobody has."""
    taken = len(world.exchange.administer.principals(LOCAL_OPERATOR, organization))
    more = {"name": f"someone {taken}", "kind": "person", **more}
    return world.exchange.administer.add_principal(by, organization, roles=list(roles), **more)


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except BaybridgeError as error:
        return error.code
    return "ok"


def log(world: World, organization: str = "dot") -> list[dict[str, Any]]:
    run = world.exchange.watch.entries(LOCAL_OPERATOR, organization, start=0, limit=10_000)
    return [json.loads(data) for _, data in run.entries]


def signed_in(world: World, principal: Principal, **token: Any) -> Principal:
    """The principal as a token makes it."""
    administer = world.exchange.administer
    issued = administer.issue_token(LOCAL_OPERATOR, principal.id, **{"expires": None, "purpose": None, **token})
    return administer.authenticate(issued.secret)


# --- two people stand behind each signatory and each admin ---


@pytest.mark.parametrize("role", ROLES)
def test_what_the_operator_gives_waits_where_it_is_vouched_for_and_is_in_force_where_not(agencies: World, role: str) -> None:
    added = add(agencies, role)
    waits = role in VOUCHED
    assert (added.roles, added.pending) == ((set(), {role}) if waits else ({role}, set()))
    entry = log(agencies)[-1]
    assert (entry["roles"], entry["pending"]) == ([] if waits else [role], [role] if waits else [])


@pytest.mark.parametrize("role", VOUCHED)
def test_an_admin_vouches_for_another_person_of_its_own_organization(agencies: World, role: str) -> None:
    assert add(agencies, role, by=agencies.person("dot", "admin")).roles == {role}


@pytest.mark.parametrize("roles", [["admin", "signatory"], ["admin", "signatory", "analyst"]])
def test_nobody_makes_oneself_a_signatory(agencies: World, administer: Administer, roles: list[str]) -> None:
    admin = add(agencies, "admin", by=agencies.person("dot", "admin"))
    after = administer.set_roles(admin, admin.id, roles)
    assert after.pending == {Role.SIGNATORY}
    assert after.roles == set(roles) - {Role.SIGNATORY}
    assert outcome(lambda: administer.confirm(signed_in(agencies, admin), admin.id)) == "second_person_required"
    confirmed = administer.confirm(agencies.person("dot", "analyst"), admin.id)
    assert (confirmed.roles, confirmed.pending) == (set(roles), set())


def test_a_role_is_confirmed_by_another_person_of_the_same_organization_and_by_nobody_else(agencies: World, administer: Administer) -> None:
    waiting = add(agencies, "signatory")
    service = add(agencies, "analyst", kind="service")
    narrow = signed_in(agencies, agencies.person("dot", "analyst"), scopes=["read"])
    refused = {
        "the operator again": (LOCAL_OPERATOR, "token_wrong_organisation"),
        "itself": (waiting, "second_person_required"),
        "a service account": (service, "second_person_required"),
        "another organization's admin": (agencies.person("bts", "admin"), "token_wrong_organisation"),
        "a narrowed token": (narrow, "scope_required"),
    }
    for case, (who, code) in refused.items():
        assert outcome(lambda who=who: administer.confirm(who, waiting.id)) == code, case
        entry = log(agencies)[-1]
        assert (entry["kind"], entry["act"], entry["code"], entry["actor"]["principal"]) == ("refusal", "confirm", code, who.id)
    second = agencies.person("dot", "auditor")
    assert administer.confirm(second, waiting.id).roles == {Role.SIGNATORY}
    entry = log(agencies)[-1]
    assert (entry["kind"], entry["act"], entry["principal"], entry["roles"]) == ("principal_act", "confirm", waiting.id, ["signatory"])
    assert entry["actor"] == {"organization": "dot", "principal": second.id}
    assert outcome(lambda: administer.confirm(second, waiting.id)) == "conflict"


def test_a_role_that_waits_gives_nothing_and_says_whom_to_ask(flights: World) -> None:
    administer, agree = flights.exchange.administer, flights.exchange.agree
    waiting = add(flights, "signatory")
    asked = agree.request(flights.person("dot", "analyst"), flights.terms())
    agree.offer(flights.person("bts", "steward"), asked.id, None)
    with pytest.raises(BaybridgeError) as refused:
        agree.sign(signed_in(flights, waiting), asked.id, asked.terms_sha256)
    assert refused.value.code == "role_unconfirmed"
    assert refused.value.advice.next_command == f"baybridge user confirm {waiting.id}"
    administer.confirm(flights.person("dot", "auditor"), waiting.id)
    assert agree.sign(signed_in(flights, waiting), asked.id, asked.terms_sha256).state == "ACCEPTED"


def test_roles_are_exactly_those_last_given_and_a_vouched_role_that_is_held_stays(agencies: World, administer: Administer) -> None:
    holder = add(agencies, "signatory", by=agencies.person("dot", "admin"))
    after = administer.set_roles(LOCAL_OPERATOR, holder.id, ["signatory", "steward"])
    assert (after.roles, after.pending) == ({"signatory", "steward"}, set())
    after = administer.set_roles(LOCAL_OPERATOR, holder.id, ["steward", "admin"])
    assert (after.roles, after.pending) == ({"steward"}, {"admin"})
    assert administer.principal(holder, holder.id) == after
    assert outcome(lambda: administer.set_roles(agencies.person("dot", "steward"), holder.id, ["analyst"])) == "role_required"
    assert outcome(lambda: administer.set_roles(agencies.person("bts", "admin"), holder.id, ["analyst"])) == "token_wrong_organisation"


# --- one person never signs for both sides ---


def test_one_human_in_two_organizations_never_signs_for_both_sides(flights: World) -> None:
    agree = flights.exchange.agree
    theirs = add(flights, "signatory", by=flights.person("bts", "admin"), organization="bts", identity="Kim.Lee@Example.GOV")
    ours = add(flights, "signatory", by=flights.person("dot", "admin"), identity="  kim.lee@example.gov ")
    asked = agree.request(flights.person("dot", "analyst"), flights.terms())
    agree.offer(flights.person("bts", "steward"), asked.id, None)
    agree.sign(theirs, asked.id, asked.terms_sha256)
    assert outcome(lambda: agree.sign(ours, asked.id, asked.terms_sha256)) == "second_person_required"
    assert log(flights, "bts")[-1]["code"] == "second_person_required"
    assert agree.sign(flights.person("dot", "signatory"), asked.id, asked.terms_sha256).state == "FINALIZED"


def test_an_identity_is_unique_in_an_organization_and_a_name_stands_for_it_where_none_is_given(agencies: World) -> None:
    first = add(agencies, "analyst", name="Ana Lind")
    assert first.identity == "ana lind"
    for more in ({"identity": "ANA LIND"}, {"name": "ana lind"}):
        assert outcome(lambda more=more: add(agencies, "analyst", **more)) == "conflict"
    assert add(agencies, "analyst", organization="bts", identity="Ana Lind").identity == first.identity
    assert [add(agencies, "analyst", kind="service").identity for _ in range(2)] == [None, None]
    assert outcome(lambda: add(agencies, "analyst", kind="service", identity="robot")) == "invalid_request"


@pytest.mark.parametrize(("text", "identity"), [("ANA@X.gov ", "ana@x.gov"), ("\uff21na", "ana"), ("Straße", "strasse")])
def test_an_identity_has_one_form(text: str, identity: str) -> None:
    assert parse_identity(text) == identity == parse_identity(identity)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "x" * 201, "\u200f"])
def test_an_identity_is_a_printable_text(text: str) -> None:
    assert outcome(lambda: parse_identity(text)) == "invalid_request"


# --- who takes part ---


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("act", Move)
@pytest.mark.parametrize("whose", ["a principal", "an organization"])
def test_every_pair_of_status_and_act_happens_or_is_a_conflict(
    agencies: World, administer: Administer, status: Status, act: Move, whose: str
) -> None:
    """The oracle is written out: off-boarded is final, and only what is suspended is resumed."""
    legal = {
        ("active", "suspend"): "suspended",
        ("suspended", "resume"): "active",
        ("active", "offboard"): "offboarded",
        ("suspended", "offboard"): "offboarded",
    }
    assert len(MOVES) == len(legal)
    if whose == "a principal":
        someone = add(agencies, "analyst")

        def move(which: Move) -> Status:
            return administer.move_principal(LOCAL_OPERATOR, someone.id, which, "because").status
    else:
        name = f"org_{status}_{act}"
        administer.add_organization(LOCAL_OPERATOR, name, name)

        def move(which: Move) -> Status:
            return administer.move_organization(LOCAL_OPERATOR, name, which, "because").status

    for before in {"active": [], "suspended": [Move.SUSPEND], "offboarded": [Move.OFFBOARD]}[status.value]:
        move(before)
    wanted = legal.get((status.value, act.value))
    if wanted is None:
        assert outcome(lambda: move(act)) == "conflict"
    else:
        assert move(act).value == wanted


@pytest.mark.parametrize("act", Move)
def test_an_organization_is_moved_by_the_operator_alone(agencies: World, administer: Administer, act: Move) -> None:
    for who in agencies.people.values():
        assert outcome(lambda who=who: administer.move_organization(who, "dot", act, "because")) == "role_required"
        assert (log(agencies)[-1]["kind"], log(agencies)[-1]["act"]) == ("refusal", f"{act}_organization")
    assert {each.status for each in administer.organizations() if each.name in {"bts", "dot"}} == {Status.ACTIVE}


@pytest.mark.parametrize("act", Move)
def test_a_principal_is_moved_by_its_admins_and_the_operator(agencies: World, administer: Administer, act: Move) -> None:
    someone = add(agencies, "analyst")
    for (organization, role), who in agencies.people.items():
        if (organization, role) != ("dot", "admin"):
            wanted = "role_required" if organization == "dot" else "token_wrong_organisation"
            assert outcome(lambda who=who: administer.move_principal(who, someone.id, act, "because")) == wanted
    if act is not Move.RESUME:
        assert administer.move_principal(agencies.person("dot", "admin"), someone.id, act, "because").status is not Status.ACTIVE
        entry = log(agencies)[-1]
        assert (entry["kind"], entry["act"], entry["principal"]) == ("principal_act", act, someone.id)
        assert "because" not in json.dumps(entry)


def test_a_suspended_principal_signs_in_again_when_resumed_and_an_off_boarded_one_never(agencies: World, administer: Administer) -> None:
    someone = add(agencies, "analyst")
    secret = agencies.token(someone)
    administer.move_principal(LOCAL_OPERATOR, someone.id, Move.SUSPEND, "because")
    assert outcome(lambda: administer.authenticate(secret)) == "principal_suspended"
    assert outcome(lambda: agencies.token(someone)) == "conflict"
    administer.move_principal(LOCAL_OPERATOR, someone.id, Move.RESUME, "because")
    assert administer.authenticate(secret) == someone
    administer.move_principal(LOCAL_OPERATOR, someone.id, Move.OFFBOARD, "because")
    assert outcome(lambda: administer.authenticate(secret)) == "not_signed_in"
    assert outcome(lambda: agencies.token(someone)) == "conflict"
    assert outcome(lambda: administer.set_roles(LOCAL_OPERATOR, someone.id, ["analyst"])) == "conflict"
    assert outcome(lambda: add(agencies, "analyst", name=someone.name, identity="other")) == "conflict"
    assert outcome(lambda: add(agencies, "analyst", name="other", identity=someone.identity)) == "conflict"


def test_a_suspended_organization_takes_no_part_until_it_is_resumed(flights: World) -> None:
    administer, agree = flights.exchange.administer, flights.exchange.agree
    administer.move_organization(LOCAL_OPERATOR, "dot", Move.SUSPEND, "because")
    assert outcome(lambda: administer.authenticate(flights.secrets["dot", "analyst"])) == "organization_suspended"
    assert outcome(lambda: agree.request(flights.person("dot", "analyst"), flights.terms())) == "organization_suspended"
    assert outcome(lambda: add(flights, "analyst")) == "organization_suspended"
    administer.move_organization(LOCAL_OPERATOR, "dot", Move.RESUME, "because")
    administer.move_organization(LOCAL_OPERATOR, "bts", Move.SUSPEND, "because")
    assert administer.authenticate(flights.secrets["dot", "analyst"]).organization == "dot"
    assert outcome(lambda: agree.request(flights.person("dot", "analyst"), flights.terms())) == "organization_suspended"


@pytest.mark.parametrize("leaver", ["bts", "dot"])
def test_off_boarding_ends_people_tokens_and_agreements_on_both_sides_in_one_transaction(flights: World, leaver: str) -> None:
    administer, agree = flights.exchange.administer, flights.exchange.agree
    flights.add_organization("faa")
    flights.publish("faa.aircraft", b"tail\nN1\n")
    in_force, suspended = flights.sign(flights.terms()), flights.sign(flights.terms(purposes=["other"]))
    agree.suspend(flights.person("bts", "steward"), suspended.id, "because")
    asked = agree.request(flights.person("dot", "analyst"), flights.terms())
    ended = agree.request(flights.person("dot", "analyst"), flights.terms())
    agree.terminate(flights.person("dot", "analyst"), ended.id, "because")
    others = flights.sign(
        flights.terms(dataset="faa.aircraft", columns=["tail"], row_filter=None, masks={}), consumer="bts" if leaver == "dot" else "dot"
    )
    before = {name: log(flights, name) for name in ("bts", "dot", "faa")}
    administer.move_organization(LOCAL_OPERATOR, leaver, Move.OFFBOARD, "it has left")
    states = {each.id: each.state.value for each in agree.listing(LOCAL_OPERATOR)}
    wanted = {in_force.id: "REVOKED", suspended.id: "REVOKED", asked.id: "TERMINATED", ended.id: "TERMINATED", others.id: "FINALIZED"}
    assert states == wanted
    assert agree.show(LOCAL_OPERATOR, in_force.id).epoch == in_force.epoch + 1
    for role in ROLES:
        assert outcome(lambda role=role: administer.authenticate(flights.secrets[leaver, role])) == "not_signed_in"
        assert outcome(lambda role=role: administer.authenticate(flights.secrets["faa", role])) == "ok"
    assert {each.status for each in administer.principals(LOCAL_OPERATOR, leaver)} == {Status.OFFBOARDED}
    added = [entry for name in ("bts", "dot", "faa") for entry in log(flights, name)[len(before[name]) :]]
    acts = sorted((entry["kind"], entry["act"], entry["log"].rpartition("/")[2]) for entry in added)
    assert acts == [
        *[("agreement_act", "revoke", "bts")] * 2,
        ("agreement_act", "terminate", "bts"),
        ("organization_act", "offboard", leaver),
    ]
    for name in ("bts", "dot", "faa"):
        assert log(flights, name)[: len(before[name])] == before[name]
    assert outcome(lambda: administer.add_organization(LOCAL_OPERATOR, leaver, "Again")) == "conflict"


# --- what a token reaches ---


def acts(world: World, who: Principal) -> dict[Scope, Callable[[], object]]:
    """One act of each scope, each of which the principal's roles allow."""
    exchange = world.exchange
    return {
        Scope.PUBLISH: lambda: exchange.publish.declare(who, DatasetName.parse("bts.more"), Declaration(title="More")),
        Scope.AGREE: lambda: exchange.agree.revoke(who, world.sign(world.terms()).id, "because"),
        Scope.AUDIT: lambda: exchange.watch.entries(who, "bts", start=0, limit=1),
        Scope.ADMINISTER: lambda: exchange.administer.principals(who, "bts"),
    }


def test_a_token_does_what_its_scopes_cover_and_nothing_else(flights: World) -> None:
    everything = add(flights, *ROLES, by=flights.person("bts", "admin"), organization="bts")
    for scope in Scope:
        narrowed = signed_in(flights, everything, scopes=[scope.value])
        for needed, act in acts(flights, narrowed).items():
            assert outcome(act) == ("ok" if needed is scope else "scope_required"), (scope, needed)
    whole = signed_in(flights, everything)
    assert whole.scopes is None
    assert {outcome(act) for act in acts(flights, whole).values()} == {"ok"}


def test_a_scope_never_gives_what_the_roles_do_not(flights: World) -> None:
    analyst = signed_in(flights, add(flights, "analyst", organization="bts"), scopes=list(Scope))
    assert {outcome(act) for act in acts(flights, analyst).values()} == {"role_required"}


@pytest.mark.parametrize(("scopes", "hint"), [(["raed"], "read"), (["read", "Publish"], "publish"), ([], None)])
def test_a_scope_that_does_not_exist_is_refused_with_the_nearest(agencies: World, scopes: list[str], hint: str | None) -> None:
    with pytest.raises(BaybridgeError) as refused:
        signed_in(agencies, agencies.person("dot", "analyst"), scopes=scopes)
    (place,) = refused.value.places
    assert (place.parameter, place.hint) == ("scopes", hint)


# --- tokens rotate ---


def at(administer: Administer, moment: datetime) -> Administer:
    return replace(administer, clock=lambda: moment)


def test_a_rotated_token_has_the_same_reach_and_the_old_one_ends_after_the_overlap(agencies: World, administer: Administer) -> None:
    now = at(administer, NOW)
    holder, expiry = add(agencies, "analyst"), NOW + timedelta(days=30)
    old = now.issue_token(LOCAL_OPERATOR, holder.id, expires=expiry, purpose="noise-study", scopes=["read"])
    new = now.rotate_token(now.authenticate(old.secret), old.token.id, overlap_seconds=60)
    found = now.authenticate(new.secret)
    assert (found.id, found.purpose, found.scopes, new.token.expires) == (holder.id, "noise-study", {Scope.READ}, expiry)
    assert new.secret != old.secret
    entry = log(agencies)[-1]
    assert (entry["kind"], entry["token"], entry["replaces"]) == ("token_rotated", new.token.id, old.token.id)
    assert (entry["principal"], entry["overlap_seconds"]) == (holder.id, 60)
    last = at(administer, NOW + timedelta(seconds=60) - timedelta(microseconds=1))
    over = at(administer, NOW + timedelta(seconds=60))
    assert outcome(lambda: last.authenticate(old.secret)) == "ok"
    assert outcome(lambda: over.authenticate(old.secret)) == "token_expired"
    assert outcome(lambda: over.authenticate(new.secret)) == "ok"
    assert outcome(lambda: over.rotate_token(LOCAL_OPERATOR, old.token.id, overlap_seconds=0)) == "conflict"


def test_an_overlap_never_makes_a_token_last_longer(agencies: World, administer: Administer) -> None:
    now = at(administer, NOW)
    old = now.issue_token(LOCAL_OPERATOR, add(agencies, "analyst").id, expires=NOW + timedelta(seconds=30), purpose=None)
    now.rotate_token(LOCAL_OPERATOR, old.token.id, overlap_seconds=3600)
    assert outcome(lambda: at(administer, NOW + timedelta(seconds=30)).authenticate(old.secret)) == "token_expired"


@pytest.mark.parametrize("seconds", [-1, 604_801, 10**30])
def test_an_overlap_has_bounds(agencies: World, administer: Administer, seconds: int) -> None:
    issued = administer.issue_token(LOCAL_OPERATOR, agencies.person("dot", "analyst").id, expires=None, purpose=None)
    assert outcome(lambda: administer.rotate_token(LOCAL_OPERATOR, issued.token.id, overlap_seconds=seconds)) == "invalid_request"


def test_a_narrow_or_bound_token_cannot_become_a_wider_one_of_its_holder(agencies: World, administer: Administer) -> None:
    holder = add(agencies, "analyst")
    wide = administer.issue_token(LOCAL_OPERATOR, holder.id, expires=None, purpose=None)
    whole = administer.authenticate(wide.secret)
    for limited in (signed_in(agencies, holder, scopes=["read"]), signed_in(agencies, holder, purpose="noise-study")):
        assert outcome(lambda limited=limited: administer.rotate_token(limited, wide.token.id, overlap_seconds=0)) != "ok"
        assert outcome(lambda limited=limited: administer.rotate_token(whole, str(limited.token), overlap_seconds=0)) == "ok"
    assert outcome(lambda: administer.rotate_token(agencies.person("dot", "steward"), wide.token.id, overlap_seconds=0)) == "role_required"
    assert outcome(lambda: administer.rotate_token(agencies.person("dot", "admin"), wide.token.id, overlap_seconds=0)) == "ok"


def test_an_admin_gets_out_of_a_narrow_or_bound_token_neither(agencies: World, administer: Administer) -> None:
    admin = agencies.person("dot", "admin")
    whole = signed_in(agencies, admin)
    narrow, bound = signed_in(agencies, admin, scopes=["administer"]), signed_in(agencies, admin, purpose="noise-study")

    def made(by: Principal, purpose: str | None = None, scopes: list[str] | None = None) -> str:
        return outcome(lambda: administer.issue_token(by, admin.id, expires=None, purpose=purpose, scopes=scopes))

    wider = [made(narrow), made(narrow, scopes=["administer", "read"]), made(bound), made(bound, purpose="other")]
    assert wider == ["scope_required"] * 4
    assert [made(narrow, scopes=["administer"]), made(bound, purpose="noise-study"), made(whole)] == ["ok"] * 3
    for limited in (narrow, bound):
        assert outcome(lambda limited=limited: administer.rotate_token(limited, str(whole.token), overlap_seconds=0)) == "scope_required"
    assert outcome(lambda: administer.issue_token(narrow, agencies.person("dot", "analyst").id, expires=None, purpose=None)) == "ok"


# --- tokens are listed, with their last use ---


def test_an_admin_sees_all_tokens_of_its_organization_and_everyone_else_their_own(agencies: World, administer: Administer) -> None:
    holder = add(agencies, "analyst")
    own = {signed_in(agencies, holder).token, signed_in(agencies, holder, scopes=["read"]).token}
    assert {each.id for each in administer.tokens(holder, "dot")} == own
    everyones = {each.id for each in administer.tokens(agencies.person("dot", "admin"), "dot")}
    assert own < everyones == {each.id for each in administer.tokens(LOCAL_OPERATOR, "dot")}
    assert outcome(lambda: administer.tokens(agencies.person("bts", "admin"), "dot")) == "token_wrong_organisation"
    narrow = signed_in(agencies, agencies.person("dot", "admin"), scopes=["read"])
    assert {each.principal.id for each in administer.tokens(narrow, "dot")} == {narrow.id}


def test_last_use_is_kept_to_the_minute_and_never_written_by_the_request(agencies: World, administer: Administer) -> None:
    now = at(administer, NOW)
    secret = now.issue_token(LOCAL_OPERATOR, add(agencies, "analyst").id, expires=None, purpose=None).secret
    holder = now.authenticate(secret)

    def kept() -> datetime | None:
        return administer.tokens(holder, "dot")[0].last_used

    assert kept() is None
    now.note_last_use()
    assert kept() == NOW.replace(second=0)
    at(administer, NOW + timedelta(minutes=3)).authenticate(secret)
    assert kept() == NOW.replace(second=0)
    now.note_last_use()
    assert kept() == NOW.replace(second=0) + timedelta(minutes=3)


# --- over HTTP ---


@pytest.mark.slow
def test_people_and_tokens_go_their_whole_way_over_http(agencies: World) -> None:
    waiting = add(agencies, "signatory")
    with serving(agencies.root) as server, server.client(agencies.secrets["dot", "admin"]) as admin:
        at_waiting = f"/api/v1/principals/{waiting.id}"
        assert admin.get(at_waiting).json()["pending"] == ["signatory"]
        assert admin.post(f"{at_waiting}/confirm").json()["roles"] == ["signatory"]
        assert admin.put(f"{at_waiting}/roles", json={"roles": ["analyst", "steward"]}).json()["roles"] == ["analyst", "steward"]
        issued = admin.post("/api/v1/tokens", json={"principal": waiting.id, "scopes": ["read"]}).json()
        assert issued["scopes"] == ["read"]
        with server.client(issued["token"]) as holder:
            assert holder.get("/api/v1/whoami").json()["scopes"] == ["read"]
            assert holder.get("/api/v1/organizations/dot/principals").json()["code"] == "scope_required"
            (listed,) = holder.get("/api/v1/organizations/dot/tokens").json()["tokens"]
            assert (listed["id"], listed["principal"], listed["scopes"], listed["revoked"]) == (issued["id"], waiting.id, ["read"], None)
            used = f"{datetime.now(UTC):%Y-%m-%dT%H:}"
            wait_until(lambda: (holder.get("/api/v1/organizations/dot/tokens").json()["tokens"][0]["last_used"] or "").startswith(used))
            assert admin.post(f"{at_waiting}/suspend", json={"reason": "because"}).json()["status"] == "suspended"
            refused = holder.get("/api/v1/whoami")
            assert (refused.status_code, refused.json()["code"]) == (403, "principal_suspended")
            assert admin.post(f"{at_waiting}/resume", json={"reason": "because"}).json()["status"] == "active"
            rotated = holder.post(f"/api/v1/tokens/{issued['id']}/rotate", json={"overlap_seconds": 0})
            assert (rotated.status_code, rotated.json()["scopes"]) == (201, ["read"])
            assert holder.get("/api/v1/whoami").json()["code"] == "token_expired"
        with server.client(rotated.json()["token"]) as holder:
            assert holder.get("/api/v1/whoami").status_code == 200
            assert admin.post(f"{at_waiting}/offboard", json={"reason": "because"}).json()["status"] == "offboarded"
            assert holder.get("/api/v1/whoami").json()["code"] == "not_signed_in"


@pytest.mark.parametrize("ending", ["token", "role", "person"])
def test_an_upload_of_someone_who_may_not_publish_any_more_publishes_nothing(world: World, ending: str) -> None:
    """It was let in, and then the token, the role or the person ended while it was still being sent."""
    administer, steward = world.exchange.administer, signed_in(world, world.person("bts", "steward"))
    name = DatasetName.parse("bts.flights")
    world.exchange.publish.declare(steward, name, Declaration(title="Flights"))
    ends: dict[str, tuple[Callable[[], object], str]] = {
        "token": (lambda: administer.revoke_token(LOCAL_OPERATOR, str(steward.token)), "not_signed_in"),
        "role": (lambda: administer.set_roles(LOCAL_OPERATOR, steward.id, ["auditor"]), "role_required"),
        "person": (lambda: administer.move_principal(LOCAL_OPERATOR, steward.id, Move.SUSPEND, "because"), "principal_suspended"),
    }
    end, code = ends[ending]

    def sent() -> Iterator[bytes]:
        yield FLIGHTS[:100]
        end()
        yield FLIGHTS[100:]

    upload = Upload(chunks=sent(), null_words=("", "NA"), key=("flight",), accept_schema=True, dry_run=False)
    assert outcome(lambda: world.exchange.publish.publish(steward, name, upload)) == code
    assert (log(world, "bts")[-1]["kind"], log(world, "bts")[-1]["code"]) == ("refusal", code)
    assert world.exchange.catalog.describe(LOCAL_OPERATOR, name).latest is None


# --- what the local operator is told ---


def test_the_local_operator_is_told_in_whole_sentences(flights: World) -> None:
    agree = flights.exchange.agree
    asked = agree.request(flights.person("dot", "analyst"), flights.terms())
    told = []
    for act in (lambda: agree.request(LOCAL_OPERATOR, flights.terms()), lambda: agree.offer(LOCAL_OPERATOR, asked.id, None)):
        with pytest.raises(BaybridgeError) as refused:
            act()
        told.append((refused.value.code, refused.value.advice.rule))
    assert told == [
        ("role_required", "Only an analyst or a steward of an organization may do this."),
        ("token_wrong_organisation", "Only a steward of bts may do this."),
    ]

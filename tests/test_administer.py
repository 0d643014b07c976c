"""Organizations, people and tokens: who may add whom, what is kept of a token, and what a request without a good one gets."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import ROLES, Server, World, make_world, serving
from hypothesis import given
from hypothesis import strategies as st

from baybridge.errors import BaybridgeError, Conflict, Invalid, NotFound, Refused
from baybridge.principals.principal import LOCAL_OPERATOR, Principal, PrincipalKind, Role
from baybridge.principals.tokens import make_token

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ACTORS = ("operator", *(f"{organization} {role}" for organization in ("bts", "dot") for role in ROLES))


@pytest.fixture(scope="module")
def agencies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two agencies that the tests of this file share; each test adds its own people."""
    made = make_world(tmp_path_factory.mktemp("agencies") / "home")
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def door(agencies: World) -> Iterator[Server]:
    with serving(agencies.root) as server:
        yield server


def actor(world: World, name: str) -> Principal:
    if name == "operator":
        return LOCAL_OPERATOR
    organization, role = name.split()
    return world.person(organization, role)


def log(world: World, organization: str) -> list[dict[str, Any]]:
    run = world.exchange.watch.entries(LOCAL_OPERATOR, organization, start=0, limit=10_000)
    return [json.loads(data) for _, data in run.entries]


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except BaybridgeError as error:
        return error.code
    return "ok"


def newcomer(world: World, organization: str = "dot", roles: tuple[str, ...] = ("analyst",)) -> Principal:
    """One more person, under a name that nobody has."""
    taken = len(world.exchange.administer.principals(LOCAL_OPERATOR, organization))
    return world.exchange.administer.add_principal(LOCAL_OPERATOR, organization, f"person {taken}", "person", list(roles))


def expected(name: str, organization: str) -> str:
    """Who administers an agency: the operator of the server, and its own admins."""
    if name in ("operator", f"{organization} admin"):
        return "ok"
    return "role_required" if name.startswith(organization) else "token_wrong_organisation"


# --- who may ---


@pytest.mark.parametrize("name", ACTORS)
@pytest.mark.parametrize("act", ["add_principal", "issue_token", "revoke_token"])
def test_an_agency_is_administered_by_its_admins_and_the_operator_and_each_act_and_refusal_is_entered(
    agencies: World, act: str, name: str
) -> None:
    who, administer = actor(agencies, name), agencies.exchange.administer
    holder = newcomer(agencies)
    issued = administer.issue_token(LOCAL_OPERATOR, holder.id, expires=None, purpose=None)
    acts: dict[str, Callable[[], object]] = {
        "add_principal": lambda: administer.add_principal(who, "dot", f"added for {name}", "person", ["analyst"]),
        "issue_token": lambda: administer.issue_token(who, holder.id, expires=None, purpose=None),
        "revoke_token": lambda: administer.revoke_token(who, issued.token.id),
    }
    before, others = log(agencies, "dot"), log(agencies, "bts")
    wanted = expected(name, "dot")
    assert outcome(acts[act]) == wanted
    (entry,) = log(agencies, "dot")[len(before) :]
    assert log(agencies, "bts") == others
    assert entry["actor"] == {"organization": who.organization, "principal": who.id}
    if wanted == "ok":
        assert entry["kind"] == {"add_principal": "principal_added", "issue_token": "token_issued", "revoke_token": "token_revoked"}[act]
    else:
        assert (entry["kind"], entry["act"], entry["code"]) == ("refusal", act, wanted)
        assert outcome(lambda: administer.authenticate(issued.secret)) == "ok"
        assert f"added for {name}" not in {each.name for each in administer.principals(LOCAL_OPERATOR, "dot")}


@pytest.mark.parametrize("name", ACTORS)
def test_an_agencys_people_are_listed_to_its_admins_and_the_operator(agencies: World, name: str) -> None:
    before = log(agencies, "dot")
    wanted = expected(name, "dot")
    assert outcome(lambda: agencies.exchange.administer.principals(actor(agencies, name), "dot")) == wanted
    added = log(agencies, "dot")[len(before) :]
    assert [(entry["kind"], entry["act"], entry["code"]) for entry in added] == (
        [] if wanted == "ok" else [("refusal", "principals", wanted)]
    )


@pytest.mark.parametrize("name", ACTORS)
def test_an_agencys_log_is_read_by_its_auditors_and_the_operator_and_a_refused_look_is_entered(agencies: World, name: str) -> None:
    before = log(agencies, "dot")
    wanted = {"operator": "ok", "dot auditor": "ok", "dot admin": "role_required"}.get(name, expected(name, "dot"))
    assert outcome(lambda: agencies.exchange.watch.entries(actor(agencies, name), "dot", start=0, limit=1)) == wanted
    added = log(agencies, "dot")[len(before) :]
    assert [(entry["kind"], entry["act"], entry["code"]) for entry in added] == ([] if wanted == "ok" else [("refusal", "entries", wanted)])


@pytest.mark.parametrize("name", ACTORS)
def test_only_the_operator_adds_an_agency(agencies: World, name: str) -> None:
    wanted = "ok" if name == "operator" else "role_required"
    organization = "new_" + name.replace(" ", "_")
    assert outcome(lambda: agencies.exchange.administer.add_organization(actor(agencies, name), organization, "New")) == wanted
    assert (organization in {each.name for each in agencies.exchange.administer.organizations()}) is (wanted == "ok")


def test_a_holder_revokes_its_own_token_and_nobody_elses(agencies: World) -> None:
    administer = agencies.exchange.administer
    one, two = newcomer(agencies), newcomer(agencies)
    own, others = (administer.issue_token(LOCAL_OPERATOR, each.id, expires=None, purpose=None) for each in (one, two))
    assert outcome(lambda: administer.revoke_token(one, others.token.id)) == "role_required"
    administer.revoke_token(one, own.token.id)
    assert outcome(lambda: administer.authenticate(own.secret)) == "not_signed_in"
    assert administer.authenticate(others.secret).id == two.id


# --- names, roles and kinds ---


@pytest.mark.parametrize("name", ["Bts", "1bts", "_bts", "b-ts", "b ts", "b.ts", "", "b" * 64, "bts\n", "bt\u00df", "bts;", "'"])
def test_an_agency_has_a_name_that_urls_and_sql_share(agencies: World, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        agencies.exchange.administer.add_organization(LOCAL_OPERATOR, name, "Title")
    assert refused.value.code == "invalid_request"
    assert refused.value.places[0].parameter == "organization"
    assert "lower-case letters" in (refused.value.advice.rule or "")


def test_a_name_of_63_characters_is_the_longest(agencies: World) -> None:
    assert agencies.exchange.administer.add_organization(LOCAL_OPERATOR, "b" * 63, "Long").name == "b" * 63


@pytest.mark.parametrize("title", ["two\nlines", "\x1b[31mred", "x" * 201, "   ", "\u202egnp.exe"])
def test_a_title_is_printable_and_short(agencies: World, title: str) -> None:
    with pytest.raises(Invalid):
        agencies.exchange.administer.add_organization(LOCAL_OPERATOR, "titled", title)
    with pytest.raises(Invalid):
        agencies.exchange.administer.add_principal(LOCAL_OPERATOR, "dot", title, "person", ["analyst"])


def test_names_are_taken_once(agencies: World) -> None:
    administer = agencies.exchange.administer
    before = log(agencies, "bts")
    with pytest.raises(Conflict):
        administer.add_organization(LOCAL_OPERATOR, "bts", "Again")
    with pytest.raises(Conflict):
        administer.add_principal(LOCAL_OPERATOR, "bts", "steward of bts", "person", ["analyst"])
    assert log(agencies, "bts") == before
    assert administer.add_principal(LOCAL_OPERATOR, "dot", "steward of bts", "service", ["analyst"]).organization == "dot"


def test_an_agency_that_is_not_there_takes_nobody(agencies: World) -> None:
    with pytest.raises(NotFound):
        agencies.exchange.administer.add_principal(LOCAL_OPERATOR, "nowhere", "someone", "person", ["analyst"])
    with pytest.raises(NotFound):
        agencies.exchange.administer.principals(LOCAL_OPERATOR, "nowhere")


@pytest.mark.parametrize(
    ("roles", "hint"), [(["stewart"], "steward"), (["analyst", "Signatory"], "signatory"), (["root"], None), (["operator"], None)]
)
def test_a_role_that_does_not_exist_is_refused_with_the_nearest(agencies: World, roles: list[str], hint: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        agencies.exchange.administer.add_principal(LOCAL_OPERATOR, "dot", "someone", "person", roles)
    (place,) = refused.value.places
    assert (place.parameter, place.hint) == ("roles", hint)
    assert all(role in place.message for role in ROLES)


def test_a_principal_has_a_role_and_is_a_person_or_a_service(agencies: World) -> None:
    add = agencies.exchange.administer.add_principal
    with pytest.raises(Invalid, match="at least one role"):
        add(LOCAL_OPERATOR, "dot", "someone", "person", [])
    for kind in ("operator", "Person", "robot", ""):
        with pytest.raises(Invalid) as refused:
            add(LOCAL_OPERATOR, "dot", "someone", kind, ["analyst"])
        assert refused.value.places[0].parameter == "kind"


def test_a_person_can_have_several_roles_and_is_found_with_them(agencies: World) -> None:
    added = newcomer(agencies, roles=("analyst", "steward", "analyst"))
    assert added.roles == {Role.ANALYST, Role.STEWARD}
    secret = agencies.token(added)
    assert agencies.exchange.administer.authenticate(secret) == added


# --- tokens ---


@given(random=st.binary(min_size=32, max_size=32))
def test_a_token_is_its_prefix_and_all_256_bits(random: bytes) -> None:
    token = make_token(random)
    assert token.startswith("bb_")
    assert len(token) == 46
    assert base64.urlsafe_b64decode(token.removeprefix("bb_") + "=") == random


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_token_of_fewer_bits_cannot_be_made(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        make_token(bytes(length))


def test_tokens_differ(agencies: World) -> None:
    holder = newcomer(agencies)
    assert len({agencies.token(holder) for _ in range(20)}) == 20


def test_only_the_hash_of_a_token_is_kept_anywhere_in_the_home(world: World) -> None:
    world.exchange.administer.authenticate(world.secrets["dot", "analyst"])
    files = {path: path.read_bytes() for path in world.root.rglob("*") if path.is_file()}
    assert world.root / "catalog.sqlite" in files
    for secret in world.secrets.values():
        random = base64.urlsafe_b64decode(secret.removeprefix("bb_") + "=")
        for form in (secret.encode(), secret.removeprefix("bb_").encode(), random, random.hex().encode()):
            assert [path for path, content in files.items() if form in content] == []
        # The search can find: the hash is there.
        assert any(hashlib.sha256(secret.encode()).digest() in content for content in files.values())


def test_a_token_ends_at_its_expiry(agencies: World) -> None:
    at = replace(agencies.exchange.administer, clock=lambda: NOW)
    secret = at.issue_token(LOCAL_OPERATOR, newcomer(agencies).id, expires=NOW + timedelta(hours=1), purpose=None).secret
    later = replace(at, clock=lambda: NOW + timedelta(hours=1) - timedelta(microseconds=1))
    assert outcome(lambda: later.authenticate(secret)) == "ok"
    for moment in (timedelta(hours=1), timedelta(days=400)):
        with pytest.raises(Refused) as refused:
            replace(at, clock=lambda moment=moment: NOW + moment).authenticate(secret)
        assert refused.value.code == "token_expired"
        assert refused.value.advice.next_step


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(microseconds=1), timedelta(days=1)])
def test_a_token_that_has_ended_already_is_not_issued(agencies: World, ago: timedelta) -> None:
    administer = replace(agencies.exchange.administer, clock=lambda: NOW)
    before = log(agencies, "dot")
    with pytest.raises(Invalid):
        administer.issue_token(LOCAL_OPERATOR, agencies.person("dot", "analyst").id, expires=NOW - ago, purpose=None)
    assert log(agencies, "dot") == before


def test_a_revoked_token_is_as_good_as_none_and_revoking_again_keeps_the_first_time(agencies: World) -> None:
    administer = agencies.exchange.administer
    issued = administer.issue_token(LOCAL_OPERATOR, newcomer(agencies).id, expires=None, purpose=None)
    administer.revoke_token(LOCAL_OPERATOR, issued.token.id)
    assert outcome(lambda: administer.authenticate(issued.secret)) == "not_signed_in"
    revoked = when_revoked(agencies, issued.token.id)
    administer.revoke_token(LOCAL_OPERATOR, issued.token.id)
    assert when_revoked(agencies, issued.token.id) == revoked is not None


def when_revoked(world: World, token_id: str) -> str | None:
    with world.exchange.database.read() as connection:
        return connection.exec_driver_sql("SELECT revoked FROM tokens WHERE id = ?", (token_id,)).scalar_one()


def test_revoking_one_token_leaves_the_holders_others(agencies: World) -> None:
    administer, holder = agencies.exchange.administer, newcomer(agencies)
    one, two = (administer.issue_token(LOCAL_OPERATOR, holder.id, expires=None, purpose=None) for _ in range(2))
    administer.revoke_token(holder, one.token.id)
    assert outcome(lambda: administer.authenticate(one.secret)) == "not_signed_in"
    assert outcome(lambda: administer.authenticate(two.secret)) == "ok"


def test_a_token_carries_its_binding_to_a_purpose(agencies: World) -> None:
    holder = newcomer(agencies)
    bound, free = agencies.token(holder, purpose="noise-study"), agencies.token(holder)
    assert agencies.exchange.administer.authenticate(bound).purpose == "noise-study"
    assert agencies.exchange.administer.authenticate(free).purpose is None
    issued = [entry for entry in log(agencies, "dot") if entry["kind"] == "token_issued" and entry["principal"] == holder.id]
    assert [entry["purpose"] for entry in issued] == ["noise-study", None]
    with pytest.raises(Invalid):
        agencies.token(holder, purpose="Noise Study")


@pytest.mark.parametrize("change", [str.upper, lambda secret: secret[:-1], lambda secret: secret + "A", lambda secret: secret[3:], hash])
def test_nothing_but_the_whole_token_signs_in(agencies: World, change: Callable[[str], object]) -> None:
    other = str(change(agencies.secrets["dot", "analyst"]))
    assert outcome(lambda: agencies.exchange.administer.authenticate(other)) == "not_signed_in"


def test_tokens_and_people_that_are_not_there_are_not_found(agencies: World) -> None:
    administer = agencies.exchange.administer
    assert outcome(lambda: administer.issue_token(LOCAL_OPERATOR, "prn_none", expires=None, purpose=None)) == "not_found"
    assert outcome(lambda: administer.revoke_token(LOCAL_OPERATOR, "tok_none")) == "not_found"


def test_no_entry_holds_a_name_of_a_person_or_a_token(agencies: World) -> None:
    person = agencies.exchange.administer.add_principal(LOCAL_OPERATOR, "dot", "Amelia Earhart", "person", ["analyst"])
    secret = agencies.token(person)
    entries = json.dumps(log(agencies, "dot"))
    assert "Earhart" not in entries
    assert secret not in entries
    assert person.id in entries


# --- over HTTP ---


def test_who_the_token_is(agencies: World, door: Server) -> None:
    holder = newcomer(agencies, roles=("steward", "analyst"))
    with door.client(agencies.token(holder, purpose="noise-study")) as client:
        answer = client.get("/api/v1/whoami")
    assert answer.json() == {
        "id": holder.id,
        "organization": "dot",
        "name": holder.name,
        "kind": "person",
        "roles": ["analyst", "steward"],
        "purpose": "noise-study",
        "pending": [],
        "identity": holder.name,
        "status": "active",
        "scopes": None,
    }
    assert answer.headers["cache-control"] == "private, no-cache"


def stale_tokens(world: World) -> dict[str, str]:
    """An Authorization header and the code that it gets, by what is wrong with it."""
    administer, holder = world.exchange.administer, newcomer(world)
    past = datetime.now(UTC) - timedelta(days=1)
    expired = replace(administer, clock=lambda: past).issue_token(
        LOCAL_OPERATOR, holder.id, expires=past + timedelta(hours=1), purpose=None
    )
    revoked = administer.issue_token(LOCAL_OPERATOR, holder.id, expires=None, purpose=None)
    administer.revoke_token(LOCAL_OPERATOR, revoked.token.id)
    good = world.token(holder)
    return {
        f"Bearer {expired.secret}": "token_expired",
        f"Bearer {revoked.secret}": "not_signed_in",
        "Bearer bb_unknown": "not_signed_in",
        "Bearer": "not_signed_in",
        f"Basic {good}": "not_signed_in",
        good: "not_signed_in",
        f"Bearer{good}": "not_signed_in",
        f"Bearer {good} {good}": "not_signed_in",
        f"Bearer {good},": "not_signed_in",
        "": "not_signed_in",
    }


def test_a_request_without_a_good_token_is_told_so(agencies: World, door: Server) -> None:
    headers: dict[str | None, str] = {None: "not_signed_in", **stale_tokens(agencies)}
    with door.client() as client:
        for header, code in headers.items():
            answer = client.get("/api/v1/whoami", headers={} if header is None else {"authorization": header})
            assert (answer.status_code, answer.json()["code"]) == (401, code), header
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["next_step"]
            if header and len(header) > 20:
                assert header.removeprefix("Bearer ") not in answer.text


def test_the_word_bearer_is_read_in_any_case(agencies: World, door: Server) -> None:
    for scheme in ("bearer", "BEARER", "Bearer "):
        with door.client(authorization=f"{scheme} {agencies.secrets['dot', 'analyst']}") as client:
            assert client.get("/api/v1/whoami").status_code == 200


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("GET", "/api/v1/organizations/dot/principals", None),
        ("POST", "/api/v1/organizations/dot/principals", {"name": "nobody", "roles": ["analyst"]}),
        ("POST", "/api/v1/tokens", {"principal": "prn_x"}),
        ("DELETE", "/api/v1/tokens/tok_x", None),
    ],
)
def test_administration_needs_a_token(agencies: World, door: Server, method: str, address: str, body: dict[str, object] | None) -> None:
    before = log(agencies, "dot")
    with door.client() as client:
        answer = client.request(method, address, json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert log(agencies, "dot") == before


def test_an_admin_adds_a_service_gives_it_a_token_and_takes_it_back(agencies: World, door: Server) -> None:
    with door.client(agencies.secrets["dot", "admin"]) as admin:
        added = admin.post("/api/v1/organizations/dot/principals", json={"name": "etl", "kind": "service", "roles": ["analyst"]})
        assert added.status_code == 201
        service = added.json()
        assert (service["kind"], service["organization"], service["roles"]) == ("service", "dot", ["analyst"])
        assert service in admin.get("/api/v1/organizations/dot/principals").json()["principals"]
        asked = {"principal": service["id"], "expires": "2099-01-01T00:00:00-05:00", "purpose": "noise-study"}
        issued = admin.post("/api/v1/tokens", json=asked)
        assert issued.status_code == 201
        token = issued.json()
        assert (token["principal"], token["expires"], token["purpose"]) == (service["id"], "2099-01-01T05:00:00Z", "noise-study")
        with door.client(token["token"]) as client:
            assert client.get("/api/v1/whoami").json()["id"] == service["id"]
            assert admin.delete(f"/api/v1/tokens/{token['id']}").status_code == 204
            assert client.get("/api/v1/whoami").json()["code"] == "not_signed_in"
    assert agencies.exchange.administer.authenticate(agencies.token(newcomer(agencies))).kind is PrincipalKind.PERSON


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"name": "x", "roles": ["stewart"]}, {"parameter": "roles", "hint": "steward"}),
        ({"name": "x", "roles": "analyst"}, {"parameter": "$.roles"}),
        ({"name": "x"}, {"parameter": "$.roles", "message": "missing"}),
        ({"name": "x", "roles": ["analyst"], "admin": True}, {"parameter": "$.admin", "message": "not a known member"}),
        ({"name": "x", "roles": ["analyst"], "kind": "robot"}, {"parameter": "kind"}),
    ],
)
def test_a_body_that_is_not_understood_adds_nobody(agencies: World, door: Server, body: dict[str, object], place: dict[str, str]) -> None:
    before = len(agencies.exchange.administer.principals(LOCAL_OPERATOR, "dot"))
    with door.client(agencies.secrets["dot", "admin"]) as admin:
        answer = admin.post("/api/v1/organizations/dot/principals", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert place.items() <= answer.json()["errors"][0].items()
    assert len(agencies.exchange.administer.principals(LOCAL_OPERATOR, "dot")) == before


@pytest.mark.parametrize("expires", ["2099-01-01", "2099-01-01T00:00:00", "tomorrow", "9999-12-31T23:59:59-14:00", "2001-01-01T00:00:00Z"])
def test_an_expiry_is_an_instant_in_the_future(agencies: World, door: Server, expires: str) -> None:
    with door.client(agencies.secrets["dot", "admin"]) as admin:
        answer = admin.post("/api/v1/tokens", json={"principal": agencies.person("dot", "analyst").id, "expires": expires})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"][0]["parameter"] == "expires"


def test_no_text_of_a_token_reaches_what_the_server_writes_about_itself(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    with serving(world.root) as server:
        with server.client(world.secrets["dot", "admin"]) as admin:
            issued = admin.post("/api/v1/tokens", json={"principal": world.person("dot", "analyst").id}).json()["token"]
        with server.client(issued) as client:
            assert client.get("/api/v1/whoami", params={"token": issued}).json()["code"] == "unknown_parameter"
            assert client.get("/api/v1/whoami").status_code == 200
        server.process.terminate()
        said, _ = server.process.communicate(timeout=20)
    world.exchange.close()
    assert issued not in said
    assert [path for path in world.root.rglob("*") if path.is_file() and issued.encode() in path.read_bytes()] == []

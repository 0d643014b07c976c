"""Who may call what: each address by each kind of caller, with the status that is expected. An address without a row fails here."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec
import pytest
from conftest import FLIGHTS, OFFICERS, ROLES, Server, World, make_world, serving

from baybridge.audit.checkpoint import encode_base64
from baybridge.http.addresses import ADDRESSES
from baybridge.http.contract import Token
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Move, Scope
from baybridge.wire.audit import CheckpointCopyRequest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("roles")]

API: Final = "/api/v1"
SET: Final = f"{API}/collections/{{dataset}}"
ACT: Final = f"{API}/agreements/{{agreement}}"
COVER: Final = f"{API}/umbrellas/{{umbrella}}"
LOG: Final = f"{API}/audit/{{organization}}"
WITNESS: Final = f"{API}/witness/{{organization}}"
PEOPLE: Final = f"{API}/organizations/{{organization}}/principals"
REASON: Final = {"reason": "because"}
STRANGER: Final = "faa"
CALLERS: Final = (
    None,
    *(("bts", role) for role in (*ROLES, *OFFICERS)),
    *((organization, role) for organization in ("dot", STRANGER) for role in ROLES),
)

# For the public; for steward, signatory, analyst, auditor, admin and the three officers of the provider bts; for the first five of
# the consumer dot; and for those of the stranger faa. An act is asked for in a state that does not have it: whoever may do it gets
# 409, and nothing changes.
EXPECTED: Final = {
    "GET /livez": "200",
    "GET /readyz": "200",
    "GET /errors/{code}": "200",
    f"GET {API}/openapi.json": "200",
    f"GET {API}/whoami": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"GET {API}/organizations": "200",
    f"GET {PEOPLE}": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {PEOPLE}": "401  403 403 403 403 201 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/tokens": "401  403 403 403 403 201 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/organizations/{{organization}}/tokens": "401  200 200 200 200 200 200 200 200  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/principals/{{principal}}": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"PUT {API}/principals/{{principal}}/roles": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/confirm": "401  409 409 409 409 409 409 409 409  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/suspend": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/resume": "401  403 403 403 403 409 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/offboard": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/tokens/{{token}}/rotate": "401  403 403 201 403 201 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"DELETE {API}/tokens/{{token}}": "401  403 403 204 403 204 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/collections": "200",
    f"GET {SET}": "200",
    f"PUT {SET}": "401  200 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {SET}/schema": "200",
    f"GET {SET}/versions": "200",
    f"POST {SET}/versions": "401  200 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}": "200",
    f"GET {SET}/versions/{{version}}/schema": "200",
    f"GET {SET}/versions/{{version}}/items": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/items": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"POST {SET}/versions/{{version}}/items/query": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"POST {SET}/items/query": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/queryables": "200",
    f"GET {SET}/profile": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/statistics": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/changes": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}/profile": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}/statistics": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}/changes": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}/diff/{{other}}": "401  200 403 200 403 403 403 403 403  200 403 200 403 403  403 403 403 403 403",
    f"POST {SET}/withdraw": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {SET}/restore": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {SET}/rejects": "401  200 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}/rejects": "401  200 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {SET}/purge": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {SET}/versions/{{version}}/withdraw": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {SET}/versions/{{version}}/restore": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"POST {SET}/versions/{{version}}/purge": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/agreements": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"POST {API}/agreements": "401  400 403 400 403 403 403 403 403  201 403 201 403 403  201 403 201 403 403",
    f"GET {ACT}": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  404 404 404 404 404",
    f"POST {ACT}/offer": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/sign": "401  403 409 403 403 403 403 403 403  403 409 403 403 403  404 404 404 404 404",
    f"POST {ACT}/suspend": "401  409 409 403 403 403 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/resume": "401  409 409 403 403 403 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/revoke": "401  409 409 403 403 403 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/terminate": "401  409 409 409 403 403 403 403 403  409 409 409 403 403  404 404 404 404 404",
    f"GET {ACT}/text": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  404 404 404 404 404",
    f"POST {ACT}/request": "401  403 403 403 403 403 403 403 403  409 403 409 403 403  404 404 404 404 404",
    f"POST {ACT}/approve": "401  403 403 403 403 403 409 409 409  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/close": "401  403 403 403 403 403 403 403 403  409 409 403 403 403  404 404 404 404 404",
    f"POST {ACT}/successor": "401  409 403 403 403 403 403 403 403  409 403 409 403 403  404 404 404 404 404",
    f"GET {API}/umbrellas": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"POST {API}/umbrellas": "401  400 403 400 403 403 403 403 403  201 403 201 403 403  201 403 201 403 403",
    f"GET {COVER}": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  404 404 404 404 404",
    f"POST {COVER}/offer": "401  409 403 403 403 403 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {COVER}/sign": "401  403 409 403 403 403 403 403 403  403 409 403 403 403  404 404 404 404 404",
    f"GET {API}/notices": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"POST {API}/notices/{{notice}}/read": "401  200 200 200 200 200 200 200 200  404 404 404 404 404  404 404 404 404 404",
    f"GET {API}/organizations/{{organization}}/approvals": "401  200 200 200 200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"PUT {API}/organizations/{{organization}}/approvals": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {LOG}/checkpoint": "200",
    f"GET {LOG}/verifier": "200",
    f"GET {LOG}/entries": "401  403 403 403 200 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {LOG}/keys": "200",
    f"GET {WITNESS}": "200",
    f"PUT {WITNESS}": "401  403 403 403 409 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {LOG}/tile/{{level}}/{{number}}": "200",
    f"GET {LOG}/tile/entries/{{number}}": "401  403 403 403 200 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {LOG}/proof/inclusion": "200",
    f"GET {LOG}/proof/consistency": "200",
    f"GET {LOG}/receipts/{{index}}": "401  404 404 404 200 404 404 404 404  404 404 404 404 404  404 404 404 404 404",
    f"DELETE {LOG}/side-records": "401  403 403 403 403 200 403 403 403  403 403 403 403 403  403 403 403 403 403",
}


# The scope that each act asks of a token: the first pattern that fits. Where none does, any token will do.
SCOPES: Final = (
    ("read", r"GET .*/collections/.*/(items|profile|statistics|changes|diff/.*)|POST .*/items/query"),
    ("publish", r"(PUT|POST) .*/collections/.*|GET .*/rejects"),
    ("agree", r"POST .*/(agreements|umbrellas)(/.*)?"),
    ("audit", r"GET .*/audit/.*/(entries|tile/entries/.*)|PUT .*/witness/.*"),
    ("administer", r".*/principals(/.*)?|(POST|DELETE) .*/tokens(/.*)?|PUT .*/approvals|DELETE .*/side-records"),
)

# The state in which an act is asked for is one that does not have it.
SIGNED: Final = ("offer", "terminate", "request", "approve", "close", "text")
DATASETS: Final = {
    f"POST {SET}/withdraw": "bts.withdrawn",
    f"POST {SET}/versions/{{version}}/withdraw": "bts.version_withdrawn",
    f"GET {SET}/rejects": "bts.let_go",
    f"GET {SET}/versions/{{version}}/rejects": "bts.let_go",
}
QUERIES: Final = {
    f"POST {SET}/versions": "?dry_run=true",
    f"GET {SET}/changes": "?since=1",
    f"GET {SET}/versions/{{version}}/changes": "?since=1",
    f"GET {LOG}/proof/inclusion": "?index=0",
    f"GET {LOG}/proof/consistency": "?from=1",
    f"DELETE {LOG}/side-records": "?stop=1",
}


@dataclass(frozen=True)
class Played:
    world: World
    server: Server
    signed: str
    asked: str
    covered: str

    def status(self, address: str, caller: tuple[str, str] | None) -> int:
        return self.answer(address, caller, None if caller is None else self.world.secrets[caller]).status_code

    def answer(self, address: str, caller: tuple[str, str] | None, secret: str | None) -> httpx2.Response:
        method, _, template = address.partition(" ")
        path = template.format(
            dataset=DATASETS.get(address, "bts.flights"),
            version="1",
            other="1",
            organization="bts",
            code="not_found",
            token=self.token(("bts", "analyst"))[0] if "{token}" in template else "",
            principal=self._principal() if "{principal}" in template else "",
            agreement=self.signed if template.rpartition("/")[2] in SIGNED else self.asked,
            umbrella=self.covered,
            notice="1",
            level="0",
            number="000.p/1",
            index="0",
        )
        with self.server.client(secret, purpose="noise-study") as client:
            return client.request(method, path + QUERIES.get(address, ""), content=self._body(address, caller))

    def token(self, caller: tuple[str, str], scope: str | None = None) -> tuple[str, str]:
        """A new token of theirs, by id and secret, narrowed to one scope or not at all."""
        scopes = None if scope is None else [scope]
        issue, holder = self.world.exchange.administer.issue_token, self.world.person(*caller)
        issued = issue(LOCAL_OPERATOR, holder.id, expires=None, purpose=None, scopes=scopes)
        return issued.token.id, issued.secret

    def _body(self, address: str, caller: tuple[str, str] | None) -> bytes:
        officer = caller[1] if caller is not None and caller[1] in OFFICERS else "counsel"
        bodies: dict[str, Any] = {
            f"PUT {WITNESS}": {"key": "A" * 43 + "=", "checkpoints": {"bts": "none"}},
            f"POST {PEOPLE}": {"name": secrets.token_hex(8), "roles": ["steward"]},
            f"POST {API}/tokens": {"principal": self.world.person("bts", "analyst").id},
            f"PUT {SET}": {"title": "Flights"},
            f"POST {SET}/items/query": {"properties": ["flight"]},
            f"POST {SET}/versions/{{version}}/items/query": {"properties": ["flight"]},
            f"POST {API}/agreements": self.world.terms(purposes=["other"]),
            f"POST {API}/umbrellas": {"title": "Noise", "terms": [self.world.terms(purposes=["other"])]},
            f"POST {ACT}/request": {"terms": self.world.terms()},
            f"POST {ACT}/approve": {"role": officer, "terms_sha256": "0" * 64},
            f"POST {ACT}/close": {"statement": "All copies are destroyed."},
            f"PUT {API}/organizations/{{organization}}/approvals": {"roles": []},
            f"PUT {API}/principals/{{principal}}/roles": {"roles": ["auditor"]},
            f"POST {API}/tokens/{{token}}/rotate": {},
            **{f"POST {at}/sign": {"terms_sha256": "0" * 64} for at in (ACT, COVER)},
            **{f"POST {ACT}/{act}": {"terms": None} for act in ("offer", "successor")},
            **{f"POST {ACT}/{act}": REASON for act in ("suspend", "resume", "revoke", "terminate")},
            **{f"POST {API}/principals/{{principal}}/{move}": REASON for move in Move},
            **{f"POST {at}/{act}": REASON for at in (SET, f"{SET}/versions/{{version}}") for act in ("withdraw", "purge")},
        }
        if address == f"POST {SET}/versions":
            return FLIGHTS
        return msgspec.json.encode(bodies[address]) if address in bodies else b""

    def _principal(self) -> str:
        """One of bts of its own for each request, because the acts change it."""
        name = secrets.token_hex(8)
        return self.world.exchange.administer.add_principal(self.world.person("bts", "admin"), "bts", name, "service", ["analyst"]).id


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    world = make_world(tmp_path_factory.mktemp("roles") / "home", "bts", "dot", STRANGER)
    world.employ("bts", *OFFICERS)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    steward, analyst, other = world.person("bts", "steward"), world.person("dot", "analyst"), world.terms(purposes=["other"])
    world.publish_and_let_go("bts.let_go")
    for dataset, version in (("withdrawn", None), ("version_withdrawn", 1)):
        world.publish(f"bts.{dataset}", b"number\n1\n")
        world.exchange.withdraw.withdraw(steward, DatasetName("bts", dataset), version, "because")
    asked = world.exchange.agree.request(analyst, other)
    signed = world.sign(world.terms())
    umbrellas = world.exchange.umbrellas
    covered = umbrellas.offer(steward, umbrellas.request(analyst, "Noise", [other]).id)
    for party in ("bts", "dot"):
        umbrellas.sign(world.person(party, "signatory"), covered.id, covered.digest())
    world.exchange.watch.sign_new()
    notes = {"bts": world.exchange.watch.latest("bts")}
    key = encode_base64(world.exchange.watch.key.public_key().public_bytes_raw())
    world.exchange.witness.keep(world.person("bts", "auditor"), "bts", CheckpointCopyRequest(key=key, checkpoints=notes))
    with serving(world.root) as server:
        yield Played(world, server, signed.id, asked.id, covered.id)
    world.exchange.close()


def test_every_address_has_its_row() -> None:
    assert sorted(EXPECTED) == sorted(f"{each.method} {each.template}" for each in ADDRESSES)


@pytest.mark.parametrize("address", sorted(EXPECTED))
def test_each_caller_gets_what_its_role_allows(address: str, played: Played) -> None:
    expected = [int(status) for status in EXPECTED[address].split()]
    assert [played.status(address, caller) for caller in CALLERS] == expected * (len(CALLERS) if len(expected) == 1 else 1)


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: f"{address.method} {address.template}")
def test_the_roles_of_a_row_are_those_that_are_let_in(address: Any) -> None:
    expected = EXPECTED[f"{address.method} {address.template}"].split()
    if len(expected) == 1:
        assert address.who.token is not Token.NEEDED
        assert not address.who.roles
        return
    assert expected[0] == "401"
    let_in = {
        role for _, role in (caller for caller, status in zip(CALLERS, expected, strict=True) if caller and status not in ("403", "404"))
    }
    if address.who.roles:
        assert let_in == {role.value for role in address.who.roles}


def scope_of(address: str) -> str | None:
    return next((scope for scope, pattern in SCOPES if re.fullmatch(pattern, address)), None)


def doer(address: str) -> tuple[str, str]:
    """The first caller with a token who is let in; of tokens, which are the analyst's, the admin."""
    if "{token}" in address:
        return "bts", "admin"
    expected = EXPECTED[address].split() * len(CALLERS)  # one status is everyone's
    return next(caller for caller, status in zip(CALLERS, expected, strict=False) if caller and status not in ("403", "404"))


RECEIPT: Final = f"GET {LOG}/receipts/{{index}}"
TOKEN_READ: Final = sorted(f"{each.method} {each.template}" for each in ADDRESSES if each.who.token is not Token.UNREAD)


@pytest.mark.parametrize("address", [each for each in TOKEN_READ if each != RECEIPT])
def test_a_token_does_what_its_scope_covers_and_nothing_else(address: str, played: Played) -> None:
    caller, needed = doer(address), scope_of(address)
    expected = played.status(address, caller)
    for scope in Scope:
        answer = played.answer(address, caller, played.token(caller, scope.value)[1])
        if needed in (None, scope.value):
            assert answer.status_code == expected, (scope, answer.text)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_required"), scope


def test_an_entry_of_others_is_there_for_an_auditor_whose_token_may_read_the_log(played: Played) -> None:
    tokens = {scope: played.token(("bts", "auditor"), scope.value)[1] for scope in Scope}
    found = {scope.value: played.answer(RECEIPT, ("bts", "auditor"), secret).status_code for scope, secret in tokens.items()}
    assert found == {"read": 404, "publish": 404, "agree": 404, "audit": 200, "administer": 404}


@pytest.mark.parametrize("address", TOKEN_READ)
def test_a_principal_that_is_suspended_is_refused_wherever_a_token_is_read(address: str, played: Played) -> None:
    administer, caller = played.world.exchange.administer, doer(address)
    secret, holder = played.token(caller)[1], played.world.person(*caller)
    administer.move_principal(LOCAL_OPERATOR, holder.id, Move.SUSPEND, "because")
    try:
        answer = played.answer(address, caller, secret)
    finally:
        administer.move_principal(LOCAL_OPERATOR, holder.id, Move.RESUME, "because")
    assert (answer.status_code, answer.json()["code"]) == (403, "principal_suspended")


@pytest.mark.parametrize("address", sorted(set(EXPECTED) - set(TOKEN_READ)))
def test_what_is_public_looks_at_no_token(address: str, played: Played) -> None:
    assert played.answer(address, None, "bb_" + "A" * 43).status_code == 200

"""Who may call what: each address by each kind of caller, with the status that is expected. An address without a row fails here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pytest
from conftest import FLIGHTS, ROLES, Server, World, make_world, serving

from baybridge.http.addresses import ADDRESSES
from baybridge.http.contract import Token
from baybridge.principals.principal import Move

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("roles")]

API: Final = "/api/v1"
SET: Final = f"{API}/collections/{{dataset}}"
ACT: Final = f"{API}/agreements/{{agreement}}"
LOG: Final = f"{API}/audit/{{organization}}"
PEOPLE: Final = f"{API}/organizations/{{organization}}/principals"
REASON: Final = {"reason": "because"}
STRANGER: Final = "faa"
CALLERS: Final = (None, *((organization, role) for organization in ("bts", "dot", STRANGER) for role in ROLES))

# For the public, then for steward, signatory, analyst, auditor and admin of the provider bts, of the consumer dot, and of the
# stranger faa. An act is asked for in a state that does not have it: whoever may do it gets 409, and nothing changes.
EXPECTED: Final = {
    "GET /livez": "200",
    "GET /readyz": "200",
    "GET /errors/{code}": "200",
    f"GET {API}/openapi.json": "200",
    f"GET {API}/whoami": "401  200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"GET {API}/organizations": "200",
    f"GET {PEOPLE}": "401  403 403 403 403 200  403 403 403 403 403  403 403 403 403 403",
    f"POST {PEOPLE}": "401  403 403 403 403 201  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/tokens": "401  403 403 403 403 201  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/organizations/{{organization}}/tokens": "401  200 200 200 200 200  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/principals/{{principal}}": "401  403 403 403 403 200  403 403 403 403 403  403 403 403 403 403",
    f"PUT {API}/principals/{{principal}}/roles": "401  403 403 403 403 200  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/confirm": "401  409 409 409 409 409  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/suspend": "401  403 403 403 403 200  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/resume": "401  403 403 403 403 409  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/principals/{{principal}}/offboard": "401  403 403 403 403 200  403 403 403 403 403  403 403 403 403 403",
    f"POST {API}/tokens/{{token}}/rotate": "401  403 403 201 403 201  403 403 403 403 403  403 403 403 403 403",
    f"DELETE {API}/tokens/{{token}}": "401  403 403 204 403 204  403 403 403 403 403  403 403 403 403 403",
    f"GET {API}/collections": "200",
    f"GET {SET}": "200",
    f"PUT {SET}": "401  200 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {SET}/schema": "200",
    f"GET {SET}/versions": "200",
    f"POST {SET}/versions": "401  200 403 403 403 403  403 403 403 403 403  403 403 403 403 403",
    f"GET {SET}/versions/{{version}}": "200",
    f"GET {SET}/versions/{{version}}/schema": "200",
    f"GET {SET}/versions/{{version}}/items": "401  200 403 200 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {SET}/items": "401  200 403 200 403 403  200 403 200 403 403  403 403 403 403 403",
    f"POST {SET}/versions/{{version}}/items/query": "401  200 403 200 403 403  200 403 200 403 403  403 403 403 403 403",
    f"POST {SET}/items/query": "401  200 403 200 403 403  200 403 200 403 403  403 403 403 403 403",
    f"GET {API}/agreements": "401  200 200 200 200 200  200 200 200 200 200  200 200 200 200 200",
    f"POST {API}/agreements": "401  400 403 400 403 403  201 403 201 403 403  201 403 201 403 403",
    f"GET {ACT}": "401  200 200 200 200 200  200 200 200 200 200  404 404 404 404 404",
    f"POST {ACT}/offer": "401  409 403 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/sign": "401  403 409 403 403 403  403 409 403 403 403  404 404 404 404 404",
    f"POST {ACT}/suspend": "401  409 409 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/resume": "401  409 409 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/revoke": "401  409 409 403 403 403  403 403 403 403 403  404 404 404 404 404",
    f"POST {ACT}/terminate": "401  409 409 409 403 403  409 409 409 403 403  404 404 404 404 404",
    f"GET {LOG}/checkpoint": "200",
    f"GET {LOG}/verifier": "200",
    f"GET {LOG}/entries": "401  403 403 403 200 403  403 403 403 403 403  403 403 403 403 403",
}


@dataclass(frozen=True)
class Played:
    world: World
    server: Server
    signed: str
    asked: str

    def status(self, address: str, caller: tuple[str, str] | None) -> int:
        method, _, template = address.partition(" ")
        path = template.format(
            dataset="bts.flights",
            version="1",
            organization="bts",
            code="not_found",
            token=self._token() if "{token}" in template else "",
            principal=self._principal() if "{principal}" in template else "",
            agreement=self.asked if template.rpartition("/")[2] not in ("offer", "terminate") else self.signed,
        )
        query = "?dry_run=true" if address == f"POST {SET}/versions" else ""
        secret = None if caller is None else self.world.secrets[caller]
        with self.server.client(secret, purpose="noise-study") as client:
            return client.request(method, path + query, content=self._body(address)).status_code

    def _body(self, address: str) -> bytes:
        bodies: dict[str, Any] = {
            f"POST {PEOPLE}": {"name": "Nightly load", "roles": ["steward"]},
            f"POST {API}/tokens": {"principal": self.world.person("bts", "analyst").id},
            f"PUT {SET}": {"title": "Flights"},
            f"POST {SET}/items/query": {"properties": ["flight"]},
            f"POST {SET}/versions/{{version}}/items/query": {"properties": ["flight"]},
            f"POST {API}/agreements": self.world.terms(purposes=["other"]),
            f"POST {ACT}/offer": {"terms": None},
            f"POST {ACT}/sign": {"terms_sha256": "0" * 64},
            f"PUT {API}/principals/{{principal}}/roles": {"roles": ["auditor"]},
            f"POST {API}/tokens/{{token}}/rotate": {},
            **{f"POST {API}/principals/{{principal}}/{move}": REASON for move in Move},
            **{f"POST {ACT}/{act}": REASON for act in ("suspend", "resume", "revoke", "terminate")},
        }
        if address == f"POST {SET}/versions":
            return FLIGHTS
        return msgspec.json.encode(bodies[address]) if address in bodies else b""

    def _principal(self) -> str:
        """One of bts of its own for each request, because the acts change it."""
        name = secrets.token_hex(8)
        return self.world.exchange.administer.add_principal(self.world.person("bts", "admin"), "bts", name, "service", ["analyst"]).id

    def _token(self) -> str:
        administer = self.world.exchange.administer
        admin, holder = self.world.person("bts", "admin"), self.world.person("bts", "analyst")
        return administer.issue_token(admin, holder.id, expires=None, purpose=None).token.id


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    world = make_world(tmp_path_factory.mktemp("roles") / "home", "bts", "dot", STRANGER)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    asked = world.exchange.agree.request(world.person("dot", "analyst"), world.terms(purposes=["other"]))
    signed = world.sign(world.terms())
    with serving(world.root) as server:
        yield Played(world, server, signed.id, asked.id)
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
        assert address.who.token is Token.UNREAD
        return
    assert expected[0] == "401"
    let_in = {
        role for _, role in (caller for caller, status in zip(CALLERS, expected, strict=True) if caller and status not in ("403", "404"))
    }
    if address.who.roles:
        assert let_in == {role.value for role in address.who.roles}

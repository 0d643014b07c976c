"""Hidden datasets: to whoever was not let know of one, no answer of any address differs from that for a name that was never there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import pytest
from conftest import FLIGHTS, ROLES, Server, World, make_world, serving

from baybridge.audit import log as audit_log
from baybridge.catalog.dataset import Access
from baybridge.errors import Conflict, Invalid, NotFound
from baybridge.exchange import Exchange
from baybridge.http.addresses import ADDRESSES
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Principal
from baybridge.publish import Declaration, Upload

API: Final = "/api/v1"
NAME: Final = DatasetName("bts", "secret")
DATASETS: Final = ("bts.secret", "bts.secrets")  # itself, and a name that a hint would mend
REASON: Final = {"reason": "because"}
# A log's length is public, and grows by what its owner does: what is in it is not. Entries of a log differ by their nonces.
OF_THE_LOG: Final = f"{API}/audit/"


def hide(exchange: Exchange, steward: Principal, *, invited: tuple[str, ...] = ()) -> None:
    exchange.publish.declare(steward, NAME, Declaration(title="Secret", hidden=True, invited=invited))
    exchange.publish.publish(steward, NAME, Upload([FLIGHTS], ("", "NA"), ("flight",), accept_schema=True, dry_run=False))


def refused(root: Path) -> list[tuple[Any, ...]]:
    """What the entries of the owner's log say, without who and when."""
    with Exchange.open(root) as exchange, exchange.database.read() as connection:
        entries = [msgspec.json.decode(data) for _, data in audit_log.entries(connection, "bts")]
    return [tuple(facts.get(name) for name in ("kind", "code", "act", "counts", "dataset")) for facts in entries]


@dataclass
class Twins:
    """Two homes in a folder that differ in one hidden dataset."""

    world: World
    folder: Path
    agreement: str
    umbrella: str
    token: str

    def ask(self, server: Server, address: str, secret: str | None, dataset: str) -> tuple[int, list[tuple[str, str]], bytes]:
        method, _, template = address.partition(" ")
        path = template.format(
            dataset=dataset,
            version="1",
            other="1",
            organization="bts",
            code="not_found",
            token=self.token,
            principal=self.world.person("bts", "analyst").id,
            agreement=self.agreement,
            umbrella=self.umbrella,
            notice="1",
        )
        query = "?since=1" if path.endswith("/changes") else "?dry_run=true" if method == "POST" and path.endswith("/versions") else ""
        with server.client(secret, purpose="noise-study") as client:
            answer = client.request(method, path + query, content=self._body(address, dataset))
        return answer.status_code, self._headers(answer), re.sub(rb'"request_id":"[^"]*"', b"", answer.content)

    def _headers(self, answer: httpx2.Response) -> list[tuple[str, str]]:
        return sorted((name, value) for name, value in answer.headers.items() if name not in {"date", "x-request-id"})

    def _body(self, address: str, dataset: str) -> bytes:
        terms = msgspec.to_builtins(self.world.terms(dataset=dataset, columns=["flight"], row_filter=None, masks={}))
        method, _, path = address.partition(" ")
        if address == f"POST {API}/umbrellas":
            return msgspec.json.encode({"title": "Noise", "terms": [terms]})
        if address == f"POST {API}/agreements":
            return msgspec.json.encode(terms)
        if path.endswith("/query"):
            return b'{"properties": ["flight"]}'
        if path.endswith("/collections/{dataset}"):
            return b'{"title": "Mine"}' if method == "PUT" else b""
        if path.endswith(("/withdraw", "/purge", *(f"/{move}" for move in ("suspend", "resume", "offboard")))):
            return msgspec.json.encode(REASON)
        return b"" if method in {"GET", "DELETE"} else b"{}"


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    folder = tmp_path
    world = make_world(folder / "without", "bts", "dot", "faa")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    signed = world.sign(world.terms())
    umbrella = world.exchange.umbrellas.request(world.person("dot", "analyst"), "Noise", [world.terms(purposes=["other"])])
    token = world.exchange.administer.tokens(LOCAL_OPERATOR, "bts")[0].id
    world.exchange.close()
    shutil.copytree(folder / "without", folder / "with_it")
    with Exchange.open(folder / "with_it") as exchange:
        hide(exchange, world.person("bts", "steward"), invited=("dot",))
    return Twins(world, folder, signed.id, umbrella.id, token)


@pytest.mark.slow
@pytest.mark.xdist_group("hidden")
def test_no_answer_tells_a_stranger_of_a_hidden_dataset(twins: Twins) -> None:
    strangers = (None, "bb_" + "A" * 43, *(twins.world.secrets["faa", role] for role in ROLES))
    asked = [each for each in ADDRESSES if not each.path.startswith(OF_THE_LOG)]
    asked = [each for each in asked if each.path not in {f"{API}/whoami", f"{API}/tokens"}]
    homes = [twins.folder / name for name in ("without", "with_it")]
    before = [len(refused(home)) for home in homes]
    with serving(homes[0]) as without, serving(homes[1]) as with_it:
        for address in (f"{each.method} {each.template}" for each in asked):
            for dataset in DATASETS if "{dataset}" in address or address.endswith(("/agreements", "/umbrellas")) else ("",):
                for secret in strangers:
                    found = [twins.ask(server, address, secret, dataset) for server in (without, with_it)]
                    assert found[0] == found[1], (address, dataset)
                    assert str(NAME).encode() not in found[1][2].replace(dataset.encode(), b""), address
    told = [refused(home)[start:] for home, start in zip(homes, before, strict=True)]
    assert told[0]
    assert told[0] == told[1], "nothing else is entered, or counted, either"


def codes(world: World, who: Principal | None) -> dict[str, str]:
    """What each way of looking gives: `seen`, or the code of its error."""
    look, agree = world.exchange.catalog, world.exchange.agree
    terms = world.terms(dataset=str(NAME), columns=["flight"], row_filter=None, masks={})
    ways = {
        "listed": lambda: None if any(each.dataset.name == NAME for each in look.listing(who).datasets) else "left out",
        "described": lambda: look.describe(who, NAME) and None,
        "versions": lambda: look.versions(who, NAME) and None,
        "schema": lambda: look.schema(who, NAME, 1) and None,
    }
    if who is not None and "analyst" in who.roles and who.organization != "bts":
        ways["asked for"] = lambda: agree.request(who, terms) and None
    found = {}
    for way, look_at in ways.items():
        try:
            found[way] = look_at() or "seen"
        except NotFound as wrong:
            found[way] = wrong.code
    return found


@pytest.fixture
def hidden(tmp_path: Path) -> Iterator[World]:
    world = make_world(tmp_path / "home", "bts", "dot", "faa")
    hide(world.exchange, world.person("bts", "steward"))
    yield world
    world.exchange.close()


def test_its_own_organization_sees_it_and_nobody_else(hidden: World) -> None:
    for role in ROLES:
        assert set(codes(hidden, hidden.person("bts", role)).values()) == {"seen"}
    assert set(codes(hidden, LOCAL_OPERATOR).values()) == {"seen"}
    for who in (None, *(hidden.person(organization, role) for organization in ("dot", "faa") for role in ROLES)):
        assert set(codes(hidden, who).values()) == {"left out", "not_found"}


def test_who_is_invited_is_told_sees_it_and_may_ask_until_the_invitation_is_taken_back(hidden: World) -> None:
    exchange, steward, dot = hidden.exchange, hidden.person("bts", "steward"), hidden.person("dot", "steward")
    exchange.publish.declare(steward, NAME, Declaration(invited=("dot",)))
    assert set(codes(hidden, dot).values()) == {"seen"}
    assert [each.kind for each in exchange.inbox.notices(dot, before=None, limit=10)] == ["invite"]
    assert exchange.inbox.notices(hidden.person("faa", "steward"), before=None, limit=10) == ()
    assert exchange.catalog.describe(steward, NAME).invited == ("dot",)
    assert exchange.catalog.describe(dot, NAME).invited is None
    exchange.publish.declare(steward, NAME, Declaration(invited=()))
    assert set(codes(hidden, dot).values()) == {"left out", "not_found"}


def test_a_party_to_an_agreement_sees_it_whatever_becomes_of_the_invitation(hidden: World) -> None:
    exchange, steward = hidden.exchange, hidden.person("bts", "steward")
    exchange.publish.declare(steward, NAME, Declaration(invited=("dot",)))
    asked = exchange.agree.request(
        hidden.person("dot", "analyst"), hidden.terms(dataset=str(NAME), columns=["flight"], row_filter=None, masks={})
    )
    exchange.publish.declare(steward, NAME, Declaration(invited=()))
    assert set(codes(hidden, hidden.person("dot", "analyst")).values()) == {"seen"}
    exchange.agree.terminate(steward, asked.id, "because")
    assert set(codes(hidden, hidden.person("dot", "analyst")).values()) == {"seen"}
    assert set(codes(hidden, hidden.person("faa", "analyst")).values()) == {"left out", "not_found"}


def test_what_is_hidden_later_stays_in_the_sight_of_its_parties(flights: World) -> None:
    signed = flights.sign(flights.terms())
    flights.add_organization("faa")
    flights.exchange.publish.declare(flights.person("bts", "steward"), signed.dataset, Declaration(hidden=True))
    look = flights.exchange.catalog
    assert look.describe(flights.person("dot", "analyst"), signed.dataset).dataset.hidden
    for stranger in (None, flights.person("faa", "analyst")):
        with pytest.raises(NotFound):
            look.describe(stranger, signed.dataset)


def test_no_hint_names_it(hidden: World) -> None:
    for who, hint in ((None, None), (hidden.person("faa", "analyst"), None), (hidden.person("bts", "analyst"), "bts.secret")):
        with pytest.raises(NotFound) as wrong:
            hidden.exchange.catalog.describe(who, DatasetName("bts", "secrets"))
        assert wrong.value.places[0].hint == hint


def test_what_is_public_cannot_be_hidden(hidden: World) -> None:
    steward, publish = hidden.person("bts", "steward"), hidden.exchange.publish
    with pytest.raises(Conflict):
        publish.declare(steward, DatasetName("bts", "open"), Declaration(access=Access.PUBLIC, hidden=True))
    publish.declare(steward, DatasetName("bts", "open"), Declaration(access=Access.PUBLIC))
    with pytest.raises(Conflict):
        publish.declare(steward, DatasetName("bts", "open"), Declaration(hidden=True))


def test_only_other_organizations_that_there_are_are_invited(hidden: World) -> None:
    steward, publish = hidden.person("bts", "steward"), hidden.exchange.publish
    for wrong, names in (
        (Invalid, ("bts",)),
        (Invalid, ("Not a name",)),
        (NotFound, ("nobody",)),
        (Invalid, tuple(f"o{n}" for n in range(101))),
    ):
        with pytest.raises(wrong):
            publish.declare(steward, NAME, Declaration(invited=names))

"""Holds the REST API to its tables: who needs a token, which shape each answer has, and that nothing that is sent is ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import pytest
from conftest import FLIGHTS, OFFICERS, Server, World, make_world, serving

from baybridge.agreements.umbrellas import Umbrella
from baybridge.audit.checkpoint import encode_base64
from baybridge.catalog.schema import parse_table_schema, to_table_schema
from baybridge.errors import CODES
from baybridge.http.app import ROUTES
from baybridge.names import DatasetName
from baybridge.principals.principal import LOCAL_OPERATOR, Move
from baybridge.wire.agreements import AgreementShape, AgreementsShape, ApprovalsShape, UmbrellaShape, UmbrellasShape
from baybridge.wire.audit import (
    CheckpointCopyRequest,
    CheckpointCopyShape,
    ConsistencyShape,
    EntriesShape,
    ErasureShape,
    InclusionShape,
    KeysShape,
    VerifierShape,
)
from baybridge.wire.collections import (
    ChangesShape,
    CollectionShape,
    CollectionsShape,
    DiffShape,
    ItemsShape,
    PublishReport,
    PurgeShape,
    QueriedItemsShape,
    SummaryShape,
    VersionShape,
    VersionsShape,
)
from baybridge.wire.notices import NoticeShape, NoticesShape
from baybridge.wire.principals import OrganizationsShape, PrincipalShape, PrincipalsShape, TokenShape, TokensShape
from baybridge.wire.problems import ProblemShape

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("contracts")]

API: Final = "/api/v1"
DATASET: Final = f"{API}/collections/{{dataset}}"
AGREEMENT: Final = f"{API}/agreements/{{agreement}}"
UMBRELLA: Final = f"{API}/umbrellas/{{umbrella}}"
REASON: Final = {"reason": "because"}
# Addresses outside the API, which take no notice of parameters.
OUTSIDE: Final = {"GET /livez", "GET /readyz", "GET /errors/{code}"}
TERMS: Final = {
    "dataset": "bts.flights",
    "columns": ["flight"],
    "purposes": ["noise-study"],
    "provider_authority": "49 U.S.C. 6302",
    "consumer_authority": "Charter, section 191",
    "start": "2026-01-01T00:00:00Z",
    "end": "2099-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class Contract:
    """One address: who may call it in the test, with which body, and what the answer is. `public` says that no token is needed."""

    who: tuple[str, str] | None
    shape: type[Any] | None
    body: Any = None
    status: int = 200
    public: bool = False
    query: str = ""


STEWARD, ANALYST, ADMIN = ("bts", "steward"), ("dot", "analyst"), ("bts", "admin")
CONTRACTS: Final[dict[str, Contract]] = {
    "GET /livez": Contract(None, None, public=True),
    "GET /readyz": Contract(None, None, public=True),
    "GET /errors/{code}": Contract(None, None, public=True),
    f"GET {API}/openapi.json": Contract(None, None, public=True),
    f"GET {API}/whoami": Contract(ANALYST, PrincipalShape),
    f"GET {API}/organizations": Contract(None, OrganizationsShape, public=True),
    f"GET {API}/organizations/{{organization}}/principals": Contract(ADMIN, PrincipalsShape),
    f"POST {API}/organizations/{{organization}}/principals": Contract(
        ADMIN, PrincipalShape, {"name": "Nightly load", "kind": "service", "roles": ["steward"]}, 201
    ),
    f"GET {API}/organizations/{{organization}}/tokens": Contract(ADMIN, TokensShape),
    f"GET {API}/principals/{{principal}}": Contract(ADMIN, PrincipalShape),
    f"PUT {API}/principals/{{principal}}/roles": Contract(ADMIN, PrincipalShape, {"roles": ["steward"]}),
    f"POST {API}/principals/{{principal}}/confirm": Contract(ADMIN, PrincipalShape),
    f"POST {API}/principals/{{principal}}/suspend": Contract(ADMIN, PrincipalShape, REASON),
    f"POST {API}/principals/{{principal}}/resume": Contract(ADMIN, PrincipalShape, REASON),
    f"POST {API}/principals/{{principal}}/offboard": Contract(ADMIN, PrincipalShape, REASON),
    f"POST {API}/tokens/{{token}}/rotate": Contract(ADMIN, TokenShape, {"overlap_seconds": 60}, 201),
    f"POST {API}/tokens": Contract(ADMIN, TokenShape, {"principal": "PRINCIPAL"}, 201),
    f"DELETE {API}/tokens/{{token}}": Contract(ADMIN, None, status=204),
    f"GET {API}/collections": Contract(None, CollectionsShape, public=True),
    f"GET {DATASET}": Contract(None, CollectionShape, public=True),
    f"PUT {DATASET}": Contract(STEWARD, CollectionShape, {"title": "Flights"}),
    f"GET {DATASET}/schema": Contract(None, None, public=True),
    f"GET {DATASET}/versions": Contract(None, VersionsShape, public=True),
    f"POST {DATASET}/versions": Contract(STEWARD, PublishReport, FLIGHTS, 201),
    f"GET {DATASET}/versions/{{version}}": Contract(None, VersionShape, public=True),
    f"GET {DATASET}/versions/{{version}}/schema": Contract(None, None, public=True),
    f"GET {DATASET}/queryables": Contract(None, None, public=True),
    f"GET {DATASET}/profile": Contract(ANALYST, SummaryShape),
    f"GET {DATASET}/statistics": Contract(ANALYST, SummaryShape),
    f"GET {DATASET}/changes": Contract(ANALYST, ChangesShape, query="since=1"),
    f"GET {DATASET}/versions/{{version}}/profile": Contract(ANALYST, SummaryShape),
    f"GET {DATASET}/versions/{{version}}/statistics": Contract(ANALYST, SummaryShape),
    f"GET {DATASET}/versions/{{version}}/changes": Contract(ANALYST, ChangesShape, query="since=1"),
    f"GET {DATASET}/versions/{{version}}/diff/{{other}}": Contract(ANALYST, DiffShape),
    f"POST {DATASET}/withdraw": Contract(STEWARD, CollectionShape, REASON),
    f"POST {DATASET}/restore": Contract(STEWARD, CollectionShape),
    f"GET {DATASET}/rejects": Contract(STEWARD, None),
    f"GET {DATASET}/versions/{{version}}/rejects": Contract(STEWARD, None),
    f"POST {DATASET}/purge": Contract(STEWARD, PurgeShape, REASON),
    f"POST {DATASET}/versions/{{version}}/withdraw": Contract(STEWARD, VersionShape, REASON),
    f"POST {DATASET}/versions/{{version}}/restore": Contract(STEWARD, VersionShape),
    f"POST {DATASET}/versions/{{version}}/purge": Contract(STEWARD, PurgeShape, REASON),
    f"GET {DATASET}/versions/{{version}}/items": Contract(ANALYST, ItemsShape),
    f"GET {DATASET}/items": Contract(ANALYST, ItemsShape),
    f"POST {DATASET}/versions/{{version}}/items/query": Contract(ANALYST, QueriedItemsShape, {"limit": 1}),
    f"POST {DATASET}/items/query": Contract(ANALYST, QueriedItemsShape, {"filter": "delay > 3", "properties": ["flight"]}),
    f"GET {API}/agreements": Contract(ANALYST, AgreementsShape),
    f"POST {API}/agreements": Contract(ANALYST, AgreementShape, TERMS, 201),
    f"GET {AGREEMENT}": Contract(ANALYST, AgreementShape),
    f"GET {AGREEMENT}/text": Contract(ANALYST, None),
    f"POST {AGREEMENT}/offer": Contract(STEWARD, AgreementShape, {"terms": None}),
    f"POST {AGREEMENT}/sign": Contract(("bts", "signatory"), AgreementShape, {"terms_sha256": "DIGEST"}),
    f"POST {AGREEMENT}/suspend": Contract(STEWARD, AgreementShape, REASON),
    f"POST {AGREEMENT}/resume": Contract(STEWARD, AgreementShape, REASON),
    f"POST {AGREEMENT}/revoke": Contract(STEWARD, AgreementShape, REASON),
    f"POST {AGREEMENT}/terminate": Contract(STEWARD, AgreementShape, REASON),
    f"POST {AGREEMENT}/request": Contract(ANALYST, AgreementShape, {"terms": TERMS}),
    f"POST {AGREEMENT}/approve": Contract(("bts", "counsel"), AgreementShape, {"role": "counsel", "terms_sha256": "DIGEST"}),
    f"POST {AGREEMENT}/close": Contract(("dot", "steward"), AgreementShape, {"statement": "All copies are destroyed."}),
    f"POST {AGREEMENT}/successor": Contract(STEWARD, AgreementShape, {"terms": None}, 201),
    f"GET {API}/umbrellas": Contract(ANALYST, UmbrellasShape),
    f"POST {API}/umbrellas": Contract(ANALYST, UmbrellaShape, {"title": "Noise", "terms": [TERMS]}, 201),
    f"GET {UMBRELLA}": Contract(ANALYST, UmbrellaShape),
    f"POST {UMBRELLA}/offer": Contract(STEWARD, UmbrellaShape),
    f"POST {UMBRELLA}/sign": Contract(("bts", "signatory"), UmbrellaShape, {"terms_sha256": "COVER"}),
    f"GET {API}/notices": Contract(STEWARD, NoticesShape),
    f"POST {API}/notices/{{notice}}/read": Contract(STEWARD, NoticeShape),
    f"GET {API}/organizations/{{organization}}/approvals": Contract(ANALYST, ApprovalsShape),
    f"PUT {API}/organizations/{{organization}}/approvals": Contract(ADMIN, ApprovalsShape, {"roles": []}),
    f"GET {API}/audit/{{organization}}/checkpoint": Contract(None, None, public=True),
    f"GET {API}/audit/{{organization}}/verifier": Contract(None, VerifierShape, public=True),
    f"GET {API}/audit/{{organization}}/keys": Contract(None, KeysShape, public=True),
    f"GET {API}/audit/{{organization}}/entries": Contract(("bts", "auditor"), EntriesShape),
    f"GET {API}/audit/{{organization}}/tile/entries/{{number}}": Contract(("bts", "auditor"), None),
    f"GET {API}/audit/{{organization}}/tile/{{level}}/{{number}}": Contract(None, None, public=True),
    f"GET {API}/audit/{{organization}}/proof/inclusion": Contract(None, InclusionShape, query="index=0", public=True),
    f"GET {API}/audit/{{organization}}/proof/consistency": Contract(None, ConsistencyShape, query="from=1", public=True),
    f"GET {API}/audit/{{organization}}/receipts/{{index}}": Contract(("bts", "auditor"), None),
    f"GET {API}/witness/{{organization}}": Contract(None, CheckpointCopyShape, public=True),
    f"PUT {API}/witness/{{organization}}": Contract(("bts", "auditor"), CheckpointCopyShape, {"key": "KEY", "checkpoints": "NOTES"}),
    f"DELETE {API}/audit/{{organization}}/side-records": Contract(("bts", "admin"), ErasureShape, query="stop=1"),
}


# What is withdrawn, restored or let go here, so that it stays away from what the others read.
WITHDRAWN: Final = {
    f"POST {DATASET}/withdraw": "bts.to_withdraw",
    f"POST {DATASET}/restore": "bts.withdrawn",
    f"POST {DATASET}/versions/{{version}}/withdraw": "bts.version_to_withdraw",
    f"POST {DATASET}/versions/{{version}}/restore": "bts.version_withdrawn",
    f"GET {DATASET}/rejects": "bts.let_go",
    f"GET {DATASET}/versions/{{version}}/rejects": "bts.let_go",
    f"POST {DATASET}/purge": "bts.to_purge",
    f"POST {DATASET}/versions/{{version}}/purge": "bts.version_to_purge",
}


@dataclass
class Stage:
    """A served exchange with flights. `agreements` has one for each act, in the state that the act needs, and one to read under.

    `people` has a principal for each act on principals, likewise.
    """

    world: World
    server: Server
    agreements: dict[str, str]
    people: dict[str, str]
    digest: str
    umbrellas: dict[str, Umbrella]
    witnessed: dict[str, Any]

    def send(self, address: str, *, token: str | None, query: str = "") -> httpx2.Response:
        method, _, template = address.partition(" ")
        contract = CONTRACTS[address]
        names = {
            "dataset": WITHDRAWN.get(address, "bts.flights"),
            "version": "1",
            "other": "1",
            "code": "not_found",
            "organization": "bts",
            "principal": self.people.get(template.rpartition("/")[2], self.world.person("bts", "analyst").id),
            "level": "0",
            "number": "000.p/1",
            "index": "0",
            "token": self._token_id() if "{token}" in template else "",
            "agreement": self.agreements.get(template.rpartition("/")[2], self.agreements["read"]),
            "umbrella": self.umbrellas.get(template.rpartition("/")[2], self.umbrellas["offer"]).id,
            "notice": "1",
        }
        body = contract.body
        if isinstance(body, dict):
            principal = self.world.person("bts", "analyst").id
            body = {
                name: {**self.witnessed, "DIGEST": self.digest, "COVER": self.umbrellas["sign"].digest(), "PRINCIPAL": principal}.get(
                    str(value), value
                )
                for name, value in body.items()
            }
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        with self.server.client(token, purpose="noise-study") as client:
            asked = "&".join(each for each in (contract.query, query.removeprefix("?")) if each)
            return client.request(method, template.format(**names) + ("?" + asked if asked else ""), content=content)

    def secret(self, address: str) -> str | None:
        who = CONTRACTS[address].who
        return None if who is None else self.world.secrets[who]

    def _token_id(self) -> str:
        admin, holder = self.world.person(*ADMIN), self.world.person("bts", "analyst")
        return self.world.exchange.administer.issue_token(admin, holder.id, expires=None, purpose=None).token.id


def make_stage(root: Path) -> Iterator[Stage]:
    world = make_world(root)
    world.employ("bts", *OFFICERS)
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    for dataset in {*WITHDRAWN.values()} - {"bts.let_go"}:
        world.publish(dataset, b"number\n1\n")
    world.publish_and_let_go("bts.let_go")
    withdraw = world.exchange.withdraw
    for name, number in (("withdrawn", None), ("version_withdrawn", 1), ("to_purge", None), ("version_to_purge", 1)):
        withdraw.withdraw(world.person(*STEWARD), DatasetName("bts", name), number, "because")
    agree, analyst, steward = world.exchange.agree, world.person(*ANALYST), world.person(*STEWARD)
    other = world.terms(purposes=["other-study"])
    agreements = {
        "read": world.sign(world.terms(history="all")),
        "offer": agree.request(analyst, other),
        "terminate": agree.request(analyst, other),
        "sign": agree.offer(steward, agree.request(analyst, other).id, None),
        "suspend": world.sign(other),
        "resume": agree.suspend(steward, world.sign(other).id, "because"),
        "revoke": world.sign(other),
        "request": agree.request(analyst, other),
        "approve": agree.request(analyst, other),
        "close": agree.revoke(steward, world.sign(other).id, "because"),
        "successor": world.sign(other),
    }
    asked = [world.exchange.umbrellas.request(analyst, "Noise", [other]) for _ in range(2)]
    umbrellas = {"offer": asked[0], "sign": world.exchange.umbrellas.offer(steward, asked[1].id)}
    world.exchange.watch.sign_new()
    with serving(world.root) as server:
        people, digest = make_people(world), agreements["sign"].terms_sha256
        kept = keep_checkpoints(world)
        witnessed = {"KEY": kept.key, "NOTES": kept.checkpoints}
        yield Stage(world, server, {name: each.id for name, each in agreements.items()}, people, digest, umbrellas, witnessed)
    world.exchange.close()


def keep_checkpoints(world: World) -> CheckpointCopyShape:
    """Keep, for bts, checkpoints of its log as if it were another server's."""
    watch = world.exchange.watch
    key = encode_base64(watch.key.public_key().public_bytes_raw())
    brought = CheckpointCopyRequest(key=key, checkpoints={"bts": watch.latest("bts")})
    return world.exchange.witness.keep(world.person("bts", "auditor"), "bts", brought)


def make_people(world: World) -> dict[str, str]:
    """One principal for each act: the one to confirm waits, the one to resume is suspended."""
    administer = world.exchange.administer
    people = {
        act: administer.add_principal(LOCAL_OPERATOR, "bts", f"someone to {act}", "person", [role])
        for act, role in {
            "roles": "analyst",
            "confirm": "signatory",
            "suspend": "analyst",
            "resume": "analyst",
            "offboard": "analyst",
        }.items()
    }
    administer.move_principal(LOCAL_OPERATOR, people["resume"].id, Move.SUSPEND, "because")
    return {act: person.id for act, person in people.items()}


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that no test changes."""
    yield from make_stage(tmp_path_factory.mktemp("contracts") / "home")


@pytest.fixture(scope="module")
def acted_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for acts: each has an agreement of its own, so that their order does not matter."""
    yield from make_stage(tmp_path_factory.mktemp("acts") / "home")


def addresses(holds: Callable[[Contract], bool] = lambda _: True) -> list[str]:
    return [address for address, contract in CONTRACTS.items() if holds(contract)]


def problem(answer: httpx2.Response) -> ProblemShape:
    """Read an error strictly: its shape, its code's own status, and no member that the shape does not have."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    found = msgspec.json.decode(answer.content, type=ProblemShape)
    assert msgspec.json.encode(found) == answer.content
    assert found.status == answer.status_code
    assert found.title == CODES[found.code].meaning
    assert found.request_id == answer.headers["x-request-id"]
    return found


def test_every_route_has_its_contract() -> None:
    routes = [f"{method} {re.sub(r':[a-z]+}', '}', route.path)}" for route in ROUTES for method in (route.methods or set()) - {"HEAD"}]
    assert sorted(routes) == sorted(CONTRACTS)


@pytest.mark.parametrize("address", addresses(lambda contract: not contract.public))
def test_an_address_that_is_not_public_refuses_a_request_without_a_token(address: str, looked_at: Stage) -> None:
    answer = looked_at.send(address, token=None)
    assert (answer.status_code, problem(answer).code) == (401, "not_signed_in")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("address", addresses(lambda contract: not contract.public))
def test_an_address_that_is_not_public_refuses_a_token_that_nobody_issued(address: str, looked_at: Stage) -> None:
    answer = looked_at.send(address, token="bb_" + "A" * 43)
    assert (answer.status_code, problem(answer).code) == (401, "not_signed_in")


@pytest.mark.parametrize("address", addresses(lambda contract: contract.public))
def test_a_public_address_answers_without_a_token(address: str, looked_at: Stage) -> None:
    assert looked_at.send(address, token=None).status_code == 200


@pytest.mark.parametrize("address", addresses(lambda contract: contract.shape is not None))
def test_an_answer_has_exactly_its_wire_shape(address: str, acted_on: Stage) -> None:
    contract = CONTRACTS[address]
    answer = acted_on.send(address, token=acted_on.secret(address))
    assert answer.status_code == contract.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert contract.shape is not None
    found = msgspec.json.decode(answer.content, type=contract.shape)
    assert msgspec.json.encode(found) == answer.content


@pytest.mark.parametrize("address", [f"GET {DATASET}/schema", f"GET {DATASET}/versions/{{version}}/schema"])
def test_a_schema_is_a_table_schema(address: str, looked_at: Stage) -> None:
    found = looked_at.send(address, token=None).json()
    assert to_table_schema(parse_table_schema(found)) == found


def test_a_token_is_revoked_without_a_body(acted_on: Stage) -> None:
    address = f"DELETE {API}/tokens/{{token}}"
    answer = acted_on.send(address, token=acted_on.secret(address))
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_checkpoint_is_plain_text(looked_at: Stage) -> None:
    answer = looked_at.send(f"GET {API}/audit/{{organization}}/checkpoint", token=None)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("exchange.example/audit/bts\n")


@pytest.mark.parametrize("address", sorted(set(CONTRACTS) - OUTSIDE))
def test_an_unknown_parameter_is_refused(address: str, looked_at: Stage) -> None:
    answer = looked_at.send(address, token=looked_at.secret(address), query="?colour=red")
    found = problem(answer)
    assert (answer.status_code, found.code) == (400, "unknown_parameter")
    assert [place.parameter for place in found.errors] == ["colour"]


@pytest.mark.parametrize("address", sorted(OUTSIDE))
def test_an_address_outside_the_api_answers_whatever_its_parameters_are(address: str, looked_at: Stage) -> None:
    assert looked_at.send(address, token=None, query="?colour=red").status_code == 200


def test_what_a_problem_points_to_says_what_its_code_means(looked_at: Stage) -> None:
    with looked_at.server.client() as client:
        found = problem(client.get(f"{API}/nothing"))
        assert client.get(found.type).text == f"not_found (404)\n{CODES['not_found'].meaning}\n"
        assert problem(client.get("/errors/nothing")).code == "not_found"


@pytest.mark.parametrize("address", addresses(lambda contract: isinstance(contract.body, dict)))
def test_a_body_with_an_unknown_member_is_refused(address: str, looked_at: Stage) -> None:
    method, _, path = address.partition(" ")
    names = {
        "dataset": "bts.flights",
        "version": "1",
        "organization": "bts",
        "agreement": looked_at.agreements["read"],
        "umbrella": "UMB-0001",
        "principal": "prn_1",
        "token": "tok_1",
    }
    path = path.format_map(names)
    content = msgspec.json.encode({**CONTRACTS[address].body, "colour": "red"})
    with looked_at.server.client(looked_at.secret(address)) as client:
        answer = client.request(method, path, content=content)
    assert (answer.status_code, problem(answer).code) == (400, "invalid_request")


@pytest.mark.parametrize("parameter", ["accept_schema", "dry_run"])
def test_a_yes_or_no_is_true_or_false_and_nothing_else(parameter: str, looked_at: Stage) -> None:
    address = f"POST {DATASET}/versions"
    answer = looked_at.send(address, token=looked_at.secret(address), query=f"?{parameter}=1")
    assert (answer.status_code, problem(answer).code) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/nothing", f"{API}/collections/bts.flights/nothing", f"{API}/collections/bts.nothing"])
def test_what_is_not_there_is_a_problem_too(path: str, looked_at: Stage) -> None:
    with looked_at.server.client() as client:
        answer = client.get(path)
    assert (answer.status_code, problem(answer).code) == (404, "not_found")


def test_a_wrong_method_says_which_are_right(looked_at: Stage) -> None:
    with looked_at.server.client() as client:
        answer = client.post(f"{API}/organizations")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    problem(answer)


@pytest.mark.parametrize("number", ["0", "2147483648", "9" * 30])
@pytest.mark.parametrize("rest", ["", "/schema", "/items"])
def test_a_version_that_is_not_there_is_not_found_whatever_its_number(number: str, rest: str, looked_at: Stage) -> None:
    with looked_at.server.client(looked_at.world.secrets[ANALYST], purpose="noise-study") as client:
        answer = client.get(f"{API}/collections/bts.flights/versions/{number}{rest}")
    assert (answer.status_code, problem(answer).code) == (404, "not_found")


@pytest.mark.parametrize("part", ["checkpoint", "verifier"])
def test_an_organization_that_is_not_there_has_no_log(part: str, looked_at: Stage) -> None:
    with looked_at.server.client() as client:
        answer = client.get(f"{API}/audit/nobody/{part}")
    assert (answer.status_code, problem(answer).code) == (404, "not_found")

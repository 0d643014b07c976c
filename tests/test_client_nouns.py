"""Every noun of the SDK against a real server: umbrellas, approvals, notices, endings of datasets, and questions about versions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from conftest import FLIGHTS, OFFICERS, Server, World, make_world, serving

from baybridge.client import AsyncClient, Client, exceptions

pytestmark = pytest.mark.xdist_group("client")

LATER = FLIGHTS.replace(b"1,UA,N14228,EWR,IAH,2", b"1,UA,N14228,EWR,IAH,9") + b"8,UA,N1,JFK,IAH,0,1.5,2013-01-01T10:00:00Z\n"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("nouns") / "home")
    for organization in ("bts", "dot"):
        made.employ(organization, *OFFICERS)
    for data in (FLIGHTS, LATER):
        made.publish("bts.flights", data, key=("flight",))
        made.publish("bts.spoilt", data, key=("flight",))
    made.publish("bts.airlines", b"carrier,name\nUA,United\n", key=("carrier",))
    made.sign(made.terms(row_filter=None, history="all"))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def server(exchange: World) -> Iterator[Server]:
    with serving(exchange.root) as served:
        yield served


@pytest.fixture
def people(exchange: World, server: Server) -> Iterator[dict[tuple[str, str], Client]]:
    with contextlib.ExitStack() as stack:
        yield {each: stack.enter_context(Client(server.url, secret)) for each, secret in exchange.secrets.items()}


def test_an_umbrella_goes_its_whole_way(exchange: World, people: dict[tuple[str, str], Client]) -> None:
    airlines = exchange.terms(dataset="bts.airlines", columns=["carrier"], masks={}, row_filter=None)
    asked = people["dot", "analyst"].request_umbrella("Noise", [exchange.terms(purposes=["under-one"]), airlines])
    offered = people["bts", "steward"].offer_umbrella(asked.id)
    assert [each.state for each in offered.agreements] == ["OFFERED", "OFFERED"]
    people["dot", "signatory"].sign_umbrella(asked.id, offered.terms_sha256)
    people["bts", "signatory"].sign_umbrella(asked.id, offered.terms_sha256)
    assert [each.state for each in people["dot", "analyst"].umbrella(asked.id).agreements] == ["ACTIVE", "ACTIVE"]
    assert [each.id for each in people["bts", "steward"].umbrellas().umbrellas] == [asked.id]


def test_what_an_agency_requires_holds_for_its_signatory(exchange: World, people: dict[tuple[str, str], Client]) -> None:
    analyst, signatory, counsel = (people["dot", role] for role in ("analyst", "signatory", "counsel"))
    assert people["dot", "admin"].require_approvals("dot", ["counsel"]).roles == analyst.required_approvals("dot").roles == ["counsel"]
    asked = analyst.request_agreement(exchange.terms(purposes=["approved"]))
    people["bts", "steward"].offer(asked.id)
    with pytest.raises(exceptions.ApprovalsMissing):
        signatory.sign(asked.id, asked.terms_sha256)
    assert [each.role for each in counsel.approve(asked.id, "counsel", asked.terms_sha256).approvals] == ["counsel"]
    assert signatory.sign(asked.id, asked.terms_sha256).state == "ACCEPTED"
    assert people["dot", "admin"].require_approvals("dot", []).roles == []


def test_a_colleague_is_confirmed_suspended_resumed_and_off_boarded(people: dict[tuple[str, str], Client]) -> None:
    admin = people["dot", "admin"]
    added = admin.add_principal("dot", "A second signatory", roles=["signatory"])
    myself = admin.whoami().id
    assert admin.set_roles(myself, ["admin", "signatory"]).pending == ["signatory"]
    assert people["dot", "steward"].confirm_roles(myself).pending == []
    assert admin.set_roles(myself, ["admin"]).roles == ["admin"]
    assert admin.set_roles(added.id, ["analyst"]).roles == ["analyst"]
    assert admin.suspend_principal(added.id, "On leave").status == "suspended"
    assert admin.resume_principal(added.id, "Back").status == "active"
    assert admin.offboard_principal(added.id, "Left the agency").status == "offboarded"
    assert admin.principal(added.id).status == "offboarded"


def test_a_token_is_narrowed_listed_and_rotated(people: dict[tuple[str, str], Client], server: Server) -> None:
    admin = people["dot", "admin"]
    added = admin.add_principal("dot", "A nightly job", roles=["analyst"], kind="service")
    issued = admin.issue_token(added.id, scopes=["read"])
    with Client(server.url, issued.token) as job:
        assert job.whoami().scopes == issued.scopes == ["read"]
        rotated = job.rotate_token(issued.id)
        with pytest.raises(exceptions.TokenExpired):
            job.whoami()
    with Client(server.url, rotated.token) as job:
        assert job.whoami().id == added.id
    listed = [each for each in admin.tokens("dot").tokens if each.principal == added.id]
    assert {each.id: each.expires is not None for each in listed} == {issued.id: True, rotated.id: False}


def test_the_text_that_is_signed_is_had_in_plain_words(people: dict[tuple[str, str], Client]) -> None:
    text = people["dot", "signatory"].agreement_text("AGR-0001")
    assert "bts.flights" in text
    assert not text.startswith("{")


def test_notices_are_listed_page_by_page_and_marked(people: dict[tuple[str, str], Client]) -> None:
    steward = people["bts", "steward"]
    every = list(steward.all_notices())
    first = steward.notices(limit=1)
    assert [first.notices[0].id, steward.notices(before=first.notices[0].id, limit=1).notices[0].id] == [each.id for each in every[:2]]
    assert steward.mark_read(every[0].id).read is not None
    assert [each.read is None for each in steward.notices(limit=2).notices] == [False, True]
    with pytest.raises(exceptions.NotFound):
        steward.mark_read(999_999)


def test_a_version_is_withdrawn_restored_and_purged_by_a_plan(people: dict[tuple[str, str], Client]) -> None:
    steward = people["bts", "steward"]
    assert steward.withdraw_version("bts.spoilt", 1, "Delays were in seconds").state == "withdrawn"
    assert steward.restore_version("bts.spoilt", 1).state == "published"
    with pytest.raises(exceptions.Conflict):
        steward.plan_purge("bts.spoilt", "Delays were in seconds", version=1)
    steward.withdraw_version("bts.spoilt", 1, "Delays were in seconds")
    plan = steward.plan_purge("bts.spoilt", "Delays were in seconds", version=1)
    assert (plan.purged, plan.versions) == (False, [1])
    with pytest.raises(exceptions.Conflict):
        steward.purge("bts.spoilt", "Delays were in seconds", "0" * 64, version=1)
    assert steward.purge("bts.spoilt", "Delays were in seconds", plan.plan_sha256, version=1).purged
    with pytest.raises(exceptions.Gone):
        steward.items("bts.spoilt", version=1)
    assert [each.state for each in steward.all_versions("bts.spoilt")] == ["published", "purged"]


def test_a_dataset_is_withdrawn_restored_and_purged_by_a_plan(people: dict[tuple[str, str], Client]) -> None:
    steward = people["bts", "steward"]
    assert steward.withdraw("bts.airlines", "No longer kept").state == "withdrawn"
    assert steward.restore("bts.airlines").state == "published"
    steward.withdraw("bts.airlines", "No longer kept")
    plan = steward.plan_purge("bts.airlines", "No longer kept")
    assert steward.purge("bts.airlines", "No longer kept", plan.plan_sha256).purged
    assert {each.id: each.state for each in steward.all_collections()}["bts.airlines"] == "purged"


def test_questions_about_versions_are_asked_for_a_purpose(people: dict[tuple[str, str], Client]) -> None:
    analyst = people["dot", "analyst"]
    assert set(analyst.queryables("bts.flights")["properties"]) >= {"flight", "delay"}
    with analyst.purpose("noise-study"):
        found = analyst.profile("bts.flights")
        assert (found.version, found.rows) == (2, 8)
        assert any(each.top for each in found.columns)
        assert {each.top for each in analyst.statistics("bts.flights", version=1).columns} == {None}
        counted = analyst.diff("bts.flights", 1, 2)
        assert (counted.added, counted.removed, counted.changed, counted.unchanged) == (1, 0, 1, 6)
        changed = list(analyst.changes("bts.flights", 1))
        assert sorted(each.change for each in changed) == ["insert", "update"]
    with pytest.raises(exceptions.PurposeRequired):
        analyst.profile("bts.flights")
    assert analyst.statistics("bts.flights", purpose="noise-study", agreement="AGR-0001").rows == 8


def test_the_changes_are_had_over_all_pages(exchange: World, server: Server) -> None:
    rows = 12_000  # more than a page has
    for value in (b"a", b"b"):
        data = b"id,value\n" + b"".join(b"%d,%s\n" % (row, value) for row in range(rows))
        exchange.publish("bts.pages", data, key=("id",), access="public")

    async def seen() -> set[int]:
        async with AsyncClient(server.url) as client:
            return {each.item["id"] async for each in client.changes("bts.pages", 1) if each.item is not None}

    assert asyncio.run(seen()) == set(range(rows))


def test_the_document_of_the_api_is_had(server: Server) -> None:
    with Client(server.url) as public:
        assert public.openapi()["openapi"].startswith("3.1")

"""A change by the SDK that names the state it starts from is made from that state or not at all, by both clients alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving
from negotiating import in_state

from baybridge.client import AsyncClient, Client, calls, exceptions
from baybridge.client.call import Call
from baybridge.http.addresses import ADDRESSES
from baybridge.wire.collections import DeclareRequest
from baybridge.wire.terms import TermsShape

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("client")]

Kind = type[Client] | type[AsyncClient]
STALE: Final = '"stale"'
TERMS: Final = TermsShape(dataset="a.b", columns=["c"], purposes=["p"], provider_authority="x", consumer_authority="y", start="s", end="e")


@dataclass
class Desk:
    world: World
    server: Server

    def act(self, who: tuple[str, str], name: str, *arguments: Any, kind: Kind, **named: Any) -> Any:
        """Call one method of Client, or of AsyncClient."""
        secret = self.world.secrets[who]
        if issubclass(kind, Client):
            with kind(self.server.url, secret) as client:
                return getattr(client, name)(*arguments, **named)

        async def awaited() -> Any:
            async with kind(self.server.url, secret) as client:
                return await getattr(client, name)(*arguments, **named)

        return asyncio.run(awaited())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    world = make_world(tmp_path_factory.mktemp("client_if_match") / "home")
    world.publish("bts.flights", FLIGHTS, key=("flight",))
    with serving(world.root) as server:
        yield Desk(world, server)
    world.exchange.close()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_act_on_an_agreement_is_done_in_the_state_that_was_read_only(desk: Desk, kind: Kind) -> None:
    provider, consumer = ("bts", "steward"), ("dot", "steward")
    read = desk.act(consumer, "agreement", in_state(desk.world, "FINALIZED").id, kind=kind)
    listed = {each.id: each.etag for each in desk.act(consumer, "agreements", kind=kind).agreements}
    assert listed[read.id] == read.etag
    suspended = desk.act(provider, "suspend", read.id, "because", kind=kind, if_match=read.etag)
    with pytest.raises(exceptions.PreconditionFailed):
        desk.act(provider, "resume", read.id, "because", kind=kind, if_match=read.etag)
    assert desk.act(provider, "agreement", read.id, kind=kind).state == "SUSPENDED"
    resumed = desk.act(provider, "resume", read.id, "because", kind=kind, if_match=suspended.etag)
    assert (resumed.state, resumed.etag != read.etag) == ("ACTIVE", True)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_dataset_and_a_version_are_changed_in_the_state_that_was_read_only(desk: Desk, kind: Kind) -> None:
    steward = ("bts", "steward")
    for change, undo, read, pinned in (
        ("withdraw", "restore", "collection", ()),
        ("withdraw_version", "restore_version", "version", (1,)),
    ):
        before = desk.act(steward, read, "bts.flights", *pinned, kind=kind)
        with pytest.raises(exceptions.PreconditionFailed):
            desk.act(steward, change, "bts.flights", *pinned, "because", kind=kind, if_match=STALE)
        after = desk.act(steward, change, "bts.flights", *pinned, "because", kind=kind, if_match=before.etag)
        with pytest.raises(exceptions.PreconditionFailed):
            desk.act(steward, undo, "bts.flights", *pinned, kind=kind, if_match=before.etag)
        desk.act(steward, undo, "bts.flights", *pinned, kind=kind, if_match=after.etag)
    read = desk.act(steward, "collection", "bts.flights", kind=kind)
    with pytest.raises(exceptions.PreconditionFailed):
        desk.act(steward, "declare", "bts.flights", DeclareRequest(title="Stale"), kind=kind, if_match=STALE)
    declared = desk.act(steward, "declare", "bts.flights", DeclareRequest(title="Flights"), kind=kind, if_match=read.etag)
    with pytest.raises(exceptions.PreconditionFailed):
        desk.act(steward, "publish", "bts.flights", [FLIGHTS], kind=kind, if_match=read.etag)
    assert desk.act(steward, "publish", "bts.flights", [FLIGHTS], kind=kind, if_match=declared.etag).published


ACTS: Final[dict[str, Callable[[], Call[Any]]]] = {
    "offer": lambda: calls.agreements.offer("AGR-0001", if_match=STALE),
    "counter": lambda: calls.agreements.counter("AGR-0001", TERMS, if_match=STALE),
    "approve": lambda: calls.agreements.approve("AGR-0001", "counsel", "0" * 64, if_match=STALE),
    "sign": lambda: calls.agreements.sign("AGR-0001", "0" * 64, if_match=STALE),
    "suspend": lambda: calls.agreements.suspend("AGR-0001", "r", if_match=STALE),
    "resume": lambda: calls.agreements.resume("AGR-0001", "r", if_match=STALE),
    "revoke": lambda: calls.agreements.revoke("AGR-0001", "r", if_match=STALE),
    "terminate": lambda: calls.agreements.terminate("AGR-0001", "r", if_match=STALE),
    "successor": lambda: calls.agreements.successor("AGR-0001", if_match=STALE),
    "close": lambda: calls.agreements.close_agreement("AGR-0001", "s", if_match=STALE),
    "declare": lambda: calls.collections.declare("a.b", DeclareRequest(), if_match=STALE),
    "publish": lambda: calls.collections.publish("a.b", [b""], if_match=STALE),
    "withdraw": lambda: calls.endings.withdraw("a.b", "r", if_match=STALE),
    "restore": lambda: calls.endings.restore("a.b", if_match=STALE),
    "withdraw a version": lambda: calls.endings.withdraw_version("a.b", 1, "r", if_match=STALE),
    "restore a version": lambda: calls.endings.restore_version("a.b", 1, if_match=STALE),
}


def test_there_is_one_for_each_address_that_takes_a_condition() -> None:
    assert len(ACTS) == sum(each.conditional for each in ADDRESSES)


@pytest.mark.parametrize("act", sorted(ACTS))
def test_every_change_of_what_has_an_etag_sends_the_one_that_it_is_given(act: str) -> None:
    assert ACTS[act]().headers["if-match"] == STALE


def test_a_change_that_names_its_state_is_sent_again_only_as_one_act() -> None:
    assert ACTS["revoke"]().repeatable(), "its Idempotency-Key makes it one act"
    assert not ACTS["declare"]().repeatable(), "done once, it would be refused the second time"
    assert calls.collections.declare("a.b", DeclareRequest()).repeatable()

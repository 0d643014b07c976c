"""Amendment and renewal: one agreement takes another's place at one instant, for every reader, and pseudonyms survive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import FLIGHTS, Server, World, make_world, serving, wait_until
from hypothesis import given
from hypothesis import strategies as st
from negotiating import log, outcome, perform

from baybridge.agreements.agreement import Agreement, Standing
from baybridge.agreements.store import find, save
from baybridge.errors import BaybridgeError
from baybridge.principals.principal import LOCAL_OPERATOR

ITEMS = "/api/v1/collections/bts.flights/items"


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("handover") / "home")
    made.publish("bts.flights", FLIGHTS, key=("flight",))
    yield made
    made.exchange.close()


@pytest.fixture(scope="module")
def door(parties: World) -> Iterator[Server]:
    with serving(parties.root) as server:
        yield server


def succeed(world: World, before: Agreement, **changes: object) -> Agreement:
    """A successor that the consumer asks for and both sign, with the predecessor's terms but for what is changed."""
    agree = world.exchange.agree
    assert before.terms is not None
    shape = world.terms(**({"masks": dict(before.terms.shape().masks), "purposes": list(before.terms.purposes)} | changes))
    begun = agree.succeed(world.person("dot", "analyst"), before.id, shape)
    perform(world, begun.id, "sign_as_provider")
    return perform(world, begun.id, "sign_as_consumer")


def show(world: World, agreement: Agreement) -> Agreement:
    return world.exchange.agree.show(LOCAL_OPERATOR, agreement.id)


def test_the_second_signature_hands_over_in_one_transaction(parties: World) -> None:
    first = parties.sign(parties.terms())
    entries = len(log(parties))
    second = succeed(parties, first)
    old = show(parties, first)
    assert old.handed_over == second.took_over
    assert (old.successor, second.supersedes) == (second.id, first.id)
    now = datetime.now(UTC)
    assert (old.standing(now), second.standing(now)) == (Standing.SUPERSEDED, Standing.ACTIVE)
    acts = [(each["agreement"], each["act"]) for each in log(parties)[entries:]]
    assert acts[-4:] == [(second.id, "sign"), (second.id, "verify"), (first.id, "supersede"), (second.id, "finalize")] or acts[-3:] == [
        (second.id, "sign"),
        (first.id, "supersede"),
        (second.id, "finalize"),
    ]


@given(offset=st.integers(-3, 3), starts=st.integers(-5, 5))
def test_at_every_instant_exactly_one_of_the_two_is_in_force(parties: World, offset: int, starts: int) -> None:
    """By the clock alone, also for a clock that goes back: the two carry one instant."""
    at = datetime(2027, 1, 1, tzinfo=UTC)
    plain = parties.exchange.agree.listing(LOCAL_OPERATOR)
    signed = (
        next(each for each in plain if each.state == "FINALIZED" and each.terms is not None) if plain else parties.sign(parties.terms())
    )
    assert signed.terms is not None
    year = timedelta(days=365)
    terms = replace(signed.terms, start=at - year, end=at + year)
    old = replace(signed, terms=terms, took_over=None, successor="AGR-9999", handed_over=at)
    new = replace(signed, terms=replace(terms, start=min(at, at + timedelta(days=starts))), took_over=at, successor=None, handed_over=None)
    now = at + timedelta(microseconds=offset)
    assert [each.standing(now) is Standing.ACTIVE for each in (old, new)].count(True) == 1
    assert (new.standing(now) is Standing.ACTIVE) is (now >= at)


@pytest.mark.slow
def test_readers_in_a_loop_see_no_instant_with_both_agreements_or_with_neither(parties: World, door: Server) -> None:
    purpose = "handover-study"
    current = parties.sign(parties.terms(purposes=[purpose], row_filter=None))
    seen: list[list[tuple[int, str]]] = [[] for _ in range(4)]
    stopping = threading.Event()

    def read(mine: list[tuple[int, str]]) -> None:
        with door.client(parties.secrets["dot", "analyst"], purpose=purpose) as client:
            while not stopping.is_set():
                answer = client.get(ITEMS)
                body = answer.json()
                mine.append((answer.status_code, body.get("code", "") if answer.status_code != 200 else ""))

    readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for reader in readers:
        reader.start()
    for turn in range(7):
        so_far = [len(mine) for mine in seen]
        wait_until(lambda so_far=so_far: all(len(mine) > before for mine, before in zip(seen, so_far, strict=True)), seconds=60)
        if turn < 6:
            later = datetime.now(UTC) + timedelta(seconds=0.5)  # every second hand-over comes by the clock, while nobody acts
            current = succeed(parties, current, row_filter=None, **({"start": later.isoformat()} if turn % 2 else {}))
            wait_until(lambda at=current.took_over: at is not None and datetime.now(UTC) > at)
    stopping.set()
    for reader in readers:
        reader.join()
    outcomes = {each for mine in seen for each in mine}
    assert outcomes <= {(200, ""), (503, "extract_building")}, outcomes
    under = [each["agreement"]["id"] for each in log(parties) if each["kind"] == "disclosure" and each["purpose"] == purpose]
    assert under == sorted(under), "nothing is disclosed under an agreement whose place another has taken"
    assert len(set(under)) == 7


def test_a_successor_with_a_later_start_takes_over_then_and_not_before(parties: World) -> None:
    first = parties.sign(parties.terms())
    start = datetime.now(UTC) + timedelta(days=30)
    second = succeed(parties, first, start=start.isoformat())
    old, moment = show(parties, first), timedelta(microseconds=1)
    assert [old.standing(when) for when in (start - moment, start)] == [Standing.ACTIVE, Standing.SUPERSEDED]
    assert [second.standing(when) for when in (start - moment, start)] == [Standing.SCHEDULED, Standing.ACTIVE]


def refusal(act: Callable[[], object]) -> BaybridgeError:
    with pytest.raises(BaybridgeError) as refused:
        act()
    return refused.value


def rival_of(world: World, successor: Agreement) -> Agreement:
    """A second open successor of the same agreement, as an earlier release let be made."""
    agree = world.exchange.agree
    other = agree.request(world.person("dot", "analyst"), world.terms())
    with world.exchange.database.write() as connection:
        save(connection, replace(other, supersedes=successor.supersedes))
    return show(world, other)


def test_an_agreement_has_one_successor_unless_that_was_revoked(parties: World) -> None:
    agree = parties.exchange.agree
    first = parties.sign(parties.terms())
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    second = succeed(parties, first, start=later)
    assert outcome(lambda: agree.succeed(parties.person("dot", "analyst"), first.id, None)) == "conflict"
    perform(parties, second.id, "revoke")
    third = agree.succeed(parties.person("bts", "steward"), first.id, None)
    assert (third.state, third.terms_sha256) == ("OFFERED", first.terms_sha256)
    perform(parties, third.id, "sign_as_consumer")
    assert perform(parties, third.id, "sign_as_provider").took_over is not None
    assert show(parties, first).successor == third.id


def test_no_second_successor_is_begun_while_one_is_open(parties: World) -> None:
    agree = parties.exchange.agree
    first = parties.sign(parties.terms())
    begun = agree.succeed(parties.person("dot", "analyst"), first.id, None)
    for side in (("dot", "analyst"), ("bts", "steward")):
        refused = refusal(lambda side=side: agree.succeed(parties.person(*side), first.id, None))
        assert refused.code == "conflict"
        assert begun.id in refused.detail
        assert begun.id in (refused.advice.next_step or "")
    perform(parties, begun.id, "terminate")
    assert agree.succeed(parties.person("dot", "analyst"), first.id, None).supersedes == first.id


@pytest.mark.parametrize(("act", "code"), [("hand over", "superseded"), ("revoke", "revoked"), ("expire and close", "closed")])
def test_what_ends_an_agreement_ends_its_open_successors(parties: World, act: str, code: str) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    first = parties.sign(parties.terms(end=soon.isoformat()) if code == "closed" else parties.terms())
    begun = parties.exchange.agree.succeed(parties.person("dot", "analyst"), first.id, parties.terms())
    rival = rival_of(parties, begun)
    entries = len(log(parties))
    if code == "superseded":
        perform(parties, begun.id, "sign_as_provider")
        perform(parties, begun.id, "sign_as_consumer")
        ended = [rival]
    else:
        if code == "closed":
            wait_until(lambda: datetime.now(UTC) > soon)
        perform(parties, first.id, act.rpartition(" ")[2])
        ended = [rival, begun]
    assert [(show(parties, each).state, show(parties, each).code) for each in ended] == [("TERMINATED", code)] * len(ended)
    entered = [each for each in log(parties)[entries:] if each.get("act") == "terminate"]
    assert [(each["agreement"], each["code"], each["actor"]["principal"]) for each in entered] == [
        (each.id, code, "server") for each in ended
    ]


def test_a_successor_that_cannot_take_its_place_is_refused_at_the_first_signature(parties: World) -> None:
    first = parties.sign(parties.terms())
    second = succeed(parties, first)
    stray = rival_of(parties, second)
    refused = refusal(lambda: perform(parties, stray.id, "sign_as_provider"))
    assert refused.code == "conflict"
    assert first.id in refused.detail
    assert show(parties, stray).signatures == ()


def test_what_was_ended_for_good_has_no_successor(parties: World) -> None:
    first = parties.sign(parties.terms())
    perform(parties, first.id, "revoke")
    assert outcome(lambda: parties.exchange.agree.succeed(parties.person("dot", "analyst"), first.id, None)) == "conflict"


def test_a_successor_is_about_the_same_dataset(parties: World) -> None:
    first = parties.sign(parties.terms())
    parties.publish("bts.airlines", b"carrier,name\nUA,United\n", key=("carrier",))
    other = parties.terms(dataset="bts.airlines", columns=["carrier"], masks={}, row_filter=None)
    assert outcome(lambda: parties.exchange.agree.succeed(parties.person("dot", "analyst"), first.id, other)) == "terms_invalid"


@pytest.mark.parametrize("domain", [None, "cohort"])
def test_pseudonyms_survive_a_renewal(parties: World, domain: str | None) -> None:
    first = parties.sign(parties.terms(linkage=domain is not None, pseudonym_domain=domain, purposes=["renewed-study"]))
    second = succeed(parties, first, linkage=domain is not None, pseudonym_domain=domain)
    assert first.domain_key == second.domain_key is not None


def test_a_renewal_in_another_domain_does_not_join_with_the_agreement_before(parties: World) -> None:
    first = parties.sign(parties.terms(linkage=True, pseudonym_domain="one"))
    other = succeed(parties, first, linkage=True, pseudonym_domain="two")
    own = succeed(parties, other, pseudonym_domain=None)
    assert len({first.domain_key, other.domain_key, own.domain_key}) == 3


def test_a_suspended_agreement_can_be_replaced_and_stays_out_of_force(parties: World) -> None:
    first = parties.sign(parties.terms())
    perform(parties, first.id, "suspend")
    second = succeed(parties, first)
    now = datetime.now(UTC)
    assert (show(parties, first).standing(now), second.standing(now)) == (Standing.SUPERSEDED, Standing.ACTIVE)
    assert outcome(lambda: perform(parties, first.id, "resume")) == "conflict"


def test_a_signature_that_fails_half_way_leaves_neither_agreement_changed(parties: World) -> None:
    first = parties.sign(parties.terms())
    begun = parties.exchange.agree.succeed(parties.person("dot", "analyst"), first.id, None)
    perform(parties, begun.id, "sign_as_provider")
    entries = log(parties)
    desk = parties.exchange.agree.desk

    def fails(size: int) -> bytes:
        """The nonce of the third entry cannot be made: the hand-over is stored by then, and the finalization is not."""
        calls.append(size)
        if len(calls) == 3:
            raise BaybridgeError("internal", "out of entropy")
        return b"\0" * size

    calls: list[int] = []
    failing = type(desk.log)(database=desk.database, origin="exchange.example", clock=desk.clock, entropy=fails)
    agree = type(parties.exchange.agree)(replace(desk, log=failing))
    assert outcome(lambda: agree.sign(parties.person("dot", "signatory"), begun.id, begun.terms_sha256)) == "internal"
    with parties.exchange.database.read() as connection:
        assert find(connection, first.id).successor is None
        assert find(connection, begun.id).state == "AGREED"
    assert log(parties) == entries

"""The date by which a consumer states that what it received is destroyed: shown to both sides, and never passed over in silence."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import CONSUMER, PROVIDER, World, serving
from negotiating import in_state, perform

from baybridge.agreements.agreement import Agreement, State
from baybridge.client import Client

DAY = timedelta(days=1)


def backdate(world: World, agreement: Agreement, by: timedelta) -> None:
    """Have the revocation lie that far back."""
    connection = sqlite3.connect(world.root / "catalog.sqlite")
    number = int(agreement.id.removeprefix("AGR-"))
    (updated,) = connection.execute("SELECT updated FROM agreements WHERE number = ?", (number,)).fetchone()
    earlier = str(datetime.fromisoformat(updated) - by)
    connection.execute("UPDATE agreements SET updated = ? WHERE number = ?", (earlier, number))
    connection.commit()
    connection.close()


def test_the_date_counts_from_the_agreed_end_or_from_the_revocation(flights: World) -> None:
    agreement = in_state(flights, "FINALIZED", destroy_within_days=30)
    assert agreement.terms is not None
    end, now = agreement.terms.end, datetime.now(UTC)
    for at in (now, end, end + 29 * DAY):
        assert (agreement.destroy_by(at), agreement.overdue(at)) == (end + 30 * DAY, False)
    assert agreement.overdue(end + 30 * DAY)
    revoked = perform(flights, agreement.id, "revoke")
    assert revoked.destroy_by(now) == revoked.updated + 30 * DAY
    assert (revoked.overdue(revoked.updated + 30 * DAY - DAY / 9), revoked.overdue(revoked.updated + 30 * DAY)) == (False, True)
    closed = perform(flights, agreement.id, "close")
    assert (closed.destroy_by(end + 99 * DAY), closed.overdue(end + 99 * DAY)) == (None, False)


def test_nothing_is_due_before_both_have_signed_nor_where_another_agreement_is_in_its_place(flights: World) -> None:
    late = datetime.now(UTC) + 9_999 * DAY
    for state in ("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "TERMINATED"):
        assert not in_state(flights, state, destroy_within_days=1).overdue(late)
    signed = in_state(flights, "FINALIZED", destroy_within_days=1)
    assert signed.overdue(late)
    assert not replace(signed, handed_over=datetime.now(UTC)).overdue(late)
    assert not in_state(flights, "FINALIZED").overdue(late), "the terms set no date"
    assert replace(signed, state=State.SUSPENDED).overdue(late)


def test_a_date_beyond_the_calendar_is_its_last_day(flights: World) -> None:
    agreement = in_state(flights, "FINALIZED", destroy_within_days=3650, end="9999-12-30T00:00:00Z")
    assert agreement.destroy_by(datetime.now(UTC)) == datetime(9999, 12, 31, tzinfo=UTC)


def test_both_sides_are_told_of_what_is_overdue_until_the_statement_is_there(flights: World) -> None:
    flights.add_organization("faa")
    late = in_state(flights, "FINALIZED", destroy_within_days=2)
    in_state(flights, "REVOKED", destroy_within_days=9, purposes=["other"])
    perform(flights, late.id, "revoke")
    inbox = flights.exchange.inbox
    people = [flights.person(each, "analyst") for each in (PROVIDER, CONSUMER, "faa")]
    assert [len(inbox.overdue(each)) for each in people] == [0, 0, 0]
    before = flights.exchange.agree.show(people[0], late.id).tag(datetime.now(UTC))
    backdate(flights, late, 3 * DAY)
    assert [[found.id for found in inbox.overdue(each)] for each in people] == [[late.id], [late.id], []]
    assert flights.exchange.agree.show(people[0], late.id).tag(datetime.now(UTC)) != before
    perform(flights, late.id, "close")
    assert [len(inbox.overdue(each)) for each in people] == [0, 0, 0]


@pytest.mark.slow
def test_an_agreement_and_the_notices_say_when_it_is_due_and_that_it_is_overdue(flights: World) -> None:
    late = in_state(flights, "FINALIZED", destroy_within_days=2)
    with serving(flights.root) as server:
        for side in (PROVIDER, CONSUMER):
            with Client(server.url, flights.secrets[side, "steward"]) as client:
                shown = client.agreement(late.id)
                assert (shown.overdue, client.notices().overdue) == (False, [])
                assert shown.destroy_by is not None
        perform(flights, late.id, "revoke")
        backdate(flights, late, 3 * DAY)
        for side in (PROVIDER, CONSUMER):
            with Client(server.url, flights.secrets[side, "steward"]) as client:
                (told,) = client.notices().overdue
                shown = client.agreement(late.id)
                assert (told.agreement, told.consumer, told.destroy_by) == (late.id, CONSUMER, shown.destroy_by)
                assert shown.overdue
                assert "2 days to state that it has destroyed" in client.agreement_text(late.id)

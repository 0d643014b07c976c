"""Which versions an agreement lets be read, and how a walk through pages comes to its end when a later version comes meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import CONSUMER, FLIGHTS, World

from baybridge.catalog.store import VERSIONS
from baybridge.disclose import Ask, Encodable, Request, Stop
from baybridge.errors import BaybridgeError
from baybridge.names import DatasetName

MORE = FLIGHTS + b"8,UA,N14228,JFK,IAH,2,1400.5,2013-01-03T10:00:00Z\n"
DAY = timedelta(days=1)


def read(world: World, *, version: int | None = None, after: Encodable | None = None, later: timedelta = timedelta(0)) -> Encodable | str:
    """A page of three rows, or the code of the refusal. `after` goes on from that page by its cursor; `later` moves the clock."""
    pages: list[Encodable] = []

    def encode(page: Encodable) -> bytes:
        pages.append(page)
        return b"rows"

    ask = Ask(DatasetName.parse("bts.flights"), purpose="noise-study")
    row, extract = (None, None) if after is None else (after.page.next, after.extract)
    number = version if after is None else after.version
    request = Request(ask, number, (), 3, row, extract, frozenset(), "rows", "test", encode)
    disclose = replace(world.exchange.disclose, clock=lambda: datetime.now(UTC) + later)
    try:
        disclose.read(request, world.person(CONSUMER, "analyst"), Stop())
    except BaybridgeError as refused:
        return refused.code
    return pages[0]


def version_of(answer: Encodable | str) -> int | str:
    return answer if isinstance(answer, str) else answer.version


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ("latest", ["version_not_in_agreement", "version_not_in_agreement", 3]),
        ("all", [1, 2, 3]),
        ("from(2)", ["version_not_in_agreement", 2, 3]),
        ("from(4)", ["version_not_in_agreement"] * 3),
    ],
)
def test_exactly_the_agreed_versions_are_read(flights: World, history: str, found: list[object]) -> None:
    flights.sign(flights.terms(history=history))
    for _ in range(2):
        flights.publish("bts.flights", MORE, null_words=())
    assert [version_of(read(flights, version=number)) for number in (1, 2, 3)] == found
    assert version_of(read(flights)) == found[-1]


def test_a_walk_goes_on_for_a_day_after_a_later_version_came(flights: World) -> None:
    flights.sign(flights.terms())
    first = read(flights)
    assert isinstance(first, Encodable)
    assert version_of(read(flights, after=first, later=30 * DAY)) == 1
    flights.publish("bts.flights", MORE, null_words=())
    assert version_of(read(flights, version=1)) == "version_not_in_agreement"
    assert version_of(read(flights, after=first)) == 1
    assert version_of(read(flights, after=first, later=DAY - timedelta(minutes=5))) == 1
    assert read(flights, after=first, later=DAY) == "version_not_in_agreement"


def test_the_day_of_a_walk_begins_with_the_first_later_version_and_not_again_with_the_next(flights: World) -> None:
    flights.sign(flights.terms())
    first = read(flights)
    assert isinstance(first, Encodable)
    for _ in range(2):
        flights.publish("bts.flights", MORE, null_words=())
    assert version_of(read(flights, after=first)) == 1
    with flights.exchange.database.write() as connection:
        connection.execute(sa.update(VERSIONS).where(VERSIONS.c.number == 2).values(published=datetime.now(UTC) - DAY))
    assert read(flights, after=first) == "version_not_in_agreement"


def test_a_walk_ends_at_once_with_its_agreement(flights: World) -> None:
    agreement = flights.sign(flights.terms())
    first = read(flights)
    assert isinstance(first, Encodable)
    flights.publish("bts.flights", MORE, null_words=())
    flights.exchange.agree.revoke(flights.person("bts", "steward"), agreement.id, "for the test")
    assert read(flights, after=first) == "agreement_revoked"

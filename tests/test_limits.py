"""Limits of an agreement: requests and rows a day, counted with the entry, whoever asks and from however many processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from conftest import CONSUMER, PROVIDER, Server, World, page_request

from baybridge.agreements import usage
from baybridge.agreements.agreement import Agreement
from baybridge.agreements.usage import LimitReached, reserve
from baybridge.audit import store as audit_store
from baybridge.disclose import Ask, Encodable, Stop
from baybridge.names import DatasetName

ITEMS = "/api/v1/collections/bts.flights/items"
LATE = datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)


def codes(world: World) -> Counter[str]:
    """What the provider's log holds of reads: disclosures, and refusals by their code."""
    with world.exchange.database.read() as connection:
        found = [json.loads(data) for _, data in audit_store.entries(connection, PROVIDER)]
    return Counter(entry.get("code", entry["kind"]) for entry in found if entry["kind"] in {"disclosure", "refusal"})


def counted(world: World) -> list[tuple[int, int]]:
    with world.exchange.database.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(sa.select(usage.USAGE.c.requests, usage.USAGE.c.rows))]


def ask(client: httpx2.Client, limit: int = 100, **headers: str) -> tuple[int, int]:
    """The status, and how many rows came."""
    answer = client.get(ITEMS, params={"limit": str(limit)}, headers=headers)
    return answer.status_code, len(answer.json()["items"]) if answer.status_code == 200 else 0


def reading(world: World, limits: dict[str, Any], server: Server) -> httpx2.Client:
    world.sign(world.terms(**limits))
    return server.client(world.secrets[CONSUMER, "analyst"], purpose="noise-study")


def test_requests_are_counted_and_the_one_too_many_is_refused_and_entered(flights: World, served: Server) -> None:
    client = reading(flights, {"requests_per_day": 2}, served)
    assert [ask(client, 5), ask(client, 5)] == [(200, 5), (200, 5)]
    before = datetime.now(UTC)
    refused = client.get(ITEMS)
    midnight = (before + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")
    assert 0 <= (midnight - before).total_seconds() - int(refused.headers["retry-after"]) + 1 < 30
    assert {"rule", "who_can_change", "next_step"} <= refused.json().keys()
    assert codes(flights) == {"disclosure": 2, "limit_reached": 1}
    assert counted(flights) == [(2, 10)]


def test_an_answer_that_would_pass_the_rows_is_refused_whole_and_a_smaller_one_is_not(flights: World, served: Server) -> None:
    client = reading(flights, {"rows_per_day": 12}, served)
    assert [ask(client, size) for size in (5, 5, 3, 2, 1)] == [(200, 5), (200, 5), (429, 0), (200, 2), (429, 0)]
    assert counted(flights) == [(3, 12)]


def test_what_has_not_changed_is_a_request_without_rows_and_a_refusal_counts_as_nothing(flights: World, served: Server) -> None:
    client = reading(flights, {"rows_per_day": 6, "requests_per_day": 3}, served)
    etag = client.get(ITEMS).headers["etag"]
    assert client.get(ITEMS, params={"properties": "dest"}).status_code == 403
    assert client.get(ITEMS, headers={"if-none-match": etag}).status_code == 304
    assert counted(flights) == [(2, 5)]
    assert ask(client, 2) == (429, 0)
    assert ask(client, 1) == (200, 1)
    assert ask(client, 1) == (429, 0)


def test_the_owner_and_other_agreements_do_not_use_up_a_limit(flights: World, served: Server) -> None:
    client = reading(flights, {"requests_per_day": 1}, served)
    flights.sign(flights.terms(purposes=["audit"], requests_per_day=1))
    owner = served.client(flights.secrets[PROVIDER, "analyst"])
    assert [ask(owner)[0], ask(client)[0], ask(client)[0], ask(owner)[0]] == [200, 200, 429, 200]
    assert ask(client, 100, **{"baybridge-purpose": "audit"})[0] == 200


def raced(flights: World, purpose: str) -> Counter[str]:
    """Two processes that begin at once, with four threads each and 24 reads of three rows."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("launchers") / "read_at_once.py"),
        str(flights.root),
        flights.secrets[CONSUMER, "analyst"],
        purpose,
    ]
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) for _ in range(2)
        ]
        assert [reader.stdout.readline() for reader in readers if reader.stdout] == ["ready\n"] * 2
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write("go\n")
            reader.stdin.flush()
        return Counter(line for reader in readers for line in reader.communicate(timeout=60)[0].splitlines())


@pytest.mark.slow
def test_two_processes_never_both_pass_the_last_one(flights: World) -> None:
    flights.sign(flights.terms(requests_per_day=15))
    flights.sign(flights.terms(purposes=["audit"], rows_per_day=41))
    assert raced(flights, "noise-study") == {"3 rows": 15, "limit_reached": 33}
    assert raced(flights, "audit") == {"3 rows": 13, "limit_reached": 35}
    assert codes(flights) == {"disclosure": 28, "limit_reached": 68}
    assert counted(flights) == [(15, 45), (13, 39)]


# The one function that counts.


@pytest.fixture
def limited(flights: World) -> Iterator[tuple[sa.Connection, Agreement]]:
    agreement = flights.sign(flights.terms(requests_per_day=2, rows_per_day=10))
    with flights.exchange.database.write() as connection:
        yield connection, agreement


def test_a_day_is_from_midnight_to_midnight_in_utc(limited: tuple[sa.Connection, Agreement]) -> None:
    connection, agreement = limited
    assert reserve(connection, agreement, LATE, requests=2, rows=10) is None
    assert reserve(connection, agreement, LATE, requests=1, rows=0) == LimitReached("requests", 2)
    assert reserve(connection, agreement, LATE + timedelta(microseconds=1), requests=2, rows=10) is None


def test_what_would_pass_a_limit_is_not_counted_at_all(limited: tuple[sa.Connection, Agreement]) -> None:
    connection, agreement = limited
    assert reserve(connection, agreement, LATE, requests=1, rows=11) == LimitReached("rows", 10)
    assert reserve(connection, agreement, LATE, requests=3, rows=1) == LimitReached("requests", 2)
    assert reserve(connection, agreement, LATE, requests=1, rows=10) is None
    assert reserve(connection, agreement, LATE, requests=0, rows=1) == LimitReached("rows", 10)
    assert reserve(connection, agreement, LATE, requests=1, rows=0) is None


def test_without_a_limit_nothing_is_kept(flights: World) -> None:
    agreement = flights.sign(flights.terms())
    with flights.exchange.database.write() as connection:
        assert reserve(connection, agreement, LATE, requests=10**9, rows=10**12) is None
    assert counted(flights) == []


def test_what_was_counted_for_an_entry_that_was_never_written_is_undone(flights: World) -> None:
    flights.sign(flights.terms(requests_per_day=1))
    exchange = flights.exchange

    def encode(page: Encodable) -> bytes:
        return b"%d" % len(page.page.rows)

    request = page_request(Ask(DatasetName.parse("bts.flights"), purpose="noise-study"), encode)
    with exchange.database.write() as connection:
        connection.execute(sa.text("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"))
    with pytest.raises(Exception, match="audit log cannot be written"):
        exchange.disclose.read(request, flights.person(CONSUMER, "analyst"), Stop())
    assert counted(flights) == []
    with exchange.database.write() as connection:
        connection.execute(sa.text("DROP TRIGGER full"))
    assert exchange.disclose.read(request, flights.person(CONSUMER, "analyst"), Stop()).body == b"5"
    assert counted(flights) == [(1, 5)]

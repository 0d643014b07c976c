"""Side records erased for good, kept for their days, and the counts of what is too much to be entered one by one."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import PROVIDER, World, make_world, serving

from baybridge.audit import side as audit_side
from baybridge.audit import store as audit_store
from baybridge.audit.counts import PER_ENTRY, Counted, facts_of
from baybridge.audit.entry import MAX_ENTRY_BYTES, Kind, encode
from baybridge.audit.log import Draft, always
from baybridge.audit.side import Side
from baybridge.errors import CODES, BaybridgeError
from baybridge.exchange import Exchange
from baybridge.principals.principal import LOCAL_OPERATOR

pytestmark = pytest.mark.slow

MARKER = b"SSN 078-05-1120, asked for by name, number "


def record(world: World, count: int) -> None:
    """Entries with side records of many sizes, below and above a page of the database, in two logs that take turns."""
    for number in range(count):
        for organization in ("bts", "dot"):
            side = MARKER + b"%05d " % number + b"x" * (number * 37 % 9000)
            facts = {"rows": number, "side_sha256": sha256(side).hexdigest()}
            world.exchange.log.record(Draft(organization, Kind.DISCLOSURE, facts, Side(side)), always)


def held(root: Path) -> int:
    """How often the marker stands in any file of the home, whatever the file is."""
    return sum(path.read_bytes().count(MARKER) for path in root.rglob("*") if path.is_file())


def stored(world: World, organization: str = PROVIDER) -> list[dict[str, object]]:
    with world.exchange.database.read() as connection:
        return [json.loads(data) for _, data in audit_store.entries(connection, organization)]


def test_erased_side_records_are_in_no_file_of_the_home_and_the_log_verifies(world: World) -> None:
    record(world, 300)
    assert held(world.root) >= 600
    admin = world.person("bts", "admin")
    half = world.exchange.erase.erase(admin, "bts", stop=150)
    rest = world.exchange.erase.erase(LOCAL_OPERATOR, "bts", start=100, before=datetime.now(UTC))
    assert (half.gone, rest.gone) == (True, True)
    assert half.count + rest.count == 300
    with world.exchange.database.read() as connection:
        assert list(audit_side.side_records(connection, "bts")) == []
        assert len(list(audit_side.side_records(connection, "dot"))) == 300
    assert world.exchange.erase.erase(world.person("dot", "admin"), "dot", before=datetime.now(UTC)).count == 300
    assert held(world.root) == 0
    erasures = [each for each in stored(world) if each["kind"] == "side_records_erased"]
    assert [each["count"] for each in erasures] == [half.count, rest.count]
    assert erasures[0]["actor"] == {"organization": "bts", "principal": admin.id}
    for organization in ("bts", "dot"):
        assert world.exchange.watch.verify(organization, ()).findings == ()


def test_an_erasure_goes_on_once_a_reader_has_let_go_of_what_was_there(world: World) -> None:
    record(world, 5)
    with world.exchange.database.read() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM side_records")
        erased = world.exchange.erase.erase(world.person("bts", "admin"), "bts", before=datetime.now(UTC))
        assert (erased.count, erased.gone) == (5, False)
    world.exchange.erase.erase(world.person("dot", "admin"), "dot", before=datetime.now(UTC))
    world.exchange.erase.expire(datetime.now(UTC))
    assert held(world.root) == 0


@pytest.mark.parametrize(("who", "code"), [(("bts", "auditor"), "role_required"), (("dot", "admin"), "token_wrong_organisation")])
def test_only_an_admin_of_the_log_erases_and_a_refusal_is_entered(world: World, who: tuple[str, str], code: str) -> None:
    record(world, 2)
    with pytest.raises(BaybridgeError) as refused:
        world.exchange.erase.erase(world.person(*who), "bts", stop=100)
    assert refused.value.code == code
    last = stored(world)[-1]
    assert (last["kind"], last["act"], last["code"]) == ("refusal", "erase_side_records", code)
    with world.exchange.database.read() as connection:
        assert len(list(audit_side.side_records(connection, "bts"))) == 2


def test_side_records_are_kept_for_their_days_and_no_longer(world: World) -> None:
    root = world.root
    record(world, 3)
    now = datetime.now(UTC)
    world.exchange.close()
    with Exchange.open(root, flags={"side_record_days": 30}) as exchange:
        exchange.erase.expire(now + timedelta(days=30))
        assert held(root) > 0, "the thirtieth day is not over"
        exchange.erase.expire(now + timedelta(days=31))
        assert held(root) == 0
        before = exchange.watch.verify("bts", ())
        exchange.erase.expire(now + timedelta(days=31))
        assert exchange.watch.verify("bts", ()) == before, "an erasure of nothing is not entered"
        with exchange.database.read() as connection:
            last = json.loads(list(audit_store.entries(connection, "bts"))[-1][1])
    assert (last["kind"], last["count"], last["actor"]) == ("side_records_erased", 3, {"organization": "", "principal": "operator"})


def test_public_reads_and_unknown_callers_are_entered_as_counts(tmp_path: Path) -> None:
    world = make_world(tmp_path / "home")
    world.publish("bts.airports", b"code\nJFK\nEWR\n", access="public")
    world.publish("bts.flights", b"flight,carrier,tailnum,origin,delay\n1,UA,N1,JFK,2\n", key=("flight",))
    items = "/api/v1/collections/bts.{}/items"
    expired = world.token(world.person("dot", "analyst"), expires=datetime.now(UTC) + timedelta(seconds=1))
    with serving(world.root) as server:
        stranger, fake, late = server.client(), server.client("bb_" + "A" * 43), server.client(expired)
        while late.get("/api/v1/whoami").status_code == 200:
            pass
        for _ in range(5):
            assert stranger.get(items.format("airports")).status_code == 200
        for _ in range(3):
            assert stranger.get(items.format("flights")).status_code == 401
        assert fake.get(items.format("flights")).status_code == 401
        assert late.get(items.format("flights")).json()["code"] == "token_expired"
        for number in range(50):
            assert stranger.get(items.format(f"made_up_{number}")).status_code == 404
        assert fake.get(items.format("made_up")).status_code == 401
        before = len(stored(world))
    new = stored(world)[before:]
    assert [each["kind"] for each in new] == ["counts"]
    lines = list(new[0]["counts"])
    counted = Counter({(each["dataset"], each["kind"], each["code"], each["channel"]): each["count"] for each in lines})
    assert counted == {
        ("bts.airports", "read", None, "rest"): 5,
        ("bts.flights", "refusal", "not_signed_in", "rest"): 4,
        ("bts.flights", "refusal", "token_expired", "rest"): 1,
    }
    world.exchange.close()


def test_counts_that_cannot_be_entered_are_counted_on(world: World) -> None:
    log = world.exchange.log
    log.counts.add(Counted("nobody", "nobody.data", "read", None, "rest"))
    before = stored(world)
    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a log that is not there raises
            log.enter_counts()
    assert stored(world) == before
    assert log.counts.take() == {Counted("nobody", "nobody.data", "read", None, "rest"): 1}


def test_counts_of_the_longest_names_fit_their_entries() -> None:
    name = "a" * 63 + "." + "b" * 63
    longest = max(CODES, key=len)
    counts = {
        Counted("a" * 63, name[:-3] + f"{number:03}", "refusal", longest, "delta_sharing"): 2**52 for number in range(PER_ENTRY * 2 + 1)
    }
    entries = facts_of(counts)["a" * 63]
    assert len(entries) == 3
    for facts in entries:
        data = encode(facts, log="o" * 253 + "/audit/" + "a" * 63, kind=Kind.COUNTS, nonce=bytes(16), time=datetime.now(UTC))
        assert len(data) <= MAX_ENTRY_BYTES

"""Promise 8: the order of rows, and the cuts of pages, are the same function of released values, whatever is withheld or masked."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import World, make_world

from baybridge.agreements.domains import unwrap_key
from baybridge.disclose import Ask, Encodable, Request, SortKey, Stop
from baybridge.names import DatasetName

PEOPLE = 2_000
LIMITS = (1, 7, 500)
# A random permutation of 2,000 leaves k rows in place with chance about 1 / (e * k!): more than 12 in less than one of a billion.
MORE_THAN_CHANCE = 12


@dataclass(frozen=True)
class Person:
    """A row with a name that sorts, and what is released of it."""

    name: str
    county: str
    age: int


def people(seed: int) -> list[Person]:
    chance = random.Random(seed)
    return [Person(f"person {number:05d}", chance.choice("ABC"), chance.randrange(90)) for number in range(PEOPLE)]


def as_csv(rows: list[Person]) -> bytes:
    return ("name,county,age\n" + "".join(f"{row.name},{row.county},{row.age}\n" for row in rows)).encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("order") / "home")
    yield made
    made.exchange.close()


def publish(place: World, dataset: str, rows: list[Person], key: tuple[str, ...]) -> None:
    schema = {
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "county", "type": "string"},
            {"name": "age", "type": "integer"},
        ],
        "primaryKey": list(key),
    }
    place.publish(dataset, as_csv(rows), schema=schema, null_words=("",))


def agree(place: World, dataset: str, columns: list[str], masks: dict[str, str], *, domain: str | None = None) -> None:
    place.sign(place.terms(dataset=dataset, columns=columns, masks=masks, row_filter=None, pseudonym_domain=domain))


def walk(place: World, dataset: str, limit: int, *sort: SortKey) -> list[list[tuple[Any, ...]]]:
    """The pages of a whole walk, as the analyst of dot gets them."""
    pages: list[list[tuple[Any, ...]]] = []
    after: int | None = None
    while True:
        seen: list[Encodable] = []

        def encode(encodable: Encodable, seen: list[Encodable] = seen) -> bytes:
            seen.append(encodable)
            return b""

        request = Request(
            ask=Ask(DatasetName.parse(dataset), purpose="noise-study"),
            version=None,
            sort=sort,
            limit=limit,
            after=after,
            cursor_extract=None,
            known=frozenset(),
            representation="test",
            channel="rest",
            encode=encode,
        )
        place.exchange.disclose.read(request, place.person("dot", "analyst"), Stop())
        pages.append([tuple(row) for row in seen[0].page.rows])
        after = seen[0].page.next
        if after is None:
            return pages


@pytest.mark.parametrize("limit", LIMITS)
def test_a_hidden_key_a_masked_key_and_no_key_give_one_order(place: World, limit: int) -> None:
    """Four datasets of the same released rows: keyed by name and by nothing, in file order and shuffled. Nobody can tell them apart."""
    rows, shuffled = people(1), people(1)
    random.Random(2).shuffle(shuffled)
    small, mixed = rows[:60], [row for row in shuffled if row in rows[:60]]
    hidden, masked = [], []
    for name, data, key in (
        ("keyed", small, ("name",)),
        ("keyed_mixed", mixed, ("name",)),
        ("plain", small, ()),
        ("plain_mixed", mixed, ()),
    ):
        for columns, masks, walks in ((["county", "age"], {}, hidden), (["name", "county", "age"], {"name": "pseudonym"}, masked)):
            dataset = f"bts.{name}_{limit}_{len(columns)}"
            publish(place, dataset, data, key)
            agree(place, dataset, columns, masks, domain="one")
            walks.append(walk(place, dataset, limit))
    for walks in (hidden, masked):
        assert len(walks) == 4
        assert all(each == walks[0] for each in walks)
        assert [len(page) for page in walks[0]][:-1] == [limit] * (len(walks[0]) - 1)
    flat = [row for page in hidden[0] for row in page]
    assert flat == sorted(flat)
    assert sorted(flat) == sorted((row.county, row.age) for row in small)


def test_rows_that_differ_only_in_what_is_withheld_do_not_move(place: World) -> None:
    """Other names, another key order, other filtered rows: the same released rows in the same order, cut at the same places."""
    rows = people(3)[:50]
    renamed = [Person(f"other {PEOPLE - number:05d}", row.county, row.age) for number, row in enumerate(rows)]
    publish(place, "bts.before", rows, ("name",))
    publish(place, "bts.after", renamed, ("name",))
    for dataset in ("bts.before", "bts.after"):
        agree(place, dataset, ["county", "age"], {})
    assert walk(place, "bts.before", 7) == walk(place, "bts.after", 7)
    by_age = SortKey("age", descending=True)
    assert walk(place, "bts.before", 7, by_age) == walk(place, "bts.after", 7, by_age)


def matches(roster: list[str], served: list[str], truth: dict[str, str]) -> int:
    """How many pseudonyms someone recovers who lays a sorted roster of the originals beside the rows in the order they came."""
    return sum(1 for original, pseudonym in zip(roster, served, strict=True) if truth[original] == pseudonym)


@pytest.mark.parametrize("key", [("name",), ()], ids=["keyed by the name", "no key"])
def test_a_sorted_roster_laid_beside_the_pseudonyms_recovers_no_more_than_chance(place: World, key: tuple[str, ...]) -> None:
    rows = people(4)
    dataset = "bts.roster_" + ("keyed" if key else "plain")
    publish(place, dataset, rows, key)
    agree(place, dataset, ["name"], {"name": "pseudonym"})
    served = [str(row[0]) for page in walk(place, dataset, 500) for row in page]
    truth = originals(place, dataset, rows)
    roster = sorted(row.name for row in rows)
    assert sorted(served) == sorted(truth.values())
    assert matches(roster, served, truth) <= MORE_THAN_CHANCE
    assert matches(roster, list(reversed(served)), truth) <= MORE_THAN_CHANCE
    backwards = [str(row[0]) for page in walk(place, dataset, 500, SortKey("name", descending=True)) for row in page]
    assert matches(roster, backwards, truth) <= MORE_THAN_CHANCE
    assert matches(roster, [truth[name] for name in roster], truth) == PEOPLE  # the attack works where the order is the originals'


def originals(place: World, dataset: str, rows: list[Person]) -> dict[str, str]:
    """The truth that the attacker lacks: each name's pseudonym, made with the domain's key."""
    agreement = place.exchange.agree.listing(place.person("dot", "analyst"))[-1]
    assert str(agreement.dataset) == dataset
    assert agreement.domain_key is not None
    with place.exchange.database.read() as connection:
        key = unwrap_key(connection, agreement.domain_key, wrapping_key=place.exchange.keys.wrapping)
    return {row.name: hmac.new(key, b"text:" + row.name.encode(), hashlib.sha256).hexdigest()[:32] for row in rows}


def test_the_extracts_own_order_is_that_of_its_rows(place: World, tmp_path: Path) -> None:
    """Also in the file, which nobody but the engine reads: `_row` counts the rows in the order in which they stand."""
    publish(place, "bts.inside", people(5)[:100], ("name",))
    agree(place, "bts.inside", ["age", "county"], {})
    walk(place, "bts.inside", 500)
    newest = max((place.root / "extracts").glob("*/serve.duckdb"), key=lambda path: path.stat().st_mtime)
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(newest.read_bytes())
    engine = duckdb.connect(str(copy), read_only=True)
    rows = engine.execute("SELECT _row, age, county FROM items").fetchall()
    engine.close()
    assert [row[0] for row in rows] == list(range(100))
    assert [row[1:] for row in rows] == sorted(row[1:] for row in rows)

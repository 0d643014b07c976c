"""Order tells nothing: rows, page cuts and cursors are one function of what is released, whatever the hidden part of a dataset is."""

from __future__ import annotations

import base64
import json
import math
import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec
import pytest
from conftest import CONSUMER, PROVIDER, World, make_world
from hypothesis import given, settings
from hypothesis import strategies as st

from baybridge.disclose import Ask, Encodable, Request, SortKey, Stop, UsedColumn
from baybridge.http.cursors import Cursor, Cursors
from baybridge.names import DatasetName
from baybridge.terms import cql2

PURPOSE = "noise-study"
LIMITS = (2, 5, 10_000)


@dataclass
class Stage:
    """One home for all examples: each dataset is published once, agreed upon once, and read through the door."""

    world: World
    datasets: int = 0

    def publish(self, header: str, rows: Sequence[Sequence[Any]], *, key: tuple[str, ...], types: dict[str, str] | None = None) -> str:
        self.datasets += 1
        name = f"{PROVIDER}.t{self.datasets}"
        names = header.split(",")
        fields = [
            {"name": each, "type": {"integer": "integer", "double": "number"}.get(kind, "string"), "baybridge:type": kind}
            for each, kind in ((each, (types or {}).get(each, "text")) for each in names)
        ]
        text = "\n".join([header, *(",".join("~" if cell is None else str(cell) for cell in row) for row in rows)]) + "\n"
        schema: dict[str, object] = {"fields": fields, "primaryKey": list(key), "missingValues": ["~"]}
        self.world.publish(name, text.encode(), schema=schema, null_words=())
        return name

    def agree(self, dataset: str, columns: str, *, row_filter: str | None = None, **masks: str) -> str:
        """Sign, with all pseudonyms in one domain, so that equal originals of two datasets are released as equal values."""
        terms = self.world.terms(
            dataset=dataset,
            columns=columns.split(","),
            row_filter=row_filter,
            masks=masks,
            purposes=[PURPOSE],
            linkage=True,
            pseudonym_domain="shared",
        )
        return self.world.sign(terms).id

    def walk(
        self, dataset: str, agreement: str, *, sortby: str = "", row_filter: str | None = None, limit: int = 10_000
    ) -> list[Encodable]:
        """Every page, each reached by the sealed cursor of the one before."""
        exchange = self.world.exchange
        cursors = Cursors(exchange.keys.cursor)
        sort = tuple(SortKey(each.lstrip("-"), each.startswith("-")) for each in sortby.split(",") if each)
        pages: list[Encodable] = []
        cursor: Cursor | None = None
        while cursor is not None or not pages:
            request = Request(
                ask=Ask(
                    DatasetName.parse(dataset),
                    tuple(UsedColumn(key.column, "sortby") for key in sort),
                    None if row_filter is None else cql2.parse(row_filter),
                    PURPOSE,
                    agreement,
                ),
                version=None if cursor is None else cursor.version,
                sort=sort,
                limit=limit,
                after=None if cursor is None else cursor.row,
                cursor_extract=None if cursor is None else cursor.extract,
                known=frozenset(),
                representation="rows",
                channel="test",
                encode=lambda page: pages.append(page) or b"rows",
            )
            exchange.disclose.read(request, self.world.person(CONSUMER, "analyst"), Stop())
            row = pages[-1].page.next
            cursor = None if row is None else cursors.open(self.cursor_text(pages[-1]), question="q")
        return pages

    def cursor_text(self, page: Encodable) -> str:
        assert page.page.next is not None
        return Cursors(self.world.exchange.keys.cursor).seal(Cursor(page.version, page.extract, "q", page.page.next))

    def rows(self, dataset: str, agreement: str, **how: Any) -> list[tuple[Any, ...]]:
        return [row for page in self.walk(dataset, agreement, **how) for row in page.page.rows]

    def numbered(self, page: Encodable) -> list[tuple[Any, ...]]:
        """The whole file behind a page, with `_row`, in the file's own order."""
        path = self.world.exchange.home.extracts / page.extract / "serve.duckdb"
        with duckdb.connect(str(path), read_only=True) as file:
            return file.execute("SELECT * FROM items ORDER BY rowid").fetchall()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    world = make_world(tmp_path_factory.mktemp("order") / "home")
    yield Stage(world)
    world.exchange.close()


def seen(stage: Stage, dataset: str, agreement: str, sortings: Sequence[str]) -> list[Any]:
    """All that a consumer can learn about order: for each sorting and page size, the pages, where each ends, and the file's own rows."""
    found: list[Any] = []
    for sortby in sortings:
        for limit in LIMITS:
            pages = stage.walk(dataset, agreement, sortby=sortby, limit=limit)
            found.append((sortby, limit, [(repr(list(page.page.rows)), page.page.next) for page in pages]))
            if limit == LIMITS[0]:
                found.append(repr(stage.numbered(pages[0])))
    return found


HEADER = "id,part,name,place,amount,secret"
TYPES = {"id": "integer", "part": "integer", "amount": "double"}
KEYS: dict[str, tuple[tuple[str, ...], str, dict[str, str]]] = {
    "a withheld key": (("id",), "place,amount", {}),
    "a withheld key beside pseudonyms": (("id",), "amount,name,place", {"name": "pseudonym"}),
    "a key under pseudonyms": (("name",), "name,place,amount", {"name": "pseudonym"}),
    "a redacted key": (("name",), "name,place,amount", {"name": "redact"}),
    "no key": ((), "place,name,amount", {"name": "pseudonym"}),
    "half of the key withheld": (("id", "part"), "place,part,amount", {}),
    "half of the key masked": (("name", "part"), "place,part,name", {"name": "pseudonym"}),
    "a key released whole": (("part",), "amount,part,name", {"name": "pseudonym"}),
}
AMOUNTS = [None, 0.0, -0.0, 1.5, -2.25]


@st.composite
def people(draw: st.DrawFn) -> list[list[Any]]:
    """Rows of HEADER but for id and secret: part and name tell rows apart, place and amount repeat and are null now and then."""
    names = draw(st.lists(st.text("abcdefgh", min_size=3, max_size=3), min_size=6, max_size=14, unique=True))
    parts = draw(st.permutations(range(len(names))))
    places = st.sampled_from(["x", "y", None])
    return [[part, name, draw(places), draw(st.sampled_from(AMOUNTS))] for part, name in zip(parts, names, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", KEYS)
@settings(max_examples=3)
@given(rows=people(), seeds=st.tuples(st.integers(), st.integers()))
def test_rows_pages_and_cursors_are_a_function_of_released_values(
    stage: Stage, shape: str, rows: list[list[Any]], seeds: tuple[int, int]
) -> None:
    """Two datasets with the same released values: other ids, other secrets, other hidden rows, another order of upload."""
    key, columns, masks = KEYS[shape]
    first, second = columns.split(",")[:2]
    sortings = ["", first, f"-{second}", f"-{first},{second}"]
    found = []
    for seed in seeds:
        chance = random.Random(seed)
        ids = chance.sample(range(1000), len(rows))
        whole = [
            [id_, part, name, place, amount, f"s{chance.random()}"] for id_, (part, name, place, amount) in zip(ids, rows, strict=True)
        ]
        whole += [[1000 + number, 100 + number, f"zz{number}", "hidden", 7.0, "h"] for number in range(chance.randrange(4))]
        chance.shuffle(whole)
        dataset = stage.publish(HEADER, whole, key=key, types=TYPES)
        agreement = stage.agree(dataset, columns, row_filter="place <> 'hidden' OR place IS NULL", **masks)
        found.append(seen(stage, dataset, agreement, sortings))
    assert found[0] == found[1]


def test_the_same_comparison_sees_a_difference_where_the_key_is_released(stage: Stage) -> None:
    rows = [[number, number, f"n{number}", "x", 1.5, "s"] for number in range(8)]
    moved = [[7 - row[0], *row[1:]] for row in rows]
    found = []
    for each in (rows, moved):
        dataset = stage.publish(HEADER, each, key=("id",), types=TYPES)
        found.append(seen(stage, dataset, stage.agree(dataset, "id,name"), [""]))
    assert found[0] != found[1]


@pytest.mark.slow
def test_order_holds_across_row_groups_and_threads(stage: Stage) -> None:
    """300,000 rows with a hidden key: the file's order is the released columns' own, and `_row` counts it without a gap."""
    count = 300_000
    rows = [(number, (number * 7919) % count, f"{(number * 104729) % 1009:04d}") for number in range(count)]
    dataset = stage.publish("id,amount,place", rows, key=("id",), types={"id": "integer", "amount": "integer"})
    page = stage.walk(dataset, stage.agree(dataset, "place,amount"), limit=10_000)[0]
    file = stage.numbered(page)
    assert [row[0] for row in file] == list(range(count))
    assert [row[1:] for row in file] == sorted((place, amount) for _, amount, place in rows)


# The attack with a sorted roster.

PEOPLE = 2_000
# Of n guesses in a random order the number that is right is close to Poisson(1): ten or more happen once in nine million times.
BOUND = 10


def test_chance_reaches_the_bound_less_than_once_in_a_million() -> None:
    assert 1 - sum(math.exp(-1) / math.factorial(right) for right in range(BOUND)) < 1e-6


def roster(seed: int) -> list[str]:
    chance = random.Random(seed)
    names = {"".join(chance.choices(string.ascii_lowercase, k=10)) for _ in range(PEOPLE)}
    assert len(names) == PEOPLE
    return sorted(names)


def right_guesses(names: Sequence[str], served: Sequence[str], truth: dict[str, str]) -> int:
    """Lay the sorted roster, and the same upside down, beside the pseudonyms as they were served; count the best of both."""
    assert len(names) == len(served)
    return max(sum(truth[name] == pseudonym for name, pseudonym in zip(guess, served, strict=True)) for guess in (names, names[::-1]))


def truths(stage: Stage, names: Sequence[str]) -> dict[str, str]:
    """Each name's pseudonym, learnt from a dataset that releases the names' numbers beside them. No attacker has this."""
    dataset = stage.publish("id,name", list(enumerate(names)), key=("id",), types={"id": "integer"})
    return {names[number]: pseudonym for number, pseudonym in stage.rows(dataset, stage.agree(dataset, "id,name", name="pseudonym"))}


@pytest.fixture(scope="module")
def names() -> list[str]:
    return roster(1)


@pytest.fixture(scope="module")
def truth(stage: Stage, names: list[str]) -> dict[str, str]:
    found = truths(stage, names)
    assert len(set(found.values())) == PEOPLE
    return found


@pytest.mark.parametrize("key", [("name",), ("id",), (), ("name", "place"), ("place", "name")], ids=str)
@pytest.mark.parametrize("upload", ["sorted", "shuffled"])
def test_a_sorted_roster_beside_the_pseudonyms_recovers_no_more_than_chance(
    stage: Stage, names: list[str], truth: dict[str, str], key: tuple[str, ...], upload: str
) -> None:
    rows = [(number, name, "all") for number, name in enumerate(names)]
    if upload == "shuffled":
        random.Random(2).shuffle(rows)
    dataset = stage.publish("id,name,place", rows, key=key, types={"id": "integer"})
    agreement = stage.agree(dataset, "name,place", name="pseudonym")
    for how in (
        {},
        {"limit": 499},
        {"sortby": "name"},
        {"sortby": "-name"},
        {"sortby": "place"},
        {"sortby": "-place"},
        {"row_filter": "place = 'all'"},
    ):
        served = [row[0] for row in stage.rows(dataset, agreement, **how)]
        assert right_guesses(names, served, truth) < BOUND


def test_redacted_names_hide_the_order_of_what_stands_beside_them(stage: Stage, names: list[str]) -> None:
    """Names redacted, amounts released: in the order of the names the amounts would tell whose is whose."""
    chance = random.Random(3)
    amounts = chance.sample(range(10**6), PEOPLE)
    dataset = stage.publish("name,amount", list(zip(names, amounts, strict=True)), key=("name",), types={"amount": "integer"})
    agreement = stage.agree(dataset, "name,amount", name="redact")
    for how in ({}, {"sortby": "name"}, {"sortby": "-name"}):
        served = [amount for _, amount in stage.rows(dataset, agreement, **how)]
        assert served == sorted(amounts)


def test_the_attack_recovers_everything_where_rows_stand_in_the_originals_order(
    stage: Stage, names: list[str], truth: dict[str, str]
) -> None:
    """The bound bites: a released rank that follows the names gives them all away, and the same counting finds that."""
    dataset = stage.publish("rank,name", list(enumerate(names)), key=("rank",), types={"rank": "integer"})
    served = [row[0] for row in stage.rows(dataset, stage.agree(dataset, "name,rank", name="pseudonym"))]
    assert right_guesses(names, served, truth) == PEOPLE


# Cursors.


def test_a_cursor_holds_no_value_of_any_row(stage: Stage) -> None:
    rows = [(f"marker{number:04d}", f"origin{number % 7}", number + 770_000) for number in range(40)]
    dataset = stage.publish("name,place,amount", rows, key=("name",), types={"amount": "integer"})
    agreement = stage.agree(dataset, "name,place", name="pseudonym")
    for sortby in ("", "name", "-name", "place,-name"):
        pages = stage.walk(dataset, agreement, sortby=sortby, limit=9)
        assert len(pages) == 5
        for page in pages[:-1]:
            text = stage.cursor_text(page)
            payload = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[16:]
            assert json.loads(payload) == [page.version, page.extract, "q", page.page.next]
            assert isinstance(page.page.next, int)
            assert 0 <= page.page.next < len(rows)
            shown = payload.replace(page.extract.encode(), b"")
            for row in rows:
                assert not any(str(cell).encode() in shown for cell in row)
            assert not any(str(cell).encode() in shown for row in page.page.rows for cell in row)


def test_the_row_of_a_cursor_counts_released_rows_only(stage: Stage) -> None:
    """Rows that the filter hides leave no gap in the numbers that cursors carry."""
    rows = [(number, "kept" if number % 10 == 0 else "hidden") for number in range(100)]
    dataset = stage.publish("id,place", rows, key=("id",), types={"id": "integer"})
    pages = stage.walk(dataset, stage.agree(dataset, "id,place", row_filter="place = 'kept'"), limit=1)
    assert [page.page.next for page in pages] == [*range(9), None]


def test_a_cursor_has_no_member_that_could_hold_a_value() -> None:
    assert [(each.name, each.type) for each in msgspec.structs.fields(Cursor)] == [
        ("version", int),
        ("extract", str),
        ("question", str),
        ("row", int),
    ]

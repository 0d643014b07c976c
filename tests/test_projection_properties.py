"""No grant exceeds its agreement: random tables, agreements and requests through the one door, against an oracle in plain Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import oracle
import pytest
from conftest import World, make_world
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from oracle import Asker, Deal, Reading, Row, Table

from baybridge.agree import Agree
from baybridge.agreements.domains import unwrap_key
from baybridge.audit import store as audit_store
from baybridge.disclose import Ask, Encodable, Request, SortKey, Stop, UsedColumn
from baybridge.errors import BaybridgeError
from baybridge.http.cursors import Cursor, Cursors
from baybridge.names import DatasetName
from baybridge.terms import cql2
from baybridge.wire.terms import CodeListShape, TermsShape

PROVIDER, CONSUMERS = "bts", ("dot", "ohio")
PURPOSES = ("noise-study", "audit", "planning")
REQUESTS = 10
SAMPLE = 40

POOLS: dict[str, list[Any]] = {
    "text": ["", "a", "A", "a ", "b", "é", "e\u0301", "\uffff", "😀", "O'B", 'q"', "\\", "x\ny", "1", "007", "[redacted]", "NULL", "None"],
    "integer": [0, 1, -1, 2, 7, 9007199254740993, 2**63 - 1, -(2**63)],
    "decimal(5,2)": [Decimal(text) for text in ("0", "0.00", "0.01", "-0.01", "1", "1.5", "1.50", "999.99", "-20")],
    "decimal(3,3)": [Decimal(text) for text in ("0", "0.5", "-0.25", "0.001", "-0.999")],
    "decimal(38,10)": [Decimal(text) for text in ("0", "1.5", "1234567890123456789012345678.0123456789", "-0.0000000001")],
    "decimal(38,0)": [Decimal(text) for text in ("0", "100", "9" * 38, "-7")],
    "double": [0.0, -0.0, 0.1, 1.5, -2.25, 1e300, 5e-324],
    "boolean": [True, False],
    "date": [date(1, 1, 1), date(999, 12, 31), date(2020, 2, 29), date(2024, 1, 31), date(9999, 12, 31)],
    "timestamp": [
        datetime(999, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2020, 2, 29, 12, tzinfo=UTC),
        datetime(2020, 2, 29, 12, 0, 0, 500000, UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    ],
    "datetime": [datetime(1, 1, 1), datetime(2020, 2, 29, 12), datetime(2020, 2, 29, 12, 0, 0, 1), datetime(9999, 12, 31)],  # noqa: DTZ001 -- wall clocks
}
# Beyond what some column holds: between two values of its type, or past its ends.
STRANGE = [Decimal(text) for text in ("0.5", "2.25", "-0.0004", "1000", "1e30", "-1e30")]
NAMES = [
    *("a", "Origin", 'odd "n"', "select", "größe", "日付", "a,b", "kept", "original", "pseudonym", "pseudonyms_0"),
    *("items", "last", "extract", "row", "x y", "-minus", "?", "$1", "'"),
]


# Drawing the world: a table, agreements about it, and then requests, whose literals come from what is really released.


@st.composite
def tables(draw: st.DrawFn, shape: str) -> Table:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True))
    types = {name: draw(st.sampled_from(sorted(POOLS))) for name in names}
    width = {"no key": 0, "single": 1, "composite": 2}[shape]
    key = tuple(draw(st.permutations(names))[:width])
    return Table(types, key, draw(rows_of(types, key)))


@st.composite
def rows_of(draw: st.DrawFn, types: dict[str, str], key: tuple[str, ...]) -> tuple[Row, ...]:
    cells = [st.sampled_from(POOLS[type_]) if name in key else st.sampled_from([None, *POOLS[type_]]) for name, type_ in types.items()]
    drawn = draw(st.lists(st.tuples(*cells), min_size=draw(st.sampled_from([6, 6, 6, 0])), max_size=12))
    seen = {}
    for cell in drawn:
        row = dict(zip(types, cell, strict=True))
        seen.setdefault(tuple(row[name] for name in key) if key else len(seen), row)
    return tuple(seen.values())


@st.composite
def conditions(draw: st.DrawFn, types: dict[str, str], found: dict[str, list[Any]], depth: int = 2) -> tuple[Any, ...]:
    """A condition over these columns, with literals from `found`: their values, neighbours of these, and now and then another kind."""
    if depth and draw(st.integers(0, 2)) == 0:
        word = draw(st.sampled_from(["and", "or", "not"]))
        if word == "not":
            return ("not", draw(conditions(types, found, depth - 1)))
        return (word, [draw(conditions(types, found, depth - 1)) for _ in range(draw(st.integers(2, 3)))])
    name = draw(st.sampled_from(sorted(types)))
    pool = list(POOLS[types[name]]) + [cell for cell in found[name] if cell is not None]
    if types[name] == "integer" or types[name].startswith("decimal"):
        pool += STRANGE
    if draw(st.integers(0, 30)) == 7:
        pool = ["x"] if types[name] != "text" else [1]
    values = st.sampled_from(pool)
    word = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "in", "between", "null"]))
    if types[name] == "boolean" and word in {"<", "<=", ">", ">=", "between"} and draw(st.integers(0, 3)):
        word = "="
    if word == "null":
        return ("null", name)
    if word == "in":
        return ("in", name, draw(st.lists(values, min_size=1, max_size=3)))
    return (word, name, *(draw(values) for _ in range(2 if word == "between" else 1)))


def masks_of(type_: str) -> list[tuple[Any, ...]]:
    """Masks that the type takes, with arguments that cut through its pool."""
    masks: list[tuple[Any, ...]] = [("redact",), ("null",)]
    if type_ != "double":
        masks.append(("pseudonym",))
    if type_ == "text":
        masks += [("prefix", 1), ("prefix", 2), ("generalize", {"a": "A", "e\u0301": "é", "007": "agent", "O'B": "x"}, "other")]
    if type_ == "integer":
        masks += [("round", places) for places in (-1, -2, -16, -18)]
        masks.append(("generalize", {"-1": "minus", "9007199254740993": "large"}, "other"))
    if type_.startswith("decimal"):
        precision, scale = map(int, type_[len("decimal(") : -1].split(","))
        places = range(scale - precision + 1, scale)
        masks += [("round", each) for each in sorted({places[0], places[len(places) // 2], places[-1]})]
    if type_ in {"integer", "double"} or type_.startswith("decimal"):
        masks += [("bucket", [Decimal(edge) for edge in edges]) for edges in (["0"], ["-0.25", "0.1", "1.5"], ["7", "9007199254740993"])]
    if type_ in {"date", "timestamp", "datetime"}:
        masks += [("year",), ("month",), ("bucket", [date(2020, 2, 29)]), ("bucket", [date(1, 1, 1), date(1970, 1, 1), date(2020, 3, 1)])]
    return masks


@st.composite
def deals(draw: st.DrawFn, table: Table) -> Deal:
    columns = tuple(draw(st.lists(st.sampled_from(list(table.types)), min_size=1, unique=True)))
    masks = {}
    for name in columns:
        if draw(st.booleans()):
            masks[name] = draw(st.sampled_from(masks_of(table.types[name])))
    found = {name: [row[name] for row in table.rows] for name in table.types}
    condition = draw(st.none() | conditions(table.types, found, 1))
    begins, ends = draw(st.sampled_from([*[(-9, 9)] * 8, (-9, -1), (1, 9)]))
    return Deal(
        consumer=draw(st.sampled_from([CONSUMERS[0], CONSUMERS[0], CONSUMERS[1]])),
        columns=columns,
        masks=masks,
        row_filter=condition if condition is not None and oracle.fits(condition, table.types) else None,
        purposes=tuple(draw(st.lists(st.sampled_from(PURPOSES), min_size=1, max_size=2, unique=True))),
        begins=timedelta(days=begins),
        ends=timedelta(days=ends),
        domain=draw(st.sampled_from([None, "alpha", "beta"])),
        history=draw(st.sampled_from(["latest", "latest", "all", "from(2)", "from(3)"] if rarely(draw) else ["latest", "all", "from(2)"])),
        state=draw(st.sampled_from(["signed"] * 14 + ["requested", "offered", "half", "suspended", "revoked", "terminated"])),
    )


def rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 11)) == 7


@st.composite
def readings(draw: st.DrawFn, versions: list[Table], agreed: list[Deal]) -> Reading:
    """A request that mostly fits one of the agreements, and now and then oversteps it."""
    live = [deal for deal in agreed if deal.is_live()]
    aim = draw(st.sampled_from(agreed if rarely(draw) or not live else live))

    latest = len(versions)
    reached = [number for number in range(1, latest + 1) if rarely(draw) or oracle.reaches(aim, number, latest)]
    version = draw(st.sampled_from([*reached, None]))
    table = versions[(version or latest) - 1]
    seen = None if rarely(draw) else aim
    types, rows = oracle.released_types(table, seen), oracle.released_rows(table, seen)
    found = {name: [row[name] for row in rows] for name in types}
    asker: Asker | None = Asker(aim.consumer, "analyst")
    if rarely(draw):
        asker = draw(
            st.sampled_from(
                [
                    None,
                    *(Asker(organization, role) for organization in CONSUMERS for role in ("auditor", "steward", "signatory")),
                    *(Asker(PROVIDER, role) for role in ("analyst", "auditor")),
                    Asker("empty", "analyst"),
                ]
            )
        )
    elif draw(st.booleans()):
        asker = Asker(aim.consumer, "analyst", draw(st.sampled_from(PURPOSES if rarely(draw) else aim.purposes)))
    named = draw(st.sampled_from([None, *PURPOSES] if rarely(draw) else aim.purposes))
    if asker is not None and asker.bound is not None and not rarely(draw):
        named = None
    columns = draw(st.none() | st.lists(st.sampled_from(list(types)), min_size=1, max_size=4, unique=True).map(tuple))
    if columns is not None and rarely(draw):
        columns = (*columns, "no such column")
    return Reading(
        asker=asker,
        purpose=named,
        agreement=draw(st.sampled_from([aim.id, aim.id, None, "AGR-9999"] if rarely(draw) else [aim.id, aim.id, aim.id, None])),
        version=version,
        columns=columns,
        row_filter=draw(st.none() | conditions(types, found)),
        sort=tuple(draw(st.lists(st.tuples(st.sampled_from(list(types)), st.booleans()), max_size=2, unique_by=lambda each: each[0]))),
        limit=draw(st.sampled_from([1, 3, 5, 100])),
    )


# The world: real exchanges on real homes.


@dataclass
class Stage:
    """One home that all examples of a worker share; each example publishes a dataset of its own."""

    world: World
    datasets: int = 0
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    looked_into: set[str] = field(default_factory=set)

    def publish(self, versions: list[Table], *, public: bool) -> DatasetName:
        self.datasets += 1
        name = DatasetName(PROVIDER, f"t{self.datasets}")
        access = "public" if public else "agreement"
        for number, table in enumerate(versions, start=1):
            schema = table.schema() if number == 1 else None
            publication = self.world.publish(str(name), table.csv(), schema=schema, access=access, null_words=())
            assert (publication.version, publication.rows_loaded) == (number, len(table.rows))
        return name

    def agree(self, name: DatasetName, deal: Deal) -> Deal:
        """Take the agreement to its state, at a time when its end had not come, and learn the key of its pseudonyms."""
        now = datetime.now(UTC)
        agree = Agree(replace(self.world.exchange.agree.desk, clock=lambda: now - oracle.LONG_AGO))
        shape = TermsShape(
            dataset=str(name),
            columns=list(deal.columns),
            purposes=list(deal.purposes),
            provider_authority="Statute",
            consumer_authority="Charter",
            start=oracle.instant(deal.begins, now),
            end=oracle.instant(deal.ends, now),
            row_filter=None if deal.row_filter is None else oracle.cql(deal.row_filter),
            masks={column: oracle.mask_text(mask, f"list_{position}") for position, (column, mask) in enumerate(deal.masks.items())},
            code_lists={
                f"list_{position}": CodeListShape(codes=mask[1], otherwise=mask[2])
                for position, mask in enumerate(deal.masks.values())
                if mask[0] == "generalize"
            },
            history=deal.history,
            linkage=deal.domain is not None,
            pseudonym_domain=deal.domain,
        )
        steward, mine, theirs = (
            self.world.person(*who) for who in ((PROVIDER, "steward"), (PROVIDER, "signatory"), (deal.consumer, "signatory"))
        )
        made = agree.request(self.world.person(deal.consumer, "analyst"), shape)
        if deal.state != "requested":
            made = agree.offer(steward, made.id, None)
        if deal.state not in {"requested", "offered"}:
            made = agree.sign(mine, made.id, made.terms_sha256)
        if deal.state in {"signed", "suspended", "revoked"}:
            made = agree.sign(theirs, made.id, made.terms_sha256)
        if deal.state in {"suspended", "revoked", "terminated"}:
            act = {"suspended": agree.suspend, "revoked": agree.revoke, "terminated": agree.terminate}[deal.state]
            made = act(steward, made.id, "for the test")
        key = b"" if made.domain_key is None else self.key(made.domain_key, deal.consumer, deal.domain or made.id)
        return replace(deal, id=made.id, key=key)

    def key(self, key_id: str, consumer: str, domain: str) -> bytes:
        """The bytes of a pseudonym key, which is the same for all of a consumer's agreements in one domain and for no others."""
        known = self.keys.setdefault((consumer, domain), key_id)
        assert known == key_id
        assert len(set(self.keys.values())) == len(self.keys)
        exchange = self.world.exchange
        with exchange.database.read() as connection:
            return unwrap_key(connection, key_id, wrapping_key=exchange.keys.wrapping)

    def last_entry(self) -> tuple[int, dict[str, Any]]:
        with self.world.exchange.database.read() as connection:
            size = audit_store.frontier(connection, PROVIDER).size
            data = next(iter(audit_store.entries(connection, PROVIDER, start=size - 1)))[1]
        return size, json.loads(data)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    world = make_world(tmp_path_factory.mktemp("properties") / "home", PROVIDER, *CONSUMERS, "empty")
    yield Stage(world)
    world.exchange.close()


def request_of(name: DatasetName, reading: Reading, encode: Any, cursor: Cursor | None) -> Request:
    return Request(
        ask=Ask(
            dataset=name,
            columns=tuple(UsedColumn(each, "properties") for each in reading.columns or ())
            + tuple(UsedColumn(each, "sortby") for each, _ in reading.sort),
            row_filter=None if reading.row_filter is None else cql2.parse(oracle.cql(reading.row_filter)),
            purpose=reading.purpose,
            agreement=reading.agreement,
        ),
        version=reading.version if cursor is None else cursor.version,
        sort=tuple(SortKey(each, descends) for each, descends in reading.sort),
        limit=reading.limit,
        after=None if cursor is None else cursor.row,
        cursor_extract=None if cursor is None else cursor.extract,
        known=frozenset(),
        representation="rows",
        channel="test",
        encode=encode,
    )


def walk(stage: Stage, name: DatasetName, reading: Reading) -> tuple[list[Encodable], str | None]:
    """All pages by their cursors, or the code of the refusal. A refusal has made no body and entered no disclosure."""
    exchange, cursors = stage.world.exchange, Cursors(stage.world.exchange.keys.cursor)
    principal = None
    if reading.asker is not None:
        principal = replace(stage.world.person(reading.asker.organization, reading.asker.role), purpose=reading.asker.bound)
    pages: list[Encodable] = []

    def encode(page: Encodable) -> bytes:
        pages.append(page)
        return b"page %d" % len(pages)

    cursor = None
    while True:
        size, _ = stage.last_entry()
        try:
            answer = exchange.disclose.read(request_of(name, reading, encode, cursor), principal, Stop())
        except BaybridgeError as refused:
            assert not pages
            check_refusal_entry(stage, size, refused.code, known=principal is not None)
            return [], refused.code
        check_disclosure_entry(stage, size, pages[-1], answer.entry)
        row = pages[-1].page.next
        if row is None:
            return pages, None
        assert len(pages[-1].page.rows) == reading.limit
        sealed = cursors.seal(Cursor(pages[-1].version, pages[-1].extract, "question", row))
        cursor = cursors.open(sealed, question="question")


def check_refusal_entry(stage: Stage, size: int, code: str, *, known: bool) -> None:
    after, entry = stage.last_entry()
    assert after == size + known
    if known:
        assert (entry["kind"], entry["code"]) == ("refusal", code)


def check_disclosure_entry(stage: Stage, size: int, page: Encodable, number: int | None) -> None:
    after, entry = stage.last_entry()
    assert after == size + (number is not None)
    if number is not None:
        assert (number, entry["kind"], entry["rows"]) == (size, "disclosure", len(page.page.rows))


def check_extract(stage: Stage, sha256: str, table: Table, deal: Deal | None) -> None:
    """The file behind the answer holds exactly the agreement's rows and columns, and `_row`."""
    path = stage.world.exchange.home.extracts / sha256 / "serve.duckdb"
    names = list(oracle.released_types(table, deal))
    with duckdb.connect(str(path), read_only=True) as file:
        assert [row[:2] for row in file.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()] == [("main", "items")]
        columns = [row[0] for row in file.execute("SELECT column_name FROM (DESCRIBE items)").fetchall()]
        assert columns == ["_row", *names]
        assert file.execute("SELECT list(_row ORDER BY rowid) FROM items").fetchall()[0][0] == (
            list(range(len(oracle.released_rows(table, deal)))) or None
        )


def check(stage: Stage, name: DatasetName, versions: list[Table], agreed: list[Deal], reading: Reading, *, public: bool) -> None:
    latest = len(versions)
    table = versions[(reading.version or latest) - 1]
    wanted = oracle.expected(table, PROVIDER, agreed, reading, latest=latest, public=public)
    pages, code = walk(stage, name, reading)
    if wanted.codes:
        assert code in wanted.codes
        stage.seen[code] += 1
        return
    assert code is None
    types = oracle.released_types(table, wanted.deal)
    shown = list(types) if reading.columns is None else list(reading.columns)
    assert all({each: str(type_) for each, type_ in page.types.items()} == {each: types[each] for each in shown} for page in pages)
    rows = [row for page in pages for row in page.page.rows]
    assert oracle.exact(rows) == oracle.exact(oracle.answer(table, wanted.deal, reading))
    if pages[0].extract not in stage.looked_into:
        stage.looked_into.add(pages[0].extract)
        check_extract(stage, pages[0].extract, table, wanted.deal)
    stage.seen["granted"] += 1
    stage.seen["rows"] += len(rows)
    stage.seen["several pages"] += len(pages) > 1
    stage.seen["filtered"] += reading.row_filter is not None
    stage.seen["masked"] += wanted.deal is not None and bool(wanted.deal.masks)
    stage.seen["older versions"] += wanted.deal is not None and reading.version not in {None, latest}
    if rows:
        stage.seen.update(f"mask {mask[0]}" for mask in ({} if wanted.deal is None else wanted.deal.masks).values())


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["no key", "single", "composite"])
@pytest.mark.parametrize("examples", [pytest.param(SAMPLE, id="sample"), pytest.param(800, id="all", marks=pytest.mark.prove)])
def test_no_grant_exceeds_its_agreement(stage: Stage, shape: str, examples: int) -> None:
    """Ten requests an example, three shapes of key: some 300 seeded terms in `make test`, 6,000 in `make prove`."""
    stage.seen.clear()

    @settings(max_examples=examples)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        versions = [data.draw(tables(shape), label="table")]
        if data.draw(st.booleans(), label="two versions"):
            versions.append(replace(versions[0], rows=data.draw(rows_of(versions[0].types, versions[0].key), label="rows")))
        public = data.draw(st.integers(0, 9), label="public") == 7
        name = stage.publish(versions, public=public)
        agreed = [stage.agree(name, deal) for deal in data.draw(st.lists(deals(versions[-1]), min_size=2, max_size=3), label="deals")]
        stage.seen["terms"] += len(agreed)
        for _ in range(REQUESTS):
            check(stage, name, versions, agreed, data.draw(readings(versions, agreed), label="reading"), public=public)
            stage.seen["checked"] += 1

    (seed(20261124)(holds) if examples == SAMPLE else holds)()
    seen = stage.seen
    assert seen["checked"] >= examples * REQUESTS
    assert seen["terms"] >= examples * 2
    # It would prove little if nearly all were refused, empty, on one page, or left as they are.
    assert seen["granted"] >= seen["checked"] / 10
    assert seen["masked"] >= seen["granted"] / 20
    assert seen["several pages"] >= seen["granted"] / 50
    assert seen["rows"] >= seen["granted"] / 4
    assert min(seen["older versions"], seen["version_not_in_agreement"]) >= examples / 20
    words = {mask[0] for type_ in POOLS for mask in masks_of(type_)}
    assert sum(seen[f"mask {word}"] > 0 for word in words) >= (len(words) if examples > SAMPLE else len(words) / 2)


@pytest.mark.parametrize("type_", sorted(POOLS))
def test_every_mask_that_a_type_takes_leaves_exactly_what_it_says(stage: Stage, type_: str) -> None:
    """Every value of the pool, and null, under every mask at once: one column for each, and one that stays as it is."""
    masks = dict(zip((f"c{position}" for position in range(99)), masks_of(type_), strict=False))
    columns = ("plain", *masks)
    table = Table(dict.fromkeys(columns, type_), (), tuple(dict.fromkeys(columns, cell) for cell in (None, *POOLS[type_])))
    deal = Deal(CONSUMERS[0], columns, masks, None, ("audit",), timedelta(-9), timedelta(9), None, "latest", "signed")
    agreed = stage.agree(name := stage.publish([table], public=False), deal)
    reading = Reading(Asker(CONSUMERS[0], "analyst"), "audit", None, None, None, None, (), 100)
    pages, code = walk(stage, name, reading)
    assert code is None
    assert {each: str(found) for each, found in pages[0].types.items()} == oracle.released_types(table, agreed)
    assert oracle.exact(pages[0].page.rows) == oracle.exact(oracle.answer(table, agreed, reading))

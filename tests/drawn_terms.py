"""Terms as hypothesis draws them, with every term in use: for the tests of what terms mean, and of what they say in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from baybridge.wire.terms import CodeListShape, TermsShape

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Zs"], include_characters=" "), min_size=1, max_size=20
).filter(lambda text: bool(text.strip()) and text.isprintable())
COLUMNS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
CODES_OF_PURPOSES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
FILTERS = st.sampled_from(
    [
        None,
        "origin = 'JFK'",
        "a=1 and b=2 and c=3",
        "(a=1 or b=2) and not c=3",
        "a not in (1, 2.50, -3e2) or b between DATE('2020-01-01') and DATE('2020-12-31')",
        '"odd ""name""" is not null',
        "t >= TIMESTAMP('2020-01-01T00:00:00Z') and s = 'it''s'",
        "a <> true or false",
        "a like 'x%' or a = b",
        "a like casei('X%') and b not like accenti('_')",
        "casei(a) = casei('x') and accenti(b) not like accenti('_x') and a < b",
    ]
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 -- hypothesis adds the zone
LIMITS = st.none() | st.integers(1, 10**12)
EDGES = st.lists(st.integers(-5, 99), min_size=1, max_size=4, unique=True).map(sorted)
DAYS = st.lists(st.dates(), min_size=1, max_size=3, unique=True).map(sorted)
MASKS = st.one_of(
    st.sampled_from(["redact", "null", "pseudonym", "year", "month"]),
    st.integers(1, 1000).map(lambda length: f"prefix({length})"),
    st.integers(-18, 9).map(lambda places: f"round({places})"),
    EDGES.map(lambda edges: f"bucket({','.join(map(str, edges))})"),
    DAYS.map(lambda days: f"bucket({','.join(day.isoformat() for day in days)})"),
    NAMES.map(lambda name: f"generalize({name})"),
)
CODES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
CODE_LISTS = st.builds(CodeListShape, codes=st.dictionaries(CODES, TEXTS, min_size=1, max_size=3), otherwise=TEXTS)


@st.composite
def shapes(draw: st.DrawFn, **fixed: Any) -> TermsShape:
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=5, unique=True))
    start, end = sorted(draw(st.lists(INSTANTS, min_size=2, max_size=2, unique=True)))
    masks = draw(st.dictionaries(st.sampled_from(columns), MASKS))
    used = {mask[len("generalize(") : -1] for mask in masks.values() if mask.startswith("generalize(")}
    linkage = draw(st.booleans())
    drawn: dict[str, Any] = {
        "dataset": draw(st.sampled_from(["bts.flights", "a.b", "o_1.n_2"])),
        "columns": columns,
        "purposes": draw(st.lists(CODES_OF_PURPOSES, min_size=1, max_size=4)),
        "provider_authority": draw(TEXTS),
        "consumer_authority": draw(TEXTS),
        "start": start.isoformat(),
        "end": end.isoformat(),
        "row_filter": draw(FILTERS),
        "masks": masks,
        "code_lists": {name: draw(CODE_LISTS) for name in sorted(used)},
        "history": draw(st.sampled_from(["latest", "all"]) | st.integers(1, 99).map(lambda number: f"from({number})")),
        "linkage": linkage,
        "pseudonym_domain": draw(st.none() | NAMES) if linkage else None,
        "requests_per_day": draw(LIMITS),
        "rows_per_day": draw(LIMITS),
        "destroy_within_days": draw(st.none() | st.integers(1, 3650)),
    }
    return TermsShape(**drawn | fixed)

"""Terms in plain language: what both sides sign, in short sentences, made from the same object that is enforced. Pure.

Each term has its own sentence, so that terms that differ never read alike; what a reader needs beside them is in the same sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final, assert_never

from baybridge.terms import cql2
from baybridge.terms.filter_words import filter_lines, filter_notes
from baybridge.terms.history import WALK_LASTS
from baybridge.terms.masks import REDACTED, Bucket, Generalize, Mask, Plain, Prefix, Round
from baybridge.terms.terms import Terms
from baybridge.terms.words import listed, moment, quoted

_PLAIN: Final = {
    Plain.REDACT: f"hidden. Each row has the text {REDACTED}.",
    Plain.NULL: "hidden. It is empty in each row.",
    Plain.PSEUDONYM: "a made-up code in its place. The same value has the same code. No one can undo it without the key.",
    Plain.YEAR: "only the year.",
    Plain.MONTH: "only the year and the month, as the first day of that month.",
}
_TENS: Final = {0: "whole numbers", -1: "tens", -2: "hundreds", -3: "thousands", -6: "millions"}


def plain_text(terms: Terms, *, consumer: str) -> str:
    """All of the terms, for that consumer, as paragraphs with headings. Raise Refused (`terms_not_understood`) for what has no words."""
    return "\n".join("\n".join((heading, "", *lines, "")) for heading, lines in sections(terms, consumer=consumer))


def sections(terms: Terms, *, consumer: str) -> tuple[tuple[str, Iterator[str]], ...]:
    """The same as headings, each with its lines."""
    return (
        ("What this is", _what(terms, consumer)),
        ("Why", _why(terms, consumer)),
        ("How long", _how_long(terms, consumer)),
        ("Which rows", _rows(terms, consumer)),
        ("Which columns", _columns(terms, consumer)),
        ("Which versions", _versions(terms, consumer)),
        ("Links to other data", _linkage(terms, consumer)),
        ("How much", _limits(terms, consumer)),
        ("How it can end", _end(terms, consumer)),
    )


def _what(terms: Terms, consumer: str) -> Iterator[str]:
    yield f"{terms.dataset.organization} shares the dataset {terms.dataset} with {consumer}."
    yield "This page says in plain words what both sides sign."
    yield "The server checks each read against it, and puts each read on record."


def _why(terms: Terms, consumer: str) -> Iterator[str]:
    number = "one purpose" if len(terms.purposes) == 1 else f"{len(terms.purposes)} purposes"
    yield f"{consumer} may use the data for {number} only: {listed(terms.purposes, 'and')}."
    yield "Each read must name its purpose."
    yield f"The law or rule by which {terms.dataset.organization} may share: {terms.provider_authority}"
    yield f"The law or rule by which {consumer} may receive: {terms.consumer_authority}"


def _how_long(terms: Terms, consumer: str) -> Iterator[str]:
    yield f"{consumer} may read from {moment(terms.start)} on."
    yield f"It can read no more from {moment(terms.end)} on."


def _rows(terms: Terms, consumer: str) -> Iterator[str]:
    if terms.row_filter is None:
        yield f"{consumer} gets every row."
        return
    yield f"{consumer} gets a row only if this holds:"
    yield from filter_lines(terms.row_filter)
    yield from filter_notes(terms.row_filter)
    yield "An empty value fails a test, and it fails the reverse too. Only a test for empty finds it."
    yield f"The same rule as a filter: {cql2.to_text(terms.row_filter)}"


def _columns(terms: Terms, consumer: str) -> Iterator[str]:
    number = "one column" if len(terms.columns) == 1 else f"{len(terms.columns)} columns, in this order"
    yield f"{consumer} gets {number}:"
    for name in terms.columns:
        yield from _column(name, terms.mask_of(name))
    yield "It gets no other column."


def _column(name: str, mask: Mask | None) -> Iterator[str]:
    yield f"- {quoted(name)}: {_released(mask)}"
    if isinstance(mask, Generalize):
        yield from (f"  - {quoted(code)} becomes {quoted(broader)}." for code, broader in mask.codes.codes)
        yield f"  - Any other code becomes {quoted(mask.codes.otherwise)}."


def _released(mask: Mask | None) -> str:
    match mask:
        case None:
            return "as it is."
        case Plain():
            return _PLAIN[mask]
        case Prefix(length):
            return f"only its start, {_counted(length, 'letter or sign', 'letters or signs')} long. A shorter value stays whole."
        case Round(places):
            return f"rounded to {_rounding(places)}. A half goes away from zero."
        case Bucket():
            return f"only the range that holds it: {listed(mask.labels(), 'or')}."
        case Generalize(codes):
            return f"a broader code by the list {codes.name}."
        case _:
            assert_never(mask)


def _rounding(places: int) -> str:
    if places > 0:
        return _counted(places, "digit after the point", "digits after the point")
    return _TENS.get(places, f"10 to the power of {-places}")


def _versions(terms: Terms, consumer: str) -> Iterator[str]:
    first = terms.history.first
    if first is None:
        yield f"{consumer} can read the latest version only."
        yield "When a new version comes, the old one closes."
        yield f"A read that runs then may go on for {WALK_LASTS // timedelta(hours=1)} hours."
    elif first == 1:
        yield f"{consumer} can read all versions, old and new."
    else:
        yield f"{consumer} can read version {first} and later ones. It can read none before that."


def _linkage(terms: Terms, consumer: str) -> Iterator[str]:
    if not terms.linkage:
        yield f"{consumer} may not link this data with other data."
        yield "Made-up codes in it match no others."
        return
    yield f"{consumer} may link this data with other data."
    if terms.pseudonym_domain is None:
        yield "Made-up codes in it match no others."
    else:
        provider = terms.dataset.organization
        yield f"Made-up codes in it match those that {consumer} gets from {provider} in the group {terms.pseudonym_domain}."


def _limits(terms: Terms, consumer: str) -> Iterator[str]:
    for what, limit in (("requests", terms.limits.requests), ("rows", terms.limits.rows)):
        if limit is None:
            yield f"There is no limit on {what}."
        else:
            yield f"{consumer} can get at most {_counted(limit, what.removesuffix('s'), what)} a day."
    if (terms.limits.requests, terms.limits.rows) != (None, None):
        yield "A day runs from midnight to midnight UTC. What would pass a limit is refused."


def _end(terms: Terms, consumer: str) -> Iterator[str]:
    yield f"{terms.dataset.organization} can pause this, or revoke it for good, at any time."
    yield "One second later the server sends no more."
    yield f"What {consumer} has by then stays with it. The server can not take it back."
    if terms.destroy_within_days is None:
        yield f"No date is set by which {consumer} must state that it has destroyed the data."
    else:
        days = _counted(terms.destroy_within_days, "day", "days")
        yield f"When this has ended, {consumer} has {days} to state that it has destroyed the data."
    yield "No side can change these terms alone. A change needs both to sign again."


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"

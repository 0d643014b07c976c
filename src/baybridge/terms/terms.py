"""An agreement's terms: what both sides sign, and the only source of what is enforced. Pure.

A term that this file does not know is refused when it is read, never skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

import msgspec
import rfc8785

from baybridge.errors import Advice, Invalid, Place
from baybridge.names import DatasetName, nearest, parse_organization, parse_purpose
from baybridge.terms import cql2
from baybridge.terms.codes import CodeList
from baybridge.terms.columns import ColumnType, column_of
from baybridge.terms.history import History
from baybridge.terms.masks import Generalize, Mask, Plain, check_mask, parse_mask
from baybridge.wire.terms import TermsShape

FORMAT: Final = 2
MAX_TERMS_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 500
MAX_LIMIT: Final = 1_000_000_000_000
MAX_DAYS: Final = 3_650
_ADDED: Final = frozenset({"destroy_within_days"})


class _StoredTerms(TermsShape, frozen=True, kw_only=True):
    format: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests and rows the agreement allows in one day of UTC; None is no limit."""

    requests: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """One dataset's terms. `columns` in the order they are released; `start` inclusive, `end` exclusive, both aware and in UTC.

    `pseudonym_domain` None means a domain of the agreement's own, so that nothing joins with it; one is named only with `linkage`.
    `destroy_within_days` is how long after the end the consumer has to state that what it received is destroyed; None sets no date.
    """

    dataset: DatasetName
    columns: tuple[str, ...]
    row_filter: cql2.Filter | None
    masks: tuple[tuple[str, Mask], ...]
    purposes: tuple[str, ...]
    provider_authority: str
    consumer_authority: str
    start: datetime
    end: datetime
    history: History
    linkage: bool
    pseudonym_domain: str | None
    limits: Limits
    destroy_within_days: int | None = None

    @classmethod
    def parse(cls, shape: TermsShape) -> Self:
        """Give the shape its meaning. Raise Invalid (`terms_invalid`, `filter_invalid`) for anything not understood."""
        columns = tuple(shape.columns)
        _require(bool(columns), "columns", "At least one column is released.")
        _require(len(set(columns)) == len(columns), "columns", "No column is named twice.")
        masks = _masks(shape)
        purposes = tuple(sorted({parse_purpose(purpose, parameter="purposes") for purpose in shape.purposes}))
        _require(bool(purposes), "purposes", "At least one purpose is named.")
        start, end = parse_instant(shape.start, parameter="start"), parse_instant(shape.end, parameter="end")
        _require(start < end, "end", "The end is after the start.")
        provider_authority, consumer_authority = _authorities(shape)
        domain = shape.pseudonym_domain
        _require(domain is None or shape.linkage, "linkage", "A pseudonym domain is named only where linkage is allowed.")
        return cls(
            dataset=DatasetName.parse(shape.dataset),
            columns=columns,
            row_filter=None if shape.row_filter is None else cql2.parse(shape.row_filter),
            masks=masks,
            purposes=purposes,
            provider_authority=provider_authority,
            consumer_authority=consumer_authority,
            start=start,
            end=end,
            history=History.parse(shape.history),
            linkage=shape.linkage,
            pseudonym_domain=None if domain is None else parse_organization(domain, parameter="pseudonym_domain"),
            limits=Limits(_limit(shape.requests_per_day, "requests_per_day"), _limit(shape.rows_per_day, "rows_per_day")),
            destroy_within_days=_days(shape.destroy_within_days),
        )

    @classmethod
    def parse_canonical(cls, text: bytes) -> Self:
        """Read stored canonical terms. Raise Invalid (`terms_invalid`) for an unknown member, format or value."""
        try:
            stored = msgspec.json.decode(text, type=_StoredTerms)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            raise Invalid("terms_invalid", "The stored terms hold something that this server does not understand.") from wrong
        _require(stored.format == FORMAT, "format", "The terms' format is one that this server knows.")
        terms = cls.parse(stored)
        _require(terms.canonical() == text, "format", "Stored terms are in canonical form.")
        return terms

    def shape(self) -> TermsShape:
        """The terms as they travel, normalised: parsing it gives the same terms."""
        return TermsShape(
            dataset=str(self.dataset),
            columns=list(self.columns),
            purposes=list(self.purposes),
            provider_authority=self.provider_authority,
            consumer_authority=self.consumer_authority,
            start=format_instant(self.start),
            end=format_instant(self.end),
            row_filter=None if self.row_filter is None else cql2.to_text(self.row_filter),
            masks={name: str(mask) for name, mask in self.masks},
            code_lists={codes.name: codes.shape() for codes in self.code_lists()},
            history=str(self.history),
            linkage=self.linkage,
            pseudonym_domain=self.pseudonym_domain,
            requests_per_day=self.limits.requests,
            rows_per_day=self.limits.rows,
            destroy_within_days=self.destroy_within_days,
        )

    def canonical(self) -> bytes:
        """RFC 8785 bytes of the terms with their format number: what is hashed and signed.

        A term that came after the format is left out where it says nothing, so that what was signed before it keeps its digest.
        """
        members = msgspec.to_builtins(self.shape())
        added = {name for name in _ADDED if members[name] is None}
        return rfc8785.dumps({"format": FORMAT, **{name: value for name, value in members.items() if name not in added}})

    def digest(self) -> str:
        """SHA-256 of the canonical terms, in hex."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def mask_of(self, column: str) -> Mask | None:
        """The mask of a released column, or None."""
        return dict(self.masks).get(column)

    def code_lists(self) -> tuple[CodeList, ...]:
        """The code lists that the masks use, by name."""
        used = {mask.codes.name: mask.codes for _, mask in self.masks if isinstance(mask, Generalize)}
        return tuple(used[name] for name in sorted(used))

    def pseudonymises(self) -> bool:
        """Whether a column leaves as pseudonyms, so that the agreement needs a domain's key."""
        return any(mask is Plain.PSEUDONYM for _, mask in self.masks)


def check_terms(terms: Terms, columns: Mapping[str, ColumnType]) -> None:
    """Terms name only columns that the dataset has, with masks and comparisons that fit their types. Raise Invalid otherwise."""
    for name in terms.columns:
        if name not in columns:
            raise Invalid(
                "unknown_column",
                f'The dataset has no column "{name}".',
                advice=Advice(next_step=f"Read the dataset's schema at /api/v1/collections/{terms.dataset}/schema."),
                places=(Place("columns", "no such column", hint=_instead(name, columns)),),
            )
    for name, mask in terms.masks:
        check_mask(mask, columns[name], name=name)
    if terms.row_filter is not None:
        cql2.check(terms.row_filter, columns)
    _require(len(terms.canonical()) <= MAX_TERMS_BYTES, "columns", f"Terms are at most {MAX_TERMS_BYTES} bytes.")


def _instead(name: str, columns: Mapping[str, ColumnType]) -> str | None:
    """What most likely was meant by a name that is no column's."""
    column = column_of(name, columns)
    return nearest(name, columns) if column == name else f"A struct is released whole: name {column}."


def require_ahead(terms: Terms, now: datetime) -> None:
    """Raise Invalid (`terms_invalid`) for terms that have ended by `now`: nothing could be read under them, and nobody can sign them."""
    _require(now < terms.end, "end", "The end lies in the future.")


def parse_instant(text: str, *, parameter: str) -> datetime:
    """Parse an RFC 3339 instant with its zone; give it in UTC. Raise Invalid (`invalid_request`) without a zone."""
    try:
        instant = datetime.fromisoformat(text)
        in_utc = None if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):  # the second for an instant that UTC's calendar does not reach
        in_utc = None
    if in_utc is None:
        raise Invalid(
            "invalid_request",
            f"{parameter} is not an instant with a time zone.",
            advice=Advice(
                rule="An instant names its time zone, so that both sides mean the same moment.",
                who_can_change="you",
                next_step=f"Write {parameter} as 2027-01-31T00:00:00-05:00, or with Z for UTC.",
            ),
            places=(Place(parameter, "Write it as 2027-01-31T00:00:00-05:00 or with Z."),),
        )
    return in_utc


def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC with Z, microseconds only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _masks(shape: TermsShape) -> tuple[tuple[str, Mask], ...]:
    """The masks by column. A list that no mask uses would say something that nothing enforces."""
    lists = {name: CodeList.parse(name, codes) for name, codes in shape.code_lists.items()}
    masks = tuple((name, parse_mask(mask, column=name, code_lists=lists)) for name, mask in sorted(shape.masks.items()))
    stray = next((f'"{name}" is not in columns.' for name, _ in masks if name not in shape.columns), None)
    _require(stray is None, "masks", "A mask names a column that is released.", hint=stray)
    used = {mask.codes.name for _, mask in masks if isinstance(mask, Generalize)}
    _require(used == set(lists), "code_lists", "Each code list is used by a mask.")
    return masks


def _limit(number: int | None, parameter: str) -> int | None:
    _require(number is None or 1 <= number <= MAX_LIMIT, parameter, f"A limit is a whole number from 1 to {MAX_LIMIT:,}, or null for none.")
    return number


def _days(number: int | None) -> int | None:
    rule = f"A number of days is a whole one from 1 to {MAX_DAYS:,}, or null for no date."
    _require(number is None or 1 <= number <= MAX_DAYS, "destroy_within_days", rule)
    return number


def _authorities(shape: TermsShape) -> tuple[str, str]:
    """The law of the provider and of the consumer. Where neither is said, both are asked for at once."""
    said = {"provider_authority": shape.provider_authority, "consumer_authority": shape.consumer_authority}
    wrong = [name for name, text in said.items() if not text.strip() or len(text) > MAX_TEXT or not text.isprintable()]
    if wrong:
        raise _broken(f"An authority is a printable text of 1 to {MAX_TEXT} characters.", *wrong)
    return shape.provider_authority.strip(), shape.consumer_authority.strip()


def _require(holds: bool, parameter: str, rule: str, *, hint: str | None = None) -> None:  # noqa: FBT001 -- it asserts a fact, it does not switch behaviour
    if not holds:
        raise _broken(rule, parameter, hint=hint)


def _broken(rule: str, *parameters: str, hint: str | None = None) -> Invalid:
    step = f"Correct {' and '.join(parameters)} and send the terms again."
    return Invalid(
        "terms_invalid",
        f"The terms break a rule: {rule}",
        advice=Advice(rule=rule, who_can_change="whoever writes the terms", next_step=step),
        places=tuple(Place(parameter, rule, hint=hint) for parameter in parameters),
    )

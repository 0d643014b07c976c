"""The JSON shapes that server and client share, so that they cannot drift. Shapes only: no rule lives here."""

from __future__ import annotations

from typing import Any

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A JSON object with exactly these members. Instants are RFC 3339 texts; digests are lower-case hex SHA-256."""


class TermsShape(Shape, frozen=True, kw_only=True):
    """An agreement's terms as they travel; `terms.terms` gives them their meaning."""

    dataset: str
    columns: list[str]
    purposes: list[str]
    provider_authority: str
    consumer_authority: str
    start: str
    end: str
    row_filter: str | None = None
    masks: dict[str, str] = {}
    pseudonym_domain: str | None = None


class SignatureShape(Shape, frozen=True, kw_only=True):
    """One side's signature: an authenticated act over the digest of the canonical terms."""

    side: str
    organization: str
    principal: str
    terms_sha256: str
    time: str


class AgreementShape(Shape, frozen=True, kw_only=True):
    """An agreement and where it stands now. `terms` is null when this server does not understand what is stored."""

    id: str
    dataset: str
    provider: str
    consumer: str
    state: str
    terms: TermsShape | None
    terms_sha256: str
    signatures: list[SignatureShape]
    reason: str | None
    created: str
    updated: str


class AgreementsShape(Shape, frozen=True, kw_only=True):
    """The agreements that the caller's organization is a party to."""

    agreements: list[AgreementShape]


class SignRequest(Shape, frozen=True, kw_only=True):
    """What a signatory signs: the digest of the terms that it read."""

    terms_sha256: str


class ReasonRequest(Shape, frozen=True, kw_only=True):
    """Why an agreement is suspended, resumed, revoked or ended."""

    reason: str


class CollectionShape(Shape, frozen=True, kw_only=True):
    """One dataset as the catalog shows it. `version` and `rows` are null before the first publication."""

    id: str
    organization: str
    title: str
    description: str
    access: str
    version: int | None
    rows: int | None
    updated: str | None
    links: list[LinkShape]


class LinkShape(Shape, frozen=True, kw_only=True):
    """An RFC 8288 link."""

    rel: str
    href: str


class CollectionsShape(Shape, frozen=True, kw_only=True):
    """All datasets, in the order of their ids."""

    collections: list[CollectionShape]


class VersionShape(Shape, frozen=True, kw_only=True):
    """One immutable version. `rows` and `manifest_sha256` are null where not everyone may read: they tell of rows."""

    version: int
    rows: int | None
    published: str
    manifest_sha256: str | None


class VersionsShape(Shape, frozen=True, kw_only=True):
    """A dataset's versions, newest first."""

    id: str
    versions: list[VersionShape]


class ItemsShape(Shape, frozen=True, kw_only=True):
    """One page of rows; numbers as JSON numbers, decimals as strings, by the column's type."""

    version: int
    items: list[dict[str, Any]]
    links: list[LinkShape]


class DeclareRequest(Shape, frozen=True, kw_only=True):
    """What a steward declares of a dataset; null leaves it as it is. `schema` is a Frictionless Table Schema."""

    title: str | None = None
    description: str | None = None
    access: str | None = None
    schema: dict[str, Any] | None = None


class RejectShape(Shape, frozen=True, kw_only=True):
    """One cell or row that does not fit the schema. Only ever sent to whoever uploaded the file."""

    row: int
    column: str | None
    rule: str
    value: str | None


class ColumnProfileShape(Shape, frozen=True, kw_only=True):
    """What every row of one column shows, and the type proposed from it."""

    name: str
    proposed: str
    nulls: int
    distinct: int
    leading_zeros: int
    min_length: int | None
    max_length: int | None


class PublishReport(Shape, frozen=True, kw_only=True):
    """What a publication did, or with `dry_run` would do. Rows read = rows loaded + rows rejected."""

    dataset: str
    published: bool
    version: int | None
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    source_sha256: str
    source_bytes: int
    schema: dict[str, Any]
    profile: list[ColumnProfileShape]
    rejects: list[RejectShape]
    entry: int | None


class OrganizationShape(Shape, frozen=True, kw_only=True):
    """An agency."""

    name: str
    title: str


class PrincipalRequest(Shape, frozen=True, kw_only=True):
    """A person or service account to add to an organization."""

    name: str
    kind: str = "person"
    roles: list[str]


class PrincipalShape(Shape, frozen=True, kw_only=True):
    """A principal as its own organization sees it."""

    id: str
    organization: str
    name: str
    kind: str
    roles: list[str]
    purpose: str | None = None


class TokenRequest(Shape, frozen=True, kw_only=True):
    """A token to issue: for whom, until when, and bound to which purpose."""

    principal: str
    expires: str | None = None
    purpose: str | None = None


class TokenShape(Shape, frozen=True, kw_only=True):
    """A token just issued; `token` is shown this once and only its hash is kept."""

    id: str
    principal: str
    token: str
    expires: str | None
    purpose: str | None


class EntryShape(Shape, frozen=True, kw_only=True):
    """One entry of a log: its index and its exact bytes in base64."""

    index: int
    data: str


class EntriesShape(Shape, frozen=True, kw_only=True):
    """A run of entries, at most 1,000, and the log's size."""

    origin: str
    size: int
    entries: list[EntryShape]


class PlaceShape(Shape, frozen=True, kw_only=True):
    """Where in a request something is wrong. `column` counts characters from 1."""

    parameter: str
    message: str
    column: int | None = None
    hint: str | None = None


class ProblemShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 problem details, with our members beside the standard ones."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    rule: str | None = None
    who_can_change: str | None = None
    next_step: str | None = None
    next_command: str | None = None
    next_url: str | None = None
    retry: int | None = None
    errors: list[PlaceShape] = []
    request_id: str | None = None
    report: PublishReport | None = None


class VerifierShape(Shape, frozen=True, kw_only=True):
    """A log's public key as a C2SP verifier key."""

    verifier: str


class OfferRequest(Shape, frozen=True, kw_only=True):
    """Exact terms to offer; null offers the terms as they stand."""

    terms: TermsShape | None = None


class OrganizationsShape(Shape, frozen=True, kw_only=True):
    """All agencies, by name."""

    organizations: list[OrganizationShape]


class PrincipalsShape(Shape, frozen=True, kw_only=True):
    """An organization's principals, by name."""

    principals: list[PrincipalShape]

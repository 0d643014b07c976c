"""Every URL in one table, with everything that is true of it. A new address is one row here, and is routed and documented by it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from baybridge.http import probes
from baybridge.http.contract import DECIDED, IF_MATCH, PUBLIC, SEEN, SIGNED_IN, Address, only
from baybridge.http.rest import administration, agreements, audit, collections, examine, items, notices, queries, rejects, umbrellas
from baybridge.http.rest.formats import FORMATS
from baybridge.principals.principal import Move, Role
from baybridge.wire.agreements import (
    AgreementShape,
    AgreementsShape,
    ApprovalsRequest,
    ApprovalsShape,
    ApproveRequest,
    CounterRequest,
    OfferRequest,
    ReasonRequest,
    SignRequest,
    StatementRequest,
    TerminateRequest,
    UmbrellaRequest,
    UmbrellaShape,
    UmbrellasShape,
)
from baybridge.wire.audit import (
    CheckpointCopyRequest,
    CheckpointCopyShape,
    ConsistencyShape,
    EntriesShape,
    ErasureShape,
    InclusionShape,
    KeysShape,
    VerifierShape,
)
from baybridge.wire.collections import (
    ChangesShape,
    CollectionShape,
    CollectionsShape,
    DeclareRequest,
    DiffShape,
    ItemsShape,
    PublishReport,
    PurgeRequest,
    PurgeShape,
    QueriedItemsShape,
    QueryRequest,
    SummaryShape,
    VersionShape,
    VersionsShape,
    WithdrawRequest,
)
from baybridge.wire.notices import NoticeShape, NoticesShape
from baybridge.wire.principals import (
    OrganizationsShape,
    PrincipalRequest,
    PrincipalShape,
    PrincipalsShape,
    RolesRequest,
    RotateRequest,
    TokenRequest,
    TokenShape,
    TokensShape,
)
from baybridge.wire.terms import CheckedTermsShape, TermsShape

GET: Final = partial(Address, "GET")
POST: Final = partial(Address, "POST")
PUT: Final = partial(Address, "PUT")
DELETE: Final = partial(Address, "DELETE")
ACT: Final = partial(POST, parameters=(IF_MATCH,))
"""A POST that changes what has an ETag."""

_API: Final = "/api/v1"
_ORGANIZATION: Final = f"{_API}/organizations/{{organization}}"
_PRINCIPALS: Final = f"{_ORGANIZATION}/principals"
_PRINCIPAL: Final = f"{_API}/principals/{{principal}}"
_TOKENS: Final = f"{_API}/tokens"
_DATASET: Final = f"{_API}/collections/{{dataset}}"
_VERSION: Final = f"{_DATASET}/versions/{{version:int}}"
_AGREEMENTS: Final = f"{_API}/agreements"
_AGREEMENT: Final = f"{_AGREEMENTS}/{{agreement}}"
_UMBRELLAS: Final = f"{_API}/umbrellas"
_UMBRELLA: Final = f"{_UMBRELLAS}/{{umbrella}}"
_LOG: Final = f"{_API}/audit/{{organization}}"
_WITNESS: Final = f"{_API}/witness/{{organization}}"

_OBJECT: Final = dict[str, Any]
_BYTES: Final = "application/octet-stream"
_TEXT: Final = "text/plain; charset=utf-8"
_ROWS: Final = {200: (ItemsShape, *(each.media_type for each in FORMATS.values())), 304: None}

_QUERIED: Final = {200: (QueriedItemsShape, *(each.media_type for each in FORMATS.values()))}

_ADMIN: Final = only(Role.ADMIN)
_ASKER: Final = only(Role.ANALYST, Role.STEWARD)
_SIGNATORY: Final = only(Role.SIGNATORY)
_OFFICER: Final = only(Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.COUNSEL)
_PARTY: Final = only(Role.STEWARD, Role.SIGNATORY, Role.ANALYST)
_CLOSER: Final = only(Role.STEWARD, Role.SIGNATORY)
_STEWARD: Final = only(Role.STEWARD)

_PAGE: Final = notices.NOTICES_PARAMETERS
_ADMIN_CODES: Final = ("role_required", "token_wrong_organisation", "log_unavailable")
_PEOPLE: Final = (*_ADMIN_CODES, "conflict", "second_person_required")
_ACT: Final = ("terms_not_understood", "conflict")
_SIGN: Final = (*_ACT, "approvals_missing", "second_person_required")
_TERMS: Final = ("terms_invalid", "filter_invalid", "unknown_column", *_ACT)
_READ: Final = (
    *("filter_invalid", "cursor_invalid", "unknown_column", "not_acceptable", "no_agreement", "request_pending", "agreement_not_started"),
    *("agreement_expired", "agreement_suspended", "agreement_superseded", "agreement_revoked", "agreement_closed"),
    *("agreement_ambiguous", "purpose_required", "purpose_not_allowed"),
    *("column_not_in_agreement", "version_not_in_agreement", "terms_not_understood", "limit_reached"),
    *("extract_building", "query_limit", "corrupt", "version_withdrawn", "gone"),
)
_EXAMINE: Final = (*_READ, "key_not_released")
_ENDING: Final = ("conflict", "gone")
_REJECTS: Final = ("gone", "version_withdrawn", "corrupt")
_LISTING: Final = collections.LISTING_PARAMETERS

ADDRESSES: Final = (
    # The server.
    GET("/livez", probes.live, "Whether the process answers", PUBLIC, {200: _OBJECT}),
    GET("/readyz", probes.ready, "Whether the server can work", PUBLIC, {200: _OBJECT, 503: _OBJECT}),
    GET("/errors/{code}", probes.explain_error, "What an error's code means", PUBLIC, {200: _TEXT}),
    GET(f"{_API}/openapi.json", probes.openapi, "This document", PUBLIC, {200: _OBJECT}),
    # Organizations, principals and tokens.
    GET(f"{_API}/whoami", administration.whoami, "The principal of the token", SIGNED_IN, {200: PrincipalShape}),
    GET(f"{_API}/organizations", administration.organizations, "All organizations", PUBLIC, {200: OrganizationsShape}),
    GET(_PRINCIPALS, administration.principals, "An organization's principals", _ADMIN, {200: PrincipalsShape}),
    POST(_PRINCIPALS, administration.add_principal, "Add a principal", _ADMIN, {201: PrincipalShape}, takes=PrincipalRequest),
    GET(f"{_ORGANIZATION}/tokens", administration.tokens, "An organization's tokens", SIGNED_IN, {200: TokensShape}),
    GET(_PRINCIPAL, administration.principal, "A principal", SIGNED_IN, {200: PrincipalShape}, codes=_ADMIN_CODES),
    PUT(
        *(f"{_PRINCIPAL}/roles", administration.set_roles, "Set a principal's roles", _ADMIN, {200: PrincipalShape}),
        takes=RolesRequest,
        codes=_PEOPLE,
    ),
    POST(
        f"{_PRINCIPAL}/confirm", administration.confirm, "Stand behind a colleague's roles", SIGNED_IN, {200: PrincipalShape}, codes=_PEOPLE
    ),
    *(
        POST(
            *(f"{_PRINCIPAL}/{act}", administration.moving(act), f"{act.capitalize()} a principal", _ADMIN, {200: PrincipalShape}),
            takes=ReasonRequest,
            codes=_PEOPLE,
        )
        for act in Move
    ),
    POST(
        *(f"{_TOKENS}/{{token}}/rotate", administration.rotate_token, "Replace a token's secret", SIGNED_IN, {201: TokenShape}),
        takes=RotateRequest,
        codes=_ADMIN_CODES,
        kept=False,
    ),
    POST(
        _TOKENS,
        administration.issue_token,
        "Issue a token",
        _ADMIN,
        {201: TokenShape},
        takes=TokenRequest,
        codes=("not_found",),
        kept=False,
    ),
    DELETE(f"{_TOKENS}/{{token}}", administration.revoke_token, "Revoke a token", SIGNED_IN, {204: None}, codes=_ADMIN_CODES),
    # Datasets.
    GET(f"{_API}/collections", collections.listing, "All datasets", SEEN, {200: CollectionsShape}, parameters=_LISTING),
    GET(_DATASET, collections.describe, "A dataset", SEEN, {200: CollectionShape}),
    PUT(
        *(_DATASET, collections.declare, "Make a dataset known, or change what is said of it", _STEWARD, {200: CollectionShape}),
        takes=DeclareRequest,
        parameters=(IF_MATCH,),
        codes=("schema_invalid", "schema_is_contract", "conflict"),
    ),
    GET(f"{_DATASET}/schema", collections.schema, "A dataset's Frictionless Table Schema", SEEN, {200: _OBJECT}),
    GET(f"{_DATASET}/queryables", collections.queryables, "The columns that a filter may name", SEEN, {200: "application/schema+json"}),
    *(
        GET(f"{path}/{name}", handler, f"{summary} of {which}", DECIDED, {200: shape, 304: None}, parameters=given, codes=_EXAMINE)
        for path, which in ((_DATASET, "the latest version"), (_VERSION, "a version"))
        for name, handler, summary, shape, given in (
            ("profile", examine.profile, "The columns in numbers, with frequent values,", SummaryShape, ()),
            ("statistics", examine.statistics, "The columns in numbers", SummaryShape, ()),
            ("changes", examine.changes, "The rows that changed, up to that", ChangesShape, examine.CHANGES_PARAMETERS),
        )
    ),
    GET(f"{_VERSION}/diff/{{other:int}}", examine.diff, "How many rows changed", DECIDED, {200: DiffShape, 304: None}, codes=_EXAMINE),
    *(
        ACT(f"{path}/{name}", handler, f"{name.capitalize()} {which}", _STEWARD, {200: shape}, takes=takes, codes=_ENDING)
        for path, which, shape in ((_DATASET, "a dataset", CollectionShape), (_VERSION, "a version", VersionShape))
        for name, handler, takes in (
            ("withdraw", collections.withdraw, WithdrawRequest),
            ("restore", collections.restore, WithdrawRequest),
        )
    ),
    *(
        POST(f"{path}/purge", collections.purge, f"Purge {which} for good", _STEWARD, {200: PurgeShape}, takes=PurgeRequest, codes=_ENDING)
        for path, which in ((_DATASET, "a dataset"), (_VERSION, "a version"))
    ),
    GET(
        *(f"{_DATASET}/versions", collections.versions, "A dataset's versions, newest first", SEEN, {200: VersionsShape}),
        parameters=_LISTING,
    ),
    POST(
        *(f"{_DATASET}/versions", collections.publish, "Publish a version", _STEWARD, {201: PublishReport, 200: PublishReport}),
        takes="text/csv",
        parameters=(*collections.PUBLISH_PARAMETERS, IF_MATCH),
        codes=(
            "file_unreadable",
            "file_over_limits",
            "schema_invalid",
            "schema_unconfirmed",
            "reading_unconfirmed",
            "schema_is_contract",
            "agreements_affected",
            "rows_rejected",
            "warnings_found",
            "conflict",
        ),
    ),
    *(
        GET(f"{path}/rejects", rejects.rejects, f"The rows that did not fit {which}", _STEWARD, {200: "text/csv"}, codes=_REJECTS)
        for path, which in ((_DATASET, "in the latest refused upload"), (_VERSION, "and were let go by a version"))
    ),
    GET(_VERSION, collections.version, "A version", SEEN, {200: VersionShape}),
    GET(f"{_VERSION}/schema", collections.schema, "A version's Frictionless Table Schema", SEEN, {200: _OBJECT}),
    GET(f"{_VERSION}/items", items.items, "Rows of a version", DECIDED, _ROWS, parameters=items.PARAMETERS, codes=_READ),
    GET(f"{_DATASET}/items", items.items, "Rows of the latest version", DECIDED, _ROWS, parameters=items.PARAMETERS, codes=_READ),
    *(
        POST(
            *(f"{path}/items/query", queries.query, f"Rows of {which}, by a question in the body", DECIDED, _QUERIED),
            takes=QueryRequest,
            parameters=items.HEADERS,
            codes=_READ,
            acts=False,
        )
        for path, which in ((_DATASET, "the latest version"), (_VERSION, "a version"))
    ),
    # Agreements.
    GET(_AGREEMENTS, agreements.listing, "The caller's agreements", SIGNED_IN, {200: AgreementsShape}),
    POST(
        *(_AGREEMENTS, agreements.ask, "Ask for an agreement", _ASKER, {201: AgreementShape, 200: CheckedTermsShape}),
        takes=TermsShape,
        parameters=agreements.ASK_PARAMETERS,
        codes=_TERMS,
    ),
    GET(_AGREEMENT, agreements.show, "An agreement", SIGNED_IN, {200: AgreementShape}),
    GET(f"{_AGREEMENT}/text", agreements.text, "The terms in plain words", SIGNED_IN, {200: _TEXT}, codes=("terms_not_understood",)),
    ACT(f"{_AGREEMENT}/offer", agreements.offer, "Offer terms", _STEWARD, {200: AgreementShape}, takes=OfferRequest, codes=_TERMS),
    ACT(f"{_AGREEMENT}/sign", agreements.sign, "Sign the terms", _SIGNATORY, {200: AgreementShape}, takes=SignRequest, codes=_SIGN),
    *(
        ACT(
            f"{_AGREEMENT}/{act}",
            agreements.act(act),
            f"{act.capitalize()} it",
            who,
            {200: AgreementShape},
            takes=ReasonRequest,
            codes=_ACT,
        )
        for act, who in agreements.REASONED_BY.items()
    ),
    ACT(
        f"{_AGREEMENT}/request",
        agreements.counter,
        "Ask for other terms",
        _ASKER,
        {200: AgreementShape},
        takes=CounterRequest,
        codes=_TERMS,
    ),
    ACT(
        *(f"{_AGREEMENT}/approve", agreements.approve, "Approve the terms", _OFFICER, {200: AgreementShape}),
        takes=ApproveRequest,
        codes=(*_ACT, "duties_not_separate"),
    ),
    ACT(f"{_AGREEMENT}/terminate", agreements.terminate, "Terminate it", _PARTY, {200: AgreementShape}, takes=TerminateRequest, codes=_ACT),
    ACT(f"{_AGREEMENT}/close", agreements.close, "Close it", _CLOSER, {200: AgreementShape}, takes=StatementRequest, codes=_ACT),
    ACT(
        *(f"{_AGREEMENT}/successor", agreements.succeed, "Begin its successor", _ASKER, {201: AgreementShape}),
        takes=OfferRequest,
        codes=_TERMS,
    ),
    # Umbrellas, notices, and the approvals that an organization requires.
    GET(_UMBRELLAS, umbrellas.listing, "The caller's umbrellas", SIGNED_IN, {200: UmbrellasShape}),
    POST(_UMBRELLAS, umbrellas.ask, "Ask for several agreements", _ASKER, {201: UmbrellaShape}, takes=UmbrellaRequest, codes=_TERMS),
    GET(_UMBRELLA, umbrellas.show, "An umbrella", SIGNED_IN, {200: UmbrellaShape}),
    POST(f"{_UMBRELLA}/offer", umbrellas.offer, "Offer all of them", _STEWARD, {200: UmbrellaShape}, codes=_TERMS),
    POST(f"{_UMBRELLA}/sign", umbrellas.sign, "Sign all of them", _SIGNATORY, {200: UmbrellaShape}, takes=SignRequest, codes=_SIGN),
    GET(f"{_API}/notices", notices.listing, "What the caller's organization is told", SIGNED_IN, {200: NoticesShape}, parameters=_PAGE),
    POST(f"{_API}/notices/{{notice}}/read", notices.mark_read, "Mark a notice as read", SIGNED_IN, {200: NoticeShape}),
    GET(f"{_ORGANIZATION}/approvals", notices.approvals, "The approvals it requires", SIGNED_IN, {200: ApprovalsShape}),
    PUT(
        *(f"{_ORGANIZATION}/approvals", notices.require_approvals, "Say which approvals it requires", _ADMIN, {200: ApprovalsShape}),
        takes=ApprovalsRequest,
    ),
    # The log.
    GET(f"{_LOG}/checkpoint", audit.checkpoint, "The newest signed checkpoint", PUBLIC, {200: _TEXT}),
    GET(f"{_LOG}/verifier", audit.verifier, "The key to check it with", PUBLIC, {200: VerifierShape}),
    GET(f"{_LOG}/keys", audit.keys, "All its keys, each handed over to the next", PUBLIC, {200: KeysShape}),
    GET(
        *(f"{_LOG}/tile/entries/{{number:path}}", audit.bundle, "A bundle of entries (C2SP tlog-tiles)", only(Role.AUDITOR), {200: _BYTES}),
        codes=("invalid_request",),
    ),
    GET(
        *(f"{_LOG}/tile/{{level}}/{{number:path}}", audit.tile, "A tile of hashes (C2SP tlog-tiles)", PUBLIC, {200: _BYTES}),
        codes=("invalid_request", "corrupt"),
    ),
    GET(
        *(f"{_LOG}/proof/inclusion", audit.inclusion, "That an entry is in the log (RFC 9162)", PUBLIC, {200: InclusionShape}),
        parameters=audit.INCLUSION_PARAMETERS,
        codes=("corrupt",),
    ),
    GET(
        *(f"{_LOG}/proof/consistency", audit.consistency, "That the log only grew (RFC 9162)", PUBLIC, {200: ConsistencyShape}),
        parameters=audit.CONSISTENCY_PARAMETERS,
        codes=("corrupt",),
    ),
    GET(
        *(f"{_LOG}/receipts/{{index}}", audit.receipt, "One's own entry with its proof (C2SP tlog-proof)", SIGNED_IN, {200: _TEXT}),
        codes=(*_ADMIN_CODES, "corrupt"),
    ),
    DELETE(
        *(f"{_LOG}/side-records", audit.erase, "Erase side records for good", _ADMIN, {200: ErasureShape}),
        parameters=audit.ERASE_PARAMETERS,
    ),
    GET(_WITNESS, audit.witnessed, "The checkpoints kept for a partner's server", PUBLIC, {200: CheckpointCopyShape}),
    PUT(
        *(_WITNESS, audit.witness, "Keep newer ones", only(Role.AUDITOR), {200: CheckpointCopyShape}),
        takes=CheckpointCopyRequest,
        codes=("conflict",),
    ),
    GET(f"{_LOG}/entries", audit.entries, "Entries", only(Role.AUDITOR), {200: EntriesShape}, parameters=audit.ENTRIES_PARAMETERS),
)

"""One exception class for each code, under the class of whose move is next. Printed by `make docs` from `errors.CODES`.

`advice` says the rule, who can change it and the next step; `advice.next_command` and `advice.next_url` are there to be followed.
A code of a server that is newer than this client is raised as the class of its status, and keeps its name in `code`.
"""

from __future__ import annotations

from typing import Final

from baybridge.errors import BaybridgeError, Conflict, Corrupt, Invalid, NotFound, Refused, Unavailable
from baybridge.wire.collections import PublishReport


class InvalidRequest(Invalid):
    """A part of the request cannot be understood; `errors` says which."""


class UnknownParameter(Invalid):
    """The request names a parameter that this address does not take."""


class UnknownColumn(Invalid):
    """The request names a column that the dataset does not have."""


class FilterInvalid(Invalid):
    """The filter is not CQL2 text as this server reads it; `errors` gives the position."""


class CursorInvalid(Invalid):
    """The cursor was not made by this server, or not for this question."""


class TermsInvalid(Invalid):
    """The terms lack something, contradict themselves, or hold a term this server does not understand."""


class SchemaInvalid(Invalid):
    """The schema is not a Frictionless Table Schema that this server understands."""


class FileUnreadable(Invalid):
    """The file is not a readable UTF-8 CSV with one header row."""


class FileOverLimits(Invalid):
    """The file is larger than the server takes, or reading it takes more time or memory than it may."""


class SettingsInvalid(Invalid):
    """A setting is unknown or its value does not parse."""


class NotAcceptable(Invalid):
    """The rows cannot be had in the format that the request names."""


class MethodNotAllowed(Invalid):
    """The address does not take that method; `Allow` names those it takes."""


class NotSignedIn(Refused):
    """No token, or a token that this server does not know or has revoked."""


class TokenExpired(Refused):
    """The token's expiry has passed."""


class TokenWrongOrganisation(Refused):
    """The token acts for an organization that is not a party to what it names."""


class RoleRequired(Refused):
    """The principal lacks the role that this act needs."""


class RoleUnconfirmed(Refused):
    """The role was given, and no second person of the organization has confirmed it yet."""


class SecondPersonRequired(Refused):
    """The act needs another person than the one who asks for it."""


class ScopeRequired(Refused):
    """The token is narrowed to scopes that do not cover this act."""


class PrincipalSuspended(Refused):
    """The principal is suspended or off-boarded."""


class OrganizationSuspended(Refused):
    """The organization is suspended or off-boarded."""


class NoAgreement(Refused):
    """No agreement of the caller's organization covers this dataset."""


class RequestPending(Refused):
    """An agreement was asked for and is not signed by both sides yet."""


class AgreementNotStarted(Refused):
    """The agreement is signed and its start has not come."""


class AgreementExpired(Refused):
    """The agreement's end has passed."""


class AgreementSuspended(Refused):
    """The provider has suspended the agreement."""


class AgreementRevoked(Refused):
    """The provider has revoked the agreement."""


class AgreementSuperseded(Refused):
    """Another agreement has taken the place of the one that the request names."""


class AgreementClosed(Refused):
    """The agreement has ended, and the consumer has stated that its data is destroyed."""


class AgreementAmbiguous(Refused):
    """Several agreements fit; name one with `Baybridge-Agreement` or by its purpose."""


class ApprovalsMissing(Refused):
    """The signatory's organization requires approvals that the terms do not have yet."""


class DutiesNotSeparate(Refused):
    """The same person may not do both: ask for or write terms, and approve them."""


class PurposeRequired(Refused):
    """Neither the request nor the token names a purpose."""


class PurposeNotAllowed(Refused):
    """The purpose is not one that the agreement, or the token's binding, allows."""


class ColumnNotInAgreement(Refused):
    """The request uses a column that the agreement does not release."""


class VersionNotInAgreement(Refused):
    """The agreement's history does not reach the version; most let only the latest be read."""


class VersionWithdrawn(Refused):
    """The provider has withdrawn the version, or all of its dataset, and may restore it."""


class Gone(NotFound):
    """The version was purged: it was destroyed and does not come back; a newer one may be there."""


class KeyNotReleased(Refused):
    """Changes are told by key, and the whole key is not released in a form that tells rows apart."""


class TermsNotUnderstood(Refused):
    """The agreement holds a term this server does not understand, so nothing is served under it."""


class NodeDiffers(Conflict):
    """The home's origin or keys are not those that its catalog was made with."""


class SchemaUnconfirmed(Conflict):
    """A first publication needs a schema: confirm the proposal or give one."""


class ReadingUnconfirmed(Conflict):
    """The file is not plain CSV, and how it is read was neither said nor accepted."""


class SchemaIsContract(Conflict):
    """The schema is the contract of published versions and cannot be changed this way."""


class RequestUnderWay(Conflict):
    """A request with this `Idempotency-Key` is being worked on; try again shortly."""


class OutcomeUnknown(Conflict):
    """A request with this `Idempotency-Key` was begun and never answered; read the present state."""


class IdempotencyKeyReused(Conflict):
    """The `Idempotency-Key` was sent before with another request."""


class PreconditionFailed(Conflict):
    """The thing is not in the state that `If-Match` names; read it again and send its new `ETag`."""


class AgreementsAffected(Conflict):
    """The version would suspend agreements in force; `errors` names them, and nothing was published."""


class WarningsFound(Conflict):
    """The file is unlike the version before, and the request asked to stop then; `report` says how, and nothing was published."""

    report: PublishReport | None = None


class RowsRejected(Conflict):
    """Some cells do not fit the schema; nothing was published."""

    report: PublishReport | None = None


class Busy(Unavailable):
    """The server has as many requests of this kind as it takes at once; try again shortly."""


class ExtractBuilding(Unavailable):
    """The extract for this agreement and version is being made; try again shortly."""


class LimitReached(Unavailable):
    """The day's requests or rows under the agreement are used up; `Retry-After` is at midnight UTC."""


class LogUnavailable(Unavailable):
    """The audit log cannot be written, so nothing is served."""


class CatalogUnavailable(Unavailable):
    """The catalog cannot be reached or has no place left, so nothing is served."""


class PurgeUnfinished(Unavailable):
    """A purge was begun and is not done; the server goes on with it, and serves nothing of the version."""


class CopyUnreachable(Unavailable):
    """The checkpoints kept outside the home cannot be read or written."""


class ObjectsUnreachable(Unavailable):
    """The store that holds the objects of versions cannot be read or written."""


class QueryLimit(Unavailable):
    """The question ran into its time limit and was stopped."""


class Unreachable(Unavailable):
    """No server answers at the address; only a client ever says this."""


class LogSetBack(Corrupt):
    """A log of the home is not the one that the checkpoint kept outside it was signed over."""


class ChecksFailed(Corrupt):
    """A verification found something wrong."""


class AnswerNotUnderstood(BaybridgeError):
    """The answer is not of a shape that this client knows; only a client ever says this."""


class Internal(BaybridgeError):
    """The server failed; the request id finds the reason in its log."""


OF_CODE: Final[dict[str, type[BaybridgeError]]] = {
    "invalid_request": InvalidRequest,
    "unknown_parameter": UnknownParameter,
    "unknown_column": UnknownColumn,
    "filter_invalid": FilterInvalid,
    "cursor_invalid": CursorInvalid,
    "terms_invalid": TermsInvalid,
    "schema_invalid": SchemaInvalid,
    "file_unreadable": FileUnreadable,
    "file_over_limits": FileOverLimits,
    "settings_invalid": SettingsInvalid,
    "not_acceptable": NotAcceptable,
    "method_not_allowed": MethodNotAllowed,
    "not_signed_in": NotSignedIn,
    "token_expired": TokenExpired,
    "token_wrong_organisation": TokenWrongOrganisation,
    "role_required": RoleRequired,
    "role_unconfirmed": RoleUnconfirmed,
    "second_person_required": SecondPersonRequired,
    "scope_required": ScopeRequired,
    "principal_suspended": PrincipalSuspended,
    "organization_suspended": OrganizationSuspended,
    "no_agreement": NoAgreement,
    "request_pending": RequestPending,
    "agreement_not_started": AgreementNotStarted,
    "agreement_expired": AgreementExpired,
    "agreement_suspended": AgreementSuspended,
    "agreement_revoked": AgreementRevoked,
    "agreement_superseded": AgreementSuperseded,
    "agreement_closed": AgreementClosed,
    "agreement_ambiguous": AgreementAmbiguous,
    "approvals_missing": ApprovalsMissing,
    "duties_not_separate": DutiesNotSeparate,
    "purpose_required": PurposeRequired,
    "purpose_not_allowed": PurposeNotAllowed,
    "column_not_in_agreement": ColumnNotInAgreement,
    "version_not_in_agreement": VersionNotInAgreement,
    "version_withdrawn": VersionWithdrawn,
    "gone": Gone,
    "key_not_released": KeyNotReleased,
    "terms_not_understood": TermsNotUnderstood,
    "not_found": NotFound,
    "conflict": Conflict,
    "node_differs": NodeDiffers,
    "schema_unconfirmed": SchemaUnconfirmed,
    "reading_unconfirmed": ReadingUnconfirmed,
    "schema_is_contract": SchemaIsContract,
    "request_under_way": RequestUnderWay,
    "outcome_unknown": OutcomeUnknown,
    "idempotency_key_reused": IdempotencyKeyReused,
    "precondition_failed": PreconditionFailed,
    "agreements_affected": AgreementsAffected,
    "warnings_found": WarningsFound,
    "rows_rejected": RowsRejected,
    "busy": Busy,
    "extract_building": ExtractBuilding,
    "limit_reached": LimitReached,
    "log_unavailable": LogUnavailable,
    "catalog_unavailable": CatalogUnavailable,
    "purge_unfinished": PurgeUnfinished,
    "copy_unreachable": CopyUnreachable,
    "objects_unreachable": ObjectsUnreachable,
    "query_limit": QueryLimit,
    "unreachable": Unreachable,
    "corrupt": Corrupt,
    "log_set_back": LogSetBack,
    "checks_failed": ChecksFailed,
    "answer_not_understood": AnswerNotUnderstood,
    "internal": Internal,
}

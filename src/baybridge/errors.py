"""The error classes, by whose move is next, and the one table of stable codes.

A code is never reused and never renamed. No error text carries a data value: texts name rules, columns, positions
and people, never cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What a code means to each face: the HTTP status, the exit code of the CLI, and one sentence for the docs."""

    status: int
    exit_code: int
    meaning: str


CODES: Final[dict[str, CodeFacts]] = {
    # Invalid: the caller mends the request.
    "invalid_request": CodeFacts(400, 2, "A part of the request cannot be understood; `errors` says which."),
    "unknown_parameter": CodeFacts(400, 2, "The request names a parameter that this address does not take."),
    "unknown_column": CodeFacts(400, 2, "The request names a column that the dataset does not have."),
    "filter_invalid": CodeFacts(400, 2, "The filter is not CQL2 text as this server reads it; `errors` gives the position."),
    "cursor_invalid": CodeFacts(400, 2, "The cursor was not made by this server, or not for this question."),
    "terms_invalid": CodeFacts(400, 2, "The terms lack something, contradict themselves, or hold a term this server does not understand."),
    "schema_invalid": CodeFacts(400, 2, "The schema is not a Frictionless Table Schema that this server understands."),
    "file_unreadable": CodeFacts(400, 2, "The file is not a readable UTF-8 CSV with one header row."),
    "file_over_limits": CodeFacts(413, 2, "The file is larger than the server takes, or reading it takes more time or memory than it may."),
    "settings_invalid": CodeFacts(400, 2, "A setting is unknown or its value does not parse."),
    "not_acceptable": CodeFacts(406, 2, "The rows cannot be had in the format that the request names."),
    "method_not_allowed": CodeFacts(405, 2, "The address does not take that method; `Allow` names those it takes."),
    # Not signed in.
    "not_signed_in": CodeFacts(401, 4, "No token, or a token that this server does not know or has revoked."),
    "token_expired": CodeFacts(401, 4, "The token's expiry has passed."),
    # Refused: someone else must change something first.
    "token_wrong_organisation": CodeFacts(403, 5, "The token acts for an organization that is not a party to what it names."),
    "role_required": CodeFacts(403, 5, "The principal lacks the role that this act needs."),
    "role_unconfirmed": CodeFacts(403, 6, "The role was given, and no second person of the organization has confirmed it yet."),
    "second_person_required": CodeFacts(403, 5, "The act needs another person than the one who asks for it."),
    "scope_required": CodeFacts(403, 5, "The token is narrowed to scopes that do not cover this act."),
    "principal_suspended": CodeFacts(403, 5, "The principal is suspended or off-boarded."),
    "organization_suspended": CodeFacts(403, 5, "The organization is suspended or off-boarded."),
    "no_agreement": CodeFacts(403, 5, "No agreement of the caller's organization covers this dataset."),
    "request_pending": CodeFacts(403, 6, "An agreement was asked for and is not signed by both sides yet."),
    "agreement_not_started": CodeFacts(403, 5, "The agreement is signed and its start has not come."),
    "agreement_expired": CodeFacts(403, 5, "The agreement's end has passed."),
    "agreement_suspended": CodeFacts(403, 5, "The provider has suspended the agreement."),
    "agreement_revoked": CodeFacts(403, 5, "The provider has revoked the agreement."),
    "agreement_superseded": CodeFacts(403, 5, "Another agreement has taken the place of the one that the request names."),
    "agreement_closed": CodeFacts(403, 5, "The agreement has ended, and the consumer has stated that its data is destroyed."),
    "agreement_ambiguous": CodeFacts(403, 5, "Several agreements fit; name one with `Baybridge-Agreement` or by its purpose."),
    "approvals_missing": CodeFacts(403, 5, "The signatory's organization requires approvals that the terms do not have yet."),
    "duties_not_separate": CodeFacts(403, 5, "The same person may not do both: ask for or write terms, and approve them."),
    "purpose_required": CodeFacts(403, 5, "Neither the request nor the token names a purpose."),
    "purpose_not_allowed": CodeFacts(403, 5, "The purpose is not one that the agreement, or the token's binding, allows."),
    "column_not_in_agreement": CodeFacts(403, 5, "The request uses a column that the agreement does not release."),
    "version_not_in_agreement": CodeFacts(403, 5, "The agreement's history does not reach the version; most let only the latest be read."),
    "version_withdrawn": CodeFacts(403, 5, "The provider has withdrawn the version, or all of its dataset, and may restore it."),
    "gone": CodeFacts(410, 7, "The version was purged: it was destroyed and does not come back; a newer one may be there."),
    "key_not_released": CodeFacts(403, 5, "Changes are told by key, and the whole key is not released in a form that tells rows apart."),
    "terms_not_understood": CodeFacts(403, 5, "The agreement holds a term this server does not understand, so nothing is served under it."),
    # Not found.
    "not_found": CodeFacts(404, 7, "No such thing, or none that the caller may know of."),
    # Conflict: read the present state, then try again.
    "conflict": CodeFacts(409, 8, "The thing has moved on; read its present state and try again."),
    "node_differs": CodeFacts(409, 8, "The home's origin or keys are not those that its catalog was made with."),
    "schema_unconfirmed": CodeFacts(409, 8, "A first publication needs a schema: confirm the proposal or give one."),
    "reading_unconfirmed": CodeFacts(409, 8, "The file is not plain CSV, and how it is read was neither said nor accepted."),
    "schema_is_contract": CodeFacts(409, 8, "The schema is the contract of published versions and cannot be changed this way."),
    "request_under_way": CodeFacts(409, 75, "A request with this `Idempotency-Key` is being worked on; try again shortly."),
    "outcome_unknown": CodeFacts(409, 8, "A request with this `Idempotency-Key` was begun and never answered; read the present state."),
    "idempotency_key_reused": CodeFacts(422, 2, "The `Idempotency-Key` was sent before with another request."),
    "precondition_failed": CodeFacts(412, 8, "The thing is not in the state that `If-Match` names; read it again and send its new `ETag`."),
    "agreements_affected": CodeFacts(
        409, 8, "The version would suspend agreements in force; `errors` names them, and nothing was published."
    ),
    "warnings_found": CodeFacts(
        409, 8, "The file is unlike the version before, and the request asked to stop then; `report` says how, and nothing was published."
    ),
    "rows_rejected": CodeFacts(422, 8, "Some cells do not fit the schema; nothing was published."),
    # Unavailable: wait, then the same request succeeds.
    "busy": CodeFacts(503, 75, "The server has as many requests of this kind as it takes at once; try again shortly."),
    "extract_building": CodeFacts(503, 75, "The extract for this agreement and version is being made; try again shortly."),
    "limit_reached": CodeFacts(429, 75, "The day's requests or rows under the agreement are used up; `Retry-After` is at midnight UTC."),
    "log_unavailable": CodeFacts(503, 10, "The audit log cannot be written, so nothing is served."),
    "catalog_unavailable": CodeFacts(503, 10, "The catalog cannot be reached or has no place left, so nothing is served."),
    "purge_unfinished": CodeFacts(
        503, 75, "A purge was begun and is not done; the server goes on with it, and serves nothing of the version."
    ),
    "copy_unreachable": CodeFacts(503, 10, "The checkpoints kept outside the home cannot be read or written."),
    "objects_unreachable": CodeFacts(503, 10, "The store that holds the objects of versions cannot be read or written."),
    "query_limit": CodeFacts(503, 75, "The question ran into its time limit and was stopped."),
    "unreachable": CodeFacts(503, 10, "No server answers at the address; only a client ever says this."),
    # Corrupt: the operator must look.
    "corrupt": CodeFacts(500, 9, "Something stored is not what was written."),
    "log_set_back": CodeFacts(500, 9, "A log of the home is not the one that the checkpoint kept outside it was signed over."),
    "checks_failed": CodeFacts(500, 9, "A verification found something wrong."),
    "answer_not_understood": CodeFacts(500, 10, "The answer is not of a shape that this client knows; only a client ever says this."),
    "internal": CodeFacts(500, 10, "The server failed; the request id finds the reason in its log."),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a request something is wrong: the parameter's name, a 1-based column in its text, and a hint."""

    parameter: str
    message: str
    column: int | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """What P3 of the design asks of every error: the rule, who can change it, and the next step."""

    rule: str | None = None
    who_can_change: str | None = None
    next_step: str | None = None
    next_command: str | None = None
    next_url: str | None = None


class BaybridgeError(Exception):
    """An error with a stable code. `detail` is one sentence without data values."""

    usual: ClassVar[Advice] = Advice()
    """The advice of an error of this class that is raised without one."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        advice: Advice | None = None,
        places: tuple[Place, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        """Raise KeyError for a code that is not in CODES, so that no face can meet one it cannot print."""
        super().__init__(detail)
        self.facts = CODES[code]
        self.code = code
        self.detail = detail
        self.advice = advice or self.usual
        self.places = places
        self.retry_after = retry_after

    def with_places(self, *places: Place) -> Self:
        """Give the same error, told where it happened."""
        return type(self)(self.code, self.detail, advice=self.advice, places=places, retry_after=self.retry_after)


class Invalid(BaybridgeError):
    """The request is wrong: the caller's move."""


class NotFound(BaybridgeError):
    """There is no such thing that the caller may know of."""

    usual = Advice(
        rule="What is not there, and what the caller may not know of, are told alike.",
        who_can_change="you",
        next_step="Correct the name or id: the list that it is from has all that you may know of.",
    )


class Refused(BaybridgeError):
    """A rule says no: the move is with whoever can change the rule."""


class Conflict(BaybridgeError):
    """The state has moved on: read it, then try again."""

    usual = Advice(
        rule="What a thing's state does not allow is not done.",
        who_can_change="you",
        next_step="Read the present state of what the request names, and decide then.",
    )


class Unavailable(BaybridgeError):
    """Not now: the same request succeeds later, after `retry_after` seconds."""

    usual = Advice(
        rule="What cannot be done now is refused at once.",
        who_can_change="nobody needs to",
        next_step="Send the same request again in a moment.",
    )


class Corrupt(BaybridgeError):
    """Something stored is not what was written: the operator's move."""

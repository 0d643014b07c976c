"""Why the decision says no: each refusal with its code, its rule, who can change it, and the next step. Pure; nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from baybridge.agreements.agreement import Agreement, Standing
from baybridge.agreements.agreement import State as Negotiation
from baybridge.catalog.dataset import Dataset, State, Version
from baybridge.errors import CODES, Advice, BaybridgeError, Invalid, Place, Refused, Unavailable
from baybridge.names import nearest
from baybridge.policy.ask import Ask, UsedColumn
from baybridge.principals.principal import Principal, Scope, scope_advice
from baybridge.terms import cql2
from baybridge.terms.columns import ColumnType, reachable
from baybridge.terms.history import History


@dataclass(frozen=True, slots=True)
class Refusal:
    """No: the code, one sentence, and what to do about it. `agreement` names the one that refused, where there is one."""

    code: str
    detail: str
    advice: Advice = field(default_factory=Advice)
    places: tuple[Place, ...] = ()
    agreement: str | None = None
    retry_after: int | None = None

    def error(self) -> BaybridgeError:
        """The refusal as the error that faces print: Unavailable where it ends by itself, Invalid where the caller can mend the request."""
        if self.retry_after is not None:
            return Unavailable(self.code, self.detail, advice=self.advice, places=self.places, retry_after=self.retry_after)
        mendable = CODES[self.code].status == 400  # noqa: PLR2004 -- HTTP's own number
        return (Invalid if mendable else Refused)(self.code, self.detail, advice=self.advice, places=self.places)


def role_required(principal: Principal) -> Refusal:
    """The principal has no role that reads."""
    return Refusal(
        "role_required",
        "Reading needs the role analyst or steward.",
        Advice(
            rule="Only an analyst or a steward reads data.",
            who_can_change=f"an admin of {principal.organization}",
            next_step=f"Ask an admin of {principal.organization} for the role analyst.",
        ),
    )


def out_of_scope() -> Refusal:
    """The token is narrowed to other scopes than reading."""
    return Refusal("scope_required", "The token's scopes do not cover reading.", scope_advice(Scope.READ))


def bound_elsewhere() -> Refusal:
    """The token serves another purpose than the request names."""
    return Refusal(
        "purpose_not_allowed",
        "The token is bound to another purpose than the request names.",
        Advice(
            rule="A token that is bound to a purpose serves no other.",
            who_can_change="an admin of your organization",
            next_step="Leave the purpose out, or use a token without that binding.",
        ),
    )


def no_agreement(ask: Ask) -> Refusal:
    """There is nothing signed or asked for."""
    return Refusal(
        "no_agreement",
        f"Your organization has no agreement about {ask.dataset}"
        + ("." if ask.agreement is None else " of the id that the request names."),
        Advice(
            rule="A dataset that is not public is read under an agreement in force.",
            who_can_change=f"a steward of {ask.dataset.organization}, after your organization asks",
            next_step="Ask for an agreement.",
            next_command=f"baybridge agreement request --dataset {ask.dataset}",
            next_url=f"/api/v1/collections/{ask.dataset}/schema",
        ),
    )


_LIFE: Final = {
    Standing.SUSPENDED: ("agreement_suspended", "is suspended", "the provider's steward, by resuming it"),
    Standing.SCHEDULED: ("agreement_not_started", "has not started", "the clock, at the agreed start"),
    Standing.PENDING: ("request_pending", "is not signed by both sides yet", ""),
    Standing.SUPERSEDED: ("agreement_superseded", "was superseded by another", "you, by naming the one in its place, or none"),
    Standing.EXPIRED: ("agreement_expired", "has expired", "the two parties, by a new agreement"),
    Standing.REVOKED: ("agreement_revoked", "was revoked", "the two parties, by a new agreement"),
    Standing.CLOSED: ("agreement_closed", "has ended and is closed", "the two parties, by a new agreement"),
}
NEAREST: Final = tuple(_LIFE)
"""Standings that are not in force, from the one that is nearest to it."""
_MOVES: Final = {
    Negotiation.REQUESTED: ("a steward of {provider}, by an offer", "Wait for {provider} to offer terms, or to sign these."),
    Negotiation.OFFERED: ("the signatories of {provider} and {consumer}", "Have both sides sign the terms, or propose others."),
    Negotiation.ACCEPTED: ("a signatory of {provider}", "Wait for {provider} to sign; {consumer} has signed."),
    Negotiation.AGREED: ("a signatory of {consumer}", "Have a signatory of {consumer} sign; {provider} has signed."),
}
"""Whose move it is in a negotiation, and what the consumer, who wants to read, can do about it."""


def not_in_force(agreement: Agreement, standing: Standing) -> Refusal:
    """The agreement that is nearest to being in force is not."""
    code, words, who = _LIFE[standing]
    step, shown = f"Read the agreement, and ask {agreement.provider} about it.", agreement.id
    if agreement.state in _MOVES:
        who, step = (text.format(provider=agreement.provider, consumer=agreement.consumer) for text in _MOVES[agreement.state])
    if standing is Standing.SUPERSEDED and agreement.successor is not None:
        step, shown = f"Send Baybridge-Agreement with {agreement.successor}, or leave it out.", agreement.successor
    return Refusal(
        code,
        f"Agreement {agreement.id} {words}.",
        Advice(
            rule="A dataset that is not public is read under an agreement in force.",
            who_can_change=who or "the two parties",
            next_step=step,
            next_command=f"baybridge agreement show {shown}",
            next_url=f"/api/v1/agreements/{shown}",
        ),
        agreement=agreement.id,
    )


def not_published(dataset: Dataset, version: Version, agreement: Agreement | None) -> Refusal:
    """The version was withdrawn, or purged, by itself or with all of its dataset."""
    name = dataset.name
    what = str(name) if dataset.condition.state is version.state else f"Version {version.number} of {name}"
    next_step, next_url = _elsewhere(dataset, agreement), f"/api/v1/collections/{name}/versions"
    signed = None if agreement is None else agreement.id
    if version.state is State.WITHDRAWN:
        return Refusal(
            "version_withdrawn",
            f"{what} was withdrawn by {name.organization}.",
            Advice(
                rule="What is withdrawn is read by nobody.",
                who_can_change=f"a steward of {name.organization}, by restoring it",
                next_step=next_step,
                next_url=next_url,
            ),
            agreement=signed,
        )
    return Refusal(
        "gone",
        f"{what} was purged.",
        Advice(rule="What was purged is destroyed.", who_can_change="nobody", next_step=next_step, next_url=next_url),
        agreement=signed,
    )


def _elsewhere(dataset: Dataset, agreement: Agreement | None) -> str:
    """What can be read instead. A version is named only where it can be read."""
    name = dataset.name
    if dataset.condition.state is State.WITHDRAWN:
        return f"Nothing of {name} is read until a steward of {name.organization} restores it."
    if dataset.condition.state is not State.PUBLISHED:
        return f"Nothing of {name} is left to be read."
    terms = None if agreement is None else agreement.terms
    if dataset.latest and (terms is None or terms.history.allows(dataset.latest, latest=dataset.latest)):
        return f"Read version {dataset.latest}, the latest."
    return f"Wait for {name.organization} to publish another."


def purpose_required(in_force: Sequence[Agreement]) -> Refusal:
    """Agreements are in force, and no purpose is named."""
    purposes = sorted({purpose for each in in_force if each.terms for purpose in each.terms.purposes})
    return Refusal(
        "purpose_required",
        "Neither the request nor the token names a purpose.",
        Advice(
            rule="Each request for governed data acts under one purpose.",
            who_can_change="you, by naming one",
            next_step=f"Send Baybridge-Purpose with one of: {', '.join(purposes)}.",
        ),
        agreement=in_force[0].id,
    )


def purpose_not_allowed(candidates: Sequence[Agreement], now: datetime) -> Refusal:
    """Agreements are in force, for other purposes."""
    in_force = [each for each in candidates if each.standing(now) is Standing.ACTIVE]
    purposes = sorted({purpose for each in in_force if each.terms for purpose in each.terms.purposes})
    return Refusal(
        "purpose_not_allowed",
        "No agreement in force allows the purpose that the request names.",
        Advice(
            rule="The purpose is one that the agreement names.",
            who_can_change=f"a steward of {in_force[0].provider}, by a new agreement",
            next_step=f"Purposes agreed: {', '.join(purposes)}.",
            next_command=f"baybridge agreement show {in_force[0].id}",
        ),
        agreement=in_force[0].id,
    )


def agreement_ambiguous(in_force: Sequence[Agreement]) -> Refusal:
    """More than one agreement fits."""
    ids = ", ".join(sorted(each.id for each in in_force))
    return Refusal(
        "agreement_ambiguous",
        f"Several agreements in force fit: {ids}.",
        Advice(
            rule="Each read is under exactly one agreement.",
            who_can_change="you, by naming one",
            next_step=f"Send Baybridge-Agreement with one of: {ids}.",
        ),
    )


def terms_not_understood(agreement: Agreement) -> Refusal:
    """The agreement in force holds a term that nothing here can carry out."""
    return Refusal(
        "terms_not_understood",
        f"Agreement {agreement.id} holds a term that this server does not understand.",
        Advice(
            rule="A term that is not understood refuses; it is never skipped.",
            who_can_change="the operator of this server, by an upgrade, or the two parties, by a new agreement",
            next_step="Tell the operator the agreement's id.",
        ),
        agreement=agreement.id,
    )


def unknown_column(column: UsedColumn, version: Version) -> Refusal:
    """The dataset has no such column."""
    return Refusal(
        "unknown_column",
        f"{version.dataset} has no column of the name that {column.parameter} uses.",
        Advice(
            rule="A request names only columns of the dataset.",
            who_can_change="you",
            next_step="Correct the name; the schema lists them all.",
            next_url=f"/api/v1/collections/{version.dataset}/schema",
        ),
        (
            Place(
                column.parameter,
                "no such column",
                column.position,
                _instead(column, version.schema.types),
            ),
        ),
    )


def _instead(column: UsedColumn, columns: Mapping[str, ColumnType]) -> str | None:
    """What most likely was meant by a name that is no column's."""
    name, _, direction = column.name.rpartition(" ")
    if column.parameter == "sortby" and name in columns and direction.upper() in {"ASC", "DESC"}:
        return f"Write {'-' if direction.upper() == 'DESC' else ''}{name}: a - before a name is descending, and nothing is ascending."
    fields = reachable(columns) if column.parameter == "filter" else {}
    near = nearest(column.name, columns if column.name in fields else {**columns, **fields})  # a field that a mask covers is no answer
    return cql2.QUOTES if near is None and column.parameter == "filter" else near


def no_order(column: UsedColumn, agreement: Agreement | None) -> Refusal:
    """Rows are not sorted by a struct or a list."""
    return Refusal(
        "invalid_request",
        f'Column "{column.name}" is a struct or a list, which has no order.',
        Advice(rule="Rows are sorted by columns of simple values.", who_can_change="you", next_step="Sort by another column."),
        (Place(column.parameter, "a struct or a list has no order", column.position),),
        None if agreement is None else agreement.id,
    )


def column_not_in_agreement(column: UsedColumn, agreement: Agreement | None) -> Refusal:
    """The dataset has the column, and the agreement does not release it."""
    agreed = "the standing agreement" if agreement is None else f"agreement {agreement.id}"
    return Refusal(
        "column_not_in_agreement",
        f'Column "{column.name}" is not in {agreed}.',
        Advice(
            rule="Only columns that the agreement releases can be read, filtered or sorted by.",
            who_can_change="both parties, by a new agreement"
            if agreement is None
            else f"a steward of {agreement.provider}, by a new agreement",
            next_step="Leave the column out, or ask for an agreement that releases it.",
            next_command="baybridge agreement request" if agreement is None else f"baybridge agreement show {agreement.id}",
        ),
        (Place(column.parameter, "not released", column.position),),
        None if agreement is None else agreement.id,
    )


def version_not_in_agreement(version: Version, agreement: Agreement, history: History) -> Refusal:
    """The version is not one that the agreement's history reaches."""
    allowed = "the latest version only" if history.first is None else f"version {history.first} and later ones"
    return Refusal(
        "version_not_in_agreement",
        f"Version {version.number} of {version.dataset} is not one that agreement {agreement.id} lets be read.",
        Advice(
            rule=f"The agreement lets be read {allowed}.",
            who_can_change=f"a steward of {agreement.provider}, by a new agreement",
            next_step="Read the latest version, or ask for an agreement with another history.",
            next_command=f"baybridge agreement show {agreement.id}",
            next_url=f"/api/v1/collections/{version.dataset}/items",
        ),
        (Place("version", "not in the agreement"),),
        agreement.id,
    )


def limit_reached(agreement: Agreement, what: str, limit: int, *, now: datetime) -> Refusal:
    """The day's requests or rows under the agreement are used up, or would be by this answer. `now` is in UTC."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return Refusal(
        "limit_reached",
        f"Agreement {agreement.id} allows {limit} {what} a day, and this answer would pass that.",
        Advice(
            rule="An agreement's limits count each day in UTC, over all people and processes of the consumer.",
            who_can_change=f"the clock, at midnight UTC, or a steward of {agreement.provider}, by a new agreement",
            next_step="Ask for fewer rows at a time, or wait for the next day." if what == "rows" else "Wait for the next day.",
            next_command=f"baybridge agreement show {agreement.id}",
        ),
        (Place("limit", f"{what} a day"),),
        agreement.id,
        math.ceil((midnight - now).total_seconds()),
    )

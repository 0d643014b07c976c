"""The decision: whether a principal may read what it asks for, under which agreement, as which projection. Pure; there is no second one.

Default deny: everything that no rule below grants is refused, with a code, who can change it, and the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from baybridge.agreements.agreement import Agreement, Standing
from baybridge.catalog.dataset import Access, Dataset, Version
from baybridge.errors import CODES, Advice, BaybridgeError, Invalid, Place, Refused
from baybridge.names import DatasetName, nearest
from baybridge.policy.projection import Projection, project
from baybridge.principals.principal import Principal, Role
from baybridge.terms import cql2
from baybridge.terms.terms import Terms, check_terms

READERS: Final = (Role.ANALYST, Role.STEWARD)


@dataclass(frozen=True, slots=True)
class UsedColumn:
    """A column that a question uses, and where it says so: the parameter and the 1-based character."""

    name: str
    parameter: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for, as far as the decision needs to know. No `columns` means all that are released."""

    dataset: DatasetName
    columns: tuple[UsedColumn, ...] = ()
    row_filter: cql2.Filter | None = None
    purpose: str | None = None
    agreement: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Yes: under this agreement, with this projection. `agreement` is None under a standing agreement (public, owner)."""

    projection: Projection
    agreement: Agreement | None
    purpose: str | None
    standing: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """No: the code, one sentence, and what to do about it. `agreement` names the one that refused, where there is one."""

    code: str
    detail: str
    advice: Advice = field(default_factory=Advice)
    places: tuple[Place, ...] = ()
    agreement: str | None = None

    def error(self) -> BaybridgeError:
        """The refusal as the error that faces print: Invalid where the caller can mend the request alone."""
        mendable = CODES[self.code].status == 400  # noqa: PLR2004 -- HTTP's own number
        return (Invalid if mendable else Refused)(self.code, self.detail, advice=self.advice, places=self.places)


def decide(
    ask: Ask,
    principal: Principal | None,
    dataset: Dataset,
    version: Version,
    agreements: Sequence[Agreement],
    *,
    now: datetime,
) -> Grant | Refusal:
    """Grant or refuse the ask at the instant `now`.

    `agreements` are all those of the principal's organization about the dataset, in any state. Nothing else is consulted.
    """
    if principal is not None and principal.purpose is not None and ask.purpose not in (None, principal.purpose):
        return _bound_elsewhere()
    standing = _standing(principal, dataset)
    if isinstance(standing, Refusal):
        return standing
    if standing is not None:
        return _grant_whole(ask, principal, version, standing)
    chosen = _choose(ask, principal, agreements, now)
    if isinstance(chosen, Refusal):
        return chosen
    if chosen.terms is None:
        return _not_understood(chosen)
    return _grant(ask, principal, chosen, chosen.terms, version)


def _standing(principal: Principal | None, dataset: Dataset) -> str | Refusal | None:
    """The standing agreement that needs no signature: the owner's own, or the public's. None where one must be signed."""
    if principal is not None and principal.organization == dataset.name.organization:
        if principal.acts_for(dataset.name.organization, *READERS):
            return "owner"
        if dataset.access is not Access.PUBLIC:
            return _role_refusal(principal)
    if dataset.access is Access.PUBLIC:
        return "public"
    if principal is None:
        return Refusal(
            "not_signed_in",
            f"{dataset.name} is not public, and the request carries no token.",
            Advice(
                rule="Only public datasets are read without a token.",
                who_can_change=f"a steward of {dataset.name.organization}, by agreement with your organization",
                next_step="Send the header Authorization: Bearer TOKEN.",
                next_command=f"baybridge agreement request --dataset {dataset.name}",
            ),
        )
    return None if principal.roles.intersection(READERS) else _role_refusal(principal)


def _role_refusal(principal: Principal) -> Refusal:
    return Refusal(
        "role_required",
        "Reading needs the role analyst or steward.",
        Advice(
            rule="Only an analyst or a steward reads data.",
            who_can_change=f"an admin of {principal.organization}",
            next_step=f"Ask an admin of {principal.organization} for the role analyst.",
        ),
    )


def _choose(ask: Ask, principal: Principal | None, agreements: Sequence[Agreement], now: datetime) -> Agreement | Refusal:
    """The one agreement in force that fits the purpose, or the reason why there is none."""
    candidates = [each for each in agreements if ask.agreement in (None, each.id)]
    if not candidates:
        return _no_agreement(ask)
    purpose = _purpose(ask, principal)
    fitting = [each for each in candidates if _allows(each, purpose)]
    in_force = [each for each in fitting if each.standing(now) is Standing.ACTIVE]
    if purpose is None and any(each.terms for each in in_force):
        return _purpose_required(in_force)
    if len(in_force) == 1:
        return in_force[0]
    if in_force:
        return _ambiguous(in_force)
    if fitting:
        return _not_in_force(fitting, now)
    if any(each.standing(now) is Standing.ACTIVE for each in candidates):
        return _purpose_not_allowed(candidates, now)
    return _not_in_force(candidates, now)


def _purpose(ask: Ask, principal: Principal | None) -> str | None:
    """The purpose of the request: the one that it names, else the token's binding."""
    return ask.purpose or (None if principal is None else principal.purpose)


def _bound_elsewhere() -> Refusal:
    return Refusal(
        "purpose_not_allowed",
        "The token is bound to another purpose than the request names.",
        Advice(
            rule="A token that is bound to a purpose serves no other.",
            who_can_change="an admin of your organization",
            next_step="Leave the purpose out, or use a token without that binding.",
        ),
    )


def _allows(agreement: Agreement, purpose: str | None) -> bool:
    """Whether the agreement may serve the purpose; one that is not understood is kept, so that it can refuse."""
    return purpose is None or agreement.terms is None or purpose in agreement.terms.purposes


def _no_agreement(ask: Ask) -> Refusal:
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


def _purpose_required(in_force: Sequence[Agreement]) -> Refusal:
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


def _purpose_not_allowed(candidates: Sequence[Agreement], now: datetime) -> Refusal:
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


def _ambiguous(in_force: Sequence[Agreement]) -> Refusal:
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


_LIFE_CODES: Final = {
    Standing.SUSPENDED: ("agreement_suspended", "is suspended", "the provider's steward, by resuming it"),
    Standing.SCHEDULED: ("agreement_not_started", "has not started", "the clock, at the agreed start"),
    Standing.PENDING: ("request_pending", "is not signed by both sides yet", "the signatories of both sides"),
    Standing.SUPERSEDED: ("agreement_superseded", "was superseded by another", "you, by naming the one in its place, or none"),
    Standing.EXPIRED: ("agreement_expired", "has expired", "the two parties, by a new agreement"),
    Standing.REVOKED: ("agreement_revoked", "was revoked", "the two parties, by a new agreement"),
    Standing.CLOSED: ("agreement_closed", "has ended and is closed", "the two parties, by a new agreement"),
}


def _not_in_force(candidates: Sequence[Agreement], now: datetime) -> Refusal:
    """Refuse with the standing that is nearest to being in force, and of those the newest agreement."""
    for standing, (code, words, who) in _LIFE_CODES.items():
        for each in sorted(candidates, key=lambda agreement: agreement.updated, reverse=True):
            if each.standing(now) is standing:
                return Refusal(
                    code,
                    f"Agreement {each.id} {words}.",
                    Advice(
                        rule="A dataset that is not public is read under an agreement in force.",
                        who_can_change=who,
                        next_step=f"Read the agreement, and ask {each.provider} about it.",
                        next_command=f"baybridge agreement show {each.id}",
                        next_url=f"/api/v1/agreements/{each.id}",
                    ),
                    agreement=each.id,
                )
    return Refusal(
        "no_agreement",
        "Every request of your organization about this dataset was ended before it was signed.",
        Advice(
            rule="A dataset that is not public is read under an agreement in force.",
            who_can_change=f"a steward of {candidates[0].provider}, after your organization asks again",
            next_step="Ask for an agreement.",
            next_command=f"baybridge agreement request --dataset {candidates[0].dataset}",
        ),
        agreement=candidates[0].id,
    )


def _not_understood(agreement: Agreement) -> Refusal:
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


def _grant(ask: Ask, principal: Principal | None, agreement: Agreement, terms: Terms, version: Version) -> Grant | Refusal:
    try:
        check_terms(terms, version.schema.types)
    except Invalid:
        return _not_understood(agreement)
    projection = project(terms, version, domain_key=agreement.domain_key)
    wrong = _check_columns(ask, projection, version, agreement)
    if wrong is not None:
        return wrong
    return Grant(projection=projection, agreement=agreement, purpose=_purpose(ask, principal), standing="signed")


def _grant_whole(ask: Ask, principal: Principal | None, version: Version, standing: str) -> Grant | Refusal:
    """The owner's and the public's standing agreement: the identity projection, for no purpose in particular."""
    projection = project(_whole_terms(version), version, domain_key=None)
    wrong = _check_columns(ask, projection, version, None)
    return wrong or Grant(projection=projection, agreement=None, purpose=_purpose(ask, principal), standing=standing)


def _whole_terms(version: Version) -> Terms:
    return Terms(
        dataset=version.dataset,
        columns=tuple(version.schema.types),
        row_filter=None,
        masks=(),
        purposes=(),
        provider_authority="",
        consumer_authority="",
        start=version.published,
        end=version.published,
        pseudonym_domain=None,
    )


def _check_columns(ask: Ask, projection: Projection, version: Version, agreement: Agreement | None) -> Refusal | None:
    """Refuse a column that does not exist (names and schemas are public), then one not released, then a filter that does not fit."""
    used = list(ask.columns)
    if ask.row_filter is not None:
        used += [UsedColumn(each.name, "filter", each.position) for each in cql2.properties_of(ask.row_filter)]
    for column in used:
        if column.name not in version.schema.types:
            return _unknown_column(column, version)
    for column in used:
        if column.name not in projection.types:
            return _column_refused(column, agreement)
    if ask.row_filter is not None:
        try:
            cql2.check(ask.row_filter, projection.types)
        except Invalid as wrong:
            return Refusal(wrong.code, wrong.detail, wrong.advice, wrong.places, None if agreement is None else agreement.id)
    return None


def _unknown_column(column: UsedColumn, version: Version) -> Refusal:
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
                nearest(column.name, version.schema.types),
            ),
        ),
    )


def _column_refused(column: UsedColumn, agreement: Agreement | None) -> Refusal:
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

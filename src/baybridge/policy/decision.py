"""The decision: whether a principal may read what it asks for, under which agreement, as which projection. Pure; there is no second one.

Default deny: everything that no rule below grants is refused, with a code, who can change it, and the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from baybridge.agreements.agreement import Agreement, Standing
from baybridge.catalog.dataset import Access, Dataset, State, Version
from baybridge.errors import Advice, Invalid
from baybridge.policy import refusals
from baybridge.policy.ask import Ask, UsedColumn
from baybridge.policy.projection import Projection, project
from baybridge.policy.refusals import Refusal
from baybridge.principals.principal import Principal, Role, Scope
from baybridge.terms import cql2
from baybridge.terms.columns import column_of
from baybridge.terms.history import WALK_LASTS, History
from baybridge.terms.terms import Limits, Terms, check_terms

__all__ = ["READERS", "Ask", "Grant", "Refusal", "UsedColumn", "decide", "project_whole"]

READERS: Final = (Role.ANALYST, Role.STEWARD)


@dataclass(frozen=True, slots=True)
class Grant:
    """Yes: under this agreement, with this projection. `agreement` is None under a standing agreement (public, owner)."""

    projection: Projection
    agreement: Agreement | None
    purpose: str | None
    standing: str


def decide(
    ask: Ask,
    principal: Principal | None,
    dataset: Dataset,
    version: Version,
    agreements: Sequence[Agreement],
    *,
    now: datetime,
    superseded: datetime | None = None,
) -> Grant | Refusal:
    """Grant or refuse the ask at the instant `now`.

    `agreements` are all those of the principal's organization about the dataset, in any state. `superseded` is, for a read that goes on
    with a walk as a sealed cursor proves, when a later version came; None for every other read. Nothing else is consulted. A version that
    is withdrawn or purged is refused to everyone, after whatever else would refuse it.
    """
    decided = _decide(ask, principal, dataset, version, agreements, now=now, superseded=superseded)
    if isinstance(decided, Grant) and version.state is not State.PUBLISHED:
        return refusals.not_published(dataset, version, decided.agreement)
    return decided


def _decide(
    ask: Ask,
    principal: Principal | None,
    dataset: Dataset,
    version: Version,
    agreements: Sequence[Agreement],
    *,
    now: datetime,
    superseded: datetime | None,
) -> Grant | Refusal:
    if principal is not None and principal.purpose is not None and ask.purpose not in (None, principal.purpose):
        return refusals.bound_elsewhere()
    standing = _standing(principal, dataset)
    if isinstance(standing, Refusal):
        return standing
    if standing is not None:
        return _grant_whole(ask, principal, version, standing)
    chosen = _choose(ask, principal, agreements, now)
    if isinstance(chosen, Refusal):
        return chosen
    if chosen.terms is None:
        return refusals.terms_not_understood(chosen)
    if not chosen.terms.history.allows(version.number, latest=dataset.latest) and not _goes_on(superseded, now):
        return refusals.version_not_in_agreement(version, chosen, chosen.terms.history)
    return _grant(ask, principal, chosen, chosen.terms, version)


def _standing(principal: Principal | None, dataset: Dataset) -> str | Refusal | None:
    """The standing agreement that needs no signature: the owner's own, or the public's. None where one must be signed."""
    if principal is not None and not principal.reaches(Scope.READ):
        if dataset.access is Access.PUBLIC:
            return "public"
        return refusals.out_of_scope()
    if principal is not None and principal.organization == dataset.name.organization:
        if principal.acts_for(dataset.name.organization, *READERS):
            return "owner"
        if dataset.access is not Access.PUBLIC:
            return refusals.role_required(principal)
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
    return None if principal.roles.intersection(READERS) else refusals.role_required(principal)


def _choose(ask: Ask, principal: Principal | None, agreements: Sequence[Agreement], now: datetime) -> Agreement | Refusal:
    """The one agreement in force that fits the purpose, or the reason why there is none."""
    candidates = [each for each in agreements if ask.agreement in (None, each.id)]
    if not candidates:
        return refusals.no_agreement(ask)
    purpose = _purpose(ask, principal)
    fitting = [each for each in candidates if _allows(each, purpose)]
    in_force = [each for each in fitting if each.standing(now) is Standing.ACTIVE]
    if purpose is None and any(each.terms for each in in_force):
        return refusals.purpose_required(in_force)
    if len(in_force) == 1:
        return in_force[0]
    if in_force:
        return refusals.agreement_ambiguous(in_force)
    if fitting:
        return _not_in_force(fitting, now)
    if any(each.standing(now) is Standing.ACTIVE for each in candidates):
        return refusals.purpose_not_allowed(candidates, now)
    return _not_in_force(candidates, now)


def _purpose(ask: Ask, principal: Principal | None) -> str | None:
    """The purpose of the request: the one that it names, else the token's binding."""
    return ask.purpose or (None if principal is None else principal.purpose)


def _allows(agreement: Agreement, purpose: str | None) -> bool:
    """Whether the agreement may serve the purpose; one that is not understood is kept, so that it can refuse."""
    return purpose is None or agreement.terms is None or purpose in agreement.terms.purposes


def _not_in_force(candidates: Sequence[Agreement], now: datetime) -> Refusal:
    """Refuse with the standing that is nearest to being in force, and of those the newest agreement."""
    for standing in refusals.NEAREST:
        for each in sorted(candidates, key=lambda agreement: agreement.updated, reverse=True):
            if _standing_of(each, now) is standing:
                return refusals.not_in_force(each, standing)
    return Refusal(
        "no_agreement",
        "Every request of your organization about this dataset was ended, or ran out, before it was signed.",
        Advice(
            rule="A dataset that is not public is read under an agreement in force.",
            who_can_change=f"a steward of {candidates[0].provider}, after your organization asks again",
            next_step="Ask for an agreement.",
            next_command=f"baybridge agreement request --dataset {candidates[0].dataset}",
        ),
        agreement=candidates[0].id,
    )


def _standing_of(agreement: Agreement, now: datetime) -> Standing:
    """Where it stands, but for a negotiation whose terms have run out: nobody can sign it, so it hides no other reason."""
    standing = agreement.standing(now)
    ran_out = standing is Standing.PENDING and agreement.terms is not None and now >= agreement.terms.end
    return Standing.TERMINATED if ran_out else standing


def _goes_on(superseded: datetime | None, now: datetime) -> bool:
    """Whether a walk may come to its end: a cursor is only ever made where its version was read, so no walk begins here."""
    return superseded is not None and now < superseded + WALK_LASTS


def _grant(ask: Ask, principal: Principal | None, agreement: Agreement, terms: Terms, version: Version) -> Grant | Refusal:
    try:
        check_terms(terms, version.schema.types)
    except Invalid:
        return refusals.terms_not_understood(agreement)
    projection = project(terms, version, domain_key=agreement.domain_key)
    wrong = _check_columns(ask, projection, version, agreement)
    if wrong is not None:
        return wrong
    return Grant(projection=projection, agreement=agreement, purpose=_purpose(ask, principal), standing="signed")


def _grant_whole(ask: Ask, principal: Principal | None, version: Version, standing: str) -> Grant | Refusal:
    """The owner's and the public's standing agreement: the identity projection, for no purpose in particular."""
    projection = project_whole(version)
    wrong = _check_columns(ask, projection, version, None)
    return wrong or Grant(projection=projection, agreement=None, purpose=_purpose(ask, principal), standing=standing)


def project_whole(version: Version) -> Projection:
    """What the owner and, of a public dataset, the public read: everything."""
    return project(_whole_terms(version), version, domain_key=None)


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
        history=History(first=1),
        linkage=True,
        pseudonym_domain=None,
        limits=Limits(),
    )


def _check_columns(ask: Ask, projection: Projection, version: Version, agreement: Agreement | None) -> Refusal | None:
    """Refuse a column that does not exist (names and schemas are public), then one not released, then a filter that does not fit."""
    used = list(ask.columns)
    if ask.row_filter is not None:
        types = version.schema.types
        used += [UsedColumn(column_of(each.name, types), "filter", each.position) for each in cql2.properties_of(ask.row_filter)]
    for column in used:
        if column.name not in version.schema.types:
            return refusals.unknown_column(column, version)
    for column in used:
        if column.name not in projection.types:
            return refusals.column_not_in_agreement(column, agreement)
    for column in ask.columns:
        if column.parameter == "sortby" and projection.types[column.name].is_nested:
            return refusals.no_order(column, agreement)
    if ask.row_filter is not None:
        try:
            cql2.check(ask.row_filter, projection.types)
        except Invalid as wrong:
            return Refusal(wrong.code, wrong.detail, wrong.advice, wrong.places, None if agreement is None else agreement.id)
    return None

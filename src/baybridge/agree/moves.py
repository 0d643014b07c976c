"""The moves of a negotiation inside a transaction that is already open, so that one act may make several: ask, propose, sign, hand over."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from baybridge.agree import hours, successors
from baybridge.agree.desk import Desk
from baybridge.agree.guards import require_approved, require_digest, require_person, require_two_persons, require_understood, side_of
from baybridge.agreements import store
from baybridge.agreements.agreement import SIDES, TRANSITIONS, Action, Agreement, Side, Signature, State, transition
from baybridge.audit.entry import JSON
from baybridge.errors import Conflict, Invalid
from baybridge.principals.principal import Principal, Role, Scope, require_role
from baybridge.principals.store import require_organization
from baybridge.terms.terms import Terms, require_ahead

PROPOSERS = {Action.REQUEST: (Role.ANALYST, Role.STEWARD), Action.OFFER: (Role.STEWARD,)}
SIGNING = {Side.CONSUMER: Action.SIGN_AS_CONSUMER, Side.PROVIDER: Action.SIGN_AS_PROVIDER}


def ask(desk: Desk, connection: sa.Connection, principal: Principal, terms: Terms, *, umbrella: str | None = None) -> Agreement:
    """A consumer asks for a new agreement."""
    consumer, provider = principal.organization, terms.dataset.organization
    require_asker(connection, principal, provider)
    _require_possible(desk, connection, principal, terms)
    if consumer == provider:
        raise Invalid("terms_invalid", "An organization needs no agreement with itself: it reads its own datasets.")
    return _begin(desk, connection, principal, terms, Action.REQUEST, consumer=consumer, umbrella=umbrella)


def require_asker(connection: sa.Connection, principal: Principal, provider: str) -> None:
    """Let pass whoever may ask that provider for an agreement. Raise NotFound where there is no such organization."""
    require_role(principal, principal.organization, *PROPOSERS[Action.REQUEST], scope=Scope.AGREE)
    require_organization(connection, principal.organization)
    require_organization(connection, provider)


def succeed(desk: Desk, connection: sa.Connection, principal: Principal, before: Agreement, terms: Terms) -> Agreement:
    """Either side begins the negotiation of an agreement that shall take the place of one: the consumer asks, the provider offers."""
    action = Action.REQUEST if side_of(principal, before) is Side.CONSUMER else Action.OFFER
    require_role(principal, principal.organization, *PROPOSERS[action], scope=Scope.AGREE)
    _require_same_dataset(terms, before)
    _require_possible(desk, connection, principal, terms)
    successors.require_replaceable(connection, before, desk.clock())
    successors.require_none_open(connection, before)
    return _begin(desk, connection, principal, terms, action, consumer=before.consumer, supersedes=before.id)


def _begin(
    desk: Desk,
    connection: sa.Connection,
    principal: Principal,
    terms: Terms,
    action: Action,
    *,
    consumer: str,
    umbrella: str | None = None,
    supersedes: str | None = None,
) -> Agreement:
    now = desk.clock()
    begun = Agreement(
        id=store.next_id(connection),
        provider=terms.dataset.organization,
        consumer=consumer,
        dataset=terms.dataset,
        state=State.REQUESTED if action is Action.REQUEST else State.OFFERED,
        terms=terms,
        terms_sha256=terms.digest(),
        epoch=0,
        domain_key=None,
        signatures=(),
        reason=None,
        created=now,
        updated=now,
        requester=principal.id,
        author=principal.id,
        umbrella=umbrella,
        supersedes=supersedes,
    )
    desk.make_known(connection, begun)
    return desk.step(connection, principal, begun, action)


def propose(
    desk: Desk, connection: sa.Connection, principal: Principal, agreement: Agreement, *, action: Action, terms: Terms | None
) -> Agreement:
    """A side puts its text on the table: other terms, or with None those that stand. Other terms void every approval and signature."""
    (side,) = SIDES[action]
    require_role(principal, agreement.party(side), *PROPOSERS[action], scope=Scope.AGREE)
    exact = require_understood(agreement) if terms is None else terms
    _require_same_dataset(exact, agreement)
    state = transition(agreement, action, desk.clock())
    _require_possible(desk, connection, principal, exact)
    digest = exact.digest()
    if digest == agreement.terms_sha256:
        if agreement.signatures:
            raise Conflict("conflict", "These are the terms that are signed already; sign them too, or propose others.")
        return desk.step(connection, principal, replace(agreement, state=state), action)
    after = replace(agreement, state=state, terms=exact, terms_sha256=digest, author=principal.id, signatures=(), approvals=())
    voided: dict[str, JSON] = {"approvals": len(agreement.approvals), "signatures": len(agreement.signatures)}
    return desk.step(connection, principal, after, action, {"voided": voided} if any(voided.values()) else None)


def sign(desk: Desk, connection: sa.Connection, principal: Principal, agreement: Agreement, terms_sha256: str) -> Agreement:
    """A signatory signs for its side. Where both have signed, the server takes the steps that are left, up to FINALIZED."""
    side = side_of(principal, agreement)
    require_role(principal, principal.organization, Role.SIGNATORY, scope=Scope.AGREE)
    require_person(principal, "sign")
    terms = require_understood(agreement)
    now = desk.clock()
    state = transition(agreement, SIGNING[side], now)
    successors.require_predecessor(connection, agreement, now)
    require_two_persons(connection, principal, agreement)
    require_digest(terms_sha256, agreement.terms_sha256, f"baybridge agreement show {agreement.id}")
    if now >= terms.end:
        raise Conflict("conflict", "The terms' end has passed; offer terms with a later end.")
    require_approved(connection, principal.organization, agreement)
    signature = Signature(side, principal.organization, principal.id, terms_sha256, now)
    signed = replace(agreement, state=state, signatures=(*agreement.signatures, signature))
    signed = desk.step(connection, principal, signed, SIGNING[side])
    if len(signed.signatures) < len(Side):
        return signed
    if (signed.state, Action.VERIFY) in TRANSITIONS:
        signed = desk.step(connection, None, replace(signed, state=transition(signed, Action.VERIFY, now)), Action.VERIFY)
    return _finalize(desk, connection, signed, terms)


def _finalize(desk: Desk, connection: sa.Connection, agreement: Agreement, terms: Terms) -> Agreement:
    """Put the agreement in force, and end the one that it supersedes at the same instant: now, or at its start where that is later."""
    now = desk.clock()
    final = replace(agreement, state=transition(agreement, Action.FINALIZE, now))
    before = None if agreement.supersedes is None else store.find(connection, agreement.supersedes)
    if before is not None:
        at = max(now, terms.start)
        desk.step(connection, None, replace(before, successor=agreement.id, handed_over=at), Action.SUPERSEDE)
        successors.end_open(desk, connection, before, code="superseded", but=agreement.id)
        final = replace(final, took_over=at)
        if at <= now:
            store.drop_references(connection, before.id)
        else:
            hours.expect_hand_over(connection, before, at, now=now)
    final = replace(final, domain_key=desk.domain_key(connection, agreement, terms, before))
    hours.expect(connection, final, now=now)
    return desk.step(connection, None, final, Action.FINALIZE)


def _require_possible(desk: Desk, connection: sa.Connection, principal: Principal, terms: Terms) -> None:
    """Raise Invalid for terms that do not fit the dataset's schema, or have ended before anybody has signed them."""
    desk.check(connection, terms, principal)
    require_ahead(terms, desk.clock())


def _require_same_dataset(terms: Terms, agreement: Agreement) -> None:
    if terms.dataset != agreement.dataset:
        raise Invalid("terms_invalid", f"Agreement {agreement.id} is about {agreement.dataset}; the dataset cannot change.")

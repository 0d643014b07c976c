"""VERB: agree. Request, offer, sign, suspend, resume, revoke: each act checks who, moves the state, and is entered, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from baybridge.agreements import store
from baybridge.agreements.agreement import TRANSITIONS, Action, Agreement, Side, Signature, Standing, State, transition
from baybridge.agreements.domains import key_of_domain
from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, Log
from baybridge.catalog import store as catalog
from baybridge.db import Database
from baybridge.errors import Advice, Conflict, Invalid, NotFound, Refused
from baybridge.principals.principal import Principal, PrincipalKind, Role, Scope, require_role
from baybridge.principals.store import find_principal, require_organization
from baybridge.terms.terms import Terms, check_terms
from baybridge.wire.terms import TermsShape

MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Agree:
    """The acts on agreements, bound to what they need."""

    database: Database
    log: Log
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    wrapping_key: bytes

    def request(self, principal: Principal, shape: TermsShape) -> Agreement:
        """A consumer asks for an agreement with these terms. Roles: analyst or steward, of another organization than the provider."""
        terms = Terms.parse(shape)
        provider = terms.dataset.organization
        with self._entering_refusals(principal, "request", provider), self.database.write() as connection:
            consumer = principal.organization
            require_role(principal, consumer, Role.ANALYST, Role.STEWARD, scope=Scope.AGREE)
            require_organization(connection, consumer)
            require_organization(connection, provider)
            self._check(connection, terms)
            if consumer == provider:
                raise Invalid("terms_invalid", "An organization needs no agreement with itself: it reads its own datasets.")
            now = self.clock()
            agreement = Agreement(
                id=store.next_id(connection),
                provider=provider,
                consumer=consumer,
                dataset=terms.dataset,
                state=State.REQUESTED,
                terms=terms,
                terms_sha256=terms.digest(),
                epoch=1,
                domain_key=None,
                signatures=(),
                reason=None,
                created=now,
                updated=now,
            )
            store.save(connection, agreement)
            self._enter(connection, principal, agreement, "request")
            return agreement

    def offer(self, principal: Principal, agreement_id: str, shape: TermsShape | None) -> Agreement:
        """The provider's steward offers exact terms, or with None those that were asked for.

        Nobody has signed yet: the transition table has no offer after a signature.
        """
        terms = None if shape is None else Terms.parse(shape)

        def offered(connection: sa.Connection, agreement: Agreement) -> Agreement:
            require_role(principal, agreement.provider, Role.STEWARD, scope=Scope.AGREE)
            exact = _require_understood(agreement) if terms is None else terms
            if exact.dataset != agreement.dataset:
                raise Invalid("terms_invalid", f"Agreement {agreement.id} is about {agreement.dataset}; the dataset cannot change.")
            self._check(connection, exact)
            state = transition(agreement.state, Action.OFFER)
            return replace(agreement, state=state, terms=exact, terms_sha256=exact.digest(), signatures=())

        return self._act(principal, agreement_id, "offer", offered)

    def sign(self, principal: Principal, agreement_id: str, terms_sha256: str) -> Agreement:
        """A signatory signs for its side, over the digest of the terms that it read. The second side's signature puts them in force."""

        def signed(connection: sa.Connection, agreement: Agreement) -> Agreement:
            side, action = _side_of(principal, agreement)
            require_role(principal, principal.organization, Role.SIGNATORY, scope=Scope.AGREE)
            _require_person(principal)
            terms = _require_understood(agreement)
            state = transition(agreement.state, action)
            _require_two_persons(connection, principal, agreement)
            if terms_sha256 != agreement.terms_sha256:
                raise Conflict(
                    "conflict",
                    "The digest is not that of the terms as they stand; they may have changed since you read them.",
                    advice=Advice(
                        rule="A signature is over the exact terms.",
                        who_can_change="you",
                        next_step="Read the terms again, then sign their digest.",
                        next_command=f"baybridge agreement show {agreement.id}",
                    ),
                )
            now = self.clock()
            if now >= terms.end:
                raise Conflict("conflict", "The terms' end has passed; offer terms with a later end.")
            signature = Signature(side, principal.organization, principal.id, terms_sha256, now)
            agreement = replace(agreement, state=state, signatures=(*agreement.signatures, signature))
            if state is State.FINALIZED:
                agreement = replace(agreement, domain_key=self._domain_key(connection, agreement, terms, now))
            return agreement

        return self._act(principal, agreement_id, "sign", signed)

    def suspend(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """The provider stops all reading until it resumes."""
        return self._provider_act(principal, agreement_id, Action.SUSPEND, reason)

    def resume(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """The provider lifts its suspension."""
        return self._provider_act(principal, agreement_id, Action.RESUME, reason)

    def revoke(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """The provider ends the agreement for good: every door refuses within a second, and its extracts lose their reference."""
        return self._provider_act(principal, agreement_id, Action.REVOKE, reason)

    def terminate(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """Either side ends a negotiation that is not signed by both."""

        def ended(connection: sa.Connection, agreement: Agreement) -> Agreement:
            del connection
            _side_of(principal, agreement)
            require_role(principal, principal.organization, Role.STEWARD, Role.SIGNATORY, Role.ANALYST, scope=Scope.AGREE)
            return replace(agreement, state=transition(agreement.state, Action.TERMINATE), reason=_reason(reason))

        return self._act(principal, agreement_id, "terminate", ended)

    def end_all(self, connection: sa.Connection, principal: Principal, organization: str, reason: str) -> None:
        """End all that an organization is a party to, in the transaction that off-boards it.

        What both sides have signed is revoked, what is still being negotiated is terminated, and what has ended stays as it is.
        """
        for agreement in store.of_party(connection, organization):
            if agreement.standing(self.clock()) is Standing.EXPIRED:
                continue
            for action in (Action.REVOKE, Action.TERMINATE):
                state = TRANSITIONS.get((agreement.state, action))
                if state is not None:
                    store.drop_references(connection, agreement.id)
                    self._keep(connection, principal, agreement, replace(agreement, state=state, reason=reason), action.value)
                    break

    def show(self, principal: Principal, agreement_id: str) -> Agreement:
        """An agreement, to its parties and to the local operator. Raise NotFound for everyone else."""
        with self.database.read() as connection:
            return _visible(connection, principal, agreement_id)

    def listing(self, principal: Principal) -> tuple[Agreement, ...]:
        """The agreements that the principal's organization is a party to; all of them to the local operator."""
        with self.database.read() as connection:
            if principal.is_operator():
                return store.all_agreements(connection)
            return store.of_party(connection, principal.organization)

    def _provider_act(self, principal: Principal, agreement_id: str, action: Action, reason: str) -> Agreement:
        def moved(connection: sa.Connection, agreement: Agreement) -> Agreement:
            require_role(principal, agreement.provider, Role.STEWARD, Role.SIGNATORY, scope=Scope.AGREE)
            if action is Action.REVOKE:
                store.drop_references(connection, agreement.id)
            return replace(agreement, state=transition(agreement.state, action), reason=_reason(reason))

        return self._act(principal, agreement_id, action.value, moved)

    def _act(
        self,
        principal: Principal,
        agreement_id: str,
        act: str,
        change: Callable[[sa.Connection, Agreement], Agreement],
    ) -> Agreement:
        """Load, change, store under the next epoch, and enter, in one transaction; a refusal is entered as such."""
        with self.database.read() as connection:
            provider = _visible(connection, principal, agreement_id).provider
        with self._entering_refusals(principal, act, provider), self.database.write() as connection:
            before = _visible(connection, principal, agreement_id)
            return self._keep(connection, principal, before, change(connection, before), act)

    def _keep(self, connection: sa.Connection, principal: Principal, before: Agreement, changed: Agreement, act: str) -> Agreement:
        """Store what an act has made of an agreement under the next epoch, and enter it."""
        after = replace(changed, epoch=before.epoch + 1, updated=self.clock())
        if after.terms is None:
            store.stop(connection, after)
        else:
            store.save(connection, after)
        self._enter(connection, principal, after, act)
        return after

    def _check(self, connection: sa.Connection, terms: Terms) -> None:
        dataset = catalog.require(connection, terms.dataset)
        if dataset.schema is None:
            raise Conflict("conflict", f"{terms.dataset} has no schema yet, so no terms can be checked against it.")
        check_terms(terms, dataset.schema.types)

    def _domain_key(self, connection: sa.Connection, agreement: Agreement, terms: Terms, now: datetime) -> str | None:
        """The key of the domain that the terms name, or of a domain of the agreement's own; None where nothing is pseudonymised.

        Where linkage is not allowed the terms name none, so the domain is the agreement's own and nothing joins.
        """
        if not terms.pseudonymises():
            return None
        return key_of_domain(
            connection,
            agreement.provider,
            agreement.consumer,
            terms.pseudonym_domain or agreement.id,
            wrapping_key=self.wrapping_key,
            entropy=self.entropy,
            now=now,
        )

    def _enter(self, connection: sa.Connection, principal: Principal, agreement: Agreement, act: str) -> None:
        self.log.append(
            connection,
            Draft(
                agreement.provider,
                Kind.AGREEMENT_ACT,
                {
                    "act": act,
                    "actor": {"organization": principal.organization, "principal": principal.id},
                    "agreement": agreement.id,
                    "consumer": agreement.consumer,
                    "dataset": str(agreement.dataset),
                    "epoch": agreement.epoch,
                    "state": agreement.state.value,
                    "terms_sha256": agreement.terms_sha256,
                },
            ),
        )

    def _entering_refusals(self, principal: Principal, act: str, provider: str) -> AbstractContextManager[None]:
        return self.log.entering_refusals(
            provider, {"act": act, "actor": {"organization": principal.organization, "principal": principal.id}}
        )


def _visible(connection: sa.Connection, principal: Principal, agreement_id: str) -> Agreement:
    agreement = store.find(connection, agreement_id)
    if principal.is_operator() or principal.organization in {agreement.provider, agreement.consumer}:
        return agreement
    raise NotFound("not_found", "There is no agreement of that id that you are a party to.")


def _side_of(principal: Principal, agreement: Agreement) -> tuple[Side, Action]:
    if principal.organization == agreement.provider:
        return Side.PROVIDER, Action.SIGN_AS_PROVIDER
    if principal.organization == agreement.consumer:
        return Side.CONSUMER, Action.SIGN_AS_CONSUMER
    raise Refused(
        "token_wrong_organisation",
        "Only a party to an agreement can do this; the local operator is party to none.",
        advice=Advice(
            rule="Agreements are made between their two parties.",
            who_can_change=f"{agreement.provider} and {agreement.consumer}",
            next_step="Use a token of one of the two parties.",
        ),
    )


def _require_person(principal: Principal) -> None:
    if principal.kind is not PrincipalKind.PERSON:
        raise Refused(
            "role_required",
            "Only a person can sign, not a service account.",
            advice=Advice(rule="A signature is a person's act.", who_can_change="a signatory", next_step="Have a signatory sign."),
        )


def _require_two_persons(connection: sa.Connection, principal: Principal, agreement: Agreement) -> None:
    """Refuse where the same human has signed already, for the other side: an identity may stand in two organizations."""
    for each in agreement.signatures:
        if each.principal == principal.id or find_principal(connection, each.principal).identity == principal.identity:
            raise Refused(
                "second_person_required",
                "The other side's signature is by the same person.",
                advice=Advice(
                    rule="One person never signs for both sides.",
                    who_can_change=f"another signatory of {principal.organization}",
                    next_step="Have another signatory sign.",
                ),
            )


def _require_understood(agreement: Agreement) -> Terms:
    if agreement.terms is None:
        raise Refused(
            "terms_not_understood",
            f"Agreement {agreement.id} holds a term that this server does not understand.",
            advice=Advice(
                rule="A term that is not understood refuses; it is never skipped.",
                who_can_change="the operator of this server, by an upgrade, or the provider, by offering other terms",
                next_step="Offer the terms again.",
            ),
        )
    return agreement.terms


def _reason(text: str) -> str:
    if 1 <= len(text.strip()) <= MAX_REASON and text.isprintable():
        return text.strip()
    raise Invalid("invalid_request", f"A reason is a printable text of 1 to {MAX_REASON} characters.")

"""The acts on one agreement: who may, what moves, and its entries, in one transaction each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import sqlalchemy as sa

from baybridge.agree import moves, successors
from baybridge.agree.desk import Desk
from baybridge.agree.guards import (
    parse_approvers,
    parse_code,
    parse_text,
    require_digest,
    require_other_person,
    require_person,
    require_understood,
    side_of,
    visible,
)
from baybridge.agreements import store
from baybridge.agreements.agreement import TRANSITIONS, Action, Agreement, Approval, Side, transition
from baybridge.errors import Advice, Conflict, Invalid
from baybridge.expected import WHATEVER, Expected
from baybridge.principals.principal import Principal, Role, Scope, require_role
from baybridge.terms.terms import Terms
from baybridge.terms.text import plain_text
from baybridge.wire.terms import TermsShape

_Change = Callable[[sa.Connection, Agreement], Agreement]


@dataclass(frozen=True, slots=True)
class Agree:
    """The acts on agreements, bound to what they need, and to the state that each expects its agreement to be in."""

    desk: Desk
    expected: Expected = WHATEVER

    def expecting(self, expected: Expected) -> Self:
        """The same acts, each on an agreement in an expected state only."""
        return replace(self, expected=expected)

    def clock(self) -> datetime:
        """The instant at which agreements are shown."""
        return self.desk.clock()

    def request(self, principal: Principal, shape: TermsShape) -> Agreement:
        """A consumer asks for an agreement with these terms. Roles: analyst or steward, of another organization than the provider."""
        terms = Terms.parse(shape)
        desk, provider = self.desk, terms.dataset.organization
        with desk.entering_refusals(principal, "request", provider), desk.database.write() as connection:
            return moves.ask(desk, connection, principal, terms)

    def succeed(self, principal: Principal, agreement_id: str, shape: TermsShape | None) -> Agreement:
        """Begin the agreement that shall take this one's place, with these terms or its own: a renewal or an amendment."""
        terms = None if shape is None else Terms.parse(shape)

        def begun(connection: sa.Connection, before: Agreement) -> Agreement:
            return moves.succeed(self.desk, connection, principal, before, terms or require_understood(before))

        return self._act(principal, agreement_id, "succeed", begun)

    def counter(self, principal: Principal, agreement_id: str, shape: TermsShape | None) -> Agreement:
        """The consumer asks for other terms than those that stand, also after a signature: what was signed is void."""
        return self._propose(principal, agreement_id, Action.REQUEST, shape)

    def offer(self, principal: Principal, agreement_id: str, shape: TermsShape | None) -> Agreement:
        """The provider's steward offers exact terms, or with None those that stand; other terms void what was signed."""
        return self._propose(principal, agreement_id, Action.OFFER, shape)

    def approve(self, principal: Principal, agreement_id: str, role: str, terms_sha256: str) -> Agreement:
        """An officer approves, for its own organization, the terms with the digest that it read."""
        (approver,) = parse_approvers([role])

        def approved(connection: sa.Connection, agreement: Agreement) -> Agreement:
            side_of(principal, agreement)
            require_role(principal, principal.organization, approver, scope=Scope.AGREE)
            require_person(principal, "approve")
            now = self.desk.clock()
            state = transition(agreement, Action.APPROVE, now)
            require_digest(terms_sha256, agreement.terms_sha256, f"baybridge agreement show {agreement.id}")
            require_other_person(connection, principal, agreement)
            if any((each.organization, each.role) == (principal.organization, approver) for each in agreement.approvals):
                raise Conflict("conflict", f"The {approver} of {principal.organization} has approved these terms already.")
            approval = Approval(principal.organization, approver, principal.id, terms_sha256, now)
            after = replace(agreement, state=state, approvals=(*agreement.approvals, approval))
            return self.desk.step(connection, principal, after, Action.APPROVE, {"role": approver.value})

        return self._act(principal, agreement_id, "approve", approved)

    def sign(self, principal: Principal, agreement_id: str, terms_sha256: str) -> Agreement:
        """A signatory signs for its side, over the digest of the terms that it read. The second side's signature puts them in force."""
        return self._act(
            principal,
            agreement_id,
            "sign",
            lambda connection, agreement: moves.sign(self.desk, connection, principal, agreement, terms_sha256),
        )

    def suspend(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """The provider stops all reading until it resumes."""
        return self._stop(principal, agreement_id, Action.SUSPEND, reason)

    def revoke(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """The provider ends the agreement for good: every door refuses within a second, and its extracts lose their reference."""
        return self._stop(principal, agreement_id, Action.REVOKE, reason)

    def resume(self, principal: Principal, agreement_id: str, reason: str) -> Agreement:
        """The provider lifts its suspension. Terms that no longer fit the dataset's schema stay suspended."""

        def resumed(connection: sa.Connection, agreement: Agreement) -> Agreement:
            require_role(principal, agreement.provider, Role.STEWARD, Role.SIGNATORY, scope=Scope.AGREE)
            state = transition(agreement, Action.RESUME, self.desk.clock())
            if agreement.terms is not None:
                self._require_fitting(connection, principal, agreement, agreement.terms)
            after = replace(agreement, state=state, reason=parse_text(reason, "reason"), code=None)
            return self.desk.step(connection, principal, after, Action.RESUME)

        return self._act(principal, agreement_id, "resume", resumed)

    def terminate(self, principal: Principal, agreement_id: str, reason: str, code: str | None = None) -> Agreement:
        """Either side ends a negotiation that is not signed by both; the code is `declined` or `withdrawn` unless another is given."""

        def ended(connection: sa.Connection, agreement: Agreement) -> Agreement:
            side = side_of(principal, agreement)
            require_role(principal, principal.organization, Role.STEWARD, Role.SIGNATORY, Role.ANALYST, scope=Scope.AGREE)
            state = transition(agreement, Action.TERMINATE, self.desk.clock())
            why = parse_code(code or ("declined" if side is Side.PROVIDER else "withdrawn"))
            after = replace(agreement, state=state, reason=parse_text(reason, "reason"), code=why)
            return self.desk.step(connection, principal, after, Action.TERMINATE, {"code": why})

        return self._act(principal, agreement_id, "terminate", ended)

    def close(self, principal: Principal, agreement_id: str, statement: str) -> Agreement:
        """After the end, a person of the consumer states that what was received is destroyed. The log holds the statement's hash."""

        def closed(connection: sa.Connection, agreement: Agreement) -> Agreement:
            require_role(principal, agreement.consumer, Role.STEWARD, Role.SIGNATORY, scope=Scope.AGREE)
            require_person(principal, "state this")
            state = transition(agreement, Action.CLOSE, self.desk.clock())
            after = replace(agreement, state=state, statement=parse_text(statement, "statement"))
            store.drop_references(connection, agreement.id)
            digest = hashlib.sha256((after.statement or "").encode()).hexdigest()
            after = self.desk.step(connection, principal, after, Action.CLOSE, {"statement_sha256": digest})
            successors.end_open(self.desk, connection, after, code="closed")
            return after

        return self._act(principal, agreement_id, "close", closed)

    def end_all(self, connection: sa.Connection, principal: Principal, organization: str, reason: str) -> None:
        """End all that an organization is a party to, in the transaction that off-boards it.

        What both sides have signed is revoked, what is still being negotiated is terminated, and what has ended stays as it is.
        """
        now = self.desk.clock()
        for agreement in store.of_party(connection, organization):
            for action in (Action.REVOKE, Action.TERMINATE):
                state = TRANSITIONS.get((agreement.state_at(now), action))
                if state is not None:
                    store.drop_references(connection, agreement.id)
                    self.desk.step(connection, principal, replace(agreement, state=state, reason=reason, code="offboarded"), action)

    def show(self, principal: Principal, agreement_id: str) -> Agreement:
        """An agreement, to its parties and to the local operator. Raise NotFound for everyone else."""
        with self.desk.database.read() as connection:
            return visible(connection, principal, agreement_id)

    def text(self, principal: Principal, agreement_id: str) -> str:
        """The terms in plain language, to whom they are shown. Raise Refused for terms that are not understood."""
        agreement = self.show(principal, agreement_id)
        return plain_text(require_understood(agreement), consumer=agreement.consumer)

    def listing(self, principal: Principal) -> tuple[Agreement, ...]:
        """The agreements that the principal's organization is a party to; all of them to the local operator."""
        with self.desk.database.read() as connection:
            if principal.is_operator():
                return store.all_agreements(connection)
            return store.of_party(connection, principal.organization)

    def _propose(self, principal: Principal, agreement_id: str, action: Action, shape: TermsShape | None) -> Agreement:
        terms = None if shape is None else Terms.parse(shape)
        return self._act(
            principal,
            agreement_id,
            action.word,
            lambda connection, agreement: moves.propose(self.desk, connection, principal, agreement, action=action, terms=terms),
        )

    def _stop(self, principal: Principal, agreement_id: str, action: Action, reason: str) -> Agreement:
        def stop(connection: sa.Connection, agreement: Agreement) -> Agreement:
            require_role(principal, agreement.provider, Role.STEWARD, Role.SIGNATORY, scope=Scope.AGREE)
            state = transition(agreement, action, self.desk.clock())
            if action is Action.REVOKE:
                store.drop_references(connection, agreement.id)
            after = replace(agreement, state=state, reason=parse_text(reason, "reason"), code=None)
            stopped = self.desk.step(connection, principal, after, action)
            if action is Action.REVOKE:
                successors.end_open(self.desk, connection, stopped, code="revoked")
            return stopped

        return self._act(principal, agreement_id, action.word, stop)

    def _require_fitting(self, connection: sa.Connection, principal: Principal, agreement: Agreement, terms: Terms) -> None:
        try:
            self.desk.check(connection, terms, principal)
        except Invalid as wrong:
            raise Conflict(
                "conflict",
                f"The terms of {agreement.id} do not fit the schema of {agreement.dataset} any more.",
                advice=Advice(
                    rule="An agreement whose columns are gone is not resumed.",
                    who_can_change="the two parties, by an agreement in its place",
                    next_step="Begin its successor, with terms that fit the schema.",
                    next_url=f"/api/v1/agreements/{agreement.id}/successor",
                ),
            ) from wrong

    def _act(self, principal: Principal, agreement_id: str, act: str, change: _Change) -> Agreement:
        """Load and change in one transaction; a refusal is entered as such."""
        with self.desk.database.read() as connection:
            provider = visible(connection, principal, agreement_id).provider
        with self.desk.entering_refusals(principal, act, provider), self.desk.database.write() as connection:
            before = visible(connection, principal, agreement_id)
            after = change(connection, before)
            self.expected.require(before.tag(self.desk.clock()))
            return after

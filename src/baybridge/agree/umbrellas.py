"""Umbrellas: several agreements asked for, offered and signed in one act. All of it happens, or nothing does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from baybridge.agree import moves
from baybridge.agree.desk import Desk
from baybridge.agree.guards import parse_text, require_digest
from baybridge.agreements.agreement import Action, Agreement, Side
from baybridge.agreements.umbrellas import Umbrella, add_umbrella, find_umbrella, umbrellas_of_party
from baybridge.errors import Advice, Conflict, Invalid, NotFound, Place
from baybridge.principals.principal import Principal, Role, Scope, require_role
from baybridge.terms.terms import Terms
from baybridge.wire.terms import TermsShape

MAX_AGREEMENTS: Final = 50


@dataclass(frozen=True, slots=True)
class SignTogether:
    """The acts on umbrellas, bound to what they need."""

    desk: Desk

    def request(self, principal: Principal, title: str, shapes: list[TermsShape]) -> Umbrella:
        """A consumer asks one provider for several agreements under one title."""
        named, asked = parse_text(title, "title"), [Terms.parse(shape) for shape in shapes]
        providers = {terms.dataset.organization for terms in asked}
        if len(providers) != 1 or len(asked) > MAX_AGREEMENTS:
            rule = f"1 to {MAX_AGREEMENTS} terms, all about datasets of one provider"
            raise Invalid("terms_invalid", f"An umbrella covers {rule}.", places=(Place("terms", rule),))
        (provider,) = providers
        with self.desk.entering_refusals(principal, "request", provider), self.desk.database.write() as connection:
            moves.require_asker(connection, principal, provider)
            umbrella_id = add_umbrella(connection, named, provider, principal.organization, now=self.desk.clock())
            for terms in asked:
                moves.ask(self.desk, connection, principal, terms, umbrella=umbrella_id)
            return find_umbrella(connection, umbrella_id)

    def offer(self, principal: Principal, umbrella_id: str) -> Umbrella:
        """The provider offers every agreement under the umbrella as it stands, but those that a side has signed already."""

        def offered(connection: sa.Connection, umbrella: Umbrella) -> None:
            require_role(principal, umbrella.provider, *moves.PROPOSERS[Action.OFFER], scope=Scope.AGREE)
            for agreement in _left(umbrella, "offer", *Side):
                moves.propose(self.desk, connection, principal, agreement, action=Action.OFFER, terms=None)

        return self._act(principal, umbrella_id, "offer", offered)

    def sign(self, principal: Principal, umbrella_id: str, digest: str) -> Umbrella:
        """A signatory signs every agreement under the umbrella, over the digest of all their digests in order.

        What its side has signed alone is covered by the digest and keeps the signature that it has.
        """

        def signed(connection: sa.Connection, umbrella: Umbrella) -> None:
            require_role(principal, principal.organization, Role.SIGNATORY, scope=Scope.AGREE)
            require_digest(digest, umbrella.digest(), f"baybridge umbrella show {umbrella.id}")
            side = Side.CONSUMER if principal.organization == umbrella.consumer else Side.PROVIDER
            for agreement in _left(umbrella, "sign", side):
                moves.sign(self.desk, connection, principal, agreement, agreement.terms_sha256)

        return self._act(principal, umbrella_id, "sign", signed)

    def show(self, principal: Principal, umbrella_id: str) -> Umbrella:
        """An umbrella, to its parties and to the local operator. Raise NotFound for everyone else."""
        with self.desk.database.read() as connection:
            return _visible(connection, principal, umbrella_id)

    def listing(self, principal: Principal) -> tuple[Umbrella, ...]:
        """The umbrellas that the principal's organization is a party to, oldest first."""
        with self.desk.database.read() as connection:
            return umbrellas_of_party(connection, principal.organization)

    def _act(self, principal: Principal, umbrella_id: str, act: str, change: Callable[[sa.Connection, Umbrella], None]) -> Umbrella:
        with self.desk.database.read() as connection:
            provider = _visible(connection, principal, umbrella_id).provider
        with self.desk.entering_refusals(principal, act, provider), self.desk.database.write() as connection:
            change(connection, _visible(connection, principal, umbrella_id))
            return find_umbrella(connection, umbrella_id)


def _left(umbrella: Umbrella, act: str, *sides: Side) -> tuple[Agreement, ...]:
    """The agreements that the act is still to be done on. Raise Conflict where there is none."""
    left = umbrella.unsigned(*sides)
    if not left:
        raise Conflict(
            "conflict",
            f"Nothing under umbrella {umbrella.id} is left to {act}.",
            advice=Advice(
                rule="An agreement is signed once by each side, alone or with the others under its umbrella.",
                who_can_change="nobody needs to",
                next_step="Look at who has signed which of its agreements.",
                next_command=f"baybridge umbrella show {umbrella.id}",
            ),
        )
    return left


def _visible(connection: sa.Connection, principal: Principal, umbrella_id: str) -> Umbrella:
    umbrella = find_umbrella(connection, umbrella_id)
    if principal.is_operator() or principal.organization in (umbrella.provider, umbrella.consumer):
        return umbrella
    raise NotFound("not_found", "There is no umbrella of that id that you are a party to.")

"""What every act on agreements needs: the transaction's steps, each stored, entered and told together. It decides nothing about who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from baybridge.agreements import store
from baybridge.agreements.agreement import Action, Agreement, act_facts
from baybridge.agreements.domains import key_of_domain
from baybridge.agreements.notices import tell
from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft, Log
from baybridge.catalog import store as catalog
from baybridge.db import Database
from baybridge.errors import Conflict
from baybridge.policy.sight import sight_of
from baybridge.principals.principal import Principal
from baybridge.terms.terms import Terms, check_terms

SERVER: Final = {"organization": "", "principal": "server"}
"""The actor of the steps that the server takes itself."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The database, the log and the clock, and what acts do with them."""

    database: Database
    log: Log
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    wrapping_key: bytes

    def step(
        self,
        connection: sa.Connection,
        principal: Principal | None,
        after: Agreement,
        action: Action,
        facts: Mapping[str, JSON] | None = None,
    ) -> Agreement:
        """Store one move under the next epoch, enter it, and tell whom it concerns. Without a principal it is the server's own step."""
        now = self.clock()
        after = replace(after, epoch=after.epoch + 1, updated=now)
        if after.terms is None:
            store.stop(connection, after)
        else:
            store.save(connection, after)
        actor = SERVER if principal is None else actor_of(principal)
        self.log.append(connection, Draft(after.provider, Kind.AGREEMENT_ACT, {**act_facts(after, action, actor, now), **(facts or {})}))
        tell(connection, _told(after, action, principal), after, action, now=now)
        return after

    def entering_refusals(self, principal: Principal, act: str, provider: str) -> AbstractContextManager[None]:
        """Enter a refusal that the block raises in the provider's log."""
        return self.log.entering_refusals(provider, {"act": act, "actor": actor_of(principal)})

    def check(self, connection: sa.Connection, terms: Terms, principal: Principal) -> None:
        """Hold terms against the schema of a dataset that the principal may know of.

        Raise NotFound where there is no such dataset, Invalid where they do not fit, Conflict where there is no schema.
        """
        dataset = catalog.require(connection, terms.dataset, sight_of(principal))
        if dataset.schema is None:
            raise Conflict("conflict", f"{terms.dataset} has no schema yet, so no terms can be checked against it.")
        check_terms(terms, dataset.schema.types)

    def make_known(self, connection: sa.Connection, agreement: Agreement) -> None:
        """Let the consumer know of the dataset for good, also where it is or will be hidden."""
        catalog.make_known(connection, agreement.dataset, agreement.consumer)

    def domain_key(self, connection: sa.Connection, agreement: Agreement, terms: Terms, before: Agreement | None) -> str | None:
        """The key of the domain that the terms name, or of a domain of the agreement's own; None where nothing is pseudonymised.

        An agreement in the place of another goes on with the other's own domain, so that pseudonyms survive a renewal.
        """
        if not terms.pseudonymises():
            return None
        if terms.pseudonym_domain is None and before is not None and before.terms is not None and before.terms.pseudonym_domain is None:
            inherited = before.domain_key
        else:
            inherited = None
        return inherited or key_of_domain(
            connection,
            agreement.provider,
            agreement.consumer,
            terms.pseudonym_domain or agreement.id,
            wrapping_key=self.wrapping_key,
            entropy=self.entropy,
            now=self.clock(),
        )


def actor_of(principal: Principal) -> dict[str, str]:
    """Who acts, as entries say it."""
    return {"organization": principal.organization, "principal": principal.id}


def _told(agreement: Agreement, action: Action, principal: Principal | None) -> tuple[str, ...]:
    """Both parties of a step of the server, one's own house of an approval, and else the other side."""
    parties = (agreement.provider, agreement.consumer)
    if principal is None:
        return () if action is Action.VERIFY else parties
    if action is Action.APPROVE:
        return (principal.organization,)
    return tuple(party for party in parties if party != principal.organization)

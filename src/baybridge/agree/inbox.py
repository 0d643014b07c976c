"""An organization's own desk: its notices, what ends soon, and which approvals it requires before it signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from baybridge.agree.desk import Desk, actor_of
from baybridge.agree.guards import parse_approvers
from baybridge.agreements import store
from baybridge.agreements.agreement import Agreement, Standing
from baybridge.agreements.approvals import require_approvals, required_approvals
from baybridge.agreements.notices import Notice, mark_read, notices
from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft
from baybridge.principals.principal import Principal, require_admin
from baybridge.principals.store import require_organization

SOON: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Inbox:
    """What an organization is told, and what it requires of itself."""

    desk: Desk

    def notices(self, principal: Principal, *, before: int | None, limit: int) -> tuple[Notice, ...]:
        """The notices of the principal's organization, newest first; with `before`, the older ones."""
        with self.desk.database.read() as connection:
            return notices(connection, principal.organization, before=before, limit=limit)

    def ending_soon(self, principal: Principal) -> tuple[Agreement, ...]:
        """The agreements in force that end within 90 days and have no successor, the nearest end first. Computed now, stored nowhere."""
        now = self.desk.clock()
        with self.desk.database.read() as connection:
            mine = store.of_party(connection, principal.organization)
        ending = [
            (each.terms.end, each.id, each)
            for each in mine
            if each.terms is not None and each.standing(now) is Standing.ACTIVE and each.successor is None and each.terms.end - now <= SOON
        ]
        return tuple(each for _, _, each in sorted(ending, key=lambda row: row[:2]))

    def overdue(self, principal: Principal) -> tuple[Agreement, ...]:
        """The agreements whose statement of destruction is overdue, the oldest first: told to both sides until it is there."""
        now = self.desk.clock()
        with self.desk.database.read() as connection:
            return tuple(each for each in store.of_party(connection, principal.organization) if each.overdue(now))

    def mark_read(self, principal: Principal, notice: int) -> Notice:
        """Mark one of the organization's notices as read. Raise NotFound."""
        with self.desk.database.write() as connection:
            return mark_read(connection, principal.organization, notice, now=self.desk.clock())

    def approvals(self, principal: Principal, organization: str) -> tuple[str, ...]:
        """Which approvals an organization requires: told to everyone who is signed in, since its partners wait for them."""
        del principal
        with self.desk.database.read() as connection:
            require_organization(connection, organization)
            return required_approvals(connection, organization)

    def require_approvals(self, principal: Principal, organization: str, roles: list[str]) -> tuple[str, ...]:
        """An admin says which approvals its signatory waits for, from now on; signatures that are there stay."""
        required = parse_approvers(roles)
        with self.desk.entering_refusals(principal, "require_approvals", organization), self.desk.database.write() as connection:
            require_admin(principal, organization)
            require_organization(connection, organization)
            require_approvals(connection, organization, required)
            facts: dict[str, JSON] = {"actor": actor_of(principal), "roles": [role.value for role in required]}
            self.desk.log.append(connection, Draft(organization, Kind.APPROVALS_REQUIRED, facts))
            return tuple(role.value for role in required)

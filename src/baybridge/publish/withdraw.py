"""VERB: withdraw. Take a version, or all of a dataset, out of everyone's reach, and restore it. Nothing is destroyed in this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from baybridge.audit.entry import Kind
from baybridge.audit.log import Draft, Log
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import EVERYTHING, Act, move, parse_reason
from baybridge.db import Database
from baybridge.expected import WHATEVER, Expected
from baybridge.names import DatasetName
from baybridge.principals.principal import Principal, Role, Scope, require_role


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The acts of withdrawing, bound to what they need. A version number of None is all of the dataset."""

    database: Database
    log: Log
    clock: Callable[[], datetime]

    def withdraw(self, principal: Principal, name: DatasetName, number: int | None, reason: str, *, expected: Expected = WHATEVER) -> None:
        """Refuse it to everyone from now on. The next disclosure sees it in its transaction, a running one within 250 ms."""
        self._move(principal, name, number, Act.WITHDRAW, reason, expected=expected)

    def restore(self, principal: Principal, name: DatasetName, number: int | None, *, expected: Expected = WHATEVER) -> None:
        """Give back what was withdrawn, exactly as it was."""
        self._move(principal, name, number, Act.RESTORE, None, expected=expected)

    def _move(
        self, principal: Principal, name: DatasetName, number: int | None, act: Act, reason: str | None, *, expected: Expected
    ) -> None:
        said = None if reason is None else parse_reason(reason)
        actor = {"organization": principal.organization, "principal": principal.id}
        facts = {"actor": actor, "dataset": str(name), "version": number}
        with self.log.entering_refusals(name.organization, {"act": act.value, **facts}), self.database.write() as connection:
            require_steward(principal, name)
            dataset = catalog.require(connection, name, EVERYTHING)
            now = self.clock()
            if number is None:
                catalog.move_dataset(connection, name, move(dataset.condition, act, what=str(name), reason=said, now=now))
                expected.require(dataset.tag())
            else:
                version = catalog.find_numbered(connection, dataset, number)
                after = move(version.condition, act, what=f"Version {number} of {name}", reason=said, now=now)
                catalog.move_version(connection, name, number, after)
                expected.require(version.tag())
            kind = Kind.WITHDRAWAL if act is Act.WITHDRAW else Kind.RESTORATION
            self.log.append(connection, Draft(name.organization, kind, facts))


def require_steward(principal: Principal, name: DatasetName) -> None:
    """Let the local operator and the stewards of the dataset's organization pass, refuse everyone else."""
    if not principal.is_operator():
        require_role(principal, name.organization, Role.STEWARD, scope=Scope.PUBLISH)

"""The log's key handed over to a new one: announced in every log by a note that both keys sign, and only then put into use.

Until the announcement is committed the new key lies beside the old one. Whoever opens the home after a crash in between finishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from baybridge.audit import store as audit_store
from baybridge.audit.checkpoint import Verifier
from baybridge.audit.entry import JSON, Kind
from baybridge.audit.log import Draft, Log
from baybridge.audit.rotation import Rotation, sign_rotation
from baybridge.db import Database
from baybridge.errors import Conflict
from baybridge.operate.home import Home, Keys, drop_next_key, make_next_key, read_next_key, use_next_key
from baybridge.operate.pins import pin_log_key
from baybridge.principals.principal import Principal, require_operator


@dataclass(frozen=True, slots=True)
class Rotate:
    """The rotation of a home's signing key, bound to what it needs. The exchange is opened anew after it."""

    home: Home
    database: Database
    log: Log
    clock: Callable[[], datetime]
    keys: Keys

    def rotate(self, principal: Principal) -> tuple[Verifier, ...]:
        """Put a new key in the place of the present one, and give it as each log's verifier. Raise Conflict while the home is served."""
        require_operator(principal)
        with self.home.held():
            new = make_next_key(self.home)
            with self.database.write() as connection:
                verifiers = []
                for organization in audit_store.logs(connection):
                    origin, size = self.log.origin(organization), audit_store.frontier(connection, organization).size
                    note = sign_rotation(origin, size, self.keys.log, new)
                    facts: dict[str, JSON] = {"actor": {"organization": principal.organization, "principal": principal.id}, "note": note}
                    self.log.append(connection, Draft(organization, Kind.KEY_ROTATED, facts))
                    audit_store.keep_rotation(connection, organization, size=size, note=note, now=self.clock())
                    verifiers.append(Verifier.of(new, origin))
                pin_log_key(connection, replace(self.keys, log=new))
            use_next_key(self.home)
        return tuple(verifiers)


def settle_rotation(home: Home, database: Database, log: Log, keys: Keys) -> Keys:
    """Finish a rotation that a crash cut short: use its key where the logs have announced it, else drop it. Give the keys in use."""
    if not home.next_key.exists():
        return keys
    try:
        with home.held():
            new = read_next_key(home)
            if new is None:
                return keys
            with database.read() as connection:
                announced = any(
                    Rotation.parse(notes[-1]).new == Verifier.of(new, log.origin(organization))
                    for organization in audit_store.logs(connection)
                    if (notes := audit_store.rotations(connection, organization))
                )
            if not announced:
                drop_next_key(home)
                return keys
            use_next_key(home)
            return replace(keys, log=new)
    except Conflict:  # another process is rotating at this moment, and finishes itself
        return keys

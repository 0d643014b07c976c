"""Umbrellas: named master agreements of two parties, under which one signing covers many agreements."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785
import sqlalchemy as sa

from baybridge.agreements.agreement import Agreement, Side, State
from baybridge.agreements.store import of_umbrella, parse_umbrella
from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import NotFound

UMBRELLAS: Final = sa.Table(
    "umbrellas",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("consumer", sa.Text, sa.ForeignKey("organizations.name"), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Umbrella:
    """A named master agreement of two parties, and the agreements under it, in the order in which they were asked for."""

    id: str
    title: str
    provider: str
    consumer: str
    created: datetime
    agreements: tuple[Agreement, ...]

    def covered(self) -> tuple[Agreement, ...]:
        """The agreements that a signature covers: all but those whose negotiation was ended."""
        return tuple(each for each in self.agreements if each.state is not State.TERMINATED)

    def unsigned(self, *sides: Side) -> tuple[Agreement, ...]:
        """The covered agreements that none of these sides has signed, neither alone nor with the others."""
        return tuple(each for each in self.covered() if not any(signature.side in sides for signature in each.signatures))

    def canonical(self) -> bytes:
        """RFC 8785 bytes of what one signing is over: the umbrella's name, and in order each covered agreement and its digest."""
        listed = [{"agreement": each.id, "terms_sha256": each.terms_sha256} for each in self.covered()]
        return rfc8785.dumps({"agreements": listed, "format": 1, "title": self.title, "umbrella": self.id})

    def digest(self) -> str:
        """SHA-256 of the canonical form, in hex: the digest that a signatory of the umbrella sends."""
        return hashlib.sha256(self.canonical()).hexdigest()


def add_umbrella(connection: sa.Connection, title: str, provider: str, consumer: str, *, now: datetime) -> str:
    """Add an umbrella with nothing under it yet, and give its id."""
    highest = connection.execute(sa.select(sa.func.max(UMBRELLAS.c.number))).scalar()
    number = (highest or 0) + 1
    connection.execute(sa.insert(UMBRELLAS).values(number=number, title=title, provider=provider, consumer=consumer, created=now))
    return f"UMB-{number:04d}"


def find_umbrella(connection: sa.Connection, umbrella_id: str) -> Umbrella:
    """Give the umbrella of that id with its agreements. Raise NotFound."""
    row = connection.execute(_UMBRELLA.where(UMBRELLAS.c.number == parse_umbrella(umbrella_id))).first()
    if row is None:
        raise NotFound("not_found", "There is no umbrella of that id that you are a party to.")
    return _umbrella(connection, row)


def umbrellas_of_party(connection: sa.Connection, organization: str) -> tuple[Umbrella, ...]:
    """The umbrellas that the organization is a party to, oldest first."""
    party = sa.or_(UMBRELLAS.c.provider == organization, UMBRELLAS.c.consumer == organization)
    return tuple(_umbrella(connection, row) for row in connection.execute(_UMBRELLA.where(party).order_by(UMBRELLAS.c.number)).all())


_UMBRELLA: Final = sa.select(UMBRELLAS.c.number, UMBRELLAS.c.title, UMBRELLAS.c.provider, UMBRELLAS.c.consumer, UMBRELLAS.c.created)


def _umbrella(connection: sa.Connection, row: Any) -> Umbrella:
    umbrella_id = f"UMB-{row.number:04d}"
    return Umbrella(umbrella_id, row.title, row.provider, row.consumer, row.created, of_umbrella(connection, umbrella_id))

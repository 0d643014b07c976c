"""What every JSON shape is: an object with typed members. Shapes only: no rule lives here."""

from __future__ import annotations

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A JSON object of an answer. Instants are RFC 3339 texts; digests are lower-case hex SHA-256.

    A member that a newer server adds is skipped, so that an older client reads on.
    """


class RequestShape(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object that a caller sends, with exactly these members: one that is not known is refused, never skipped."""


class LinkShape(Shape, frozen=True, kw_only=True):
    """An RFC 8288 link."""

    rel: str
    href: str

"""Whose eyes a principal looks at the catalog with. Pure."""

from __future__ import annotations

from baybridge.catalog.dataset import EVERYTHING, NOBODY, Sight
from baybridge.principals.principal import Principal


def sight_of(principal: Principal | None) -> Sight:
    """Those of its organization, in whatever role; the local operator sees all that there is, and who has no token is nobody."""
    if principal is None:
        return NOBODY
    return EVERYTHING if principal.is_operator() else Sight(principal.organization)

"""What is asked of a dataset's rows, as path, parameters and headers; and what may stand in each. It sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from baybridge.client.answers import not_understood
from baybridge.client.call import Call, Steps, header
from baybridge.errors import Invalid, Place
from baybridge.names import nearest, parse_purpose
from baybridge.wire.collections import QueryLinkShape
from baybridge.wire.shape import LinkShape

_IN_AN_ADDRESS: Final = 4096
"""Bytes of a filter that is sent in an address; a longer one goes in a body."""


class Selection(TypedDict, total=False):
    """Which rows and columns, in which order, and how many; the server's own rules hold for each.

    `filter` is CQL2 text. `sortby` names columns with a leading - for descending (a + keeps a name that begins with a sign).
    `version` pins one, `agreement` names one where several fit, `purpose` goes before the client's own.
    """

    filter: str | None
    properties: Sequence[str]
    sortby: Sequence[str]
    limit: int | None
    version: int | None
    agreement: str | None
    purpose: str | None


class Question(Selection, total=False):
    """A selection in pages: `limit` is the size of each, `cursor` the place of one."""

    cursor: str | None


class Linked(Protocol):
    """A page with its links."""

    @property
    def links(self) -> Sequence[LinkShape]:
        """Where the next page is, if there is one."""


L = TypeVar("L", bound=Linked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A Question with nothing left out. Raise Invalid for one text in place of a list of names."""

    filter: str | None = None
    properties: Sequence[str] = ()
    sortby: Sequence[str] = ()
    limit: int | None = None
    version: int | None = None
    agreement: str | None = None
    purpose: str | None = None
    cursor: str | None = None

    def __post_init__(self) -> None:
        for name, given in (("properties", self.properties), ("sortby", self.sortby)):
            if isinstance(given, str):
                raise Invalid("invalid_request", f"{name} takes a list of names, not one text.", places=(Place(name, "a list of names"),))

    def parameters(self) -> dict[str, str]:
        """The query string's parameters, without what was not asked."""
        given = {
            "filter": self.filter,
            "properties": ",".join(_quoted(name) for name in self.properties) or None,
            "sortby": ",".join(_quoted_key(key) for key in self.sortby) or None,
            "limit": None if self.limit is None else str(self.limit),
            "cursor": self.cursor,
        }
        return {name: value for name, value in given.items() if value is not None}

    def body(self, f: str | None = None) -> bytes:
        """The same as a body for POST, which takes a filter that is too long for an address."""
        given = {
            "filter": self.filter,
            "properties": list(self.properties) or None,
            "sortby": list(self.sortby) or None,
            "limit": self.limit,
            "cursor": self.cursor,
            "f": f,
        }
        return msgspec.json.encode({name: value for name, value in given.items() if value is not None})

    def fits_an_address(self) -> bool:
        """Whether the filter is short enough to stand in one, percent-encoded."""
        return self.filter is None or len(self.filter.encode()) <= _IN_AN_ADDRESS

    def headers(self) -> dict[str, str]:
        """The headers that say for what, and under which agreement. Raise Invalid for what cannot stand in one."""
        headers = {} if self.purpose is None else {"baybridge-purpose": parse_purpose(self.purpose)}
        return headers if self.agreement is None else headers | {"baybridge-agreement": header(self.agreement, "agreement")}


def asked_of(method: str, question: Question | Selection) -> Asked:
    """The question that a method was called with. Raise TypeError, in the method's name, for what no question has."""
    known = [field.name for field in fields(Asked)]
    for name in question:
        if name not in known:
            hint = nearest(name, known)
            meant = "" if hint is None else f". Did you mean {hint!r}?"
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}{meant}")
    return Asked(**question)


def linked(call: Call[L]) -> Steps[L]:
    """The page that the call asks for, and all that follow it."""
    following: Call[L] | None = call
    while following is not None:
        page = yield following
        following = _next(following, page.links)


def part(text: str) -> str:
    """One part of a path: an empty one, or dots, would make another path."""
    if text.strip("."):
        return quote(text, safe="")
    raise Invalid("invalid_request", "A name is empty.", places=(Place("name", "a name or an id"),))


def _next(call: Call[L], links: Sequence[LinkShape]) -> Call[L] | None:
    """The call for the next page. A link to another host is not followed: the token would go there too."""
    for link in links:
        if link.rel == "next":
            if link.href.startswith("/") and not link.href.startswith("//"):
                if isinstance(link, QueryLinkShape) and call.body is not None:
                    return replace(call, path=link.href, body=msgspec.json.encode(msgspec.json.decode(call.body) | link.body))
                return replace(call, path=link.href, query={})
            raise not_understood(call.path)
    return None


def _quoted(name: str) -> str:
    """A name as the server's lists take it: in double quotes where it would read as something else."""
    plain = name.strip() == name and name[:1] not in {"+", "-"} and not {",", '"'} & set(name)
    return name if plain and name else '"' + name.replace('"', '""') + '"'


def _quoted_key(key: str) -> str:
    sign = key[:1] if key[:1] in {"+", "-"} else ""
    return sign + _quoted(key.removeprefix(sign))

"""What is true of one address, said once: routes, the OpenAPI document and the tests are all made of these rows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from baybridge.principals.principal import Role

ADDRESS: Final = "baybridge.address"
"""The scope's key under which a handler finds its own row."""

Schema = Mapping[str, Any]
Body = Any
"""A shape, which travels as JSON; or a media type; or None; or several of them."""


class Token(Enum):
    """Whether a request needs a token."""

    UNREAD = "public: no token is needed"
    OPTIONAL = "what is public needs no token"
    NEEDED = "a token is needed"


@dataclass(frozen=True, slots=True)
class Who:
    """Who may call: with a token or without, and in which roles of the organization that the address is about. No roles: any."""

    token: Token
    roles: tuple[Role, ...] = ()


PUBLIC: Final = Who(Token.UNREAD)
SEEN: Final = Who(Token.OPTIONAL)
"""Everyone, with a token or without: it says whose eyes look."""
DECIDED: Final = Who(Token.OPTIONAL, (Role.ANALYST, Role.STEWARD))
SIGNED_IN: Final = Who(Token.NEEDED)


def only(*roles: Role) -> Who:
    """Callers with a token in one of the roles."""
    return Who(Token.NEEDED, roles)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, and what it may be as a JSON Schema. `place` is query, header or path."""

    name: str
    description: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    place: str = "query"


IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key", "A name of the caller's for this request: sent again, it is not done again.", place="header"
)

IF_MATCH: Final = Parameter("If-Match", "The ETag of the state that is to be changed: another state is not.", place="header")

_NAME: Final = "[a-z][a-z0-9_]*"
IN_PATH: Final = {
    "dataset": Parameter("dataset", "The dataset's id, `org.name`.", {"type": "string", "pattern": f"^{_NAME}\\.{_NAME}$"}, "path"),
    "version": Parameter("version", "A version's number.", {"type": "integer", "minimum": 1}, "path"),
    "level": Parameter("level", "A tile's level.", {"type": "integer", "minimum": 0, "maximum": 63}, "path"),
    "number": Parameter("number", "A tile's number as in C2SP tlog-tiles, `x001/x234/067` or `000.p/5`.", place="path"),
    "index": Parameter("index", "An entry's index.", {"type": "integer", "minimum": 0}, "path"),
    "other": Parameter("other", "A version's number.", {"type": "integer", "minimum": 1}, "path"),
    "organization": Parameter("organization", "An organization's name.", {"type": "string", "pattern": f"^{_NAME}$"}, "path"),
    "agreement": Parameter("agreement", "An agreement's id.", {"type": "string", "pattern": "^AGR-[0-9]{4,}$"}, "path"),
    "umbrella": Parameter("umbrella", "An umbrella's id.", {"type": "string", "pattern": "^UMB-[0-9]{4,}$"}, "path"),
    "notice": Parameter("notice", "A notice's number.", {"type": "integer", "minimum": 1}, "path"),
    "token": Parameter("token", "A token's id, not the token.", {"type": "string", "pattern": "^tok_[0-9a-f]{16}$"}, "path"),
    "principal": Parameter("principal", "A principal's id.", {"type": "string", "pattern": "^prn_[0-9a-f]{16}$"}, "path"),
    "code": Parameter("code", "An error's code.", {"type": "string", "pattern": "^[a-z_]+$"}, "path"),
}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Address:
    """One address. `gives` has the body of each answer that is no error, first the one of an act that was done.

    `codes` are the errors of this address alone; `all_codes` adds those that follow from the rest of the row. `acts` is False for a POST
    that only reads. `kept` is False where the answer holds a secret, so that none is kept under an Idempotency-Key.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    who: Who
    gives: Mapping[int, Body]
    takes: Body = None
    parameters: tuple[Parameter, ...] = ()
    codes: tuple[str, ...] = ()
    acts: bool = True
    kept: bool = True

    @property
    def template(self) -> str:
        """The path without Starlette's converters."""
        return re.sub(r":[a-z]+}", "}", self.path)

    @property
    def is_api(self) -> bool:
        """Whether this is of the API: what is not takes no notice of parameters."""
        return self.path.startswith("/api/")

    @property
    def once(self) -> bool:
        """Whether an Idempotency-Key is honoured here: what makes or moves something by POST."""
        return self.method == "POST" and self.acts

    @property
    def conditional(self) -> bool:
        """Whether what is changed here has an ETag, which If-Match may name."""
        return IF_MATCH in self.parameters

    def path_parameters(self) -> tuple[Parameter, ...]:
        """The parameters in the path. Raise KeyError for one that IN_PATH does not describe."""
        return tuple(IN_PATH[name] for name in re.findall(r"{([a-z]+)}", self.template))

    def all_codes(self) -> tuple[str, ...]:
        """Every code that a problem of this address may have, in order."""
        found = {"internal", *self.codes}
        if self.is_api:
            found |= {"unknown_parameter", "busy", "catalog_unavailable"}
        if self.is_api and self.method != "GET":
            found |= {"precondition_failed"}
        if self.parameters or self.takes is not None or "{organization}" in self.path or "{dataset}" in self.path:
            found |= {"invalid_request"}
        if "{" in self.path:
            found |= {"not_found"}
        if self.who.token is not Token.UNREAD:
            found |= {"invalid_request", "not_signed_in", "token_expired", "principal_suspended", "organization_suspended"}
        if self.once:
            found |= {"request_under_way", "outcome_unknown", "idempotency_key_reused", "conflict"}
        if self.who.roles:
            found |= {"role_required", "scope_required", "role_unconfirmed", "token_wrong_organisation", "log_unavailable"}
        return tuple(sorted(found))


def address_of(request: Request) -> Address:
    """The row of the address that the request came to."""
    found: Address = request.scope[ADDRESS]
    return found

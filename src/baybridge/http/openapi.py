"""The OpenAPI 3.1 document, made of the table of addresses and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import msgspec

from baybridge import __version__
from baybridge.errors import CODES
from baybridge.http.contract import IDEMPOTENCY_KEY, Address, Body, Parameter, Token
from baybridge.http.problems import MEDIA_TYPE
from baybridge.wire.problems import ProblemShape

_REFERENCE: Final = "#/components/schemas/{name}"
_ABOUT: Final = """Every request is checked strictly: a parameter or a member that is not known is refused. Every error is a problem \
(RFC 9457) with a stable `code`. An address that takes GET takes HEAD."""

Json = dict[str, Any]


def document(addresses: Sequence[Address]) -> bytes:
    """The document as JSON."""
    shapes = [shape for address in addresses for body in (address.takes, *address.gives.values()) for shape in _bodies(body)]
    types = [*dict.fromkeys(shape for shape in shapes if not isinstance(shape, str)), ProblemShape]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    found = dict(zip(types, schemas, strict=True))
    ordered = sorted(addresses, key=attrgetter("template"))
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "openapi": "3.1.0",
                "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
                "info": {"title": "Baybridge", "version": __version__, "description": _ABOUT},
                "paths": {
                    path: {each.method.lower(): _operation(each, found) for each in group}
                    for path, group in groupby(ordered, attrgetter("template"))
                },
                "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
            }
        )
    )


def _operation(address: Address, schemas: Mapping[Any, Json]) -> Json:
    parameters = (*address.path_parameters(), *address.parameters, *((IDEMPOTENCY_KEY,) if address.once else ()))
    operation: Json = {
        "operationId": _operation_id(address),
        "summary": address.summary,
        "description": _who(address),
        "parameters": [_parameter(each) for each in parameters],
        "responses": {
            **{str(status): _answer(_bodies(body), schemas) for status, body in sorted(address.gives.items())},
            **dict(_problems(address, schemas)),
        },
        "security": {Token.UNREAD: [], Token.OPTIONAL: [{}, {"token": []}], Token.NEEDED: [{"token": []}]}[address.who.token],
    }
    if address.takes is not None:
        operation["requestBody"] = {"required": True, "content": _content(_bodies(address.takes), schemas)}
    return operation


def _operation_id(address: Address) -> str:
    words = [part.strip("{}") for part in address.template.removeprefix("/api/v1").split("/") if part]
    return "_".join((address.method.lower(), *words)).replace(".", "_")


def _who(address: Address) -> str:
    roles = f" of a principal with the role {' or '.join(address.who.roles)}" if address.who.roles else ""
    return {
        Token.UNREAD: "No token is needed.",
        Token.OPTIONAL: f"What is public needs no token, other things one{roles}.",
        Token.NEEDED: f"A token{roles} is needed.",
    }[address.who.token]


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _answer(bodies: Iterable[Body], schemas: Mapping[Any, Json]) -> Json:
    content = _content(bodies, schemas)
    return {"description": "The answer.", "content": content} if content else {"description": "No body."}


def _problems(address: Address, schemas: Mapping[Any, Json]) -> Iterable[tuple[str, Json]]:
    """Each status that a problem may have, with its codes."""
    by_status = sorted(address.all_codes(), key=lambda code: CODES[code].status)
    for status, codes in groupby(by_status, key=lambda code: CODES[code].status):
        said = "\n".join(f"- `{code}`: {CODES[code].meaning}" for code in codes)
        content = {MEDIA_TYPE: {"schema": schemas[ProblemShape]}}
        if status in address.gives:
            content |= _content(_bodies(address.gives[status]), schemas)
        yield str(status), {"description": said, "content": content}


def _content(bodies: Iterable[Body], schemas: Mapping[Any, Json]) -> Json:
    """Shapes travel as JSON; what is named by its media type has no schema."""
    named = ((body.partition(";")[0], {}) if isinstance(body, str) else ("application/json", {"schema": schemas[body]}) for body in bodies)
    return dict(named)


def _bodies(body: Body) -> tuple[Body, ...]:
    if body is None:
        return ()
    return body if isinstance(body, tuple) else (body,)

"""The server itself."""

from __future__ import annotations

from typing import Any

from baybridge.client.call import Call, get


def openapi() -> Call[dict[str, Any]]:
    """Every address of the server, as an OpenAPI document."""
    return get("/openapi.json", dict[str, Any])

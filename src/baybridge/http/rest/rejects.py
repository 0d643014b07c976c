"""Rejects: the rows of an upload that did not fit, for a steward of the dataset's organization."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from baybridge.http.faces import bearer, call, signed_in
from baybridge.names import DatasetName


async def rejects(request: Request) -> Response:
    """Answer GET /collections/{dataset}/rejects and .../versions/{n}/rejects: CSV, when its entry is durable."""
    name, number, token = DatasetName.parse(request.path_params["dataset"]), request.path_params.get("version"), bearer(request)
    found = await call(request, lambda exchange: exchange.rejects.read(signed_in(exchange, token), name, number))
    headers = {
        "baybridge-entry": f"{name.organization}/{found.entry}",
        "cache-control": "private, no-store",
        "content-disposition": "attachment",  # cells as someone sent them: a browser shows none of it
        "vary": "Authorization",
        "x-content-type-options": "nosniff",
    }
    return Response(found.data, headers=headers, media_type="text/csv; charset=utf-8")

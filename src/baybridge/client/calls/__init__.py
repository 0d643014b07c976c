"""Every call that the SDK knows, one module per noun: pure functions from arguments to a `Call`."""

from baybridge.client.calls import agreements, audit, collections, endings, examine, notices, principals, rows, server, umbrellas

__all__ = ["agreements", "audit", "collections", "endings", "examine", "notices", "principals", "rows", "server", "umbrellas"]

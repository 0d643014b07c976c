"""What the entry of a publication says beside the whole. Pure; no cell and no free text is in it."""

from __future__ import annotations

import hashlib

from baybridge.audit.entry import JSON, canonical
from baybridge.audit.side import Side
from baybridge.catalog.dataset import Version
from baybridge.publish.upload import Publication, Upload


def reason_side(upload: Upload, version: Version, *, salt: bytes) -> Side | None:
    """Give why rows were let go, where any were: free text, so it is kept beside the entry, to be erased with the version or before."""
    if version.rejects is None or upload.let_go is None:
        return None
    said = canonical({"rejects_reason": upload.let_go.reason, "salt": salt.hex()})
    return Side(said, str(version.dataset), version.number)


def change_facts(publication: Publication) -> dict[str, JSON]:
    """What the entry says beside the whole: how the version came out of the one before."""
    if publication.base is None:
        return {}
    changes = publication.changes
    counts: dict[str, JSON] = {"deleted": changes.deleted, "inserted": changes.inserted, "updated": changes.updated}
    return {"base": publication.base, "changes": counts, "mode": publication.mode.value}


def reject_facts(upload: Upload, publication: Publication, version: Version, side: Side | None) -> dict[str, JSON]:
    """What the entry says of rows that were let go: how many of how many, up to which threshold, and the hashes of list and reason."""
    if side is None or version.rejects is None or upload.let_go is None:
        return {}
    return {
        "max_rejects": upload.let_go.said,
        "rejects_sha256": version.rejects.sha256,
        "rows_read": publication.rows_read,
        "rows_rejected": publication.rows_rejected,
        "side_sha256": hashlib.sha256(side.data).hexdigest(),
    }

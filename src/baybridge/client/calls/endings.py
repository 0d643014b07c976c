"""How datasets and versions end: withdrawn for a while, or purged for good."""

from __future__ import annotations

from baybridge.client.call import Call, send
from baybridge.client.calls.collections import path_of
from baybridge.wire.collections import CollectionShape, PurgeRequest, PurgeShape, VersionShape, WithdrawRequest


def withdraw(dataset: str, reason: str, *, if_match: str | None = None) -> Call[CollectionShape]:
    """Refuse a dataset to everyone until it is restored; the reason is public."""
    return send("POST", f"{path_of(dataset)}/withdraw", WithdrawRequest(reason=reason), CollectionShape, if_match=if_match)


def restore(dataset: str, *, if_match: str | None = None) -> Call[CollectionShape]:
    """Lift the withdrawal of a dataset."""
    return send("POST", f"{path_of(dataset)}/restore", None, CollectionShape, if_match=if_match)


def withdraw_version(dataset: str, number: int, reason: str, *, if_match: str | None = None) -> Call[VersionShape]:
    """Refuse one version to everyone until it is restored; the reason is public."""
    return send("POST", f"{path_of(dataset, number)}/withdraw", WithdrawRequest(reason=reason), VersionShape, if_match=if_match)


def restore_version(dataset: str, number: int, *, if_match: str | None = None) -> Call[VersionShape]:
    """Lift the withdrawal of one version."""
    return send("POST", f"{path_of(dataset, number)}/restore", None, VersionShape, if_match=if_match)


def plan_purge(dataset: str, reason: str, *, version: int | None = None) -> Call[PurgeShape]:
    """Say what a purge of a dataset, or of one version, would destroy. It destroys nothing."""
    return send("POST", f"{path_of(dataset, version)}/purge", PurgeRequest(reason=reason), PurgeShape)


def purge(dataset: str, reason: str, plan_sha256: str, *, version: int | None = None) -> Call[PurgeShape]:
    """Destroy, for good, what the plan with this digest says."""
    return send("POST", f"{path_of(dataset, version)}/purge", PurgeRequest(reason=reason, plan_sha256=plan_sha256), PurgeShape)

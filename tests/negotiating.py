"""What tests of agreements share: an agreement brought into a state, an act done by who may, and what an act left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conftest import World

from baybridge.agreements.agreement import Agreement
from baybridge.errors import BaybridgeError
from baybridge.principals.principal import LOCAL_OPERATOR, Principal

PATHS = {
    "REQUESTED": (),
    "OFFERED": ("offer",),
    "ACCEPTED": ("offer", "sign_as_consumer"),
    "AGREED": ("offer", "sign_as_provider"),
    "FINALIZED": ("offer", "sign_as_provider", "sign_as_consumer"),
    "SUSPENDED": ("offer", "sign_as_consumer", "sign_as_provider", "suspend"),
    "REVOKED": ("offer", "sign_as_consumer", "sign_as_provider", "revoke"),
    "TERMINATED": ("terminate",),
    "CLOSED": ("offer", "sign_as_consumer", "sign_as_provider", "revoke", "close"),
}
DOERS = {
    "offer": ("bts", "steward"),
    "sign_as_provider": ("bts", "signatory"),
    "sign_as_consumer": ("dot", "signatory"),
    "terminate": ("dot", "analyst"),
    "suspend": ("bts", "steward"),
    "resume": ("bts", "steward"),
    "revoke": ("bts", "steward"),
    "close": ("dot", "steward"),
}


def who(world: World, name: str) -> Principal:
    return LOCAL_OPERATOR if name == "operator" else world.person(*name.split())


def perform(world: World, agreement_id: str, action: str, principal: Principal | None = None) -> Agreement:
    """Do one act, as who may do it unless told otherwise."""
    agree = world.exchange.agree
    doer = principal or world.person(*DOERS[action])
    if action == "offer":
        return agree.offer(doer, agreement_id, None)
    if action.startswith("sign"):
        return agree.sign(doer, agreement_id, agree.show(LOCAL_OPERATOR, agreement_id).terms_sha256)
    act: Callable[[Principal, str, str], Agreement] = getattr(agree, action)
    return act(doer, agreement_id, f"because of {action}")


def in_state(world: World, state: str, **changes: object) -> Agreement:
    """A new agreement, brought into that state by the acts that lead there."""
    agreement = world.exchange.agree.request(world.person("dot", "analyst"), world.terms(**changes))
    for action in PATHS[state]:
        agreement = perform(world, agreement.id, action)
    assert agreement.state == state
    return agreement


def log(world: World) -> list[dict[str, Any]]:
    return [json.loads(data) for _, data in world.exchange.watch.entries(LOCAL_OPERATOR, "bts", start=0, limit=10_000).entries]


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except BaybridgeError as error:
        return error.code
    return "ok"

"""The methods that both clients share, in one table: every call of `calls` under its name."""

from __future__ import annotations

from baybridge.client import calls
from baybridge.client.call import Address, Walk, Whole


class Addresses:
    """Each is a call that is performed: at once by Client, when it is awaited by AsyncClient."""

    whoami = Address(calls.principals.whoami)
    organizations = Address(calls.principals.organizations)
    principals = Address(calls.principals.principals)
    principal = Address(calls.principals.principal)
    add_principal = Address(calls.principals.add_principal)
    set_roles = Address(calls.principals.set_roles)
    confirm_roles = Address(calls.principals.confirm_roles)
    suspend_principal = Address(calls.principals.suspend_principal)
    resume_principal = Address(calls.principals.resume_principal)
    offboard_principal = Address(calls.principals.offboard_principal)
    tokens = Address(calls.principals.tokens)
    issue_token = Address(calls.principals.issue_token)
    rotate_token = Address(calls.principals.rotate_token)
    revoke_token = Address(calls.principals.revoke_token)

    collections = Address(calls.collections.collections)
    collection = Address(calls.collections.collection)
    schema = Address(calls.collections.schema)
    versions = Address(calls.collections.versions)
    version = Address(calls.collections.version)
    declare = Address(calls.collections.declare)
    publish = Address(calls.collections.publish)
    items = Address(calls.collections.items)
    pages = Walk(calls.collections.pages, calls.collections.page_itself)
    rows = Walk(calls.collections.rows, calls.collections.page_rows)
    table = Whole(calls.collections.table)

    agreements = Address(calls.agreements.agreements)
    agreement = Address(calls.agreements.agreement)
    request_agreement = Address(calls.agreements.request_agreement)
    offer = Address(calls.agreements.offer)
    sign = Address(calls.agreements.sign)
    suspend = Address(calls.agreements.suspend)
    resume = Address(calls.agreements.resume)
    revoke = Address(calls.agreements.revoke)
    terminate = Address(calls.agreements.terminate)

    checkpoint = Address(calls.audit.checkpoint)
    verifier = Address(calls.audit.verifier)
    keys = Address(calls.audit.keys)
    entries = Address(calls.audit.entries)
    all_entries = Walk(calls.audit.all_entries, calls.audit.decoded)

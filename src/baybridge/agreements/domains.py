"""Pseudonym domains: their keys, wrapped at rest. An unwrapped key leaves this file only as bytes for the extract's builder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from baybridge.db import METADATA, UtcDateTime
from baybridge.errors import Corrupt

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12

PSEUDONYM_DOMAINS: Final = sa.Table(
    "pseudonym_domains",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("consumer", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.UniqueConstraint("provider", "consumer", "name", name="one_key_per_domain"),
)


def key_of_domain(
    connection: sa.Connection,
    provider: str,
    consumer: str,
    name: str,
    *,
    wrapping_key: bytes,
    entropy: Callable[[int], bytes],
    now: datetime,
) -> str:
    """Give the id of the domain's key, making the key when the domain is new. The id says nothing about the key.

    Provider, consumer and name are the whole identity of a domain, so its pseudonyms outlive an agreement: one that renews it and
    names the same domain gets the same key.
    """
    domains = PSEUDONYM_DOMAINS.c
    present = connection.execute(
        sa.select(domains.key_id).where(domains.provider == provider, domains.consumer == consumer, domains.name == name)
    ).scalar()
    if present is not None:
        return str(present)
    key_id = "key_" + entropy(8).hex()
    nonce = entropy(_NONCE_BYTES)
    wrapped = nonce + AESGCM(wrapping_key).encrypt(nonce, entropy(KEY_BYTES), key_id.encode())
    connection.execute(
        sa.insert(PSEUDONYM_DOMAINS).values(key_id=key_id, provider=provider, consumer=consumer, name=name, wrapped=wrapped, created=now)
    )
    return key_id


def unwrap_key(connection: sa.Connection, key_id: str, *, wrapping_key: bytes) -> bytes:
    """Give the 32 bytes of a domain's key. Raise Corrupt when it is gone or was wrapped by another home's key."""
    wrapped = connection.execute(sa.select(PSEUDONYM_DOMAINS.c.wrapped).where(PSEUDONYM_DOMAINS.c.key_id == key_id)).scalar()
    if wrapped is None:
        raise Corrupt("corrupt", "A pseudonym key that an agreement names is not in the catalog.")
    try:
        return AESGCM(wrapping_key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id.encode())
    except InvalidTag as wrong:
        raise Corrupt("corrupt", "A pseudonym key cannot be unwrapped with this home's key.") from wrong

"""Hashes of values that are too short to be hashed bare (user codes): without the key, nobody can try them all."""

import hmac
from typing import Final

from mongostore.protection.context import length_prefixed

# Frozen: records are found by these hashes.
_LABEL: Final = b"mongostore/keyed-hash/v1"


def keyed_hash(key: bytes, purpose: str, value: str) -> bytes:
    """Hash `value` for one purpose, 32 bytes: equal values have equal hashes under one key and purpose, and no other.

    Layout (frozen): HMAC-SHA256(key, "mongostore/keyed-hash/v1" | length | purpose | length | value), with lengths in
    bytes as 4 bytes big-endian and texts in UTF-8.
    """
    return hmac.digest(key, _LABEL + length_prefixed(purpose, value), "sha256")

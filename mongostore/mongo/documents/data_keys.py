"""How data keys lie in MongoDB: wrapped by the master key, one record a generation."""

from datetime import datetime
from typing import ClassVar

from pymongo import IndexModel

from mongostore.mongo.documents.base import StoredFields, index


class DataKeyFields(StoredFields):
    """One data key; `_id` is `tenant|generation`, so that two nodes can't make the same generation.

    Attributes:
        generation: counts from 1; 0 is the key for keyed hashes.
        purpose: "data" seals payloads, "hash" keys the hashes of short codes.
        key_id: 16 bytes, named in every envelope.
        wrapped: the key as the master key wrapped it, bound to all other fields; absent once destroyed.
        opens_only: true when it never seals; else absent.
        context_version: which fields it is bound to; absent in records of former versions.
    """

    label: ClassVar[str] = "data_keys"
    indexes: ClassVar[tuple[IndexModel, ...]] = (index("by_tenant", "tenant", "generation"),)

    generation: int
    purpose: str
    key_id: bytes
    wrapped: bytes | None = None
    master_key_id: str
    created: datetime
    activates_at: datetime
    destroyed_at: datetime | None = None
    opens_only: bool | None = None
    context_version: int | None = None

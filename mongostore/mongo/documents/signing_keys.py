"""How signing keys lie in MongoDB: one record a generation, so that two nodes can't make the same one."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from bson import Binary
from pymongo import IndexModel

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import SerializedKey
from mongostore.models.base import from_payload, to_payload
from mongostore.mongo.documents.base import (
    StoredFields,
    expiry_index,
    natural_key,
    record_id,
    without_nulls,
)
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector
from mongostore.stores.signing_keys import SigningKeyRecord
from mongostore.tenancy import Tenant

# Far longer than any node can take between reading the keys and adding one.
TOMBSTONE_LIFETIME = timedelta(days=30)

# What is bound to the payload, in this order (frozen).
_COLUMNS = ("key_id", "algorithm", "created", "supersedes", "stored")
# Python refuses to read a number of thousands of digits, which somebody else may have put there.
_MOST_DIGITS = 18


class SigningKeyFields(StoredFields):
    """One signing key; `_id` is `tenant|generation`.

    The generation is what elects: a key is stored under the one after the newest that its maker has seen, and the place
    of a deleted key stays taken for a while, so that no two nodes add a key to the same set of keys.

    Attributes:
        key_id: the `kid`.
        algorithm, created: as in the payload; they tell of a key that can't be read.
        supersedes: true when it takes over from older keys once it is propagated.
        stored: when it came in, by the server's time; absent in records of older versions.
        payload: the key as JSON with the reference's names, and the fields above; absent once deleted.
        purge_at: from when on the place of a deleted key need not be kept; absent while the key is there.
    """

    label: ClassVar[str] = "signing_keys"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (expiry_index(),)

    key_id: str
    algorithm: str
    created: datetime
    supersedes: bool | None = None
    stored: datetime | None = None
    payload: Sealed | None = None
    purge_at: datetime | None = None


class SigningKeyCodec:
    """Turns signing keys of one tenant into documents and back: the only place where they are sealed and opened."""

    def __init__(self, tenant: Tenant, protector: Protector) -> None:
        """Args: whose keys, and what seals them."""
        self.tenant = tenant
        self._protector = protector

    async def document(
        self, key: SerializedKey, generation: int, *, supersedes: bool, stored: datetime
    ) -> dict[str, Any]:
        """What is stored for a key."""
        columns = {
            "key_id": key.id,
            "algorithm": key.algorithm,
            "created": key.created,
            "supersedes": supersedes or None,
            "stored": stored,
        }
        sealed = await self._protector.seal(to_payload(key), self._context(str(generation)), columns)
        return without_nulls(
            {
                "_id": record_id(self.tenant, str(generation)),
                "tenant": self.tenant,
                **columns,
                "payload": Binary(sealed),
            }
        )

    async def record(self, document: dict[str, Any]) -> SigningKeyRecord:
        """What a stored document says; one that can't be read comes with the reason."""
        key: SerializedKey | None = None
        damage: PayloadUnreadable | KeyUnavailable | None = None
        try:
            key = await self._key(document)
        except (PayloadUnreadable, KeyUnavailable) as error:
            damage = error
        return replace(described(document), key=key, damage=damage)

    async def _key(self, document: dict[str, Any]) -> SerializedKey:
        columns = {name: document.get(name) for name in _COLUMNS}
        context = self._context(natural_key(document["_id"]))
        payload = await self._protector.open(document.get("payload", b""), context, columns)
        try:
            key = from_payload(SerializedKey, payload)
        except ValueError:
            # Not chained: the cause may quote the payload.
            raise self._changed(document, "its payload is no signing key") from None
        # Of a record of an older version the payload alone is authentic: its age must not be changed beside it.
        if any(document.get(column) != value for column, value in _columns(key).items()):
            raise self._changed(document, "its fields and its payload disagree")
        return key

    def _changed(self, document: dict[str, Any], problem: str) -> PayloadUnreadable:
        return PayloadUnreadable(
            f"the signing key {document.get('key_id')!r} of tenant {self.tenant} can't be read: {problem}. "
            "The record was changed from outside: restore it from a backup, or delete the key",
            collection=SigningKeyFields.label,
        )

    def _context(self, generation: str) -> Context:
        return Context(self.tenant, SigningKeyFields.label, generation, "payload")


def generation_of(document: dict[str, Any]) -> int:
    """The generation of a record; 0 for one that was not stored by us."""
    generation = natural_key(document["_id"])
    is_ours = generation.isascii() and generation.isdigit() and len(generation) <= _MOST_DIGITS
    return int(generation) if is_ours else 0


def described(document: dict[str, Any]) -> SigningKeyRecord:
    """What lies in clear of a record."""
    created, stored = document.get("created"), document.get("stored")
    return SigningKeyRecord(
        generation_of(document),
        str(document.get("key_id", "")),
        str(document.get("algorithm", "")),
        created if isinstance(created, datetime) else None,
        supersedes=document.get("supersedes") is True,
        stored=stored if isinstance(stored, datetime) else None,
    )


def is_deleted(document: dict[str, Any]) -> bool:
    """Whether only the place of a key is left."""
    return document.get("purge_at") is not None


def _columns(key: SerializedKey) -> dict[str, Any]:
    return {"key_id": key.id, "algorithm": key.algorithm, "created": key.created}

"""`SealedRecordStore` on MongoDB: the sealed fields of every collection, read and replaced as bytes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final

from bson import Binary
from pymongo import ASCENDING, UpdateOne

from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import StoredFields, natural_key, record_id
from mongostore.mongo.documents.configuration import tenant_ids
from mongostore.mongo.expiring import BY_ID
from mongostore.mongo.leases import Lease, Leases
from mongostore.stores.sealed_records import SealedPage, SealedValue
from mongostore.tenancy import Tenant

_LEASE_DURATION: Final = timedelta(seconds=10)
# Long enough for the lease of a process that was killed to expire, so that its work can be taken up at once.
_LONGEST_WAIT: Final = timedelta(seconds=20)


class MongoSealedRecordStore:
    """The sealed values that one tenant has in one database."""

    def __init__(self, binding: Binding, leases: Leases, tenant: Tenant) -> None:
        """Args: the database, the tenant's leases, and the tenant."""
        self._binding = binding
        self._leases = leases
        self._tenant = tenant
        self._fields: Mapping[str, type[StoredFields]] = {
            each.label: each for each in binding.nouns if each.sealed_fields
        }

    @property
    def labels(self) -> Sequence[str]:
        """See `SealedRecordStore.labels`."""
        return tuple(self._fields)

    def exclusively(self) -> AbstractAsyncContextManager[Lease]:
        """See `SealedRecordStore.exclusively`."""
        return self._leases.hold("reencrypt", _LEASE_DURATION, _LONGEST_WAIT)

    async def find_stale(self, label: str, key_id: bytes, *, after: str, limit: int) -> SealedPage:
        """See `SealedRecordStore.find_stale`."""
        fields = self._fields[label]
        collection = self._binding.collection(fields)
        ids = tenant_ids(self._tenant, record_id(self._tenant, after))
        with self._binding.call(f"look for what is to be sealed anew in {label}") as own:
            # The index alone tells where the look ends; the records themselves stay on the server unless they are stale.
            end = await collection.find_one(
                {"_id": ids}, {"_id": 1}, sort=[("_id", ASCENDING)], skip=limit - 1, hint=BY_ID, session=own
            )
            if end is not None:
                ids = {"$gt": ids["$gt"], "$lte": end["_id"]}
            stale = collection.find(
                {"_id": ids, "$or": [_is_stale(name, key_id) for name in fields.sealed_fields]},
                dict.fromkeys(fields.sealed_fields, 1),
                sort=[("_id", ASCENDING)],
                # Negative: one answer, which MongoDB cuts at 16 MiB, and no cursor.
                limit=-limit,
                hint=BY_ID,
                session=own,
            )
            found = await stale.to_list()
        # Behind the last that was found, not at the end: the answer may have been cut.
        last = found[-1] if found else end
        return SealedPage(
            [
                SealedValue(natural_key(document["_id"]), name, document[name], fields.sealed_to(document["_id"]))
                for document in found
                for name in fields.sealed_fields
                if document.get(name) is not None and not _is_sealed_by(key_id, document[name])
            ],
            None if last is None else natural_key(last["_id"]),
        )

    async def replace(self, label: str, changes: Sequence[tuple[SealedValue, bytes]]) -> int:
        """See `SealedRecordStore.replace`."""
        updates = [
            UpdateOne(
                {"_id": record_id(self._tenant, value.record_id), value.field: value.envelope},
                {"$set": {value.field: Binary(envelope)}},
                hint=BY_ID,
            )
            for value, envelope in changes
        ]
        with self._binding.call(f"store what was sealed anew in {label}") as own:
            result = await self._binding.collection(self._fields[label]).bulk_write(updates, ordered=False, session=own)
        return result.modified_count


def _is_stale(name: str, key_id: bytes) -> dict[str, Any]:
    """The condition for a field that holds something which does not name this data key."""
    # The server can't compare a part of a binary, but tests its bits: byte 0 is the version, the next 16 the key id.
    set_bits = Binary(b"\0" + key_id)
    clear_bits = Binary(b"\0" + bytes(0xFF ^ byte for byte in key_id))
    return {name: {"$ne": None, "$not": {"$bitsAllSet": set_bits, "$bitsAllClear": clear_bits}}}


def _is_sealed_by(key_id: bytes, envelope: object) -> bool:
    return isinstance(envelope, bytes) and envelope[1 : 1 + len(key_id)] == key_id

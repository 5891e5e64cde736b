"""`SigningKeyRecords` on MongoDB: a key is added by one insert whose `_id` elects it."""

import logging
from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from mongostore.clock import Clock
from mongostore.models import SerializedKey
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.configuration import tenant_ids
from mongostore.mongo.documents.signing_keys import (
    TOMBSTONE_LIFETIME,
    SigningKeyCodec,
    SigningKeyFields,
    described,
    generation_of,
    is_deleted,
)
from mongostore.mongo.expiring import BY_ID
from mongostore.stores.signing_keys import SigningKeySnapshot, check_signing_key, signing_key_exists

_log = logging.getLogger("mongostore")


class MongoSigningKeyStore:
    """Signing keys of one tenant in MongoDB. There are few of them: they are always read together."""

    def __init__(self, binding: Binding, codec: SigningKeyCodec, clock: Clock) -> None:
        """Args: the database, what seals and opens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock

    async def load_keys(self) -> list[SerializedKey]:
        """See `SigningKeyStore.load_keys`."""
        records = (await self.read()).records
        keys = [record.key for record in records if record.key is not None]
        damage = [record.damage for record in records if record.damage is not None]
        if damage:
            _log.error("%d of %d signing keys can't be read and are left out: %s", len(damage), len(records), damage[0])
            if not keys:
                raise damage[0]
        return keys

    async def store_key(self, key: SerializedKey) -> None:
        """See `SigningKeyStore.store_key`. Every round that is lost is one that another caller has won."""
        check_signing_key(key)
        while True:
            found = await self._documents()
            if any(each.get("key_id") == key.id and not is_deleted(each) for each in found):
                raise signing_key_exists(key.id)
            if await self.add(key, after=_newest(found)):
                return

    async def delete_key(self, id: str) -> bool:  # noqa: A002 - the reference's name
        """See `SigningKeyStore.delete_key`."""
        for found in await self._documents():
            if found.get("key_id") == id and not is_deleted(found):
                with self._binding.call("delete a signing key") as own:
                    result = await self._keys.update_one(
                        {"_id": found["_id"], "key_id": id, "purge_at": None},
                        {"$set": {"purge_at": self._clock.now() + TOMBSTONE_LIFETIME}, "$unset": {"payload": ""}},
                        hint=BY_ID,
                        session=own,
                    )
                return result.matched_count == 1
        return False

    async def read(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read`."""
        found = await self._documents()
        records = [await self._codec.record(document) for document in found if not is_deleted(document)]
        return SigningKeySnapshot(_newest(found), tuple(records))

    async def read_unopened(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read_unopened`."""
        found = await self._documents({"payload": 0})
        records = [described(document) for document in found if not is_deleted(document)]
        return SigningKeySnapshot(_newest(found), tuple(records))

    async def add(self, key: SerializedKey, *, after: int, supersedes: bool = False) -> bool:
        """See `SigningKeyRecords.add`."""
        check_signing_key(key)
        document = await self._codec.document(key, after + 1, supersedes=supersedes)
        with self._binding.call("store a signing key") as own:
            try:
                await self._keys.insert_one(document, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def _documents(self, projection: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        with self._binding.call("read the signing keys") as own:
            of_tenant = {"_id": tenant_ids(self._codec.tenant)}
            found = await self._keys.find(of_tenant, projection, session=own).to_list()
        return sorted(found, key=generation_of)

    @property
    def _keys(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(SigningKeyFields).with_options(read_concern=ReadConcern("majority"))


def _newest(found: list[dict[str, Any]]) -> int:
    return max(map(generation_of, found), default=0)

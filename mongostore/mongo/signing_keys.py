"""`SigningKeyRecords` on MongoDB: a key is added by one insert whose `_id` elects it."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from mongostore.models import SerializedKey
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
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

_WHOLE: Mapping[str, Any] = {"document": "$$ROOT", "read_at": "$$NOW"}
_CLEAR_FIELDS = ("_id", "key_id", "algorithm", "created", "supersedes", "stored", "purge_at")
_IN_CLEAR: Mapping[str, Any] = {"document": {name: f"${name}" for name in _CLEAR_FIELDS}, "read_at": "$$NOW"}

_LEAVE_ITS_PLACE: Sequence[Mapping[str, Any]] = [
    {"$set": {"purge_at": {"$add": ["$$NOW", round(TOMBSTONE_LIFETIME.total_seconds() * 1000)]}}},
    {"$unset": "payload"},
]


class MongoSigningKeyStore:
    """Signing keys of one tenant in MongoDB. There are few of them: they are always read together."""

    def __init__(self, binding: Binding, codec: SigningKeyCodec, check: Callable[[SerializedKey], None]) -> None:
        """Bind it to a database. The time is the server's.

        Args:
            check: raises `ValueError` for a key that could not sign.
        """
        self._binding = binding
        self._codec = codec
        self._check = check

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
        key = check_signing_key(key)
        # Reading an RSA key takes tens of milliseconds.
        await asyncio.to_thread(self._check, key)
        while True:
            found, _ = await self._documents(_IN_CLEAR)
            if any(each.get("key_id") == key.id and not is_deleted(each) for each in found):
                raise signing_key_exists(key.id)
            if await self.add(key, after=_newest(found)):
                return

    async def delete_key(self, id: str) -> bool:  # noqa: A002 - the reference's name
        """See `SigningKeyStore.delete_key`."""
        found, _ = await self._documents(_IN_CLEAR)
        for document in found:
            if document.get("key_id") == id and not is_deleted(document):
                return await self._delete({"_id": document["_id"], "key_id": id})
        return False

    async def retire(self, generation: int, at: datetime) -> bool:
        """See `SigningKeyRecords.retire`."""
        stored_id = record_id(self._codec.tenant, str(generation))
        return await self._delete({"_id": stored_id, "$expr": {"$lte": [at, "$$NOW"]}})

    async def _delete(self, condition: Mapping[str, Any]) -> bool:
        with self._binding.call("delete a signing key") as own:
            result = await self._keys.update_one(
                {**condition, "purge_at": None}, _LEAVE_ITS_PLACE, hint=BY_ID, session=own
            )
        return result.matched_count == 1

    async def read(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read`."""
        found, read_at = await self._documents()
        records = [await self._codec.record(document) for document in found if not is_deleted(document)]
        return SigningKeySnapshot(_newest(found), tuple(records), read_at)

    async def read_unopened(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read_unopened`."""
        found, read_at = await self._documents(_IN_CLEAR)
        records = [described(document) for document in found if not is_deleted(document)]
        return SigningKeySnapshot(_newest(found), tuple(records), read_at)

    async def add(self, key: SerializedKey, *, after: int, supersedes: bool = False) -> bool:
        """See `SigningKeyRecords.add`."""
        key = check_signing_key(key)
        stored = await self._server_time()
        document = await self._codec.document(key, after + 1, supersedes=supersedes, stored=stored)
        with self._binding.call("store a signing key") as own:
            try:
                await self._keys.insert_one(document, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def _documents(self, projection: Mapping[str, Any] = _WHOLE) -> tuple[list[dict[str, Any]], datetime | None]:
        """The records by ascending generation, and the server's time; None where there are none."""
        with self._binding.call("read the signing keys") as own:
            of_tenant = {"_id": tenant_ids(self._codec.tenant)}
            found = await self._keys.find(of_tenant, projection, session=own).to_list()
        documents = sorted((each["document"] for each in found), key=generation_of)
        return documents, found[0]["read_at"] if found else None

    async def _server_time(self) -> datetime:
        database = self._binding.database
        with self._binding.call("ask the server for its time") as own:
            # Commands don't take the database's own options: the time would come naive.
            hello = await database.command("hello", codec_options=database.codec_options, session=own)
        return cast("datetime", hello["localTime"])

    @property
    def _keys(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(SigningKeyFields).with_options(read_concern=ReadConcern("majority"))


def _newest(found: list[dict[str, Any]]) -> int:
    return max(map(generation_of, found), default=0)

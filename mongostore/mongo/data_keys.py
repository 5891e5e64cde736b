"""`DataKeyStore` on MongoDB: the key ring's records, read and written by majority."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from bson import Binary
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from mongostore.errors import PayloadUnreadable
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id, without_nulls
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.stores.data_keys import DataKeyRecord, KeyPurpose


class MongoDataKeyStore:
    """The data keys of all tenants of a deployment."""

    def __init__(self, binding: Binding) -> None:
        """Args: the database of the key ring."""
        self._binding = binding

    async def load(self, tenant: str) -> list[DataKeyRecord]:
        """See `DataKeyStore.load`."""
        with self._binding.call("read the key ring") as own:
            found = await self._keys.find({"tenant": tenant}, session=own).sort("generation", ASCENDING).to_list()
        return [_record(document) for document in found]

    async def insert(self, record: DataKeyRecord) -> bool:
        """See `DataKeyStore.insert`."""
        document = without_nulls(
            {
                "_id": _id(record),
                **asdict(record),
                "key_id": Binary(record.key_id),
                "wrapped": Binary(record.wrapped) if record.wrapped is not None else None,
            }
        )
        with self._binding.call("store a data key") as own:
            try:
                await self._keys.insert_one(document, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def replace_wrapped(self, record: DataKeyRecord, expected_master_key_id: str) -> bool:
        """See `DataKeyStore.replace_wrapped`."""
        if record.wrapped is None:
            raise ValueError("a data key is not destroyed by rewrapping it")
        with self._binding.call("rewrap a data key") as own:
            result = await self._keys.update_one(
                {
                    "_id": _id(record),
                    "key_id": Binary(record.key_id),
                    "master_key_id": expected_master_key_id,
                    "wrapped": {"$exists": True},
                },
                {"$set": {"wrapped": Binary(record.wrapped), "master_key_id": record.master_key_id}},
                session=own,
            )
        return result.matched_count == 1

    async def destroy(self, tenant: str, at: datetime) -> int:
        """See `DataKeyStore.destroy`."""
        with self._binding.call("destroy the data keys of a tenant") as own:
            result = await self._keys.update_many(
                {"tenant": tenant, "wrapped": {"$exists": True}},
                {"$set": {"destroyed_at": at}, "$unset": {"wrapped": ""}},
                session=own,
            )
        return result.modified_count

    async def tenants(self) -> list[str]:
        """See `DataKeyStore.tenants`."""
        with self._binding.call("list the tenants of the key ring") as own:
            return sorted(await self._keys.distinct("tenant", session=own))

    @property
    def _keys(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(DataKeyFields).with_options(read_concern=ReadConcern("majority"))


def _id(record: DataKeyRecord) -> str:
    return record_id(record.tenant, str(record.generation))


def _record(document: dict[str, Any]) -> DataKeyRecord:
    try:
        wrapped = document.get("wrapped")
        return DataKeyRecord(
            tenant=document["tenant"],
            generation=document["generation"],
            purpose=cast("KeyPurpose", document["purpose"]),
            key_id=bytes(document["key_id"]),
            wrapped=bytes(wrapped) if wrapped is not None else None,
            master_key_id=document["master_key_id"],
            created=document["created"],
            activates_at=document["activates_at"],
            destroyed_at=document.get("destroyed_at"),
        )
    except (KeyError, TypeError) as error:
        raise PayloadUnreadable(
            f"the key ring's record {document['_id']!r} lacks what every data key has; restore it from a backup",
            collection=DataKeyFields.label,
        ) from error

"""`DataKeyStore` on MongoDB: the key ring's records, read and written by majority."""

import logging
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, get_args

from bson import Binary
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id, without_nulls
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.stores.data_keys import DataKeyRecord, KeyPurpose

_logger = logging.getLogger(__name__)

_GENERATION: Final = re.compile(r".*\|(0|[1-9][0-9]{0,9})", re.DOTALL | re.ASCII)
_KEY_ID_BYTES: Final = 16
# Frozen: the first version wrote no `context_version`.
_UNTOLD_VERSION: Final = 1
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class MongoDataKeyStore:
    """The data keys of all tenants of a deployment."""

    def __init__(self, binding: Binding) -> None:
        """Args: the database of the key ring."""
        self._binding = binding

    async def load(self, tenant: str) -> list[DataKeyRecord]:
        """See `DataKeyStore.load`."""
        with self._binding.call("read the key ring") as own:
            found = await self._keys.find({"tenant": tenant}, session=own).sort("generation", ASCENDING).to_list()
        records = (_record(tenant, document) for document in found)
        return sorted((record for record in records if record is not None), key=lambda record: record.generation)

    async def insert(self, record: DataKeyRecord) -> bool:
        """See `DataKeyStore.insert`."""
        fields = asdict(record)
        del fields["damaged"]
        document = without_nulls(
            {
                "_id": _id(record),
                **fields,
                "key_id": Binary(record.key_id),
                "wrapped": Binary(record.wrapped) if record.wrapped is not None else None,
                "opens_only": record.opens_only or None,
                "context_version": record.context_version if record.context_version > _UNTOLD_VERSION else None,
            }
        )
        with self._binding.call("store a data key") as own:
            try:
                await self._keys.insert_one(document, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def replace_wrapped(self, record: DataKeyRecord, expected: DataKeyRecord) -> bool:
        """See `DataKeyStore.replace_wrapped`."""
        if record.wrapped is None or expected.wrapped is None:
            return False
        with self._binding.call("rewrap a data key") as own:
            result = await self._keys.update_one(
                {
                    "_id": _id(record),
                    "purpose": expected.purpose,
                    "key_id": Binary(expected.key_id),
                    "wrapped": Binary(expected.wrapped),
                    "master_key_id": expected.master_key_id,
                    "created": expected.created,
                    "activates_at": expected.activates_at,
                    "destroyed_at": None,
                },
                {
                    "$set": {
                        "wrapped": Binary(record.wrapped),
                        "master_key_id": record.master_key_id,
                        "context_version": record.context_version,
                        **({"opens_only": True} if record.opens_only else {}),
                    }
                },
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


def _record(tenant: str, document: dict[str, Any]) -> DataKeyRecord | None:
    """Read a record. One that another hand has changed is marked as damaged; what never was ours is left out."""
    number = _GENERATION.fullmatch(str(document["_id"]))
    if number is None or not str(document["_id"]).startswith(record_id(tenant, "")):
        _logger.error("The key ring of tenant %s has a record that is no data key: remove %r", tenant, document["_id"])
        return None
    wrapped, destroyed_at = document.get("wrapped"), document.get("destroyed_at")
    try:
        record = DataKeyRecord(
            tenant=document["tenant"],
            generation=document["generation"],
            purpose=document["purpose"],
            key_id=bytes(document["key_id"]),
            wrapped=bytes(wrapped) if wrapped is not None else None,
            master_key_id=document["master_key_id"],
            created=document["created"],
            activates_at=document["activates_at"],
            destroyed_at=destroyed_at,
            opens_only=document.get("opens_only", False),
            context_version=document.get("context_version", _UNTOLD_VERSION),
        )
    except (KeyError, TypeError, ValueError):
        record = None
    if record is not None and _id(record) == document["_id"] and _is_whole(record):
        return record
    # Its generation counts: a key that was damaged must not make the one before it seal again.
    return DataKeyRecord(
        tenant=tenant,
        generation=int(number[1]),
        purpose="data",
        key_id=b"",
        wrapped=None if wrapped is None else b"",
        master_key_id="",
        created=_NEVER,
        activates_at=_NEVER,
        destroyed_at=destroyed_at if isinstance(destroyed_at, datetime) else None,
        damaged=True,
    )


def _is_whole(record: DataKeyRecord) -> bool:
    """Whether every field is of its type: the database takes anything, and so do classes."""
    instants = (record.created, record.activates_at, *([] if record.destroyed_at is None else [record.destroyed_at]))
    return (
        type(record.generation) is int
        and record.purpose in get_args(KeyPurpose)
        and len(record.key_id) == _KEY_ID_BYTES
        and isinstance(record.master_key_id, str)
        and all(isinstance(instant, datetime) for instant in instants)
        and isinstance(record.opens_only, bool)
        and type(record.context_version) is int
    )

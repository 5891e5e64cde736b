"""`DeviceFlowStore` on MongoDB. Each transition is one conditional write of one record."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists, ConfigurationError, NotFound, PayloadUnreadable
from mongostore.models import DeviceCode, PersistedGrantFilter
from mongostore.models.grants import check_filter
from mongostore.models.revalidation import revalidated
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import ownership_query
from mongostore.mongo.documents.device_codes import DeviceCodeCodec, DeviceCodeFields
from mongostore.mongo.expiring import BY_ID, insert_over_expired, is_present, present, take
from mongostore.mongo.removal import delete_all, remove_created_before
from mongostore.mongo.writes import sent
from mongostore.stores.device_codes import DeviceFlowStore, check_interval
from mongostore.stores.payloads import payload_of

_BY_USER_CODE = {"tenant": 1, "user_code": 1}


class MongoDeviceFlowStore(DeviceFlowStore):
    """The device authorization requests of one tenant in MongoDB."""

    def __init__(self, binding: Binding, codec: DeviceCodeCodec, clock: Clock, consumed_retention: timedelta) -> None:
        """Args: the database, what seals and opens, the time, and how long consumed requests are kept."""
        self._binding = binding
        self._codec = codec
        self._clock = clock
        self._consumed_retention = consumed_retention
        self._known_unique_in: AsyncCollection[dict[str, Any]] | None = None

    async def store_device_authorization(self, device_code: str, user_code: str, data: DeviceCode) -> None:
        """See `DeviceFlowStore.store_device_authorization`."""
        document = await self._codec.document(device_code, user_code, data)
        await self._require_unique_user_codes()
        now = self._clock.now()
        with self._binding.call("store a device authorization") as own:
            try:
                await insert_over_expired(self._codes, document, now, session=own)
            except DuplicateKeyError:
                # Either code is taken. If it is the user code of an expired request, that one makes room.
                taken = {"tenant": document["tenant"], "user_code": document["user_code"], "purge_at": {"$lte": now}}
                await sent(lambda: self._codes.delete_one(taken, hint=_BY_USER_CODE, session=own))
                try:
                    await insert_over_expired(self._codes, document, now, session=own)
                except DuplicateKeyError as error:
                    raise AlreadyExists(
                        "a device authorization with this device code or this user code exists already; draw new codes"
                    ) from error

    async def find_by_user_code(self, user_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.find_by_user_code`."""
        query = await self._codec.user_code(user_code)
        return await self._read(query) if query else None

    async def find_by_device_code(self, device_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.find_by_device_code`."""
        stored_id = self._codec.id_of(device_code)
        return await self._read({"_id": stored_id}) if stored_id else None

    async def update_by_user_code(self, user_code: str, data: DeviceCode) -> None:
        """Write down the user's answer; see `DeviceFlowStore.update_by_user_code`.

        The payload is sealed to the record and its expiration, so these are read first. They never change: what was read
        decides nothing, and the conditional write everything.
        """
        data = revalidated(data, DeviceCode)
        payload_of(data, DeviceCode)
        query = await self._codec.user_code(user_code)
        if query is not None:
            with self._binding.call("find a device authorization") as own:
                found = await self._codes.find_one(query, session=own)
            if found is not None and is_present(found, self._clock.now()):
                change = await self._codec.change(data, found)
                condition = present(found["_id"], self._clock.now()) | {"user_code": query["user_code"]}
                with self._binding.call("update a device authorization") as own:
                    updated = await sent(lambda: self._codes.update_one(condition, change, hint=BY_ID, session=own))
                if updated.matched_count == 1:
                    return
        raise NotFound("there is no device authorization with this user code any more: it was not updated")

    async def remove_by_device_code(self, device_code: str) -> bool:
        """See `DeviceFlowStore.remove_by_device_code`."""
        stored_id = self._codec.id_of(device_code)
        if stored_id is None:
            return False
        with self._binding.call("remove a device authorization") as own:
            return (await sent(lambda: self._codes.delete_one({"_id": stored_id}, session=own))).deleted_count == 1

    async def consume_by_device_code(self, device_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.consume_by_device_code`."""
        stored_id = self._codec.id_of(device_code)
        if stored_id is None:
            return None
        now = self._clock.now()
        with self._binding.call("consume a device authorization") as own:
            condition = present(stored_id, now) | {"is_authorized": True}
            found = await take(self._codes, condition, now, self._consumed_retention, session=own)
        if found is None or not is_present(found, now):
            return None
        request = await self._codec.value(found)
        if not request.is_authorized:
            raise PayloadUnreadable(
                "a device authorization is marked as answered, and what is sealed in it says that it is not: the record was "
                "changed from outside. The device must ask again",
                collection=DeviceCodeFields.label,
            )
        return request

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - as in `PersistedGrantStore`
        """Remove the requests of a subject, session or clients; see `DeviceFlowStore.remove_all`."""
        wanted = check_filter(filter)
        query = ownership_query(self._codec.tenant, wanted)
        return await delete_all(self._binding, self._codes, query) if query else 0

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove requests of before an instant; see `DeviceFlowStore.remove_created_before`."""
        return await remove_created_before(self._binding, self._codes, self._codec.tenant, instant)

    async def register_poll(self, device_code: str, interval: timedelta) -> bool:
        """See `DeviceFlowStore.register_poll`."""
        check_interval(interval)
        stored_id = self._codec.id_of(device_code)
        if stored_id is None:
            return True
        now = self._clock.now()
        with self._binding.call("register a poll") as own:
            before = await sent(
                lambda: self._codes.find_one_and_update(
                    present(stored_id, now),
                    {"$set": {"last_poll": now}},
                    projection={"last_poll": 1},
                    return_document=ReturnDocument.BEFORE,
                    hint=BY_ID,
                    session=own,
                )
            )
        return before is None or "last_poll" not in before or now - before["last_poll"] >= interval

    async def _read(self, query: dict[str, Any]) -> DeviceCode | None:
        with self._binding.call("find a device authorization") as own:
            found = await self._codes.find_one(query, session=own)
        return await self._codec.value(found) if found and is_present(found, self._clock.now()) else None

    async def _require_unique_user_codes(self) -> None:
        """Look for the unique index once per opening: without it, two devices could be given one user code."""
        codes = self._codes
        if self._known_unique_in is codes:
            return
        with self._binding.call("read the indexes of the device codes") as own:
            indexes = await (await codes.list_indexes(session=own)).to_list()
        if not any(_keeps_user_codes_unique(each) for each in indexes):
            raise ConfigurationError(
                f"the index by_user_code of {codes.name} is missing in database {self._binding.database_name!r}, and "
                "without it user codes are not unique: run 'python -m mongostore schema apply --uri … --database …'"
            )
        self._known_unique_in = codes

    @property
    def _codes(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(DeviceCodeFields)


def _keeps_user_codes_unique(index: Mapping[str, Any]) -> bool:
    """Whether an index does, for every record, whatever it is called; and can be hinted by its keys."""
    ordered = list(index["key"].items()) == list(_BY_USER_CODE.items())
    return ordered and index.get("unique", False) and not {"partialFilterExpression", "collation"} & index.keys()

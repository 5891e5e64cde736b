"""`GrantRecordStore` on MongoDB: the transitions of a grant, each one conditional write of one document."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists
from mongostore.models import PersistedGrant
from mongostore.models.grants import check_grant
from mongostore.models.identifiers import check_identifier, is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.grants import GrantCodec, GrantFields, is_kept, is_present
from mongostore.mongo.expiring import BY_ID
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.persisted_grants import close_family, live, take
from mongostore.mongo.removal import remove_grants
from mongostore.mongo.writes import sent
from mongostore.stores.grant_records import (
    CODE,
    REFRESH,
    GrantRecord,
    GrantRecordStore,
    is_anchored,
)

_TAKEN = "a grant with this key exists already; make a new handle"
_NOT_CLOSED = {"anchor": {"$ne": False}}


class MongoGrantRecordStore(GrantRecordStore):
    """Grant records of one tenant in MongoDB."""

    def __init__(self, binding: Binding, codec: GrantCodec, clock: Clock) -> None:
        """Args: the database, what seals and opens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock

    async def insert(self, record: GrantRecord, *, pending_until: datetime | None = None) -> None:
        """Add a record; see `GrantRecordStore.insert`."""
        check_grant(record.grant)
        document = await self._document(record, pending_until)
        with self._binding.call("add a grant") as own:
            try:
                await sent(lambda: self._grants.insert_one(document, session=own))
            except DuplicateKeyError as error:
                raise AlreadyExists(_TAKEN) from error

    async def insert_into_family(self, record: GrantRecord) -> bool:
        """Add a record to a family; see `GrantRecordStore.insert_into_family`.

        One command: the record first, then the look whether the family takes it in. Who removes a family closes it
        before: either that finds the record, or this finds the family closed.
        """
        check_grant(record.grant)
        family = check_identifier("family", record.family)
        document = await self._document(record)
        stored_id = document.pop("_id")
        now = self._clock.now()
        if is_anchored(family):
            # `$nor` is never looked up in an index: a plain condition on purge_at would offer the planner the wrong one.
            anchor = {
                "tenant": self._codec.tenant,
                "family": family,
                "anchor": True,
                "$nor": [{"purge_at": {"$lte": now}}],
            } | ({"type": CODE} if record.grant.type == REFRESH else {})
            look, when_open = UpdateOne(anchor | {"_id": {"$ne": stored_id}}, {"$set": {"anchor": True}}), 1
        else:
            closed = {"_id": self._codec.closed_family_id(family), "purge_at": {"$gt": now}}
            look, when_open = UpdateOne(closed, {"$set": {"pending": True}}), 0
        insertion = UpdateOne({"_id": stored_id}, {"$setOnInsert": document}, upsert=True)
        with self._binding.call("add a grant to a family") as own:
            result = await sent(lambda: self._grants.bulk_write([insertion, look], session=own))
            if result.upserted_count == 0:
                raise AlreadyExists(_TAKEN)
            is_open = result.matched_count == when_open
            if not is_open:
                await sent(lambda: self._grants.delete_one({"_id": stored_id}, session=own))
        return is_open

    async def find(self, key: str, *, kept: bool = False) -> GrantRecord | None:
        """Read a record; see `GrantRecordStore.find`."""
        if not is_identifier(key):
            return None
        found = await find_by_id(self._binding, "read a grant", self._grants, self._codec.id(key))
        now = self._clock.now()
        if found is None or not (
            is_present(found, now) or (kept and found.get("consumed_time") is not None and is_kept(found, now))
        ):
            return None
        return await self._codec.record(found)

    async def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """Consume a grant; see `GrantRecordStore.take`."""
        return await take(self._binding, self._codec, self._clock, key, completed=completed)

    async def update(self, grant: PersistedGrant, *, completed: bool = False) -> bool:
        """Change what a live grant says; see `GrantRecordStore.update`.

        Its payload is bound to its family, so the record is read first, and not believed where it was changed from outside.
        The family never changes: what was read decides nothing, and the conditional write everything.
        """
        grant = check_grant(grant)
        stored_id = self._codec.id(grant.key)
        record = await self.find(grant.key)
        if record is None:
            return False
        family = record.family
        change = await self._codec.change(grant, family=family, completed=completed)
        condition = live(stored_id, self._clock.now()) | _NOT_CLOSED
        condition |= {"pending": None, "type": grant.type, "client_id": grant.client_id, "family": family}
        with self._binding.call("update a grant") as own:
            result = await sent(lambda: self._grants.update_one(condition, change, hint=BY_ID, session=own))
        return result.matched_count == 1

    async def succeed(
        self, record: GrantRecord, *, successor: PersistedGrant, successor_handle: str, grace: timedelta
    ) -> bool:
        """Consume a grant for a successor; see `GrantRecordStore.succeed`."""
        now = self._clock.now()
        change = await self._codec.link(record, successor, successor_handle, now, grace)
        condition = live(self._codec.id(record.grant.key), now) | _NOT_CLOSED | {"pending": None}
        with self._binding.call("rotate a grant") as own:
            result = await sent(lambda: self._grants.update_one(condition, change, hint=BY_ID, session=own))
        return result.matched_count == 1

    async def make_live(self, key: str) -> bool:
        """Make a pending record visible; see `GrantRecordStore.make_live`."""
        condition = live(self._codec.id(key), self._clock.now()) | _NOT_CLOSED
        made_live = {
            "pending": "$$REMOVE",
            "purge_at": {"$ifNull": ["$expiration", "$$REMOVE"]},
            "anchor": True,
        }
        with self._binding.call("rotate a grant") as own:
            result = await sent(
                lambda: self._grants.update_one(condition, [{"$set": made_live}], hint=BY_ID, session=own)
            )
        return result.matched_count == 1

    async def count_retry(self, key: str) -> int:
        """Count a retry; see `GrantRecordStore.count_retry`."""
        with self._binding.call("count a retry") as own:
            found = await sent(
                lambda: self._grants.find_one_and_update(
                    {"_id": self._codec.id(key)},
                    {"$inc": {"retries": 1}},
                    projection={"retries": 1},
                    return_document=ReturnDocument.AFTER,
                    hint=BY_ID,
                    session=own,
                )
            )
        return found["retries"] if found else 0

    async def discard_pending(self, key: str) -> None:
        """Remove a record that never became live."""
        with self._binding.call("discard a pending grant") as own:
            await sent(
                lambda: self._grants.delete_one({"_id": self._codec.id(key), "pending": True}, hint=BY_ID, session=own)
            )

    async def remove_family(self, family: str, *, last: str | None = None) -> int:
        """Close a family and remove it; see `GrantRecordStore.remove_family`."""
        if not is_identifier(family):
            return 0
        if not is_anchored(family):
            await self._close(family)
        query: dict[str, Any] = {"tenant": self._codec.tenant, "family": family}
        last_id = None if last is None else self._codec.id(last)
        return await remove_grants(self._binding, self._grants, query, last=last_id)

    async def _close(self, family: str) -> None:
        await close_family(self._binding, self._codec, self._clock, family)

    async def _document(self, record: GrantRecord, pending_until: datetime | None = None) -> dict[str, Any]:
        return await self._codec.document(
            record.grant,
            family=record.family,
            predecessor=record.predecessor,
            completed=record.completed,
            pending_until=pending_until,
        )

    @property
    def _grants(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(GrantFields)

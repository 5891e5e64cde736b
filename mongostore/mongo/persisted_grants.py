"""`PersistedGrantStore` on MongoDB: every operation on one grant is one command, but for storing over one unawares."""

import contextlib
import logging
from datetime import datetime
from functools import partial
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.models.grants import check_filter, check_grant
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.grants import GrantCodec, GrantFields, is_present
from mongostore.mongo.expiring import BY_ID
from mongostore.mongo.lookups import documents, find_by_id
from mongostore.mongo.removal import remove_created_before, remove_grants
from mongostore.mongo.writes import sent
from mongostore.stores.grant_records import CLOSED_FAMILY_KEPT, GrantRecord, removed_types
from mongostore.stores.persisted_grants import PersistedGrantStore

_log = logging.getLogger("mongostore")


class MongoPersistedGrantStore(PersistedGrantStore):
    """Grants of one tenant in MongoDB."""

    def __init__(self, binding: Binding, codec: GrantCodec, clock: Clock) -> None:
        """Args: the database, what seals and opens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock

    async def store(self, grant: PersistedGrant) -> None:
        """See `PersistedGrantStore.store`."""
        grant = check_grant(grant)
        document = await self._codec.document(grant)
        with self._binding.call("store a grant") as own:
            # Whoever read the grant or makes every field says something of its consumption; a grant of which nobody has
            # said anything is new, and an insert costs the server a good tenth less.
            if "consumed_time" not in grant.model_fields_set:
                with contextlib.suppress(DuplicateKeyError):
                    await sent(lambda: self._grants.insert_one(document, session=own))
                    return
            try:
                await sent(
                    lambda: self._grants.replace_one({"_id": document["_id"]}, document, upsert=True, session=own)
                )
            except DuplicateKeyError:
                # Two first writers of one key: the other inserted in between, so this one replaces.
                await sent(
                    lambda: self._grants.replace_one({"_id": document["_id"]}, document, upsert=True, session=own)
                )

    async def get(self, key: str) -> PersistedGrant | None:
        """See `PersistedGrantStore.get`."""
        if not is_identifier(key):
            return None
        found = await find_by_id(self._binding, "read a grant", self._grants, self._codec.id(key))
        if found is None or not is_present(found, self._clock.now()):
            return None
        return await self._codec.grant(found)

    async def get_all(self, filter: PersistedGrantFilter) -> list[PersistedGrant]:  # noqa: A002 - the reference's name
        """See `PersistedGrantStore.get_all`."""
        wanted = check_filter(filter)
        query = self._codec.query(wanted)
        if query is None:
            return []
        # Presence is decided here, not in the query: a condition on purge_at would offer the planner the wrong index.
        now = self._clock.now()
        grants: list[PersistedGrant] = []
        damage: list[PayloadUnreadable | KeyUnavailable] = []
        async for document in documents(self._binding, "list grants", self._grants, query):
            if is_present(document, now):
                try:
                    grants.append(await self._codec.grant(document))
                except (PayloadUnreadable, KeyUnavailable) as error:
                    damage.append(error)
        if damage:
            total = len(grants) + len(damage)
            _log.error("%d of %d grants can't be read and are left out: %s", len(damage), total, damage[0])
            if not grants:
                raise damage[0]
        return grants

    async def remove(self, key: str) -> bool:
        """See `PersistedGrantStore.remove`."""
        if not is_identifier(key):
            return False
        with self._binding.call("remove a grant") as own:
            return (
                await sent(lambda: self._grants.delete_one({"_id": self._codec.id(key)}, session=own))
            ).deleted_count == 1

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - the reference's name
        """See `PersistedGrantStore.remove_all`."""
        wanted = check_filter(filter)
        query = self._codec.query(wanted)
        if query is None:
            return 0
        closed, released = removed_types(wanted)
        close = partial(close_family, self._binding, self._codec, self._clock)
        return await remove_grants(
            self._binding, self._grants, query, closed=closed, released=released, close_family=close
        )

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove grants of before an instant; see `PersistedGrantStore.remove_created_before`."""
        return await remove_created_before(self._binding, self._grants, self._codec.tenant, instant)

    async def consume(self, key: str) -> PersistedGrant | None:
        """See `PersistedGrantStore.consume`."""
        taken = await take(self._binding, self._codec, self._clock, key)
        return taken.grant if taken else None

    @property
    def _grants(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(GrantFields)


def live(stored_id: str, now: datetime) -> dict[str, Any]:
    """The condition of every transition: this record, neither consumed nor over. Pending ones match too.

    When it expires is bound to the payload; when it is purged is not.
    """
    not_over = {"$not": {"$lte": now}}
    return {"_id": stored_id, "consumed_time": None, "purge_at": not_over, "expiration": not_over}


async def take(
    binding: Binding, codec: GrantCodec, clock: Clock, key: str, *, completed: bool = False
) -> GrantRecord | None:
    """Consume the grant with this key: its record as it was, to one caller, in one command."""
    if not is_identifier(key):
        return None
    now = clock.now()
    condition = live(codec.id(key), now) | {"pending": None} | ({"completed": True} if completed else {})
    with binding.call("consume a grant") as own:
        found = await sent(
            lambda: binding.collection(GrantFields).find_one_and_update(
                condition,
                codec.consumption(now),
                return_document=ReturnDocument.BEFORE,
                hint=BY_ID,
                session=own,
            )
        )
    # By its sealed expiration: from when on it is purged, anybody can change who can write to the database.
    return await codec.record(found) if found and is_present(found, now) else None


async def close_family(binding: Binding, codec: GrantCodec, clock: Clock, family: str) -> None:
    """Let a family that the caller has named take nothing in for `CLOSED_FAMILY_KEPT`."""
    mark = await codec.closed_family(family, clock.now() + CLOSED_FAMILY_KEPT)
    grants = binding.collection(GrantFields)
    with binding.call("close a family") as own, contextlib.suppress(DuplicateKeyError):
        # A duplicate is that of somebody who closes it at the same moment.
        await sent(
            lambda: grants.update_one({"_id": codec.closed_family_id(family)}, {"$set": mark}, upsert=True, session=own)
        )

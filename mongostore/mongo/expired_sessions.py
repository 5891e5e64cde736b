"""What becomes of sessions that are over on MongoDB: claimed for a while, and deleted once their logout is processed."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from mongostore.clock import Clock
from mongostore.models import ServerSideSession
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields, hashed_key, is_kept, over_at
from mongostore.mongo.expiring import BY_ID
from mongostore.mongo.session_logouts import SessionLogouts
from mongostore.stores.session_logouts import Logout
from mongostore.stores.sessions import (
    REMOVAL_LEASE,
    check_count,
    check_keys,
    check_lease,
    hashed_session_key,
)

_PLACE = {"expires": 1, "ended": 1, "superseded": 1}


class ExpiredSessions:
    """The sessions of one tenant that have expired or were ended."""

    def __init__(self, binding: Binding, codec: SessionCodec, logouts: SessionLogouts, clock: Clock) -> None:
        """Args: the database, what seals and opens, what ends sessions, and the time."""
        self._binding = binding
        self._codec = codec
        self._logouts = logouts
        self._clock = clock

    async def get_and_remove(self, count: int) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.get_and_remove_expired_sessions`."""
        check_count(count)
        removed = []
        for document, session in await self._codec.readable(await self._claim(count, REMOVAL_LEASE)):
            with self._binding.call("remove an expired session") as own:
                # One by one: only so is it known which were still ours.
                mine = {"_id": document["_id"], "claim": document["claim"]}
                if (await self._sessions.delete_one(mine, hint=BY_ID, session=own)).deleted_count:
                    removed.append(session)
        return removed

    async def claim(self, count: int, lease: timedelta) -> list[Logout]:
        """See `SessionLogoutStore.claim_logouts`."""
        check_count(count)
        check_lease(lease)
        documents = await self._claim(count, lease)
        return [self._logouts.of(*found) for found in await self._codec.records(documents)]

    async def acknowledge(self, keys: Iterable[str]) -> int:
        """See `ServerSideSessionStore.acknowledge_expired_sessions`."""
        possible = [key for key in check_keys(keys) if is_identifier(key)]
        processed = {"claim": {"$exists": True}, "expires": {"$lte": self._clock.now()}}
        in_place = {"_id": {"$in": [self._codec.id(key) for key in possible]}}
        aside = {"tenant": self._codec.tenant, "superseded": {"$in": [hashed_session_key(key) for key in possible]}}
        with self._binding.call("acknowledge expired sessions") as own:
            # Not both of one key: while one lies aside, the one in place is not given to anybody.
            deleted = await self._sessions.delete_many(in_place | processed, session=own)
            return (
                deleted.deleted_count + (await self._sessions.delete_many(aside | processed, session=own)).deleted_count
            )

    async def _claim(self, count: int, lease: timedelta) -> list[dict[str, Any]]:
        """Claim sessions, and give their documents: each update is conditional, so each session has one winner."""
        now = self._clock.now()
        # `due_at` is not bound to the payload: whoever puts it forward must not have a live session taken for expired.
        over = {"expires": {"$lte": now}}
        due = {"tenant": self._codec.tenant, "due_at": {"$lte": now}, "purge_at": {"$gt": now}} | over
        claim = {"claim": token_hex(16), "due_at": now + lease}
        change = {"$set": claim, "$max": {"purge_at": now + lease + self._codec.expiry_grace}}
        tried: list[str] = []
        waiting: list[str] = []
        claimed = 0
        with self._binding.call("claim expired sessions") as own:
            while claimed < count:
                others = due | {"_id": {"$nin": waiting}} if waiting else due
                found = (
                    await self._sessions.find(others, _PLACE, session=own)
                    .sort("due_at", ASCENDING)
                    .limit(count - claimed)
                    .to_list()
                )
                if not found:
                    break
                foremost = await self._foremost(found, now, own)
                waiting += [document["_id"] for document in found if document["_id"] not in foremost]
                tried += foremost
                result = await self._sessions.update_many(
                    due | {"_id": {"$in": foremost}}, change, hint=BY_ID, session=own
                )
                claimed += result.modified_count
            mine = {"_id": {"$in": tried}, "claim": claim["claim"]}
            documents = await self._sessions.find(mine, session=own).to_list() if tried else []
        return sorted(documents, key=over_at)

    async def _foremost(
        self, found: list[dict[str, Any]], now: datetime, session: AsyncClientSession | None
    ) -> list[str]:
        """Those before which no other session of the same key that is over is to be processed.

        An acknowledgement names only the key, so one session of a key at a time may be out. Nothing comes before a
        session after this has looked: what is laid aside later was found here in place, or was not over.
        """
        hashes = list({hashed_key(document) for document in found})
        aside = {"tenant": self._codec.tenant, "superseded": {"$in": hashes}}
        older: dict[str, list[dict[str, Any]]] = {}
        for document in await self._sessions.find(aside, _PLACE | {"purge_at": 1}, session=session).to_list():
            if is_kept(document, now):
                older.setdefault(document["superseded"], []).append(document)
        return [
            document["_id"]
            for document in found
            if min([document, *older.get(hashed_key(document), [])], key=_order)["_id"] == document["_id"]
        ]

    @property
    def _sessions(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(SessionFields)


def _order(document: dict[str, Any]) -> tuple[bool, datetime, str]:
    return "superseded" not in document, over_at(document), document["_id"]

"""`ServerSideSessionStore` on MongoDB: every operation on one session is one command."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, DuplicateKeyError

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists, NotFound
from mongostore.models import QueryResult, ServerSideSession, SessionFilter, SessionQuery
from mongostore.models.identifiers import is_identifier
from mongostore.models.sessions import check_session, check_session_filter
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import without_nulls
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields, is_live, not_expired
from mongostore.mongo.expired_sessions import ExpiredSessions
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.session_queries import SessionQueries
from mongostore.mongo.writes import sent
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.stores.sessions import SLIDE_FRACTION

# Single sessions are named by `_id`: no other index is worth a thought.
BY_ID = {"_id": 1}

Result = TypeVar("Result")


class MongoServerSideSessionStore:
    """Sessions of one tenant in MongoDB."""

    def __init__(self, binding: Binding, codec: SessionCodec, tokens: PagingTokens, clock: Clock) -> None:
        """Args: the database, what seals and opens sessions and paging tokens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock
        self._expired = ExpiredSessions(binding, codec, clock)
        self._queries = SessionQueries(binding, codec, tokens, clock)

    async def create_session(self, session: ServerSideSession) -> None:
        """See `ServerSideSessionStore.create_session`."""
        session = check_session(session)
        document = await self._codec.document(session)
        with self._binding.call("add a session") as own:
            while True:
                try:
                    await sent(lambda: self._sessions.insert_one(document, session=own))
                except DuplicateKeyError as error:
                    now = self._clock.now()
                    found = await self._sessions.find_one({"_id": document["_id"]}, session=own)
                    if found is not None and is_live(found, now):
                        raise AlreadyExists("a session with this key exists already; make a new key") from error
                    if found is None or not await self._supersede(found, document, now, own):
                        continue  # It was processed, or its key taken, in between: look again.
                return

    async def get_session(self, key: str) -> ServerSideSession | None:
        """See `ServerSideSessionStore.get_session`."""
        if not is_identifier(key):
            return None
        found = await find_by_id(self._binding, "read a session", self._sessions, self._codec.id(key))
        return await self._codec.session(found) if found and is_live(found, self._clock.now()) else None

    async def update_session(self, session: ServerSideSession) -> None:
        """See `ServerSideSessionStore.update_session`."""
        session = check_session(session)
        columns = self._codec.columns(session)
        payload = {"payload": await self._codec.sealed_payload(session)}
        change: dict[str, Any] = {"$set": without_nulls(columns) | payload}
        # A claim can be on a live session where the claimer's clock is ahead; it ends when the session goes on.
        absent = [name for name, value in columns.items() if value is None]
        change["$unset"] = dict.fromkeys([*absent, "claim"], "")
        with self._binding.call("update a session") as own:
            result = await sent(
                lambda: self._sessions.update_one(self._live(session.key), change, hint=BY_ID, session=own)
            )
        if result.matched_count == 0:
            raise NotFound("there is no session with this key, or it has expired; create a new one")

    async def delete_session(self, key: str) -> bool:
        """See `ServerSideSessionStore.delete_session`."""
        if not is_identifier(key):
            return False
        with self._binding.call("delete a session") as own:
            return (
                await sent(lambda: self._sessions.delete_one(self._live(key), hint=BY_ID, session=own))
            ).deleted_count == 1

    async def get_sessions(self, filter: SessionFilter) -> list[ServerSideSession]:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.get_sessions`."""
        wanted = check_session_filter(filter)
        query = self._query(wanted)
        if query is None:
            return []
        with self._binding.call("list sessions") as own:
            found = await self._sessions.find(query, session=own).to_list()
        return await self._codec.sessions(found)

    async def delete_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.delete_sessions`."""
        wanted = check_session_filter(filter)
        query = self._query(wanted)
        if query is None:
            return 0
        with self._binding.call("delete sessions") as own:
            return (await _repeated(lambda: self._sessions.delete_many(query, session=own))).deleted_count

    async def slide_session(self, key: str) -> ServerSideSession | None:
        """See `ServerSideSessionStore.slide_session`."""
        if not is_identifier(key):
            return None
        with self._binding.call("slide a session") as own:
            found = await sent(
                lambda: self._sessions.find_one_and_update(
                    self._live(key), self._slide(), return_document=ReturnDocument.AFTER, hint=BY_ID, session=own
                )
            )
        return await self._codec.session(found) if found else None

    async def slide_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.slide_sessions`."""
        wanted = check_session_filter(filter)
        query = self._query(wanted)
        if query is None:
            return 0
        with self._binding.call("slide sessions") as own:
            return (
                await _repeated(lambda: self._sessions.update_many(query, self._slide(), session=own))
            ).matched_count

    async def get_and_remove_expired_sessions(self, count: int) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.get_and_remove_expired_sessions`."""
        return await self._expired.get_and_remove(count)

    async def claim_expired_sessions(self, count: int, lease: timedelta) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.claim_expired_sessions`."""
        return await self._expired.claim(count, lease)

    async def acknowledge_expired_sessions(self, keys: Iterable[str]) -> int:
        """See `ServerSideSessionStore.acknowledge_expired_sessions`."""
        return await self._expired.acknowledge(keys)

    async def query_sessions(self, query: SessionQuery | None = None) -> QueryResult[ServerSideSession]:
        """See `ServerSideSessionStore.query_sessions`."""
        return await self._queries.read(query)

    async def _supersede(
        self, expired: dict[str, Any], document: dict[str, Any], now: datetime, session: AsyncClientSession | None
    ) -> bool:
        """Put a session in the place of an expired one; False when that one is gone or changed.

        The expired one is laid aside first. A crash in between leaves it twice, and its logout is processed twice.
        """
        if expired["purge_at"] > now:
            with suppress(DuplicateKeyError):  # Somebody else is laying it aside, too; one of us takes its place.
                await sent(lambda: self._sessions.insert_one(self._codec.aside(expired), session=session))
        this_one = {"_id": document["_id"], "payload": expired["payload"], "expires": {"$lte": now}}
        return (
            await sent(lambda: self._sessions.replace_one(this_one, document, hint=BY_ID, session=session))
        ).matched_count == 1

    def _slide(self) -> list[dict[str, Any]]:
        """As `slid_expiry`, but within the write. A change of nothing costs none."""
        now = self._clock.now()
        lifetime = {"$subtract": ["$expires", "$renewed"]}
        due = {"$max": [1, {"$divide": [lifetime, SLIDE_FRACTION]}]}
        is_due = {"$and": [{"$gt": ["$expires", None]}, {"$gte": [{"$subtract": [now, "$renewed"]}, due]}]}
        expires = {"$add": [now, lifetime]}
        grace = round(self._codec.expiry_grace.total_seconds() * 1000)
        slid = {"renewed": now, "expires": expires, "due_at": expires, "purge_at": {"$add": [now, lifetime, grace]}}
        return [
            {"$replaceWith": {"$cond": [is_due, {"$mergeObjects": ["$$ROOT", slid]}, "$$ROOT"]}},
            {"$unset": "claim"},
        ]

    def _live(self, key: str) -> dict[str, Any]:
        return {"_id": self._codec.id(key)} | not_expired(self._clock.now())

    def _query(self, filter: SessionFilter) -> dict[str, Any] | None:  # noqa: A002 - the reference's name
        """The query of a filter, or None when it can match nothing."""
        wanted = {"subject_id": filter.subject_id, "session_id": filter.session_id}
        identifiers = without_nulls(wanted)
        if not all(map(is_identifier, identifiers.values())):
            return None
        return {"tenant": self._codec.tenant} | identifiers | not_expired(self._clock.now())

    @property
    def _sessions(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(SessionFields)


async def _repeated(command: Callable[[], Awaitable[Result]]) -> Result:
    """Send a command over many documents again when the primary is lost; the driver repeats single ones only."""
    try:
        return await command()
    except AutoReconnect:
        return await command()

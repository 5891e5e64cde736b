"""`ServerSideSessionStore` on MongoDB: an operation on one session is one command, or a read and one conditional write."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

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
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields, begun_at, is_kept, is_live, not_expired
from mongostore.mongo.expired_sessions import ExpiredSessions
from mongostore.mongo.expiring import BY_ID
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.session_logouts import SessionLogouts
from mongostore.mongo.session_queries import SessionQueries
from mongostore.mongo.writes import sent
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.stores.arguments import check_callback, check_instant
from mongostore.stores.session_logouts import EndedSessions, Ending, Logout, LogoutState
from mongostore.stores.sessions import SessionChange, changed_session, check_lease, slid_session

Result = TypeVar("Result")


class MongoServerSideSessionStore:
    """Sessions of one tenant in MongoDB."""

    def __init__(self, binding: Binding, codec: SessionCodec, tokens: PagingTokens, clock: Clock) -> None:
        """Args: the database, what seals and opens sessions and paging tokens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock
        self._logouts = SessionLogouts(binding, codec, clock)
        self._expired = ExpiredSessions(binding, codec, self._logouts, clock)
        self._queries = SessionQueries(binding, codec, tokens, clock)

    async def create_session(self, session: ServerSideSession) -> None:
        """See `ServerSideSessionStore.create_session`."""
        session = check_session(session)
        document = await self._codec.document(session, begun=self._clock.now())
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
        found = await self._find_live(self._codec.id(key))
        return await self._codec.session(found) if found else None

    async def update_session(self, session: ServerSideSession) -> None:
        """See `ServerSideSessionStore.update_session`."""
        session = check_session(session)
        change = await self._codec.change(session)
        with self._binding.call("update a session") as own:
            result = await sent(
                lambda: self._sessions.update_one(self._live(session.key), change, hint=BY_ID, session=own)
            )
        if result.matched_count == 0:
            raise NotFound("there is no session with this key, or it has ended; create a new one")

    async def change_session(self, key: str, change: SessionChange) -> ServerSideSession | None:
        """See `ServerSideSessionStore.change_session`."""
        check_callback("change", change)
        if not is_identifier(key):
            return None
        found = await self._find_live(self._codec.id(key))
        while found is not None:
            session = await self._codec.session(found)
            changed = changed_session(session, change)
            if changed is None or await self._replace(found, await self._codec.change(changed)):
                return changed or session
            found = await self._find_live(found["_id"])
        return None

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
        found = await self._find_live(self._codec.id(key))
        return await self._slide(found, await self._codec.session(found)) if found else None

    async def slide_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.slide_sessions`."""
        wanted = check_session_filter(filter)
        query = self._query(wanted)
        if query is None:
            return 0
        with self._binding.call("slide sessions") as own:
            found = await self._sessions.find(query, session=own).to_list()
        slid = [await self._slide(*each) for each in await self._codec.readable(found)]
        return len([session for session in slid if session])

    async def end_session(self, key: str, ending: Ending, lease: timedelta) -> Logout | None:
        """See `SessionLogoutStore.end_session`."""
        check_callback("ending", ending)
        check_lease(lease)
        return await self._logouts.end(self._codec.id(key), ending, lease) if is_identifier(key) else None

    async def end_sessions(
        self,
        filter: SessionFilter,  # noqa: A002 - the reference's name
        ending: Ending,
        lease: timedelta,
    ) -> EndedSessions:
        """See `SessionLogoutStore.end_sessions`."""
        wanted = check_session_filter(filter)
        check_callback("ending", ending)
        check_lease(lease)
        query = self._query(wanted)
        return EndedSessions([]) if query is None else await self._logouts.end_all(query, ending, lease)

    async def has_begun_since(self, filter: SessionFilter, since: datetime) -> bool:  # noqa: A002 - the reference's name
        """See `SessionLogoutStore.has_begun_since`."""
        query = self._query(check_session_filter(filter))
        since = check_instant("since", since)
        if query is None:
            return False
        with self._binding.call("list sessions") as own:
            found = await self._sessions.find(query, session=own).to_list()
        later = [document for document in found if begun_at(document) >= since]
        return bool(await self._codec.readable(later))

    async def claim_logouts(self, count: int, lease: timedelta) -> list[Logout]:
        """See `SessionLogoutStore.claim_logouts`."""
        return await self._expired.claim(count, lease)

    async def keep_logout(self, logout: Logout, state: LogoutState, due_at: datetime) -> bool:
        """See `SessionLogoutStore.keep_logout`."""
        return await self._logouts.keep(logout, state, due_at)

    async def finish_logouts(self, logouts: Iterable[Logout]) -> int:
        """See `SessionLogoutStore.finish_logouts`."""
        return await self._logouts.finish(logouts)

    async def get_and_remove_expired_sessions(self, count: int) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.get_and_remove_expired_sessions`."""
        return await self._expired.get_and_remove(count)

    async def claim_expired_sessions(self, count: int, lease: timedelta) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.claim_expired_sessions`."""
        return [logout.session for logout in await self._expired.claim(count, lease)]

    async def acknowledge_expired_sessions(self, keys: Iterable[str]) -> int:
        """See `ServerSideSessionStore.acknowledge_expired_sessions`."""
        return await self._expired.acknowledge(keys)

    async def query_sessions(self, query: SessionQuery | None = None) -> QueryResult[ServerSideSession]:
        """See `ServerSideSessionStore.query_sessions`."""
        return await self._queries.read(query)

    async def _supersede(
        self, expired: dict[str, Any], document: dict[str, Any], now: datetime, session: AsyncClientSession | None
    ) -> bool:
        """Put a session in the place of one that is over; False when that one is gone or changed.

        That one is laid aside first. A crash in between leaves it twice, and its logout is processed twice.
        """
        if is_kept(expired, now):
            aside = await self._codec.aside(expired)
            with suppress(DuplicateKeyError):  # Somebody else is laying it aside, too; one of us takes its place.
                await sent(lambda: self._sessions.insert_one(aside, session=session))
        this_one = {"_id": document["_id"], "payload": expired["payload"], "expires": {"$lte": now}}
        return (
            await sent(lambda: self._sessions.replace_one(this_one, document, hint=BY_ID, session=session))
        ).matched_count == 1

    async def _find_live(self, stored_id: str) -> dict[str, Any] | None:
        found = await find_by_id(self._binding, "read a session", self._sessions, stored_id)
        return found if found and is_live(found, self._clock.now()) else None

    async def _replace(self, found: dict[str, Any], change: dict[str, Any]) -> bool:
        """Change a live record unless somebody else has since it was read: every change of one seals its payload anew."""
        unchanged = {"_id": found["_id"], "payload": found["payload"]} | not_expired(self._clock.now())
        with self._binding.call("update a session") as own:
            result = await sent(lambda: self._sessions.update_one(unchanged, change, hint=BY_ID, session=own))
        return result.matched_count == 1

    async def _slide(self, found: dict[str, Any], session: ServerSideSession) -> ServerSideSession | None:
        """Slide a session that was read; None when it has ended meanwhile."""
        while True:
            slid = slid_session(session, self._clock.now())
            if slid is None and "claim" not in found:
                return session
            # The new expiry is sealed too. As is told in `SessionCodec.change`, a claim ends when the session goes on.
            change = await self._codec.change(slid) if slid else {"$unset": {"claim": ""}}
            if await self._replace(found, change):
                return slid or session
            now_there = await self._find_live(found["_id"])
            if now_there is None:
                return None
            found, session = now_there, await self._codec.session(now_there)

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

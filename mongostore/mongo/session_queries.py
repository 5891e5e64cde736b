"""Pages of sessions on MongoDB: every page is a range of an index, wherever it lies."""

import re
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from mongostore.clock import Clock
from mongostore.models import QueryResult, ServerSideSession, SessionQuery
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import natural_key, record_id
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields, not_expired
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.stores.paging import Position
from mongostore.stores.sessions import SessionSearch, check_query, no_sessions, page_size

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class SessionQueries:
    """The queries of one tenant."""

    def __init__(self, binding: Binding, codec: SessionCodec, tokens: PagingTokens, clock: Clock) -> None:
        """Args: the database, what opens sessions, what seals paging tokens, and the time."""
        self._binding = binding
        self._codec = codec
        self._tokens = tokens
        self._clock = clock

    async def read(self, query: SessionQuery | None) -> QueryResult[ServerSideSession]:
        """See `ServerSideSessionStore.query_sessions`."""
        query = check_query(query)
        search = SessionSearch.of(query)
        if not search.possible:
            return no_sessions()
        sessions = self._binding.collection(SessionFields)
        action = (
            "search every session for a part of a text (a prefix is found at once)"
            if search.substring
            else "list sessions"
        )
        with self._binding.call(action) as own:
            found = MatchingSessions(sessions, self._codec.tenant, search, self._clock.now(), session=own)
            page, token = await self._tokens.read_page(
                found, search.scope(), query.results_token, page_size(query), backward=query.request_prior_results
            )
        return page.result(await self._codec.sessions(page.items), token)


class MatchingSessions:
    """The live sessions that a search matches, ordered by (folded name, `_id`)."""

    def __init__(
        self,
        collection: AsyncCollection[dict[str, Any]],
        tenant: str,
        search: SessionSearch,
        now: datetime,
        *,
        session: AsyncClientSession | None = None,
    ) -> None:
        """Args: where, whose, which, and when; the driver's session to read in."""
        self._collection = collection
        self._tenant = tenant
        self._search = search
        self._now = now
        self._session = session

    async def after(self, position: Position | None, limit: int) -> list[dict[str, Any]]:
        """See `Ordered.after`."""
        return await self._page(self.query("$gt", position), ASCENDING, limit)

    async def before(self, position: Position, limit: int) -> list[dict[str, Any]]:
        """See `Ordered.before`."""
        return await self._page(self.query("$lt", position), DESCENDING, limit)

    async def count(self, limit: int) -> int | None:
        """See `Ordered.count`."""
        if self._search.substring:
            return None
        return await self._collection.count_documents(self.query(), limit=limit, session=self._session)

    async def _page(self, query: dict[str, Any], direction: int, limit: int) -> list[dict[str, Any]]:
        return await self._collection.find(query, session=self._session).sort(_order(direction)).limit(limit).to_list()

    def position(self, item: dict[str, Any]) -> Position:
        """See `Ordered.position`."""
        return item["folded_name"], natural_key(item["_id"])

    def query(self, beyond: str = "$gt", position: Position | None = None) -> dict[str, Any]:
        """The conditions of the search, and of lying beyond a position."""
        search = self._search
        query: dict[str, Any] = {"tenant": self._tenant} | not_expired(self._now)
        for field, wanted in (("subject_id", search.subject_id), ("session_id", search.session_id)):
            if wanted is not None:
                query[field] = _containing(wanted) if search.substring else wanted
        names: dict[str, Any] = {}
        if search.folded_name is not None:
            names = _containing(search.folded_name) if search.substring else _beginning_with(search.folded_name)
        if position is not None:
            name, key = position
            same_name = {"folded_name": name, "_id": {beyond: record_id(self._tenant, key)}}
            # A position lies within the names searched for, so the other end of their range still holds.
            return query | {"$or": [same_name, {"folded_name": names | {beyond: name}}]}
        return query | {"folded_name": names} if names else query


def _order(direction: int) -> list[tuple[str, int]]:
    return [("folded_name", direction), ("_id", direction)]


def _containing(text: str) -> dict[str, Any]:
    # A pattern is sent as a C string, so that a NUL must be written out.
    return {"$regex": re.escape(text).replace("\0", r"\x00")}


def _beginning_with(prefix: str) -> dict[str, Any]:
    """The range of texts with a prefix. MongoDB compares the bytes of UTF-8, which is by code point."""
    stem = prefix.rstrip(chr(_LAST_CHARACTER))
    if not stem:
        return {"$gte": prefix}
    following = ord(stem[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return {"$gte": prefix, "$lt": stem[:-1] + chr(following)}

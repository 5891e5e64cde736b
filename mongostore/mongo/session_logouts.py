"""How sessions end on MongoDB: marked by one conditional write each, their logout kept in the record until it is done."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from mongostore.clock import Clock
from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models.revalidation import revalidated
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import natural_key, record_id
from mongostore.mongo.documents.sessions import SessionCodec, SessionFields, SessionRecord, is_live, not_expired
from mongostore.mongo.expiring import BY_ID
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.writes import sent
from mongostore.stores.arguments import check_instant, several
from mongostore.stores.session_logouts import (
    EndedSessions,
    Ending,
    Logout,
    LogoutState,
    check_logout,
    state_at_end,
)


@dataclass(frozen=True, slots=True)
class _Version:
    """The record that a logout was read from, as it was: in place, or laid aside since. The tenant is the store's."""

    natural_key: str
    payload: bytes = field(repr=False)
    claim: str


class SessionLogouts:
    """The logouts of one tenant."""

    def __init__(self, binding: Binding, codec: SessionCodec, clock: Clock) -> None:
        """Args: the database, what seals and opens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock

    async def end(self, stored_id: str, ending: Ending, lease: timedelta) -> Logout | None:
        """See `SessionLogoutStore.end_session`."""
        while True:
            found = await find_by_id(self._binding, "end a session", self._sessions, stored_id)
            if found is None or not is_live(found, self._clock.now()):
                return None
            session = await self._codec.session(found)
            state = state_at_end(session, ending)
            if state is None:
                return None
            now, claim = self._clock.now(), token_hex(16)
            change = await self._codec.ended(session, now, state) | {
                "claim": claim,
                "due_at": now + lease,
                "purge_at": now + lease + self._codec.expiry_grace,
            }
            with self._binding.call("end a session") as own:
                unchanged = {"_id": stored_id, "payload": found["payload"]} | not_expired(now)
                result = await sent(
                    lambda: self._sessions.update_one(unchanged, {"$set": change}, hint=BY_ID, session=own)  # noqa: B023 - awaited here
                )
            if result.matched_count:
                return Logout(
                    session,
                    state,
                    change["ended"],
                    _Version(natural_key(stored_id), change["payload"], claim),
                )

    async def end_all(self, query: dict[str, Any], ending: Ending, lease: timedelta) -> EndedSessions:
        """End what a query finds, until it finds nothing more: a record that moves in the index may be missed at first."""
        logouts: list[Logout] = []
        unreadable = 0
        seen: set[tuple[str, bytes]] = set()
        while True:
            with self._binding.call("end sessions") as own:
                live = query | not_expired(self._clock.now())
                found = await self._sessions.find(live, {"payload": 1}, session=own).to_list()
            found = [document for document in found if (document["_id"], document["payload"]) not in seen]
            if not found:
                return EndedSessions(logouts, unreadable)
            seen |= {(document["_id"], document["payload"]) for document in found}
            for document in found:
                try:
                    logout = await self.end(document["_id"], ending, lease)
                except (PayloadUnreadable, KeyUnavailable):
                    unreadable += await self._delete(document)
                else:
                    logouts += [logout] if logout else []

    async def keep(self, logout: Logout, state: LogoutState, due_at: datetime) -> bool:
        """See `SessionLogoutStore.keep_logout`.

        From then on the session has ended, also if it expired: a node with a slow clock must not prolong it.
        """
        check_logout(logout)
        ended = await self._codec.ended(logout.session, logout.over_at, revalidated(state, LogoutState))
        due_at = check_instant("due_at", due_at)
        change = {
            "$set": ended | {"due_at": due_at},
            "$unset": {"claim": ""},
            "$max": {"purge_at": logout.over_at + 2 * self._codec.expiry_grace},
        }
        with self._binding.call("keep a logout") as own:
            result = await sent(
                lambda: self._sessions.update_one(self._unchanged(logout), change, hint=BY_ID, session=own)
            )
        return result.matched_count == 1

    async def finish(self, logouts: Iterable[Logout]) -> int:
        """See `SessionLogoutStore.finish_logouts`."""
        finished = 0
        for logout in map(check_logout, several("logouts", logouts)):
            with self._binding.call("finish a logout") as own:
                result = await sent(
                    lambda: self._sessions.delete_one(self._unchanged(logout), hint=BY_ID, session=own)  # noqa: B023 - awaited here
                )
            finished += result.deleted_count
        return finished

    def of(self, document: dict[str, Any], record: SessionRecord) -> Logout:
        """The logout that a claimed document holds."""
        version = _Version(natural_key(document["_id"]), document["payload"], document["claim"])
        return Logout(record.session, record.state, record.over_at or self._clock.now(), version)

    def _unchanged(self, logout: Logout) -> dict[str, Any]:
        version = logout.version
        if not isinstance(version, _Version):
            raise TypeError("this logout is of another store")
        stored_id = record_id(self._codec.tenant, version.natural_key)
        return {
            "_id": {"$in": [stored_id, self._codec.aside_id(stored_id, version.payload)]},
            # A claim whose lease is over counts, as long as nobody has written anything down since.
            "claim": {"$exists": True},
            "$or": [{"claim": version.claim}, {"payload": version.payload}],
            "expires": {"$lte": self._clock.now()},
        }

    async def _delete(self, document: dict[str, Any]) -> int:
        with self._binding.call("delete a session that can't be read") as own:
            unchanged = {"_id": document["_id"], "payload": document["payload"]} | not_expired(self._clock.now())
            return (await sent(lambda: self._sessions.delete_one(unchanged, hint=BY_ID, session=own))).deleted_count

    @property
    def _sessions(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(SessionFields)

"""`ServerSideSessionStore` without a database."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists, NotFound
from mongostore.models import QueryResult, ServerSideSession, SessionFilter, SessionQuery
from mongostore.models.identifiers import is_identifier
from mongostore.models.instants import cut_to_milliseconds
from mongostore.models.revalidation import revalidated
from mongostore.models.sessions import check_session, check_session_filter
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.stores.arguments import check_callback, check_instant, several
from mongostore.stores.paging import Position
from mongostore.stores.session_logouts import EndedSessions, Ending, Logout, LogoutState, check_logout, state_at_end
from mongostore.stores.sessions import (
    REMOVAL_LEASE,
    SessionChange,
    SessionSearch,
    changed_session,
    check_count,
    check_keys,
    check_lease,
    check_query,
    folded_name,
    hashed_session_key,
    no_sessions,
    page_size,
    slid_session,
)

# What nobody can see any more is swept when the table has doubled since the last sweep.
_SWEEP_FROM_ROWS = 1_000


@dataclass(slots=True)
class Row:
    """A session, live or over. All but `session`, whose expiry stays, are as in MongoDB."""

    session: ServerSideSession
    due_at: datetime | None
    purge_at: datetime | None
    begun: datetime
    claimed: bool = False
    ended: datetime | None = None
    state: LogoutState = field(default_factory=LogoutState)

    def is_live(self, now: datetime) -> bool:
        """Whether it has neither expired nor ended."""
        return self.ended is None and (self.session.expires is None or self.session.expires > now)

    def is_due(self, now: datetime) -> bool:
        """Whether it may be claimed."""
        return self.due_at is not None and self.due_at <= now and not self.is_purged(now) and not self.is_live(now)

    def is_purged(self, now: datetime) -> bool:
        """Whether its grace is over."""
        return self.purge_at is not None and self.purge_at <= now


class MemoryServerSideSessionStore:
    """Sessions of one tenant in a dictionary. Nothing but paging awaits, so every method is atomic in its loop."""

    def __init__(self, tokens: PagingTokens, clock: Clock, expiry_grace: timedelta) -> None:
        """Args: what seals paging tokens, the time, and how long expired sessions are kept to be processed."""
        self._tokens = tokens
        self._clock = clock
        self._grace = expiry_grace
        self._rows: dict[str, Row] = {}
        self._aside: list[Row] = []
        self._sweep_at_rows = _SWEEP_FROM_ROWS

    async def create_session(self, session: ServerSideSession) -> None:
        """See `ServerSideSessionStore.create_session`."""
        session = check_session(session)
        now = self._clock.now()
        found = self._rows.get(session.key)
        if found is not None and found.is_live(now):
            raise AlreadyExists("a session with this key exists already; make a new key")
        if found is not None and not found.is_purged(now):
            # So that no slow clock takes it for alive.
            found.ended = found.ended or found.session.expires
            self._aside.append(found)
        self._put(session, now)
        if len(self._rows) >= self._sweep_at_rows:
            self._sweep(now)

    async def get_session(self, key: str) -> ServerSideSession | None:
        """See `ServerSideSessionStore.get_session`."""
        row = self._live(key)
        return row.session if row else None

    async def update_session(self, session: ServerSideSession) -> None:
        """See `ServerSideSessionStore.update_session`."""
        session = check_session(session)
        row = self._live(session.key)
        if row is None:
            raise NotFound("there is no session with this key, or it has ended; create a new one")
        self._put(session, row.begun)

    async def change_session(self, key: str, change: SessionChange) -> ServerSideSession | None:
        """See `ServerSideSessionStore.change_session`."""
        check_callback("change", change)
        row = self._live(key)
        if row is None:
            return None
        changed = changed_session(row.session, change)
        if changed is None:
            return row.session
        self._put(changed, row.begun)
        return changed

    async def delete_session(self, key: str) -> bool:
        """See `ServerSideSessionStore.delete_session`."""
        if self._live(key) is None:
            return False
        del self._rows[key]
        return True

    async def get_sessions(self, filter: SessionFilter) -> list[ServerSideSession]:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.get_sessions`."""
        wanted = check_session_filter(filter)
        now = self._clock.now()
        return [row.session for row in self._rows.values() if row.is_live(now) and _matches(wanted, row.session)]

    async def delete_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.delete_sessions`."""
        doomed = await self.get_sessions(filter)
        for session in doomed:
            del self._rows[session.key]
        return len(doomed)

    async def slide_session(self, key: str) -> ServerSideSession | None:
        """See `ServerSideSessionStore.slide_session`."""
        row = self._live(key)
        if row is None:
            return None
        row.claimed = False
        slid = slid_session(row.session, self._clock.now())
        if slid is None:
            return row.session
        self._put(slid, row.begun)
        return slid

    async def slide_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - the reference's name
        """See `ServerSideSessionStore.slide_sessions`."""
        return len([await self.slide_session(session.key) for session in await self.get_sessions(filter)])

    async def get_and_remove_expired_sessions(self, count: int) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.get_and_remove_expired_sessions`."""
        sessions = await self.claim_expired_sessions(count, REMOVAL_LEASE)
        await self.acknowledge_expired_sessions([session.key for session in sessions])
        return sessions

    async def claim_expired_sessions(self, count: int, lease: timedelta) -> list[ServerSideSession]:
        """See `ServerSideSessionStore.claim_expired_sessions`."""
        return [logout.session for logout in await self.claim_logouts(count, lease)]

    async def claim_logouts(self, count: int, lease: timedelta) -> list[Logout]:
        """See `SessionLogoutStore.claim_logouts`."""
        check_count(count)
        check_lease(lease)
        now = self._clock.now()
        self._aside = [row for row in self._aside if not row.is_purged(now)]
        foremost = dict(self._rows)
        # What lies aside comes before what took its place, the oldest first.
        foremost.update((row.session.key, row) for row in sorted(self._aside, key=_over_at, reverse=True))
        due = sorted((row for row in foremost.values() if row.is_due(now)), key=lambda row: row.due_at or now)[:count]
        for row in due:
            row.claimed = True
            row.due_at = now + lease
            row.purge_at = max(row.purge_at or now, now + lease + self._grace)
        return [_logout(row) for row in sorted(due, key=_over_at)]

    async def end_session(self, key: str, ending: Ending, lease: timedelta) -> Logout | None:
        """See `SessionLogoutStore.end_session`."""
        check_callback("ending", ending)
        check_lease(lease)
        row = self._live(key)
        state = state_at_end(row.session, ending) if row else None
        if row is None or state is None:
            return None
        now = self._clock.now()
        row.state = state
        row.ended = cut_to_milliseconds(now)
        row.due_at, row.purge_at, row.claimed = now + lease, now + lease + self._grace, True
        return _logout(row)

    async def end_sessions(
        self,
        filter: SessionFilter,  # noqa: A002 - the reference's name
        ending: Ending,
        lease: timedelta,
    ) -> EndedSessions:
        """See `SessionLogoutStore.end_sessions`."""
        check_callback("ending", ending)
        check_lease(lease)
        found = [await self.end_session(each.key, ending, lease) for each in await self.get_sessions(filter)]
        return EndedSessions([logout for logout in found if logout])

    async def has_begun_since(self, filter: SessionFilter, since: datetime) -> bool:  # noqa: A002 - the reference's name
        """See `SessionLogoutStore.has_begun_since`."""
        since = check_instant("since", since)
        return any(self._rows[session.key].begun >= since for session in await self.get_sessions(filter))

    async def keep_logout(self, logout: Logout, state: LogoutState, due_at: datetime) -> bool:
        """See `SessionLogoutStore.keep_logout`."""
        state, due_at = revalidated(state, LogoutState), check_instant("due_at", due_at)
        row = self._unchanged(check_logout(logout))
        if row is None:
            return False
        row.ended = logout.over_at
        row.state = state.model_copy(update={"expires": row.session.expires})
        row.due_at, row.claimed = due_at, False
        row.purge_at = max(row.purge_at or due_at, logout.over_at + 2 * self._grace)
        return True

    async def finish_logouts(self, logouts: Iterable[Logout]) -> int:
        """See `SessionLogoutStore.finish_logouts`."""
        finished = 0
        for logout in map(check_logout, several("logouts", logouts)):
            row = self._unchanged(logout)
            if row is None:
                continue
            finished += 1
            if self._rows.get(row.session.key) is row:
                del self._rows[row.session.key]
            self._aside = [each for each in self._aside if each is not row]
        return finished

    async def acknowledge_expired_sessions(self, keys: Iterable[str]) -> int:
        """See `ServerSideSessionStore.acknowledge_expired_sessions`."""
        named, now = set(check_keys(keys)), self._clock.now()

        def is_processed(row: Row) -> bool:
            return row.claimed and row.session.key in named and not row.is_live(now)

        before = len(self._rows) + len(self._aside)
        self._rows = {key: row for key, row in self._rows.items() if not is_processed(row)}
        self._aside = [row for row in self._aside if not is_processed(row)]
        return before - len(self._rows) - len(self._aside)

    async def query_sessions(self, query: SessionQuery | None = None) -> QueryResult[ServerSideSession]:
        """See `ServerSideSessionStore.query_sessions`."""
        query = check_query(query)
        search = SessionSearch.of(query)
        if not search.possible:
            return no_sessions()
        now = self._clock.now()
        found = _SortedSessions([row.session for row in self._rows.values() if row.is_live(now)], search)
        page, token = await self._tokens.read_page(
            found, search.scope(), query.results_token, page_size(query), backward=query.request_prior_results
        )
        return page.result(list(page.items), token)

    def _unchanged(self, logout: Logout) -> Row | None:
        """The claimed row of a logout, if nobody has written anything down since, and its session does not go on."""
        if not isinstance(logout.version, _Version):
            raise TypeError("this logout is of another store")
        row, state = logout.version.row, logout.version.state
        there = self._rows.get(row.session.key) is row or any(each is row for each in self._aside)
        unchanged = there and row.claimed and row.state is state and not row.is_live(self._clock.now())
        return row if unchanged else None

    def _live(self, key: str) -> Row | None:
        row = self._rows.get(key) if is_identifier(key) else None
        return row if row is not None and row.is_live(self._clock.now()) else None

    def _put(self, session: ServerSideSession, begun: datetime) -> None:
        expires = session.expires
        self._rows[session.key] = Row(session, expires, expires and expires + self._grace, begun)

    def _sweep(self, now: datetime) -> None:
        self._rows = {key: row for key, row in self._rows.items() if not row.is_purged(now)}
        self._sweep_at_rows = max(_SWEEP_FROM_ROWS, 2 * len(self._rows))


class _SortedSessions:
    """The sessions that a search matches, in the order of pages."""

    def __init__(self, sessions: list[ServerSideSession], search: SessionSearch) -> None:
        self._search = search
        self._sessions = sorted(filter(search.matches, sessions), key=self.position)

    async def after(self, position: Position | None, limit: int) -> list[ServerSideSession]:
        """See `Ordered.after`."""
        start = bisect_right(self._sessions, position, key=self.position) if position else 0
        return self._sessions[start : start + limit]

    async def before(self, position: Position, limit: int) -> list[ServerSideSession]:
        """See `Ordered.before`."""
        end = bisect_left(self._sessions, position, key=self.position)
        return self._sessions[max(0, end - limit) : end][::-1]

    async def count(self, limit: int) -> int | None:
        """See `Ordered.count`."""
        return None if self._search.substring else min(len(self._sessions), limit)

    def position(self, item: ServerSideSession) -> Position:
        """See `Ordered.position`."""
        return folded_name(item.display_name), hashed_session_key(item.key)


@dataclass(frozen=True, slots=True)
class _Version:
    """The row that a logout was read from, and the state that it had."""

    row: Row
    state: LogoutState


def _logout(row: Row) -> Logout:
    return Logout(row.session, row.state, _over_at(row), _Version(row, row.state))


def _over_at(row: Row) -> datetime:
    # A row that never ends is never due and never lies aside.
    return row.ended or row.session.expires or datetime.max.replace(tzinfo=row.session.created.tzinfo)


def _matches(wanted: SessionFilter, session: ServerSideSession) -> bool:
    pairs = ((wanted.subject_id, session.subject_id), (wanted.session_id, session.session_id))
    return all(value is None or value == stored for value, stored in pairs)

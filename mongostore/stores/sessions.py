"""Where server-side sessions are kept: by key, by subject and session id, in pages, and beyond their expiry."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mongostore.models import QueryResult, ServerSideSession, SessionFilter, SessionQuery
from mongostore.models.identifiers import MAX_IDENTIFIER_LENGTH, is_identifier
from mongostore.models.instants import cut_to_milliseconds
from mongostore.models.revalidation import revalidated
from mongostore.models.sessions import DEFAULT_PAGE_SIZE, LATEST_EXPIRY, check_session
from mongostore.stores import arguments
from mongostore.stores.grant_records import later
from mongostore.stores.session_logouts import SessionLogoutStore

# A page is decrypted in one go, and a ticket may have 1 MiB.
MAX_PAGE_SIZE = 1_000

# A session slides in steps of this part of its time, so that not every use of a token is a write.
SLIDE_FRACTION = 100

# From `get_and_remove_expired_sessions`, while it removes what it has found.
REMOVAL_LEASE = timedelta(minutes=1)

_MILLISECOND = timedelta(milliseconds=1)


SessionChange = Callable[[ServerSideSession], ServerSideSession | None]
"""What is to become of a session; None leaves it as it is. It may be called repeatedly, and keeps the key."""


class LiveSessionStore(Protocol):
    """Sessions that have neither expired (`expires <= now` is expired) nor ended: no method here sees any other."""

    async def create_session(self, session: ServerSideSession) -> None:
        """Add a session.

        Over a session that is over, and that nobody has processed yet, it takes the key; that one's logout stays pending.

        Raises:
            AlreadyExists: its key is taken.
            TypeError, ValueError: the session holds what can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """

    async def get_session(self, key: str) -> ServerSideSession | None:
        """Read a session.

        Raises:
            PayloadUnreadable: the stored record is damaged.
            KeyUnavailable: the data key that sealed it is missing.
        """

    async def update_session(self, session: ServerSideSession) -> None:
        """Change all fields of a session. One conditional write: nothing that was deleted or has expired comes back.

        Raises:
            NotFound: there is no such session.
            TypeError, ValueError: the session holds what can't be stored.
        """

    async def change_session(self, key: str, change: SessionChange) -> ServerSideSession | None:
        """Make of a session what `change` says, in one conditional write: nothing that somebody else writes is lost.

        When the session was changed between reading and writing, `change` is asked again.

        Returns:
            The session as it is afterwards, or None when there is none.

        Raises:
            TypeError, ValueError: `change` gives what can't be stored, or another key.
            PayloadUnreadable, KeyUnavailable: the session can't be read.
        """

    async def delete_session(self, key: str) -> bool:
        """Delete a session: True when there was one.

        One that is over is left to be processed, so that its logout is not lost.
        """

    async def get_sessions(self, filter: SessionFilter) -> list[ServerSideSession]:  # noqa: A002 - the reference's name
        """Read the sessions of a subject, of a session id or of both, in no particular order.

        Unreadable ones are logged and left out.

        Raises:
            ValueError: nothing is set in the filter.
            PayloadUnreadable, KeyUnavailable: not one of those found could be read.
        """

    async def delete_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - the reference's name
        """Delete the sessions that the filter matches, unreadable ones included, and give their number.

        After a fail-over during the call the number is a lower bound.

        Raises:
            ValueError: nothing is set in the filter.
        """

    async def query_sessions(self, query: SessionQuery | None = None) -> QueryResult[ServerSideSession]:
        """Read a page of sessions, ordered by (case-folded display name, hashed key); no name comes first.

        `subject_id` and `session_id` match exactly, `display_name` by case-folded prefix; all must hold. With
        `match="substring"` each matches anywhere in its field; this looks at every session's index entry, is bounded by
        the operation time-out, and gives no totals.

        `results_token` continues after the page that it came with, or before it with `request_prior_results`. A token
        that is malformed, or of another tenant or filter, asks for the first page. Up to 1,000 sessions make a page.
        The cost of a page does not depend on its place; the flags are exact. `total_count` and `total_pages` are None
        beyond 10,000 matches; `current_page` counts the steps taken, and is None when the page size changed on the way.

        Raises:
            StorageUnavailable: MongoDB did not answer in time, which a search for a substring may run into.
            PayloadUnreadable, KeyUnavailable: not one session of a page could be read.
        """


class SessionLifetimeStore(Protocol):
    """How sessions are prolonged, and what becomes of them once they have expired.

    A session that has expired, or was ended, is kept for `session_expiry_grace`, to be processed: its clients must hear of
    the logout. These methods see such sessions within their grace; leases follow the store's clock.
    """

    async def slide_session(self, key: str) -> ServerSideSession | None:
        """Let the session's time begin anew: `renewed` is now, `expires` as far from it as before; one conditional write.

        When less than a hundredth of that time has passed since, nothing is written.

        Returns:
            The session as it is afterwards, or None when absent. One without expiry is left as it is.

        Raises:
            PayloadUnreadable, KeyUnavailable: the session can't be read.
        """

    async def slide_sessions(self, filter: SessionFilter) -> int:  # noqa: A002 - as in `LiveSessionStore`
        """Slide every session that the filter matches, and give their number: 0 means that there is none.

        Unreadable ones are logged and left out.

        Raises:
            ValueError: nothing is set in the filter.
            PayloadUnreadable, KeyUnavailable: not one of those found could be read.
        """

    async def get_and_remove_expired_sessions(self, count: int) -> list[ServerSideSession]:
        """Take expired sessions away, the longest expired first; each goes to exactly one caller.

        Sessions that somebody has claimed are left alone; so are unreadable ones, which are logged. Who crashes with
        the result loses it: `claim_expired_sessions` does not.

        Args:
            count: how many at most.
        """

    async def claim_expired_sessions(self, count: int, lease: timedelta) -> list[ServerSideSession]:
        """Take expired sessions for a while, the longest due first; nobody else gets them within the lease.

        What is not acknowledged comes back when the lease is over, and is kept for another grace. Of several expired
        sessions under one key, the oldest must be acknowledged before the next is given.

        Args:
            count: how many at most.
            lease: for how long.
        """

    async def acknowledge_expired_sessions(self, keys: Iterable[str]) -> int:
        """Delete what was processed: of these keys, what is still expired and claimed; give the number.

        A claim whose lease is over counts as long as the session is there.

        Raises:
            TypeError: `keys` is one text.
        """


class ServerSideSessionStore(LiveSessionStore, SessionLifetimeStore, SessionLogoutStore, Protocol):
    """Server-side sessions. The ticket is in clear here and sealed below, the key with it."""


def hashed_session_key(key: str) -> str:
    """What a session is stored under. Frozen: SHA-256 of the key's UTF-8, in upper-case hex."""
    return hashlib.sha256(key.encode()).hexdigest().upper()


def slid_expiry(renewed: datetime, expires: datetime, now: datetime) -> datetime | None:
    """When a session expires that is used now: as long from now as it was given when it was last renewed.

    None: it was renewed so recently (less than a hundredth of that time ago) that it is left as it is.
    """
    lifetime = expires - renewed
    if now - renewed < max(lifetime / SLIDE_FRACTION, _MILLISECOND):
        return None
    return min(later(now, lifetime), LATEST_EXPIRY)


def changed_session(session: ServerSideSession, change: SessionChange) -> ServerSideSession | None:
    """Ask what is to become of a session.

    Raises:
        TypeError, ValueError: that can't be stored, or has another key.
    """
    changed = change(session)
    if changed is None:
        return None
    changed = check_session(changed)
    if changed.key != session.key:
        raise ValueError("a change can't give a session another key; end it, and create another one")
    return changed


def slid_session(session: ServerSideSession, now: datetime) -> ServerSideSession | None:
    """The session after it is used; None: as it was, see `slid_expiry`."""
    now = cut_to_milliseconds(now)
    expires = slid_expiry(session.renewed, session.expires, now) if session.expires else None
    return session.model_copy(update={"renewed": now, "expires": expires}) if expires else None


def check_count(count: int) -> None:
    """Refuse what is no number of sessions.

    Raises:
        TypeError, ValueError: it is no positive int, or more than 2³¹ - 1.
    """
    arguments.check_count("count", count)


def check_lease(lease: timedelta) -> None:
    """Refuse what is no time to work in.

    Raises:
        TypeError, ValueError: it is no positive timedelta, or longer than ten years.
    """
    arguments.check_duration("lease", lease)


def check_keys(keys: Iterable[str]) -> list[str]:
    """Refuse one text where several are due: each of its characters would be taken for a key.

    Raises:
        TypeError: it is one text, or nothing that can be iterated over.
        ValueError: there are more than 10,000.
    """
    return [key for key in arguments.several("keys", keys) if is_identifier(key)]


def check_query(query: SessionQuery | None) -> SessionQuery:
    """Give the query that is meant.

    Raises:
        TypeError, ValueError: it is something else, or holds what no query can.
    """
    if query is None:
        return SessionQuery()
    return revalidated(query, SessionQuery)


def page_size(query: SessionQuery) -> int:
    """How many sessions make a page."""
    return min(query.count_requested if query.count_requested > 0 else DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def no_sessions() -> QueryResult[ServerSideSession]:
    """The page of a query that nothing can match."""
    return QueryResult(total_count=0, total_pages=0, current_page=0)


@dataclass(frozen=True, slots=True)
class SessionSearch:
    """What a query asks for, ready to be compared.

    Attributes:
        folded_name: the display name, case-folded.
        substring: whether texts may stand anywhere in their field.
        possible: False when nothing stored can match.
    """

    subject_id: str | None
    session_id: str | None
    folded_name: str | None
    substring: bool
    possible: bool

    @classmethod
    def of(cls, query: SessionQuery) -> "SessionSearch":
        """Make one of a query."""
        folded = folded_name(query.display_name) if query.display_name else None
        ids = [value for value in (query.subject_id, query.session_id) if value]
        return cls(
            query.subject_id or None,
            query.session_id or None,
            folded,
            query.match == "substring",
            all(map(is_identifier, ids)) and (folded is None or _may_be_in_a_name(folded)),
        )

    def matches(self, session: ServerSideSession) -> bool:
        """Whether the session is meant; presence is another question."""
        pairs = ((self.subject_id, session.subject_id), (self.session_id, session.session_id))
        name = folded_name(session.display_name)
        if self.substring:
            wanted = (*pairs, (self.folded_name, name))
            return all(part is None or part in whole for part, whole in wanted)
        return all(want is None or want == is_ for want, is_ in pairs) and name.startswith(self.folded_name or "")

    def scope(self) -> list[str | None]:
        """What a paging token is bound to."""
        match = "substring" if self.substring else "prefix"
        return [match, self.subject_id, self.session_id, self.folded_name]


def folded_name(display_name: str | None) -> str:
    """What a display name is ordered and found by; empty for none. Frozen: Unicode case folding, not normalised."""
    return (display_name or "").casefold()


def _may_be_in_a_name(folded: str) -> bool:
    # Case folding makes at most three characters of one.
    if len(folded) > 3 * MAX_IDENTIFIER_LENGTH:
        return False
    try:
        folded.encode()
    except UnicodeEncodeError:
        return False
    return True

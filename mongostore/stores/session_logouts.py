"""What is left of a session when it is over: its logout, kept until every client was told or the grace has passed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import Field

from mongostore.models import RemoveSessionsContext, ServerSideSession, SessionFilter
from mongostore.models.base import Model, PropertyName
from mongostore.models.instants import Instant
from mongostore.models.revalidation import revalidated


class Retry(Model):
    """A client that could not be told: how often that was tried, and when the next attempt is due."""

    attempts: int
    next_attempt: Instant


class LogoutState(Model):
    """How far a logout has come. It lies sealed in the session's record (frozen: JSON as `to_payload` writes it).

    Attributes:
        context: how the session was ended; None: it expired.
        expires: when it would have expired.
        revoked: what the context asked for was revoked, after the session was marked as ended: nothing issued since then
            belongs to this session, and nothing is revoked for it again.
        settled: who need not be told (again): client ids, or "" for a session whose clients are not known.
        retries: who could not be told yet.
    """

    context: RemoveSessionsContext | None = None
    expires: Instant | None = None
    revoked: bool = False
    settled: list[str] = Field(default_factory=list)
    retries: dict[PropertyName, Retry] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Logout:
    """The logout of one session.

    Attributes:
        session: as it was when it ended.
        state: how far its logout has come.
        over_at: when it ended or expired.
        version: which record this is, and in which state; the store that gave it understands it.
    """

    session: ServerSideSession
    state: LogoutState
    over_at: datetime
    version: object = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EndedSessions:
    """What was ended.

    Attributes:
        logouts: what is to be done about the sessions.
        unreadable: how many sessions could not be read, and were deleted: their clients can't be told.
    """

    logouts: Sequence[Logout]
    unreadable: int = 0


Ending = Callable[[ServerSideSession], LogoutState | None]
"""How far the logout of a session has come when it ends; None leaves the session as it is. It may be called repeatedly."""


class SessionLogoutStore(Protocol):
    """Ends sessions, and keeps their logouts. An ended session is absent for everything but this, on every node at once."""

    async def end_session(self, key: str, ending: Ending, lease: timedelta) -> Logout | None:
        """Mark a session as ended, in one conditional write, and claim its logout.

        Args:
            key: which session.
            ending: what its logout begins with.
            lease: for how long nobody else gets the logout.

        Returns:
            The logout, or None when there is no live session, or `ending` leaves it.

        Raises:
            PayloadUnreadable, KeyUnavailable: the session can't be read; delete it.
        """

    async def end_sessions(
        self,
        filter: SessionFilter,  # noqa: A002 - the reference's name
        ending: Ending,
        lease: timedelta,
    ) -> EndedSessions:
        """Do the same with every session that the filter matches, one conditional write for each.

        Those that can't be read are deleted and counted.

        Raises:
            ValueError: nothing is set in the filter.
        """

    async def has_begun_since(self, filter: SessionFilter, since: datetime) -> bool:  # noqa: A002 - the reference's name
        """Whether one of the live sessions that the filter matches was created at `since` or later, by the store's clock.

        Raises:
            ValueError: nothing is set in the filter.
            PayloadUnreadable, KeyUnavailable: not one of those found could be read.
        """

    async def claim_logouts(self, count: int, lease: timedelta) -> list[Logout]:
        """As `claim_expired_sessions`, with what is known of each logout."""

    async def keep_logout(self, logout: Logout, state: LogoutState, due_at: datetime) -> bool:
        """Write down how far a logout has come, and give up its claim: it can be claimed from `due_at` on.

        Returns:
            False when somebody else has done so meanwhile, or the session goes on.
        """

    async def finish_logouts(self, logouts: Iterable[Logout]) -> int:
        """Delete the records of logouts that nobody else has changed meanwhile, and give their number."""


def state_at_end(session: ServerSideSession, ending: Ending) -> LogoutState | None:
    """Ask what the logout of a session begins with; None: the session goes on.

    Raises:
        TypeError, ValueError: `ending` gives something else.
    """
    state = ending(session)
    if state is None:
        return None
    return revalidated(state, LogoutState).model_copy(update={"expires": session.expires})


def check_logout(logout: object) -> Logout:
    """Give a logout back.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(logout, Logout):
        raise TypeError(f"a Logout is needed, not {type(logout).__name__}")
    return logout

"""Who is told of a logout, who could not be, and when that is tried again: decisions without I/O."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from mongostore.models import RemoveSessionsContext, ServerSideSession
from mongostore.models.base import to_payload
from mongostore.sessions.user_sessions import ticket_of
from mongostore.stores.session_logouts import Logout, LogoutState, Retry

# Stands for the session as a whole, where its clients are not known: it has a ticket of the server's own, or none came.
WHOLE_SESSION = ""

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
_MAX_DOUBLINGS = 10

Outcome = Collection[str] | None


def clients_of(session: ServerSideSession) -> list[str]:
    """The clients that the session's ticket tells of."""
    ticket = ticket_of(session)
    return ticket.client_ids if ticket else []


def recipients(session: ServerSideSession) -> list[str]:
    """Who is to be told when the session is over."""
    return list(dict.fromkeys(clients_of(session))) or [WHOLE_SESSION]


def initial_state(session: ServerSideSession, context: RemoveSessionsContext, *, tells: bool) -> LogoutState:
    """How far the logout of a session has come when it is ended: who is not meant has nothing to be told.

    Args:
        tells: whether anybody is to be told at all.
    """
    named = context.client_ids
    settled = [each for each in recipients(session) if not tells or (named is not None and each not in named)]
    return LogoutState(context=context, settled=settled)


def outstanding(logout: Logout) -> list[str]:
    """Who is still to be told."""
    return [each for each in recipients(logout.session) if each not in logout.state.settled]


def due(logout: Logout, now: datetime) -> list[str]:
    """Who is to be told now."""
    retries = logout.state.retries
    return [each for each in outstanding(logout) if each not in retries or retries[each].next_attempt <= now]


def with_clients(session: ServerSideSession, clients: list[str]) -> ServerSideSession:
    """The session as a callback sees it: its ticket tells of those clients only that are to be told."""
    ticket = ticket_of(session)
    if ticket is None or clients in ([WHOLE_SESSION], ticket.client_ids):
        return session
    told = ticket.model_copy(update={"client_ids": clients})
    return session.model_copy(update={"ticket": to_payload(told).decode()})


def not_told(outcome: object, asked: list[str]) -> list[str]:
    """Who could not be told, by what a callback has returned.

    Raises:
        TypeError: it is neither None nor a list, tuple or set of client ids.
    """
    if outcome is None:
        return []
    if not isinstance(outcome, list | tuple | set | frozenset) or not all(isinstance(each, str) for each in outcome):
        raise TypeError(
            "what tells clients of a logout must return None, or a list of the client ids that could not be told, not "
            f"{type(outcome).__name__}"
        )
    if asked == [WHOLE_SESSION]:
        return asked if outcome else []
    return [each for each in asked if each in outcome]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a logout after an attempt.

    Attributes:
        state: to be written down; None when nobody is left to be told.
        due_at: when the next attempt is due.
        given_up: who will not be told any more, because the grace is over.
    """

    state: LogoutState | None
    due_at: datetime
    given_up: tuple[str, ...] = ()


def decide(
    logout: Logout, asked: list[str], untold: list[str], now: datetime, grace: timedelta, *, at_once: bool = False
) -> Decision:
    """Decide what becomes of a logout.

    Args:
        logout: as it was before.
        asked: who was to be told in this attempt.
        untold: who of them was not.
        now: the time.
        grace: for how long after the end attempts are made: the last one at its end.
        at_once: whether the next attempt is due now, because somebody else makes it.
    """
    ends_at = logout.over_at + grace
    settled = {*logout.state.settled, *(each for each in asked if each not in untold)}
    retries = {each: retry for each, retry in logout.state.retries.items() if each not in settled}
    given_up = tuple(untold) if now >= ends_at else ()
    for each in untold:
        if given_up:
            settled.add(each)
            retries.pop(each, None)
            continue
        attempts = retries[each].attempts + 1 if each in retries else 1
        next_attempt = now if at_once else min(now + pause_after(attempts), ends_at)
        retries[each] = Retry(attempts=attempts, next_attempt=next_attempt)
    state = logout.state.model_copy(update={"revoked": True, "settled": sorted(settled), "retries": retries})
    left = [each for each in recipients(logout.session) if each not in settled]
    if not left:
        return Decision(None, now, given_up)
    return Decision(state, min(retries[each].next_attempt if each in retries else now for each in left), given_up)


def pause_after(attempts: int) -> timedelta:
    """How long to wait before a client that could not be told is tried again: twice as long each time, up to an hour."""
    doublings: int = 2 ** min(attempts - 1, _MAX_DOUBLINGS)
    return min(FIRST_PAUSE * doublings, LONGEST_PAUSE)

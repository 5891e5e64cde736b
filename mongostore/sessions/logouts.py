"""What follows the end of a session, in the one order that leaves nothing alive: revoke, tell, forget, revoke once more."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from mongostore.clock import Clock
from mongostore.models import ServerSideSession
from mongostore.sessions.deliveries import WHOLE_SESSION, Outcome, decide, due, not_told, with_clients
from mongostore.stores.session_logouts import Logout, SessionLogoutStore

_log = logging.getLogger("mongostore")

Teller = Callable[[ServerSideSession], Awaitable[Outcome] | Outcome]
"""Tells the clients that the session's ticket names; see `SessionService.process_expired`."""

Revoke = Callable[[], Awaitable[object]]

OnUndelivered = Callable[[str | None], None]
"""Is told of a client that could not be told of a logout within the grace; None where the clients are not known."""


class ClientsNotTold(Exception):
    """A callback has returned clients that it could not tell of a logout."""


class Logouts:
    """Carries out the logouts of one tenant."""

    def __init__(
        self,
        sessions: SessionLogoutStore,
        clock: Clock,
        grace: timedelta,
        on_undelivered: OnUndelivered = lambda _: None,
    ) -> None:
        """Args: where logouts are kept, the time, how long they are tried, and who hears of those that failed for good."""
        self._sessions = sessions
        self._clock = clock
        self._grace = grace
        self._on_undelivered = on_undelivered

    async def carry_out(self, logout: Logout, revoke: Revoke, tell: Teller) -> Exception | None:
        """Process the logout of a session that is over, and return why somebody could not be told.

        What was revoked already, for this session and since it ended, is not revoked again: the user may have begun
        another session under the same ids.
        """
        if logout.state.revoked:
            return await self._settle(logout, *await self._told(logout, tell))
        await revoke()
        attempt = await self._told(logout, tell)
        # Before, so that a crash leaves nothing behind that nobody would revoke; after, for what was issued meanwhile.
        await revoke()
        error = await self._settle(logout, *attempt)
        await revoke()
        return error

    async def carry_out_all(self, logouts: Sequence[Logout], revoke: Revoke, tell: Teller | None) -> None:
        """Do the same for sessions that were ended together; with nobody to tell it, it is left to `process_expired`."""
        await revoke()
        attempts = [(logout, await self._told(logout, tell)) for logout in logouts]
        await revoke()
        for logout, attempt in attempts:
            error = await self._settle(logout, *attempt, at_once=True)
            if isinstance(error, ClientsNotTold):
                _log.warning("%s; process_expired tries again", error)
            elif error:
                _log.error("The clients of a session could not be told that it has ended", exc_info=error)
        await revoke()

    async def _told(self, logout: Logout, tell: Teller | None) -> tuple[list[str], list[str], Exception | None]:
        """Tell who is to be told now: who that is, who of them could not be told, and why."""
        asked = due(logout, self._clock.now())
        if tell is None or not asked:
            return [], [], None
        try:
            outcome = tell(with_clients(logout.session, asked))
            if inspect.isawaitable(outcome):
                outcome = await outcome
            untold = not_told(outcome, asked)
        except Exception as error:  # noqa: BLE001 - the callback is the server's, and the user is signed out whatever it does
            return asked, asked, error
        if not untold:
            return asked, untold, None
        number = f"{len(untold)} of {len(asked)}" if len(asked) > 1 else "one"
        return asked, untold, ClientsNotTold(f"{number} of a session's clients could not be told of its logout")

    async def _settle(
        self,
        logout: Logout,
        asked: list[str],
        untold: list[str],
        error: Exception | None,
        *,
        at_once: bool = False,
    ) -> Exception | None:
        decision = decide(logout, asked, untold, self._clock.now(), self._grace, at_once=at_once)
        if decision.state is None:
            is_ours = await self._sessions.finish_logouts([logout]) > 0
        else:
            is_ours = await self._sessions.keep_logout(logout, decision.state, decision.due_at)
        for client_id in decision.given_up if is_ours else ():
            _log.error("A client could not be told of a logout until its grace was over: it is given up")
            self._on_undelivered(None if client_id == WHOLE_SESSION else client_id)
        return error

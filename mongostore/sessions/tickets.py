"""The ticket service: where a server's cookies keep what signs a user in. The cookie holds the key only."""

import logging
import re
import secrets

from mongostore.clock import Clock
from mongostore.errors import NotFound, PayloadUnreadable
from mongostore.models import AuthenticationTicket, RemoveSessionsContext, ServerSideSession
from mongostore.models.base import to_payload
from mongostore.models.identifiers import check_identifier
from mongostore.models.principal import first_claim
from mongostore.models.revalidation import made, revalidated
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.expiry import DEFAULT_LEASE
from mongostore.sessions.logouts import Logouts
from mongostore.sessions.user_sessions import ticket_of
from mongostore.stores.session_logouts import LogoutState
from mongostore.stores.sessions import ServerSideSessionStore

_log = logging.getLogger("mongostore")

_KEY_BYTES = 32
_KEY = re.compile(rf"[0-9A-F]{{{2 * _KEY_BYTES}}}")


class Tickets:
    """The tickets of one tenant, each in a server-side session."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        coordination: SessionCoordination,
        logouts: Logouts,
        clock: Clock,
        display_name_claim_type: str | None,
    ) -> None:
        """Make the service.

        Args:
            sessions: where sessions are kept.
            coordination: ends their tokens.
            logouts: carries out the end of a session whose user changes.
            clock: tells the time.
            display_name_claim_type: the claim that names the user in lists; None: none does.
        """
        self._sessions = sessions
        self._coordination = coordination
        self._logouts = logouts
        self._clock = clock
        self._display_name_claim_type = display_name_claim_type

    async def store(self, ticket: AuthenticationTicket) -> str:
        """Begin a session.

        Args:
            ticket: its principal has the claims `sub` and `sid`.

        Returns:
            The key for the cookie: 64 upper-case hex digits.

        Raises:
            TypeError, ValueError: the ticket is none, lacks a claim, or can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """
        key = secrets.token_hex(_KEY_BYTES).upper()
        await self._sessions.create_session(self._session(key, ticket))
        return key

    async def retrieve(self, key: str, *, slide: bool = False) -> AuthenticationTicket | None:
        """Look a ticket up; None when there is no such session, or it has expired.

        A ticket that is damaged, or was not stored here, is logged and signs nobody in: None.

        Args:
            key: from the cookie.
            slide: let the session's time begin anew: it is in use.

        Returns:
            The ticket; `issued` and `expires` are the session's.

        Raises:
            KeyUnavailable: the data key that sealed it is missing.
        """
        try:
            session = await (self._sessions.slide_session if slide else self._sessions.get_session)(key)
        except PayloadUnreadable as error:
            _log.error("A user is taken for signed out: %s", error)
            return None
        if session is None:
            return None
        ticket = ticket_of(session)
        if ticket is None:
            _log.error("A user is taken for signed out: the session's ticket is no AuthenticationTicket")
        return ticket

    async def renew(self, key: str, ticket: AuthenticationTicket) -> str:
        """Put a ticket in the place of another, in one conditional write: no session begins or comes back by it.

        Clients that were added meanwhile stay; those of the new ticket join them. When the subject or the session id
        changes, the former session ends: its tokens are revoked, of every client, and its logout comes to
        `sessions.process_expired`. The new one begins under a key of its own, so that nobody who knows the former key is
        signed in by it.

        Args:
            key: from the cookie.
            ticket: as for `store`.

        Returns:
            The key for the cookie: the same one, or that of the new session.

        Raises:
            NotFound: `store` did not make this key, or its session has ended or expired.
            TypeError, ValueError: the key is no text, or the ticket lacks a claim or can't be stored.
            PayloadUnreadable, KeyUnavailable: the former session can't be read; remove it.
        """
        if not isinstance(key, str):
            raise TypeError(f"key must be a str, not {type(key).__name__}")
        ticket = revalidated(ticket, AuthenticationTicket)
        renewed = self._session(key if _KEY.fullmatch(key) else "0", ticket)
        if not _KEY.fullmatch(key):
            raise _absent()
        while True:
            found = await self._sessions.change_session(key, lambda former: _renewed(former, renewed, ticket))
            if found is None or ticket_of(found) is None:
                raise _absent()
            if _ids(found) == _ids(renewed):
                return key
            ended = await self._sessions.end_session(key, lambda former: _ending(former, renewed), DEFAULT_LEASE)
            if ended is not None:
                break
        revoked = RemoveSessionsContext(
            subject_id=ended.session.subject_id, session_id=ended.session.session_id, revoke_consents=False
        )
        await self._logouts.carry_out_all([ended], lambda: self._coordination.revoke(revoked, [ended.session]), None)
        return await self.store(ticket)

    async def add_client(self, key: str, client_id: str) -> bool:
        """Note that the user has signed in to a client, in one conditional write: it will be told of the logout.

        Args:
            key: from the cookie.
            client_id: the client; it may have been added before.

        Returns:
            False when there is no such session, or its ticket was not stored here.

        Raises:
            TypeError, ValueError: the client id is impossible, or the ticket would have more than 10,000 clients or grow
                beyond 1 MiB; nothing is written.
            PayloadUnreadable, KeyUnavailable: the session can't be read; remove it.
        """
        check_identifier("client_id", client_id)

        def added(session: ServerSideSession) -> ServerSideSession | None:
            ticket = ticket_of(session)
            if ticket is None or client_id in ticket.client_ids:
                return None
            return _with_clients(session, ticket, [*ticket.client_ids, client_id])

        found = await self._sessions.change_session(key, added)
        return found is not None and ticket_of(found) is not None

    async def remove(self, key: str) -> bool:
        """End a session: True when there was one. For what follows a logout, see `SessionService`."""
        return await self._sessions.delete_session(key)

    def _session(self, key: str, ticket: AuthenticationTicket) -> ServerSideSession:
        ticket = revalidated(ticket, AuthenticationTicket)
        issued = ticket.issued or self._clock.now()
        return made(
            ServerSideSession,
            key=key,
            scheme=ticket.scheme,
            subject_id=_claim(ticket, "sub"),
            session_id=_claim(ticket, "sid"),
            display_name=self._display_name(ticket),
            created=issued,
            renewed=issued,
            expires=ticket.expires,
            ticket=to_payload(ticket).decode(),
        )

    def _display_name(self, ticket: AuthenticationTicket) -> str | None:
        claim_type = self._display_name_claim_type
        return first_claim(ticket.principal.claims, claim_type) if claim_type else None


def _claim(ticket: AuthenticationTicket, claim_type: str) -> str:
    value = first_claim(ticket.principal.claims, claim_type)
    if value is None:
        raise ValueError(f"the ticket's principal lacks the claim {claim_type!r}, which every session needs")
    return value


def _absent() -> NotFound:
    return NotFound(
        "there is no session with this key, or it has ended; sign the user in again, and store a new ticket"
    )


def _ids(session: ServerSideSession) -> tuple[str, str]:
    return session.subject_id, session.session_id


def _renewed(
    former: ServerSideSession, renewed: ServerSideSession, ticket: AuthenticationTicket
) -> ServerSideSession | None:
    """What becomes of a session that is renewed; nothing when it is somebody else's, or was not stored here."""
    stored = ticket_of(former)
    if stored is None or _ids(former) != _ids(renewed):
        return None
    joining = [each for each in ticket.client_ids if each not in stored.client_ids]
    session = renewed.model_copy(update={"created": former.created})
    return _with_clients(session, ticket, [*stored.client_ids, *joining])


def _ending(former: ServerSideSession, renewed: ServerSideSession) -> LogoutState | None:
    """What the logout of a former user's session begins with; nothing when it is the same user's by now."""
    if _ids(former) == _ids(renewed):
        return None
    context = RemoveSessionsContext(subject_id=former.subject_id, session_id=former.session_id, revoke_consents=False)
    return LogoutState(context=context)


def _with_clients(session: ServerSideSession, ticket: AuthenticationTicket, client_ids: list[str]) -> ServerSideSession:
    # Validated before it is written: what can't be read again would sign the user out, and lose the logout.
    changed = revalidated(ticket.model_copy(update={"client_ids": client_ids}), AuthenticationTicket)
    return session.model_copy(update={"ticket": to_payload(changed).decode()})

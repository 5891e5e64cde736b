"""The ticket service: where a server's cookies keep what signs a user in. The cookie holds the key only."""

import logging
import secrets
from contextlib import suppress

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists, NotFound, PayloadUnreadable
from mongostore.models import AuthenticationTicket, ServerSideSession
from mongostore.models.base import to_payload
from mongostore.models.identifiers import check_identifier
from mongostore.models.principal import first_claim
from mongostore.models.revalidation import made, revalidated
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.user_sessions import ticket_of
from mongostore.stores.sessions import ServerSideSessionStore

_log = logging.getLogger("mongostore")

_KEY_BYTES = 32


class Tickets:
    """The tickets of one tenant, each in a server-side session."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        coordination: SessionCoordination,
        clock: Clock,
        display_name_claim_type: str | None,
    ) -> None:
        """Args: where sessions are kept, what ends their tokens, the time, and the claim that names the user in lists."""
        self._sessions = sessions
        self._coordination = coordination
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

    async def renew(self, key: str, ticket: AuthenticationTicket) -> None:
        """Put a ticket in the place of another; a session that is missing or has expired begins anew under its key.

        When the subject or the session id changes, the tokens of the former session are revoked, of every client.

        Raises:
            TypeError, ValueError: the key or the ticket is none, or the ticket lacks a claim or can't be stored.
            PayloadUnreadable, KeyUnavailable: the former session can't be read; remove it.
        """
        check_identifier("key", key)
        renewed = self._session(key, ticket)
        while True:
            former = await self._sessions.get_session(key)
            if former is None:
                with suppress(AlreadyExists):  # It began in between.
                    await self._sessions.create_session(renewed)
                    return
            else:
                with suppress(NotFound):  # It ended in between.
                    await self._replace(former, renewed)
                    return

    async def remove(self, key: str) -> bool:
        """End a session: True when there was one. For what follows a logout, see `SessionService`."""
        return await self._sessions.delete_session(key)

    async def _replace(self, former: ServerSideSession, renewed: ServerSideSession) -> None:
        if (former.subject_id, former.session_id) == (renewed.subject_id, renewed.session_id):
            await self._sessions.update_session(renewed.model_copy(update={"created": former.created}))
            return
        # Before, so that a crash leaves nothing behind that nobody would revoke; after, for what was issued meanwhile.
        await self._coordination.revoke(former.subject_id, former.session_id)
        await self._sessions.update_session(renewed)
        await self._coordination.revoke(former.subject_id, former.session_id)

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

"""Which tokens and consents end with a session, and how long a client's tokens follow the user's session."""

import logging
from collections.abc import Sequence

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.grants.revocation import Revocation
from mongostore.models import Client, RemoveSessionsContext, ServerSideSession, SessionFilter
from mongostore.models.grants import check_filter_text
from mongostore.sessions.deliveries import clients_of
from mongostore.stores.clients import ClientStore
from mongostore.stores.session_logouts import Logout
from mongostore.stores.sessions import ServerSideSessionStore

_log = logging.getLogger("mongostore")


class SessionCoordination:
    """Ends tokens with their session, and keeps sessions alive whose tokens are used."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        revocation: Revocation,
        clients: ClientStore,
        *,
        coordinate_by_default: bool,
    ) -> None:
        """Args: the stores, what revokes, and whether clients that don't say take part."""
        self._sessions = sessions
        self._revocation = revocation
        self._clients = clients
        self._coordinate_by_default = coordinate_by_default

    def applies_to(self, client: Client | None) -> bool:
        """Whether a client's tokens follow the session: as it says, else as the option says."""
        said = client.coordinate_lifetime_with_user_session if client else None
        return self._coordinate_by_default if said is None else said

    async def validate(self, subject_id: str, session_id: str, client: Client) -> bool:
        """See `SessionService.validate_session`."""
        if not self.applies_to(client):
            return True
        check_filter_text("subject_id", subject_id)
        check_filter_text("session_id", session_id)
        return await self._sessions.slide_sessions(SessionFilter(subject_id=subject_id, session_id=session_id)) > 0

    async def end(self, session: ServerSideSession) -> int:
        """See `SessionService.process_logout`."""
        client_ids = [
            client_id
            for client_id in clients_of(session)
            if self.applies_to(await self._clients.find_client_by_id(client_id))
        ]
        if not client_ids:
            return 0
        return await self._revocation.remove(
            subject_id=session.subject_id, session_id=session.session_id, client_ids=client_ids, consents=False
        )

    async def revoke(self, context: RemoveSessionsContext, sessions: Sequence[ServerSideSession]) -> None:
        """Revoke what a context asks for.

        Args:
            context: whose tokens and consents.
            sessions: those that end. Consents belong to no session, so where a session is named, those go that its
                subject gave to its clients.
        """
        if context.revoke_tokens or context.revoke_consents:
            await self._revocation.remove(
                subject_id=context.subject_id,
                session_id=context.session_id,
                client_ids=context.client_ids,
                tokens=context.revoke_tokens,
                consents=context.revoke_consents,
            )
        if context.revoke_consents and context.session_id is not None:
            for session in sessions:
                clients = clients_of(session)
                if context.client_ids is not None:
                    clients = [each for each in clients if each in context.client_ids]
                if clients:
                    await self._revocation.remove(
                        subject_id=session.subject_id, client_ids=clients, tokens=False, consents=True
                    )

    async def revoke_for(self, logout: Logout) -> None:
        """Revoke what ends with a session that is over: the tokens that follow it, or what `sessions.end` was to revoke.

        This may happen long after the end, when the user has begun another session. Nothing of that one may go, and no
        grant tells the two apart once they share subject and session id. So while a session is alive that began
        later under the same ids, nothing is revoked: what is left of the former one belongs to it from then on, and ends
        with it. When a context names a subject alone ("sign out everywhere") and the user has signed in again since, only
        that is revoked which belongs to the session that ended.
        """
        session, context = logout.session, logout.state.context
        own = SessionFilter(subject_id=session.subject_id, session_id=session.session_id)
        if context is None:
            if not await self._began_again(own, logout):
                await self.end(session)
            return
        whole = SessionFilter(subject_id=context.subject_id, session_id=context.session_id)
        if not await self._began_again(whole, logout):
            await self.revoke(context, [session])
        elif not await self._began_again(own, logout):
            narrow = {"subject_id": session.subject_id, "session_id": session.session_id, "revoke_consents": False}
            await self.revoke(context.model_copy(update=narrow), [session])

    async def _began_again(self, wanted: SessionFilter, logout: Logout) -> bool:
        try:
            return await self._sessions.has_begun_since(wanted, logout.over_at)
        except (PayloadUnreadable, KeyUnavailable) as error:
            _log.error("Sessions that can't be read are taken for ended: %s", error)
            return False

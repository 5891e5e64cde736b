"""The lifetime of a client's tokens follows the user's session, for the clients that want it."""

from collections.abc import Iterable

from mongostore.models import Client, PersistedGrantFilter, PersistedGrantType, ServerSideSession, SessionFilter
from mongostore.models.grants import check_filter_text
from mongostore.sessions.user_sessions import user_session
from mongostore.stores.clients import ClientStore
from mongostore.stores.persisted_grants import PersistedGrantStore
from mongostore.stores.sessions import ServerSideSessionStore

# What a user's sign-in gave to clients. Consent outlives it.
TOKEN_TYPES: tuple[str, ...] = (
    PersistedGrantType.RefreshToken.value,
    PersistedGrantType.ReferenceToken.value,
    PersistedGrantType.AuthorizationCode.value,
    PersistedGrantType.BackChannelAuthenticationRequest.value,
)


class SessionCoordination:
    """Ends tokens with their session, and keeps sessions alive whose tokens are used."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        grants: PersistedGrantStore,
        clients: ClientStore,
        *,
        coordinate_by_default: bool,
    ) -> None:
        """Args: the stores, and whether clients that don't say take part."""
        self._sessions = sessions
        self._grants = grants
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
            for client_id in user_session(session).client_ids
            if self.applies_to(await self._clients.find_client_by_id(client_id))
        ]
        return await self.revoke(session.subject_id, session.session_id, client_ids)

    async def revoke(self, subject_id: str, session_id: str, client_ids: Iterable[str] | None = None) -> int:
        """Remove the tokens of a session, of some clients or (None) of all, and give their number."""
        return await self._grants.remove_all(
            PersistedGrantFilter(
                subject_id=subject_id,
                session_id=session_id,
                client_ids=None if client_ids is None else list(client_ids),
                types=list(TOKEN_TYPES),
            )
        )

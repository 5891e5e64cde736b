"""Revocation of all that was granted: over every collection that holds something which could still be used."""

from collections.abc import Iterable

from mongostore.models import PersistedGrantFilter, PersistedGrantType
from mongostore.stores.persisted_grants import PersistedGrantStore

# What a sign-in gives to clients. Consent outlives it.
TOKEN_TYPES: tuple[str, ...] = (
    PersistedGrantType.RefreshToken.value,
    PersistedGrantType.ReferenceToken.value,
    PersistedGrantType.AuthorizationCode.value,
    PersistedGrantType.BackChannelAuthenticationRequest.value,
)


class Revocation:
    """Revokes the grants of one tenant."""

    def __init__(self, grants: PersistedGrantStore) -> None:
        """Args: where grants are kept."""
        self._grants = grants

    async def remove(
        self,
        *,
        subject_id: str | None = None,
        session_id: str | None = None,
        client_ids: Iterable[str] | None = None,
        tokens: bool = True,
        consents: bool = True,
    ) -> int:
        """Remove what a subject, a session or clients have; what is given must all hold.

        When it returns, nothing that it covers is live, or becomes live from what was redeemed, rotated or retrieved
        before it returned.

        Args:
            subject_id: whose grants.
            session_id: given in which session. Consents belong to no session: name subject and clients for them.
            client_ids: given to which clients; None means all, an empty list none.
            tokens: remove codes, tokens, and requests for them (backchannel, device, pushed).
            consents: remove consents.

        Returns:
            How many records were removed; a lower bound after a fail-over.

        Raises:
            ValueError: neither subject, session nor clients are given.
            StorageUnavailable: MongoDB did not answer; repeat it.
        """
        types = [*(TOKEN_TYPES if tokens else ()), *((PersistedGrantType.UserConsent.value,) if consents else ())]
        return await self._grants.remove_all(
            PersistedGrantFilter(
                subject_id=subject_id,
                session_id=session_id,
                client_ids=None if client_ids is None else list(client_ids),
                types=None if tokens and consents else types,
            )
        )

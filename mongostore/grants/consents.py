"""Consents: what a subject allowed a client, found by the two of them."""

from mongostore.grants.handles import consent_handle
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.models import Consent, PersistedGrantType
from mongostore.models.identifiers import is_identifier
from mongostore.stores.persisted_grants import PersistedGrantStore


class UserConsents:
    """The consents of one tenant: at most one for a subject and a client."""

    def __init__(self, grants: PersistedGrantStore) -> None:
        """Args: where grants are kept."""
        self._grants = grants
        self._serializer = GrantSerializer(PersistedGrantType.UserConsent, Consent)

    async def store_user_consent(self, consent: Consent) -> None:
        """Keep a consent in place of an earlier one; for ever when it has no expiration.

        Raises:
            TypeError, ValueError: not a consent, or one that can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """
        consent = self._serializer.checked(consent)
        await self._grants.store(
            self._serializer.grant(
                consent,
                self._key(consent.subject_id, consent.client_id),
                client_id=consent.client_id,
                subject_id=consent.subject_id,
                creation_time=consent.creation_time,
                expiration=consent.expiration,
            )
        )

    async def get_user_consent(self, subject_id: str, client_id: str) -> Consent | None:
        """Look a consent up; None when there is none, or it has expired."""
        if not (is_identifier(subject_id) and is_identifier(client_id)):
            return None
        found = await self._grants.get(self._key(subject_id, client_id))
        if found is None or found.type != self._serializer.grant_type or found.consumed_time is not None:
            return None
        return self._serializer.value(found)

    async def remove_user_consent(self, subject_id: str, client_id: str) -> None:
        """Withdraw a consent; nothing happens when there is none."""
        if is_identifier(subject_id) and is_identifier(client_id):
            await self._grants.remove(self._key(subject_id, client_id))

    def _key(self, subject_id: str, client_id: str) -> str:
        return self._serializer.key(consent_handle(client_id, subject_id))

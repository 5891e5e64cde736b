"""Reference tokens: access tokens that a client holds as a handle, and the server looks up (RFC 7662)."""

from mongostore.grants.families import insert_into_family
from mongostore.grants.handles import new_handle
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.models import PersistedGrantFilter, PersistedGrantType, Token
from mongostore.models.grants import check_filter_text
from mongostore.models.instants import expiration_of
from mongostore.models.revalidation import made
from mongostore.stores.grant_records import GrantRecordStore
from mongostore.stores.persisted_grants import PersistedGrantStore


class ReferenceTokens:
    """The reference tokens of one tenant."""

    def __init__(self, records: GrantRecordStore, grants: PersistedGrantStore) -> None:
        """Args: the transitions and the plain operations of the same grants."""
        self._records = records
        self._grants = grants
        self._serializer = GrantSerializer(PersistedGrantType.ReferenceToken, Token)

    async def store_reference_token(self, token: Token, *, family: str | None = None) -> str:
        """Keep a token until its lifetime is over.

        Args:
            token: the token; subject and session are read from its claims, and a client's own token has neither.
            family: of the redeemed code that it is issued from (`Redemption.family`); one of its own without.

        Returns:
            The handle for the client: 64 upper-case hex digits and `-1`. It is not stored and can't be had again.

        Raises:
            TypeError, ValueError: not a token, or one that can't be stored.
            NotFound: the family was removed meanwhile; nothing was stored.
            StorageUnavailable: no majority confirmed it in time.
        """
        token = self._serializer.checked(token)
        handle = new_handle()
        grant = self._serializer.grant(
            token,
            self._serializer.key(handle),
            client_id=token.client_id,
            subject_id=token.subject_id,
            session_id=token.session_id,
            description=token.description,
            creation_time=token.creation_time,
            expiration=expiration_of(token.creation_time, token.lifetime),
        )
        await insert_into_family(self._records, grant, family)
        return handle

    async def get_reference_token(self, handle: str) -> Token | None:
        """Look a token up; None when unknown, expired, revoked or consumed."""
        found = self._serializer.of_type(await self._records.find(self._serializer.key(handle)))
        if found is None or found.grant.consumed_time is not None:
            return None
        return self._serializer.value(found.grant)

    async def remove_reference_token(self, handle: str) -> None:
        """Revoke a token; nothing happens when there is none."""
        await self._grants.remove(self._serializer.key(handle))

    async def remove_reference_tokens(self, subject_id: str, client_id: str, session_id: str | None = None) -> int:
        """Revoke every reference token that a client has for a subject, in one session when given; give their number.

        Raises:
            TypeError, ValueError: an id is no text, or empty: None in place of the first two would mean everybody.
        """
        check_filter_text("subject_id", subject_id)
        check_filter_text("client_id", client_id)
        return await self._grants.remove_all(
            made(
                PersistedGrantFilter,
                subject_id=subject_id,
                client_id=client_id,
                session_id=session_id,
                type=PersistedGrantType.ReferenceToken.value,
            )
        )

"""Authorization codes: stored under a hash of the handle, redeemed by exactly one caller (RFC 6749 §4.1.2)."""

from mongostore.grants.families import new_code_family
from mongostore.grants.handles import new_handle
from mongostore.grants.outcomes import Redemption
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.models import AuthorizationCode
from mongostore.models.grants import PersistedGrantType
from mongostore.models.instants import expiration_of
from mongostore.stores.grant_records import GrantRecord, GrantRecordStore
from mongostore.stores.persisted_grants import PersistedGrantStore


class AuthorizationCodes:
    """The authorization codes of one tenant."""

    def __init__(self, records: GrantRecordStore, grants: PersistedGrantStore) -> None:
        """Args: the transitions and the plain operations of the same grants."""
        self._records = records
        self._grants = grants
        self._serializer = GrantSerializer(PersistedGrantType.AuthorizationCode, AuthorizationCode)

    async def store_authorization_code(self, code: AuthorizationCode) -> str:
        """Keep a code until its lifetime is over.

        Returns:
            The handle for the client: 64 upper-case hex digits and `-1`. It is not stored and can't be had again.

        Raises:
            TypeError, ValueError: not a code, or one that can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """
        code = self._serializer.checked(code)
        handle = new_handle()
        grant = self._serializer.grant(
            code,
            self._serializer.key(handle),
            client_id=code.client_id,
            subject_id=code.subject.subject_id,
            session_id=code.session_id,
            description=code.description,
            creation_time=code.creation_time,
            expiration=expiration_of(code.creation_time, code.lifetime),
        )
        await self._records.insert(GrantRecord(grant, family=new_code_family()))
        return handle

    async def get_authorization_code(self, handle: str) -> AuthorizationCode | None:
        """Look a code up without redeeming it; None when unknown, expired or redeemed."""
        found = self._serializer.of_type(await self._records.find(self._serializer.key(handle)))
        if found is None or found.grant.consumed_time is not None:
            return None
        return self._serializer.value(found.grant)

    async def remove_authorization_code(self, handle: str) -> None:
        """Remove a code; nothing happens when there is none."""
        await self._grants.remove(self._serializer.key(handle))

    async def redeem_authorization_code(self, handle: str) -> Redemption[AuthorizationCode]:
        """Redeem a code: exactly one of any number of callers is told "redeemed".

        Every later one is told "replayed" as long as the redeemed code is kept, with the code and its family, so that what
        was issued from it can be revoked. It is kept for `consumed_retention`, at most until the code would have expired,
        but for an hour at least: as long, tokens may be issued into its family. See RFC 6749 §4.1.2, RFC 9700 §4.5.
        """
        key = self._serializer.key(handle)
        taken = self._serializer.of_type(await self._records.take(key))
        if taken is not None:
            return Redemption("redeemed", self._serializer.value(taken.grant), taken.family)
        found = self._serializer.of_type(await self._records.find(key, kept=True))
        if found is None or found.grant.consumed_time is None:
            return Redemption("unknown")
        return Redemption("replayed", self._serializer.value(found.grant), found.family)

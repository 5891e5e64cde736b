"""Backchannel authentication requests: made by a client, answered by a user elsewhere, redeemed once (OpenID CIBA)."""

import logging

from mongostore.errors import NotFound, PayloadUnreadable
from mongostore.grants.handles import new_handle
from mongostore.grants.typed_grants import GrantSerializer
from mongostore.models import BackChannelAuthenticationRequest, PersistedGrant, PersistedGrantFilter, PersistedGrantType
from mongostore.models.grants import check_filter_text
from mongostore.models.identifiers import is_identifier
from mongostore.models.instants import expiration_of
from mongostore.models.revalidation import made
from mongostore.stores.grant_records import GrantRecord, GrantRecordStore
from mongostore.stores.persisted_grants import PersistedGrantStore

_log = logging.getLogger("mongostore")


class BackChannelAuthenticationRequests:
    """The backchannel authentication requests of one tenant.

    A request has two names: the handle that the client polls with (`auth_req_id`), which is never stored, and the
    internal id, its grant key, which login pages use. A request is absent once it is expired or consumed.
    """

    def __init__(self, records: GrantRecordStore, grants: PersistedGrantStore) -> None:
        """Args: the transitions and the plain operations of the same grants."""
        self._records = records
        self._grants = grants
        self._serializer = GrantSerializer(
            PersistedGrantType.BackChannelAuthenticationRequest, BackChannelAuthenticationRequest
        )

    async def create_request(self, request: BackChannelAuthenticationRequest) -> str:
        """Keep a request until its lifetime is over; its `internal_id` is set in what is stored.

        Returns:
            The handle for the client: 64 upper-case hex digits and `-1`. It is not stored and can't be had again.

        Raises:
            TypeError, ValueError: not a request, or one that can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """
        request = self._serializer.checked(request)
        handle = new_handle()
        grant = self._grant(request, self._serializer.key(handle))
        await self._records.insert(GrantRecord(grant, completed=request.is_complete))
        return handle

    async def get_by_authentication_request_id(self, request_id: str) -> BackChannelAuthenticationRequest | None:
        """Look a request up by the handle that the client polls with.

        Raises:
            PayloadUnreadable, KeyUnavailable: the stored request can't be read.
        """
        return await self.get_by_internal_id(self._serializer.key(request_id))

    async def get_by_internal_id(self, internal_id: str) -> BackChannelAuthenticationRequest | None:
        """Look a request up by its internal id. Raises as `get_by_authentication_request_id`."""
        found = self._serializer.of_type(await self._records.find(internal_id))
        if found is None or found.grant.consumed_time is not None:
            return None
        return self._serializer.value(found.grant)

    async def get_logins_for_user(
        self, subject_id: str, client_id: str | None = None
    ) -> list[BackChannelAuthenticationRequest]:
        """List the requests that wait for a user or were answered, of one client when given, in no particular order.

        Unreadable ones are logged and left out.

        Raises:
            TypeError, ValueError: an id is no text, or empty: None in place of the subject would mean everybody.
            PayloadUnreadable, KeyUnavailable: not one of those found could be read.
        """
        check_filter_text("subject_id", subject_id)
        found = await self._grants.get_all(
            made(
                PersistedGrantFilter,
                subject_id=subject_id,
                client_id=client_id,
                type=self._serializer.grant_type,
            )
        )
        requests: list[BackChannelAuthenticationRequest] = []
        damaged: list[PayloadUnreadable] = []
        for grant in found:
            if grant.consumed_time is None:
                try:
                    requests.append(self._serializer.value(grant))
                except PayloadUnreadable as error:
                    damaged.append(error)
        if damaged:
            _log.error("%d backchannel requests of one subject can't be read and are left out", len(damaged))
            if not requests:
                raise damaged[0]
        return requests

    async def update_by_internal_id(self, internal_id: str, request: BackChannelAuthenticationRequest) -> None:
        """Write down the user's answer, session and description included; creation and lifetime are taken as given.

        Raises:
            NotFound: this client has no such request, or it has expired or been consumed: it is not brought back.
            TypeError, ValueError: not a request, or one that can't be stored.
        """
        request = self._serializer.checked(request)
        if not is_identifier(internal_id) or not await self._records.update(
            self._grant(request, internal_id), completed=request.is_complete
        ):
            raise NotFound("there is no such backchannel request of this client any more: it was not updated")

    async def remove_by_internal_id(self, internal_id: str) -> bool:
        """Remove a request: True when there was one, expired and consumed ones included."""
        return await self._grants.remove(internal_id)

    async def consume_by_internal_id(self, internal_id: str) -> BackChannelAuthenticationRequest | None:
        """Take a request that the user has answered: exactly one of any number of callers gets it.

        Returns:
            The request, or None when absent, expired, consumed, or not yet answered (`is_complete`). A request that was
            denied is answered as well: authorized for no scopes.

        One atomic operation on every backend. See OpenID CIBA Core §10.1, §11.
        """
        taken = self._serializer.of_type(await self._records.take(internal_id, completed=True))
        if taken is None:
            return None
        request = self._serializer.value(taken.grant)
        if not request.is_complete:
            raise PayloadUnreadable(
                "a backchannel request is marked as answered, and what is sealed in it says that it is not: the record was "
                "changed from outside. The client must ask again",
                collection="grants",
            )
        return request

    def _grant(self, request: BackChannelAuthenticationRequest, key: str) -> PersistedGrant:
        return self._serializer.grant(
            request.model_copy(update={"internal_id": key}),
            key,
            client_id=request.client_id,
            subject_id=request.subject_id,
            session_id=request.session_id,
            description=request.description,
            creation_time=request.creation_time,
            expiration=expiration_of(request.creation_time, request.lifetime),
        )

"""Deletes clients together with what was granted to them: `store.clients`, whichever store of clients is behind."""

from collections.abc import AsyncIterator

from mongostore.grants.revocation import Revocation
from mongostore.models import Client
from mongostore.models.identifiers import is_identifier
from mongostore.stores.clients import ClientStore
from mongostore.stores.revised import Revised


class RevokingClientStore(ClientStore):
    """A `ClientStore` whose deletions revoke: a later client of the same id must not inherit tokens and consents."""

    def __init__(self, store: ClientStore, revocation: Revocation) -> None:
        """Args: the clients, and what revokes the grants of their tenant."""
        self._store = store
        self._revocation = revocation

    async def find_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_client_by_id`."""
        return await self._store.find_client_by_id(client_id)

    async def find_enabled_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_enabled_client_by_id`."""
        return await self._store.find_enabled_client_by_id(client_id)

    def get_all_clients(self) -> AsyncIterator[Client]:
        """See `ClientStore.get_all_clients`."""
        return self._store.get_all_clients()

    async def save_client(self, client: Client, *, expected_revision: int | None = None) -> int:
        """See `ClientStore.save_client`."""
        return await self._store.save_client(client, expected_revision=expected_revision)

    async def get_client_revision(self, client_id: str) -> int | None:
        """See `ClientStore.get_client_revision`."""
        return await self._store.get_client_revision(client_id)

    async def read_client(self, client_id: str) -> Revised[Client] | None:
        """See `ClientStore.read_client`."""
        return await self._store.read_client(client_id)

    async def delete_client(
        self, client_id: str, *, expected_revision: int | None = None, revoke_grants: bool = True
    ) -> bool:
        """Delete a client, then everything that was granted to it.

        The grants go also when the client was gone already: when a deletion fails or dies halfway, repeat it.

        Args:
            client_id: which one.
            expected_revision: None deletes anyway, n only at revision n.
            revoke_grants: remove its codes, tokens, consents, and requests (backchannel, device, pushed) too. Without
                this, a client that is saved later under the same id takes them over.

        Returns:
            True when there was one, False otherwise.

        Raises:
            ValueError: revision 0 was expected.
            StaleRevision: the client is at another revision; nothing was revoked.
            StorageUnavailable: MongoDB did not answer in time; repeat it.
        """
        there_was_one = await self._store.delete_client(client_id, expected_revision=expected_revision)
        # In this order: what the client is granted in between is revoked as well.
        if revoke_grants and is_identifier(client_id):
            await self._revocation.remove(client_ids=[client_id])
        return there_was_one

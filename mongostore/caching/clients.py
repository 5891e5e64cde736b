"""`ClientStore` in front of another one, from memory where it can."""

from collections.abc import AsyncIterator

from mongostore.caching.caches import ConfigurationCaches
from mongostore.caching.copies import own_copy
from mongostore.models import Client
from mongostore.models.identifiers import is_identifier
from mongostore.stores.clients import ClientStore
from mongostore.stores.revised import Revised


class CachedClientStore:
    """Serves clients from memory; lists and revisions are always read, and a write is visible to it at once."""

    def __init__(self, store: ClientStore, caches: ConfigurationCaches, tenant: str = "default") -> None:
        """Args: the store behind, what keeps the clients, and whose they are."""
        self._store = store
        self._caches = caches
        self._tenant = tenant

    async def find_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_client_by_id`."""
        if not is_identifier(client_id):
            return None
        client = await self._caches.clients.get(
            (self._tenant, client_id), lambda: self._store.find_client_by_id(client_id)
        )
        return None if client is None else own_copy(client)

    async def find_enabled_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_enabled_client_by_id`."""
        client = await self.find_client_by_id(client_id)
        return client if client is not None and client.enabled else None

    def get_all_clients(self) -> AsyncIterator[Client]:
        """See `ClientStore.get_all_clients`."""
        return self._store.get_all_clients()

    async def save_client(self, client: Client, *, expected_revision: int | None = None) -> int:
        """See `ClientStore.save_client`."""
        try:
            return await self._store.save_client(client, expected_revision=expected_revision)
        finally:
            # After a failure too: a write that timed out may have happened.
            client_id = getattr(client, "client_id", None)
            if is_identifier(client_id):
                self._caches.client_changed(self._tenant, str(client_id))

    async def get_client_revision(self, client_id: str) -> int | None:
        """See `ClientStore.get_client_revision`."""
        return await self._store.get_client_revision(client_id)

    async def read_client(self, client_id: str) -> Revised[Client] | None:
        """See `ClientStore.read_client`."""
        return await self._store.read_client(client_id)

    async def delete_client(self, client_id: str, *, expected_revision: int | None = None) -> bool:
        """See `ClientStore.delete_client`."""
        try:
            return await self._store.delete_client(client_id, expected_revision=expected_revision)
        finally:
            # After a failure too: a deletion that timed out may have happened.
            if is_identifier(client_id):
                self._caches.client_changed(self._tenant, client_id)

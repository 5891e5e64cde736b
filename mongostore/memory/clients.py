"""`ClientStore` without a database."""

from collections.abc import AsyncIterator

from mongostore.memory.revisions import MemoryRevisions, RevisedRecords
from mongostore.models import Client
from mongostore.stores.clients import check_client
from mongostore.stores.configuration import named
from mongostore.stores.revised import Revised


class MemoryClientStore:
    """A `ClientStore` that forgets everything with the process."""

    def __init__(self, revisions: MemoryRevisions) -> None:
        self._clients: RevisedRecords[Client] = RevisedRecords(revisions)

    async def find_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_client_by_id`."""
        return self._clients.get(client_id)

    async def find_enabled_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_enabled_client_by_id`."""
        client = self._clients.get(client_id)
        return client if client is not None and client.enabled else None

    async def get_all_clients(self) -> AsyncIterator[Client]:
        """See `ClientStore.get_all_clients`."""
        for client in self._clients.all():
            yield client

    async def save_client(self, client: Client, *, expected_revision: int | None = None) -> int:
        """See `ClientStore.save_client`."""
        client = check_client(client, expected_revision)
        return self._clients.save(client.client_id, client, named("client", client.client_id), expected_revision)

    async def get_client_revision(self, client_id: str) -> int | None:
        """See `ClientStore.get_client_revision`."""
        return self._clients.revision(client_id)

    async def read_client(self, client_id: str) -> Revised[Client] | None:
        """See `ClientStore.read_client`."""
        return self._clients.read(client_id)

    async def delete_client(self, client_id: str, *, expected_revision: int | None = None) -> bool:
        """See `ClientStore.delete_client`."""
        return self._clients.delete(client_id, named("client", client_id), expected_revision)

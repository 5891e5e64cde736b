"""`ClientStore` on MongoDB: a look-up is one command."""

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import Client
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
from mongostore.mongo.documents.clients import CLIENTS, ClientFields
from mongostore.mongo.documents.configuration import StoredDocument, tenant_ids
from mongostore.mongo.documents.sealed_secrets import client_codec
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.revisions import RevisedRecords
from mongostore.protection.protector import Protector
from mongostore.stores.clients import check_client
from mongostore.stores.revised import Revised
from mongostore.tenancy import Tenant

_log = logging.getLogger("mongostore")

_BATCH_SIZE = 200


class MongoClientStore:
    """Clients of one tenant in MongoDB."""

    def __init__(self, binding: Binding, tenant: Tenant, protector: Protector) -> None:
        self._binding = binding
        self._tenant = tenant
        self._codec = client_codec(tenant, protector)
        self._records = RevisedRecords(binding, tenant)

    async def find_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_client_by_id`."""
        if not is_identifier(client_id):
            return None
        found = await find_by_id(self._binding, "find a client", self._clients, record_id(self._tenant, client_id))
        return None if found is None else await self._codec.model(found)

    async def find_enabled_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_enabled_client_by_id`."""
        client = await self.find_client_by_id(client_id)
        return client if client is not None and client.enabled else None

    async def get_all_clients(self) -> AsyncIterator[Client]:
        """See `ClientStore.get_all_clients`. Between two batches, no cursor is open."""
        damage: PayloadUnreadable | KeyUnavailable | None = None
        any_readable = False
        batch = await self._batch(None)
        while batch:
            for document in batch:
                try:
                    client = await self._codec.model(document)
                except (PayloadUnreadable, KeyUnavailable) as error:
                    _log.error("a client is left out: %s", error)
                    damage = error
                else:
                    any_readable = True
                    yield client
            batch = await self._batch(batch[-1]["_id"]) if len(batch) == _BATCH_SIZE else []
        if damage is not None and not any_readable:
            raise damage

    async def save_client(self, client: Client, *, expected_revision: int | None = None) -> int:
        """See `ClientStore.save_client`."""
        client = check_client(client, expected_revision)
        fields = await self._codec.fields(client)
        return await self._records.save(ClientFields, fields, CLIENTS.what(client.client_id), expected_revision)

    async def get_client_revision(self, client_id: str) -> int | None:
        """See `ClientStore.get_client_revision`."""
        if not is_identifier(client_id):
            return None
        with self._binding.call("read a client's revision") as own:
            # From the primary: what is written over an older revision is refused.
            clients = self._binding.collection(ClientFields)
            found = await clients.find_one({"_id": record_id(self._tenant, client_id)}, ["revision"], session=own)
        return None if found is None else CLIENTS.revision(found)

    async def read_client(self, client_id: str) -> Revised[Client] | None:
        """See `ClientStore.read_client`."""
        found = await self._records.read(ClientFields, client_id, "read a client")
        return None if found is None else Revised(await self._codec.model(found), CLIENTS.revision(found))

    async def delete_client(self, client_id: str, *, expected_revision: int | None = None) -> bool:
        """See `ClientStore.delete_client`."""
        return await self._records.delete(ClientFields, client_id, CLIENTS.what(client_id), expected_revision)

    async def _batch(self, after: str | None) -> Sequence[StoredDocument]:
        query = {"_id": tenant_ids(self._tenant, after)}
        with self._binding.call("list clients") as own:
            # One command: without a batch size, the first answer holds 101 documents.
            return await self._clients.find(
                query, sort=[("_id", 1)], limit=_BATCH_SIZE, batch_size=_BATCH_SIZE, session=own
            ).to_list()

    @property
    def _clients(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.preferred(ClientFields)

"""Turns models that are kept whole into sealed payloads and back: the only place where those are sealed and opened."""

from typing import Any, Generic, TypeVar

from bson import Binary

from mongostore.models.base import Model
from mongostore.mongo.documents.base import StoredFields, natural_key, record_id
from mongostore.protection.context import Context
from mongostore.protection.protector import Protector
from mongostore.stores.payloads import value_of
from mongostore.tenancy import Tenant

M = TypeVar("M", bound=Model)


class SealedModelCodec(Generic[M]):
    """The models of one tenant in one collection, each sealed to its record."""

    def __init__(self, tenant: Tenant, protector: Protector, fields: type[StoredFields], model: type[M]) -> None:
        """Args: whose models, what seals them, where they lie, and what they are."""
        self.tenant = tenant
        self.model = model
        self._protector = protector
        self._label = fields.label

    def id(self, key: str) -> str:
        """The `_id` of the record with this key."""
        return record_id(self.tenant, key)

    async def sealed(self, payload: bytes, stored_id: str) -> Binary:
        """A model's payload, sealed to the record with this `_id`."""
        return Binary(await self._protector.seal(payload, self._context(stored_id)))

    async def value(self, document: dict[str, Any]) -> M:
        """The model that a stored document holds.

        Raises:
            PayloadUnreadable: it is damaged, or its payload belongs elsewhere.
            KeyUnavailable: the data key that sealed it is missing.
        """
        # What is missing opens no better than what is no envelope.
        payload = await self._protector.open(document.get("payload") or b"", self._context(document["_id"]))
        return value_of(payload, self.model, self._label)

    def _context(self, stored_id: str) -> Context:
        return Context(self.tenant, self._label, natural_key(stored_id), "payload")

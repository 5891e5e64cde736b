"""Turns models that are kept whole into sealed payloads and back: the only place where those are sealed and opened."""

from typing import Any, Generic, TypeVar

from bson import Binary

from mongostore.models.base import Model
from mongostore.mongo.documents.base import StoredFields, columns, natural_key, record_id
from mongostore.protection.context import Context
from mongostore.protection.protector import Protector
from mongostore.stores.payloads import value_of
from mongostore.tenancy import Tenant

M = TypeVar("M", bound=Model)


class SealedModelCodec(Generic[M]):
    """The models of one tenant in one collection, each sealed to its record."""

    def __init__(
        self,
        tenant: Tenant,
        protector: Protector,
        fields: type[StoredFields],
        model: type[M],
        bound: tuple[str, ...],
    ) -> None:
        """Make a codec.

        Args:
            tenant: whose models.
            protector: seals and opens them.
            fields: the fields of their documents.
            model: what they are.
            bound: the fields in clear that a payload is bound to (frozen, and their order).
        """
        self.tenant = tenant
        self.model = model
        self._protector = protector
        self._label = fields.label
        self._bound = bound

    def id(self, key: str) -> str:
        """The `_id` of the record with this key."""
        return record_id(self.tenant, key)

    async def sealed(self, payload: bytes, document: dict[str, Any]) -> Binary:
        """A model's payload, sealed to its record, and bound to the fields in clear that the document has."""
        context = self._context(document["_id"])
        return Binary(await self._protector.seal(payload, context, columns(document, self._bound)))

    async def value(self, document: dict[str, Any]) -> M:
        """The model that a stored document holds.

        Raises:
            PayloadUnreadable: it is damaged, its payload belongs elsewhere, or what stands beside it was changed.
            KeyUnavailable: the data key that sealed it is missing.
        """
        # What is missing opens no better than what is no envelope.
        payload = await self._protector.open(
            document.get("payload") or b"", self._context(document["_id"]), columns(document, self._bound)
        )
        return value_of(payload, self.model, self._label)

    def _context(self, stored_id: str) -> Context:
        return Context(self.tenant, self._label, natural_key(stored_id), "payload")

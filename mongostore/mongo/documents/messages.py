"""How messages lie in MongoDB."""

from datetime import datetime
from typing import Any, ClassVar, Final

from pymongo import IndexModel

from mongostore.models import Message
from mongostore.mongo.documents.base import StoredFields, expiry_index
from mongostore.mongo.documents.sealed_models import SealedModelCodec
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector
from mongostore.stores.handles import hashed, is_handle
from mongostore.stores.messages import LABEL, MessageKind
from mongostore.stores.payloads import payload_of
from mongostore.tenancy import Tenant

# Frozen, and their order.
_BOUND: Final = ("purge_at",)


class MessageFields(StoredFields):
    """One message; `_id` is `tenant|hash of its kind and id`.

    Attributes:
        purge_at: from when on the record serves nobody.
        payload: the message.
    """

    label: ClassVar[str] = LABEL
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (expiry_index(),)

    purge_at: datetime
    payload: Sealed


class MessageCodec(SealedModelCodec[Message]):
    """The messages of one tenant and kind."""

    def __init__(self, tenant: Tenant, protector: Protector, kind: MessageKind) -> None:
        """Args: whose messages, what seals them, and what they are about."""
        super().__init__(tenant, protector, MessageFields, Message, _BOUND)
        self._kind = kind

    def id_of(self, message_id: str) -> str | None:
        """The `_id` of a message, or None when there can't be one."""
        return self.id(hashed(self._kind.value, message_id)) if is_handle("id", message_id) else None

    async def document(self, message_id: str, message: Message, purge_at: datetime) -> dict[str, Any]:
        """What is stored for a message.

        Raises:
            TypeError, ValueError: it can't be stored.
        """
        payload = payload_of(message, Message)
        stored_id = self.id(hashed(self._kind.value, message_id))
        document = {"_id": stored_id, "tenant": self.tenant, "purge_at": purge_at}
        return document | {"payload": await self.sealed(payload, document)}

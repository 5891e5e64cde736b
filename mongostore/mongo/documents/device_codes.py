"""How device authorization requests lie in MongoDB."""

from datetime import datetime
from typing import Any, ClassVar

from bson import Binary
from pymongo import IndexModel

from mongostore.models import DeviceCode
from mongostore.models.instants import expiration_of
from mongostore.models.revalidation import revalidated
from mongostore.mongo.documents.base import StoredFields, expiry_index, index
from mongostore.mongo.documents.sealed_models import SealedModelCodec
from mongostore.protection.envelope import Sealed
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import Protector
from mongostore.stores.device_codes import LABEL
from mongostore.stores.handles import check_handle, hashed, is_handle
from mongostore.stores.payloads import payload_of
from mongostore.tenancy import Tenant

# Frozen: records are found by hashes that were made with it.
_USER_CODE = "user_code"


class DeviceCodeFields(StoredFields):
    """One request; `_id` is `tenant|hash of the device code`.

    Attributes:
        user_code: keyed hash of the user code, 32 bytes.
        is_authorized: whether the user has answered: only then it may be consumed.
        last_poll: when the device polled last.
        consumed_time: when it was consumed.
        purge_at: from when on the record serves nobody.
        payload: the request.
    """

    label: ClassVar[str] = LABEL
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (
        index("by_user_code", "tenant", "user_code", unique=True),
        expiry_index(),
    )

    user_code: bytes
    is_authorized: bool
    last_poll: datetime | None = None
    consumed_time: datetime | None = None
    purge_at: datetime
    payload: Sealed


class DeviceCodeCodec(SealedModelCodec[DeviceCode]):
    """The device authorization requests of one tenant."""

    def __init__(self, tenant: Tenant, protector: Protector, key_ring: KeyRing) -> None:
        """Args: whose requests, what seals them, and what has the key for hashes of user codes."""
        super().__init__(tenant, protector, DeviceCodeFields, DeviceCode)
        self._key_ring = key_ring

    def id_of(self, device_code: str) -> str | None:
        """The `_id` of a request, or None when there can't be one."""
        return self.id(hashed(device_code)) if is_handle("device_code", device_code) else None

    async def user_code(self, user_code: str) -> dict[str, Any] | None:
        """The query for a user code, or None when there can't be a request with it."""
        if not is_handle("user_code", user_code):
            return None
        found = await self._key_ring.for_tenant(self.tenant).find_keyed_hash(_USER_CODE, user_code)
        return {"tenant": self.tenant, "user_code": Binary(found)} if found is not None else None

    async def document(self, device_code: str, user_code: str, data: DeviceCode) -> dict[str, Any]:
        """What is stored for a new request.

        Raises:
            TypeError, ValueError: a code or the data can't be stored.
        """
        stored_id = self.id(hashed(check_handle("device_code", device_code)))
        check_handle("user_code", user_code)
        data = revalidated(data, DeviceCode)
        payload = payload_of(data, DeviceCode)
        purge_at = expiration_of(data.creation_time, data.lifetime)
        return {
            "_id": stored_id,
            "tenant": self.tenant,
            "user_code": Binary(await self._key_ring.for_tenant(self.tenant).keyed_hash(_USER_CODE, user_code)),
            "is_authorized": data.is_authorized,
            "purge_at": purge_at,
            "payload": await self.sealed(payload, stored_id),
        }

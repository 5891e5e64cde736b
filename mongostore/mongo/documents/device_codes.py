"""How device authorization requests lie in MongoDB."""

from datetime import datetime
from typing import Any, ClassVar, Final

from bson import Binary
from pymongo import IndexModel

from mongostore.models import DeviceCode
from mongostore.models.instants import expiration_of
from mongostore.models.revalidation import revalidated
from mongostore.mongo.documents.base import StoredFields, expiry_index, index, ownership_indexes, without_nulls
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


# Frozen, and their order.
BOUND: Final = ("client_id", "subject_id", "session_id", "user_code", "is_authorized", "creation_time", "expiration")


class DeviceCodeFields(StoredFields):
    """One request; `_id` is `tenant|hash of the device code`.

    Attributes:
        client_id, subject_id, session_id: whose it is, subject and session once the user has answered: it is revoked by
            them.
        user_code: keyed hash of the user code, 32 bytes.
        creation_time: as the request says.
        expiration: when it expires.
        is_authorized: whether the user has answered: only then it may be consumed.
        last_poll: when the device polled last.
        consumed_time: when it was consumed.
        purge_at: when the record may be deleted.
        payload: the request, bound to what `BOUND` lists.
    """

    label: ClassVar[str] = LABEL
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (
        index("by_user_code", "tenant", "user_code", unique=True),
        *ownership_indexes(),
        expiry_index(),
    )

    client_id: str | None = None
    subject_id: str | None = None
    session_id: str | None = None
    user_code: bytes
    is_authorized: bool
    creation_time: datetime | None = None
    expiration: datetime | None = None
    last_poll: datetime | None = None
    consumed_time: datetime | None = None
    purge_at: datetime
    payload: Sealed


class DeviceCodeCodec(SealedModelCodec[DeviceCode]):
    """The device authorization requests of one tenant."""

    def __init__(self, tenant: Tenant, protector: Protector, key_ring: KeyRing) -> None:
        """Args: whose requests, what seals them, and what has the key for hashes of user codes."""
        super().__init__(tenant, protector, DeviceCodeFields, DeviceCode, BOUND)
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
        expiration = expiration_of(data.creation_time, data.lifetime)
        document = {
            "_id": stored_id,
            "tenant": self.tenant,
            "user_code": Binary(await self._key_ring.for_tenant(self.tenant).keyed_hash(_USER_CODE, user_code)),
            "expiration": expiration,
            "purge_at": expiration,
        }
        return document | await self._says(data, payload, document)

    async def change(self, data: DeviceCode, stored: dict[str, Any]) -> dict[str, Any]:
        """The update that makes a stored request say what this one says. It expires when it always would have.

        Raises:
            PayloadUnreadable: the stored one was changed from outside.
            TypeError, ValueError: the data can't be stored.
        """
        payload = payload_of(data, DeviceCode)
        former = await self.value(stored)
        expiration = stored.get("expiration") or expiration_of(former.creation_time, former.lifetime)
        says = await self._says(data, payload, stored | {"expiration": expiration}) | {"expiration": expiration}
        absent = dict.fromkeys({"subject_id", "session_id"} - says.keys(), "")
        return {"$set": says, "$unset": absent} if absent else {"$set": says}

    async def _says(self, data: DeviceCode, payload: bytes, document: dict[str, Any]) -> dict[str, Any]:
        says: dict[str, Any] = without_nulls(
            {
                "client_id": data.client_id,
                "subject_id": data.subject_id,
                "session_id": data.session_id,
                "is_authorized": data.is_authorized,
                "creation_time": data.creation_time,
            }
        )
        kept = {name: document[name] for name in ("_id", "user_code", "expiration")}
        return says | {"payload": await self.sealed(payload, kept | says)}

"""How pushed authorization requests lie in MongoDB."""

from datetime import datetime
from typing import Any, ClassVar, Final

from pymongo import IndexModel

from mongostore.models import PushedAuthorizationRequest
from mongostore.models.identifiers import is_identifier
from mongostore.models.revalidation import revalidated
from mongostore.mongo.documents.base import StoredFields, expiry_index, ownership_indexes, without_nulls
from mongostore.mongo.documents.sealed_models import SealedModelCodec
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector
from mongostore.stores.handles import hashed
from mongostore.stores.payloads import payload_of
from mongostore.stores.pushed_requests import LABEL
from mongostore.tenancy import Tenant

# Frozen, and their order.
BOUND: Final = ("client_id", "subject_id", "session_id", "expiration")


class PushedRequestFields(StoredFields):
    """One request; `_id` is `tenant|hash of its hash`, since callers may take anything for a hash.

    Attributes:
        client_id, subject_id, session_id: whose it is, as far as that is known: it is revoked by them.
        expiration: when it expires.
        consumed_time: when it was consumed.
        purge_at: when the record may be deleted.
        payload: the request, bound to what `BOUND` lists.
    """

    label: ClassVar[str] = LABEL
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (*ownership_indexes(), expiry_index())

    client_id: str | None = None
    subject_id: str | None = None
    session_id: str | None = None
    expiration: datetime | None = None
    consumed_time: datetime | None = None
    purge_at: datetime
    payload: Sealed


class PushedRequestCodec(SealedModelCodec[PushedAuthorizationRequest]):
    """The pushed authorization requests of one tenant."""

    def __init__(self, tenant: Tenant, protector: Protector) -> None:
        """Args: whose requests, and what seals them."""
        super().__init__(tenant, protector, PushedRequestFields, PushedAuthorizationRequest, BOUND)

    def id_of(self, reference_value_hash: str) -> str | None:
        """The `_id` of a request, or None when there can't be one."""
        return self.id(hashed(reference_value_hash)) if is_identifier(reference_value_hash) else None

    async def document(self, par: PushedAuthorizationRequest) -> dict[str, Any]:
        """What is stored for a new request.

        Raises:
            TypeError, ValueError: the request can't be stored.
        """
        par = revalidated(par, PushedAuthorizationRequest)
        payload = payload_of(par, PushedAuthorizationRequest)
        stored_id = self.id(hashed(par.reference_value_hash))
        document = without_nulls(
            {
                "_id": stored_id,
                "tenant": self.tenant,
                "client_id": par.client_id,
                "subject_id": par.subject_id,
                "session_id": par.session_id,
                "expiration": par.expires_at_utc,
                "purge_at": par.expires_at_utc,
            }
        )
        return document | {"payload": await self.sealed(payload, document)}

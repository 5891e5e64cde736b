"""`CorsPolicyService` on MongoDB: one command, served by an index."""

import logging
from collections.abc import Callable, Sequence

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import Client
from mongostore.models.origins import normalize_origin
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.clients import ClientFields
from mongostore.mongo.documents.configuration import StoredDocument
from mongostore.mongo.documents.sealed_secrets import client_codec
from mongostore.protection.protector import Protector
from mongostore.tenancy import Tenant

_log = logging.getLogger("mongostore")

# Negative: one answer, and no cursor.
_ONE = -1
_ALL = 0


class MongoCorsPolicyService:
    """Allows the origins of one tenant's enabled clients, of those that are served."""

    def __init__(
        self, binding: Binding, tenant: Tenant, protector: Protector, is_served: Callable[[Client], bool]
    ) -> None:
        """Args: where the clients are, whose, what opens their secrets, and which of them count."""
        self._binding = binding
        self._codec = client_codec(tenant, protector)
        self._tenant = tenant
        self._is_served = is_served

    async def is_origin_allowed(self, origin: str) -> bool:
        """See `CorsPolicyService.is_origin_allowed`."""
        wanted = normalize_origin(origin)
        if wanted is None:
            return False
        # Any one client of the origin decides, unless it is one that is not served.
        for limit in (_ONE, _ALL):
            found = await self._enabled_clients(wanted, limit)
            for document in found:
                if await self._allows(document, wanted):
                    return True
            if not found:
                break
        return False

    async def _enabled_clients(self, origin: str, limit: int) -> Sequence[StoredDocument]:
        query = {"tenant": self._tenant, "cors_origins": origin, "enabled": True}
        with self._binding.call("check an origin") as own:
            clients = self._binding.preferred(ClientFields)
            return await clients.find(query, limit=limit, session=own).to_list()

    async def _allows(self, document: StoredDocument, origin: str) -> bool:
        try:
            client = await self._codec.model(document)
        except (PayloadUnreadable, KeyUnavailable) as error:
            _log.error("a client's origins are not allowed: %s", error)
            return False
        # `cors_origins` is there to find clients by; what a client says itself decides.
        return origin in map(normalize_origin, client.allowed_cors_origins) and self._is_served(client)

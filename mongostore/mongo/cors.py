"""`CorsPolicyService` on MongoDB: one command, answered from an index."""

from mongostore.models.origins import normalize_origin
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.clients import ClientFields
from mongostore.tenancy import Tenant


class MongoCorsPolicyService:
    """Allows the origins of one tenant's enabled clients."""

    def __init__(self, binding: Binding, tenant: Tenant) -> None:
        self._binding = binding
        self._tenant = tenant

    async def is_origin_allowed(self, origin: str) -> bool:
        """See `CorsPolicyService.is_origin_allowed`."""
        wanted = normalize_origin(origin)
        if wanted is None:
            return False
        clients = self._binding.preferred(ClientFields)
        query = {"tenant": self._tenant, "cors_origins": wanted, "enabled": True}
        with self._binding.call("check an origin") as own:
            # The index holds all that is asked for, so no document is read.
            return await clients.find_one(query, {"_id": False, "enabled": True}, session=own) is not None

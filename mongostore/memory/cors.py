"""`CorsPolicyService` without a database."""

from mongostore.models.origins import normalize_origin
from mongostore.stores.clients import ClientStore


class MemoryCorsPolicyService:
    """Allows the origins of the enabled clients of a store of clients."""

    def __init__(self, clients: ClientStore) -> None:
        self._clients = clients

    async def is_origin_allowed(self, origin: str) -> bool:
        """See `CorsPolicyService.is_origin_allowed`."""
        wanted = normalize_origin(origin)
        if wanted is None:
            return False
        async for client in self._clients.get_all_clients():
            if client.enabled and wanted in map(normalize_origin, client.allowed_cors_origins):
                return True
        return False

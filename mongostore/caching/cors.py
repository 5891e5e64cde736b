"""`CorsPolicyService` in front of another one, from memory where it can."""

from mongostore.caching.caches import ConfigurationCaches
from mongostore.models.origins import normalize_origin
from mongostore.stores.cors import CorsPolicyService


class CachedCorsPolicyService:
    """Remembers which origins are allowed, and, for a short time, which are not."""

    def __init__(self, service: CorsPolicyService, caches: ConfigurationCaches, tenant: str = "default") -> None:
        """Args: the service behind, what keeps its answers, and whose clients it looks at."""
        self._service = service
        self._caches = caches
        self._tenant = tenant

    async def is_origin_allowed(self, origin: str) -> bool:
        """See `CorsPolicyService.is_origin_allowed`."""
        wanted = normalize_origin(origin)
        if wanted is None:
            return False

        async def allowed() -> bool | None:
            return await self._service.is_origin_allowed(wanted) or None

        return await self._caches.origins.get(self._caches.origin_key(self._tenant, wanted), allowed) is True

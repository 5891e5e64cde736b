"""The caches of a deployment's configuration, all tenants in them, and how a change makes them forget."""

from dataclasses import dataclass
from datetime import timedelta

from mongostore.caching.resources_snapshot import ResourcesSnapshot
from mongostore.caching.single_flight import CacheStatistics, SingleFlightCache
from mongostore.clock import Clock
from mongostore.models import Client, IdentityProvider, IdentityProviderName

# For how long it may be believed that something is not there: a new client must not be unknown to a node without change
# streams for as long as an old one may be outdated.
_LONGEST_ABSENCE = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class CachingOptions:
    """For how long configuration may be served from memory where no change is heard of, and how much of it is kept.

    Attributes:
        client_store_expiration: for clients.
        resource_store_expiration: for identity resources, API scopes and API resources.
        cors_expiration: for answers about origins.
        identity_provider_cache_duration: for identity providers and their names.
        max_entries: how many of each kind are kept, over all tenants, and as many absences.
    """

    client_store_expiration: timedelta = timedelta(minutes=5)
    resource_store_expiration: timedelta = timedelta(minutes=5)
    cors_expiration: timedelta = timedelta(minutes=5)
    identity_provider_cache_duration: timedelta = timedelta(minutes=60)
    max_entries: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            TypeError, ValueError: an option has a wrong type or value; the message names it.
        """
        for name in (
            "client_store_expiration",
            "resource_store_expiration",
            "cors_expiration",
            "identity_provider_cache_duration",
        ):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
            if value <= timedelta(0):
                raise ValueError(
                    f"{name} must be positive, not {value}; to cache nothing, give StoreOptions(caching=None)"
                )
        if not isinstance(self.max_entries, int) or isinstance(self.max_entries, bool):
            raise TypeError(f"max_entries must be an int, not {type(self.max_entries).__name__}")
        if self.max_entries < 1:
            raise ValueError(f"max_entries must be at least 1, not {self.max_entries}")


class ConfigurationCaches:
    """What the caching decorators of a deployment keep: values by tenant and key."""

    def __init__(self, options: CachingOptions, clock: Clock) -> None:
        """Args: for how long and how much; the time."""

        def bounds(expiration: timedelta) -> tuple[timedelta, timedelta]:
            return expiration, min(expiration, _LONGEST_ABSENCE)

        clients, absent_clients = bounds(options.client_store_expiration)
        resources, absent_resources = bounds(options.resource_store_expiration)
        origins, absent_origins = bounds(options.cors_expiration)
        providers, absent_providers = bounds(options.identity_provider_cache_duration)
        bound = options.max_entries
        self.clients: SingleFlightCache[tuple[str, str], Client] = SingleFlightCache(
            clock, expiration=clients, absence_expiration=absent_clients, max_entries=bound
        )
        self.resources: SingleFlightCache[str, ResourcesSnapshot] = SingleFlightCache(
            clock, expiration=resources, absence_expiration=absent_resources, max_entries=bound
        )
        # An origin that is not allowed is an absence: None.
        self.origins: SingleFlightCache[tuple[str, int, str], bool] = SingleFlightCache(
            clock, expiration=origins, absence_expiration=absent_origins, max_entries=bound
        )
        self._client_changes: dict[str, int] = {}
        self._max_entries = bound
        self.identity_providers: SingleFlightCache[tuple[str, str], IdentityProvider] = SingleFlightCache(
            clock, expiration=providers, absence_expiration=absent_providers, max_entries=bound
        )
        self.scheme_names: SingleFlightCache[str, list[IdentityProviderName]] = SingleFlightCache(
            clock, expiration=providers, absence_expiration=absent_providers, max_entries=bound
        )

    def client_changed(self, tenant: str, client_id: str) -> None:
        """Forget a client, and what was known of the tenant's origins."""
        self.clients.invalidate((tenant, client_id))
        # Not searched for among those of every tenant: they are never found again, and are the first to go.
        self._client_changes[tenant] = self._client_changes.get(tenant, 0) + 1
        if len(self._client_changes) > self._max_entries:
            self._forget_origins()

    def origin_key(self, tenant: str, origin: str) -> tuple[str, int, str]:
        """What an answer about an origin is kept under: another key after each change of the tenant's clients."""
        return tenant, self._client_changes.get(tenant, 0), origin

    def resource_changed(self, tenant: str) -> None:
        """Forget the tenant's resources."""
        self.resources.invalidate(tenant)

    def identity_provider_changed(self, tenant: str, scheme: str) -> None:
        """Forget a provider, and the tenant's list of names."""
        self.identity_providers.invalidate((tenant, scheme))
        self.scheme_names.invalidate(tenant)

    def clear(self) -> None:
        """Forget everything: the next look-ups read the stores."""
        for cache in self._all().values():
            cache.clear()
        self._forget_origins()

    def statistics(self) -> dict[str, CacheStatistics]:
        """What each cache has done: `clients`, `resources`, `origins`, `identity_providers`, `scheme_names`."""
        return {name: cache.statistics() for name, cache in self._all().items()}

    def _forget_origins(self) -> None:
        self.origins.clear()
        self._client_changes.clear()

    def _all(self) -> dict[str, SingleFlightCache]:  # type: ignore[type-arg]  # of several types
        return {
            "clients": self.clients,
            "resources": self.resources,
            "origins": self.origins,
            "identity_providers": self.identity_providers,
            "scheme_names": self.scheme_names,
        }

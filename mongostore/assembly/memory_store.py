"""`MemoryStore`: a deployment without a database."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

from mongostore.assembly.admission import Admission, Gate, keys_of_admitted
from mongostore.assembly.arguments import checked_clock, checked_options
from mongostore.assembly.memory_tenant_places import MemoryTenantPlaces
from mongostore.assembly.stores import Backend, Stores
from mongostore.assembly.tenants import Tenants
from mongostore.assembly.valid_stores import ValidClientStore, ValidIdentityProviderStore, ValidResourceStore
from mongostore.assembly.validity import Validity
from mongostore.caching import CachingOptions, ConfigurationCaches
from mongostore.clock import Clock
from mongostore.health import HealthReport, check_memory_health
from mongostore.maintenance import Maintenance, Upkeep
from mongostore.memory.cleanup import MemoryCleanupRecords
from mongostore.memory.clients import MemoryClientStore
from mongostore.memory.cors import MemoryCorsPolicyService
from mongostore.memory.data_keys import MemoryDataKeyStore
from mongostore.memory.device_codes import MemoryDeviceFlowStore
from mongostore.memory.grant_records import MemoryGrantRecordStore
from mongostore.memory.grant_table import GrantTable
from mongostore.memory.identity_providers import MemoryIdentityProviderStore
from mongostore.memory.leases import MemoryLeases
from mongostore.memory.messages import MemoryMessageStore
from mongostore.memory.persisted_grants import MemoryPersistedGrantStore
from mongostore.memory.pushed_requests import MemoryPushedAuthorizationRequestStore
from mongostore.memory.replay import MemoryReplayCache
from mongostore.memory.resources import MemoryResourceStore
from mongostore.memory.revisions import MemoryRevisions
from mongostore.memory.sessions import MemoryServerSideSessionStore
from mongostore.memory.signing_keys import MemorySigningKeyStore
from mongostore.memory.tenant_records import records_of
from mongostore.memory.tenants import MemoryTenantRegistry
from mongostore.observer import OBSERVED, Observer
from mongostore.options import StoreOptions
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.protection.master_keys import LocalMasterKey
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.signing.key_material import check_usable
from mongostore.tenancy import DEFAULT_TENANT, Tenant
from mongostore.tenancy import tenant as checked_tenant


class MemoryStore(Stores):
    """The same attributes and semantics without a database: for development and tests. What it holds dies with it.

    Nothing in it is sealed, so destroying a tenant's keys makes nothing unreadable.

    Attributes:
        maintenance: what is to be done for all tenants now and then.
    """

    def __init__(self, *, options: StoreOptions | None = None, clock: Clock | None = None) -> None:
        """Args: how the store behaves, and what tells the time.

        Raises:
            TypeError: an argument has a wrong type.
        """
        clock = checked_clock(clock)
        self._options = options = checked_options(options)
        self._observer = observer = Observer(options, clock, system="memory")
        self._validity = Validity(clock, observer.events)
        registry = MemoryTenantRegistry()
        self._admission = Admission(registry, options.tenancy, registry.register)
        data_keys = keys_of_admitted(MemoryDataKeyStore(), self._admission)
        data_keys = observer.announcing(data_keys, "data_keys", DEFAULT_TENANT)
        self._key_ring = KeyRing(data_keys, LocalMasterKey.generate(), clock, policy=options.key_rotation)
        # Memory needs no cache in front of it; the attribute is here so that either store can be used.
        self.caches = ConfigurationCaches(options.caching or CachingOptions(), clock)
        self._places = MemoryTenantPlaces(options.tenancy, self._take_away)
        self.tenants = Tenants(registry, self._places, self._admission)
        self._of_tenants: dict[Tenant, Stores] = {}
        self._records: dict[Tenant, dict[str, Any]] = {}
        super().__init__(self._backend(DEFAULT_TENANT, clock), clock, options, observer)
        self.maintenance = Maintenance(self._cleanup.leases, registry.registered, self._upkeep_of)

    def for_tenant(self, slug: str) -> Stores:
        """The same attributes, bound to a tenant; see `MongoStore.for_tenant`."""
        tenant = checked_tenant(slug)
        self._places.locate(tenant)
        return self if tenant == DEFAULT_TENANT else cast("Stores", _OfTenant(self._stores_of, tenant))

    async def open(self) -> None:
        """Nothing to do: here so that either store can be used."""

    async def health(self) -> HealthReport:
        """Whether the key ring can be used; see `HealthReport`."""
        return await check_memory_health(self._key_ring.for_tenant(DEFAULT_TENANT))

    async def close(self) -> None:
        """Stop what the key ring does in the background, and let `maintenance.run` return."""
        self.maintenance.stop()
        await self._key_ring.close()

    async def __aenter__(self) -> Self:
        """Open the store."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()

    def _stores_of(self, tenant: Tenant) -> Stores:
        stores = self._of_tenants.get(tenant)
        if stores is None:
            stores = Stores(self._backend(tenant, self.clock), self.clock, self._options, self._observer, tenant)
            self._of_tenants[tenant] = stores
        return stores

    def _upkeep_of(self, tenant: Tenant) -> Upkeep | None:
        # A tenant that was deleted is not made again by looking after it.
        stores = self if tenant == DEFAULT_TENANT else self._of_tenants.get(tenant)
        return None if stores is None else stores._upkeep  # noqa: SLF001 - of this package, and no attribute for users

    def _backend(self, tenant: Tenant, clock: Clock) -> Backend:
        options = self._options
        table = GrantTable(clock, options.consumed_retention)
        revisions = MemoryRevisions()
        validity = self._validity
        stored: dict[str, Any] = {
            "clients": MemoryClientStore(revisions),
            "resources": MemoryResourceStore(revisions),
            "identity_providers": MemoryIdentityProviderStore(revisions),
        }
        clients = ValidClientStore(stored["clients"], validity, tenant)
        tokens = PagingTokens(tenant, self._key_ring)
        device_flow = MemoryDeviceFlowStore(clock, options.consumed_retention)
        pushed = MemoryPushedAuthorizationRequestStore(clock, options.consumed_retention)
        stores: dict[str, Any] = {
            "clients": clients,
            "resources": ValidResourceStore(stored["resources"], validity, tenant),
            "cors_policy": MemoryCorsPolicyService(clients),
            "identity_providers": ValidIdentityProviderStore(stored["identity_providers"], validity, tenant),
            "persisted_grants": MemoryPersistedGrantStore(table),
            "grant_records": MemoryGrantRecordStore(table),
            "device_flow": device_flow,
            "pushed_authorization_requests": pushed,
            "messages": MemoryMessageStore(clock, options.message_lifetime),
            "consent_messages": MemoryMessageStore(clock, options.message_lifetime),
            "replay_cache": MemoryReplayCache(clock),
            "server_side_sessions": MemoryServerSideSessionStore(tokens, clock, options.session_expiry_grace),
            "leases": MemoryLeases(),
            "cleanup_records": MemoryCleanupRecords(table, device_flow, pushed),
            "signing_keys": MemorySigningKeyStore(check_usable, clock),
            "key_ring": KeyRingService(self._key_ring, tenant),
        }
        if tenant == DEFAULT_TENANT:
            return Backend(**stores)
        self._records[tenant] = stores | stored
        gate = Gate(self._admission, tenant)
        return Backend(**{name: gate.admitted(store) for name, store in stores.items()})

    def _take_away(self, tenant: Tenant) -> dict[str, int]:
        self._of_tenants.pop(tenant, None)
        stores = self._records.pop(tenant, None)
        return {} if stores is None else records_of(stores)


class _OfTenant:
    """A tenant's stores as they are at the moment of use: after a deletion, empty ones."""

    def __init__(self, stores_of: Callable[[Tenant], Stores], tenant: Tenant) -> None:
        self._stores_of = stores_of
        self._tenant = tenant

    def __getattr__(self, name: str) -> Any:
        if name in OBSERVED:
            return _Attribute(lambda: getattr(self._stores_of(self._tenant), name))
        return getattr(self._stores_of(self._tenant), name)


class _Attribute:
    """One of these stores, as it is at the moment of use: a server may hold on to it."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

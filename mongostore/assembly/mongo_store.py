"""`MongoStore`: a deployment on MongoDB."""

import warnings
from collections import OrderedDict
from types import TracebackType
from typing import Self, Unpack

from mongostore.assembly.admission import Admission, Gate, keys_of_admitted
from mongostore.assembly.arguments import checked_clock, checked_options
from mongostore.assembly.mongo_backend import MongoBackends
from mongostore.assembly.mongo_tenant_places import MongoTenantPlaces
from mongostore.assembly.replacements import Replacements, checked_replacements, replacements_for
from mongostore.assembly.stores import OfIncarnation, Stores
from mongostore.assembly.tenants import Tenants
from mongostore.caching import CachingOptions, ConfigurationCaches
from mongostore.clock import Clock
from mongostore.errors import ConfigurationError, MongostoreWarning
from mongostore.health import HealthReport, check_health
from mongostore.maintenance import Maintenance, Upkeep
from mongostore.mongo.changes import ChangeFeed
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.mongo.databases import Databases
from mongostore.mongo.tenants import MongoTenantRegistry
from mongostore.observer import Observer
from mongostore.options import StoreOptions
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.master_keys import MasterKey, checked_master_key
from mongostore.schema import check_schema
from mongostore.tenancy import DEFAULT_TENANT, DatabasePerTenant, Tenant
from mongostore.tenancy import tenant as checked_tenant

# A tenant's stores are some 30 small objects; those not used for longest are made again when they are asked for. Where a
# tenant has a database, they hold what is prepared for it, and the placement says how many.
_MAX_TENANTS_IN_MEMORY = 1_000


class MongoStore(Stores):
    """Everything that an identity server remembers, on MongoDB.

    Use it as `async with store:`, or call `open` and `close`.

    Attributes:
        tenants: who is there, who comes, who goes.
        caches: what configuration is kept in memory: `clear()`, `statistics()`.
        maintenance: what is to be done for all tenants now and then: `run()`, as a task of every node.
    """

    def __init__(
        self,
        connection: object,
        *,
        database: str,
        configuration_database: str | None = None,
        key_ring_database: str | None = None,
        master_key: MasterKey | None = None,
        options: StoreOptions | None = None,
        clock: Clock | None = None,
        **replacements: Unpack[Replacements],
    ) -> None:
        """Put a store together; no I/O happens before `open`.

        Args:
            connection: a MongoDB URI, a PyMongo `AsyncMongoClient`, or a Motor `AsyncIOMotorClient` (extra `motor`).
                What is handed in is not closed by `close`.
            database: the database's name.
            configuration_database: a database of its own for clients, resources and identity providers.
            key_ring_database: a database of its own for the key ring, to be backed up apart.
            master_key: what wraps the data keys; it never reaches MongoDB.
            options: how the store behaves.
            clock: tells the time.
            replacements: the user's own stores, by the name of the attribute; or functions of the tenant that give one.

        Raises:
            ConfigurationError: there is no master key, or a replacement lacks its counterpart.
            TypeError, ValueError: an argument has a wrong type or value.
        """
        if master_key is None:
            raise ConfigurationError(
                "a store needs a master key: make one with LocalMasterKey.generate() or 'mongostore keys generate-master', "
                'keep it outside MongoDB, and pass master_key=LocalMasterKey.from_env("MONGOSTORE_MASTER_KEY")'
            )
        checked_master_key(master_key)
        self._options = options = checked_options(options)
        clock = checked_clock(clock)
        self._replacements = checked_replacements(replacements)
        self._connection = Connection(
            connection,
            operation_timeout=options.operation_timeout,
            server_selection_timeout=options.server_selection_timeout,
        )
        self._databases = Databases(
            self._connection,
            database,
            prefix=options.collection_prefix,
            placement=options.tenancy,
            configuration=configuration_database,
            key_ring=key_ring_database,
            ttl_delay=options.ttl_delay,
        )
        registry = MongoTenantRegistry(self._databases.main, clock)
        self._admission = Admission(
            registry,
            options.tenancy,
            self._create_tenant,
            operation_timeout=options.operation_timeout,
            within=self._connection.within,
            on_change=self._forget_configuration,
        )
        self._observer = observer = Observer(options, clock, system="mongodb")
        data_keys = keys_of_admitted(MongoDataKeyStore(self._databases.key_ring), self._admission)
        data_keys = observer.announcing(data_keys, "data_keys", DEFAULT_TENANT)
        self._key_ring = KeyRing(data_keys, master_key, clock, policy=options.key_rotation)
        self.caches = ConfigurationCaches(options.caching or CachingOptions(), clock)
        observer.watch_caches(self.caches)
        self._backends = MongoBackends(
            self._databases, self._key_ring, clock, options, caches=self.caches, observer=observer
        )
        self._feed: ChangeFeed | None = None
        # Kept as it is, too: what a first write does by it is no operation of the server's.
        places = MongoTenantPlaces(self._databases, clock)
        self.tenants = self._tenants = Tenants(registry, places, self._admission)
        self._of_tenants: OrderedDict[Tenant, Stores] = OrderedDict()
        placement = options.tenancy
        self._max_of_tenants = (
            placement.max_open if isinstance(placement, DatabasePerTenant) else _MAX_TENANTS_IN_MEMORY
        )
        default = self._backends.backend(DEFAULT_TENANT, replacements_for(self._replacements, DEFAULT_TENANT), None)
        super().__init__(default, clock, options, observer)
        self.maintenance = Maintenance(self._cleanup.leases, registry.registered, self._upkeep_of)

    def for_tenant(self, slug: str) -> Stores:
        """The same attributes, bound to a tenant. No I/O happens, and nothing comes into being before the first write.

        Raises:
            TypeError, ValueError: it is no slug, or its database's name would be too long or is taken.
            ConfigurationError: a replaced store is not made per tenant.
        """
        tenant = checked_tenant(slug)
        if tenant == DEFAULT_TENANT:
            return self
        stores = self._of_tenants.get(tenant)
        if stores is None:
            gate = Gate(self._admission, tenant)
            stores = self._of_tenants[tenant] = self._made(tenant, gate, gate.of_incarnation)
            if len(self._of_tenants) > self._max_of_tenants:
                self._of_tenants.popitem(last=False)
        self._of_tenants.move_to_end(tenant)
        return stores

    async def open(self) -> None:
        """Connect, load the key ring, listen for changes, and warn when the schema is not as it should be.

        Nothing is written.

        Raises:
            ConfigurationError: the URI can't be used.
            StorageUnavailable: no server answered within the configured time.
            KeyUnavailable: the master key does not open the key ring.
        """
        await self._connection.open()
        try:
            await self._key_ring.for_tenant(DEFAULT_TENANT).open()
            await self._warn_of_drift()
        except BaseException:
            await self.close()
            raise
        if self._options.caching is None:
            return
        if self._connection.has_replica_set:
            self._feed = ChangeFeed(
                self._databases.configuration(DEFAULT_TENANT), self.caches, databases=self._databases.watched
            )
            self._feed.start()
        else:
            warnings.warn(
                "this MongoDB is a standalone server and has no change streams: what another node changes in the "
                "configuration is seen when the cached value expires. Run it as a replica set, of one member at least",
                MongostoreWarning,
                stacklevel=2,
            )

    async def health(self) -> HealthReport:
        """What works and what doesn't; see `HealthReport`. Nothing is raised."""
        return await check_health(
            self._databases.all([DEFAULT_TENANT]), self._key_ring.for_tenant(DEFAULT_TENANT), self._feed, self.clock
        )

    async def close(self) -> None:
        """Close the connection, unless it was handed in, and let `maintenance.run` return. It can be opened again."""
        self.maintenance.stop()
        if self._feed is not None:
            await self._feed.stop()
            self._feed = None
        self.caches.clear()
        await self._key_ring.close()
        await self._connection.close()

    async def __aenter__(self) -> Self:
        """Open the store."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()

    def _made(self, tenant: Tenant, gate: Gate, of_incarnation: OfIncarnation = lambda make: make()) -> Stores:
        replacements = replacements_for(self._replacements, tenant)
        backend = self._backends.backend(tenant, replacements, gate)
        return Stores(backend, self.clock, self._options, self._observer, tenant, of_incarnation=of_incarnation)

    def _upkeep_of(self, tenant: Tenant) -> Upkeep:
        """What one turn of the maintenance needs: made for it, so that tenants in use are not displaced."""
        if tenant == DEFAULT_TENANT:
            return self._upkeep
        # Looking after a tenant that was deleted must not bring it back.
        gate = Gate(self._admission, tenant, brings_into_being=False)
        return self._made(tenant, gate)._upkeep  # noqa: SLF001 - of this package, and no attribute for users

    async def _warn_of_drift(self) -> None:
        drift = 0
        # A tenant's own databases are the deploy step's to check: opening must not take longer with each of them.
        for binding in self._databases.all([DEFAULT_TENANT]):
            drift += len(await check_schema(binding, allow_foreign=True))
        if drift:
            warnings.warn(
                f"the schema of database {self._databases.main.database_name!r} is not as it should be ({drift} "
                "differences): run 'python -m mongostore schema apply --uri … --database …' at every deploy",
                MongostoreWarning,
                stacklevel=4,
            )

    async def _create_tenant(self, tenant: Tenant) -> None:
        await self._tenants.create(tenant)

    def _forget_configuration(self) -> None:
        self.caches.clear()

"""Which database holds what: for the store, which works on them, and for the schema, which prepares them."""

import re
from collections.abc import Iterable
from datetime import timedelta
from weakref import WeakValueDictionary

from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.base import StoredFields
from mongostore.mongo.documents.clients import ClientFields
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.mongo.documents.identity_providers import IdentityProviderFields
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.documents.resources import ApiResourceFields, ScopeFields
from mongostore.mongo.documents.revisions import RevisionFields
from mongostore.mongo.documents.tenants import TenantDatabaseFields, TenantFields
from mongostore.tenancy import DEFAULT_TENANT, DatabasePerTenant, Placement, Tenant, database_name, refuse_taken_name

_DEPLOYMENT: frozenset[type[StoredFields]] = frozenset({LeaseFields, TenantFields})
_KEYS: frozenset[type[StoredFields]] = frozenset({DataKeyFields})
CONFIGURATION: frozenset[type[StoredFields]] = frozenset(
    {ClientFields, ScopeFields, ApiResourceFields, IdentityProviderFields, RevisionFields}
)
_MARK: frozenset[type[StoredFields]] = frozenset({TenantDatabaseFields})
_OPERATIONAL = frozenset(DOCUMENTS) - _DEPLOYMENT - _KEYS - CONFIGURATION - _MARK


class Databases:
    """Where the data of a deployment and its tenants lie. Making it does no I/O.

    Attributes:
        main: the store's own database: leases and the list of tenants, and whatever has no other place.
        key_ring: where the data keys lie.
    """

    def __init__(
        self,
        connection: Connection,
        main: str,
        *,
        prefix: str,
        placement: Placement,
        configuration: str | None = None,
        key_ring: str | None = None,
        ttl_delay: timedelta = timedelta(0),
    ) -> None:
        """Args: the store's own database; the collections' prefix; where tenants' data lie; databases apart, if any.

        The delay is that of each `Binding`.

        Raises:
            TypeError, ValueError: a database can't have such a name, or the database of the tenant `default` would be one
                of those named here.
        """
        self._connection = connection
        self._main = database_name(main)
        self._prefix = prefix
        self._placement = placement
        self._ttl_delay = ttl_delay
        self._configuration = None if configuration is None else database_name(configuration)
        self._key_ring = self._main if key_ring is None else database_name(key_ring)
        # One for each database at a time, and only for as long as somebody works on it.
        self._of_tenants: WeakValueDictionary[str, Binding] = WeakValueDictionary()
        self._fixed: dict[str, Binding] = {}
        self.main = self._binding(self._main)
        self.key_ring = self._binding(self._key_ring)
        self._of(DEFAULT_TENANT)

    @property
    def are_many(self) -> bool:
        """Whether tenants have databases of their own, or configuration lies apart."""
        return isinstance(self._placement, DatabasePerTenant)

    @property
    def watched(self) -> str | None:
        """A regular expression of the databases that hold configuration; None when it is one, the default tenant's."""
        if not isinstance(self._placement, DatabasePerTenant) or self._configuration is not None:
            return None
        before, _, behind = self._placement.pattern.partition("{tenant}")
        return f"^{re.escape(before)}[a-z0-9-]+{re.escape(behind)}$"

    def configuration(self, tenant: Tenant) -> Binding:
        """Where a tenant's clients, resources and identity providers lie. Raises as `operational`."""
        return self._binding(self._configuration or self._of(tenant))

    def operational(self, tenant: Tenant) -> Binding:
        """Where everything else of a tenant lies.

        Raises:
            ValueError: the tenant's own database would have a name that is too long, or taken.
        """
        return self._binding(self._of(tenant))

    def owned(self, tenant: Tenant) -> Binding | None:
        """The database that is this tenant's alone, if it has one."""
        return self.operational(tenant) if self.are_many else None

    def all(self, tenants: Iterable[Tenant]) -> list[Binding]:
        """Every database of the deployment, those of these tenants included, each once. Raises as `operational`."""
        names = [self._main, self._key_ring, *([self._configuration] if self._configuration else [])]
        names += [self._of(tenant) for tenant in tenants]
        return [self._binding(name) for name in dict.fromkeys(names)]

    def _of(self, tenant: Tenant) -> str:
        """The name of the database that holds a tenant's data."""
        name = self._placement.database(self._main, tenant)
        if self.are_many:
            purposes = {
                self._configuration: "the database of the configuration",
                self._key_ring: "the database of the key ring",
                self._main: "the store's own database",
            }
            refuse_taken_name(tenant, name, {other: why for other, why in purposes.items() if other is not None})
        return name

    def _binding(self, name: str) -> Binding:
        if name in (self._main, self._key_ring, self._configuration):
            if name not in self._fixed:
                self._fixed[name] = self._made(name)
            return self._fixed[name]
        found = self._of_tenants.get(name)
        if found is None:
            found = self._of_tenants[name] = self._made(name)
        return found

    def _made(self, name: str) -> Binding:
        return Binding(self._connection, name, self._prefix, self._nouns(name), self._ttl_delay)

    def _nouns(self, name: str) -> tuple[type[StoredFields], ...]:
        holds_tenants = name == self._main if not self.are_many else name not in self._fixed_names
        nouns: set[type[StoredFields]] = set()
        if name == self._main:
            nouns |= _DEPLOYMENT
        if name == self._key_ring:
            nouns |= _KEYS
        if name == self._configuration or (self._configuration is None and holds_tenants):
            nouns |= CONFIGURATION
        if holds_tenants:
            nouns |= _OPERATIONAL
        if holds_tenants and self.are_many:
            nouns |= _MARK
        return tuple(each for each in DOCUMENTS if each in nouns)

    @property
    def _fixed_names(self) -> tuple[str | None, ...]:
        return (self._main, self._key_ring, self._configuration)

"""The stores of one tenant on MongoDB."""

from collections.abc import Callable, Mapping
from typing import Any

from mongostore.assembly.admission import Gate
from mongostore.assembly.stores import Backend
from mongostore.assembly.valid_stores import ValidClientStore, ValidIdentityProviderStore, ValidResourceStore
from mongostore.assembly.validity import CLIENT, Validity
from mongostore.caching import (
    CachedClientStore,
    CachedCorsPolicyService,
    CachedIdentityProviderStore,
    CachedResourceStore,
    ConfigurationCaches,
)
from mongostore.clock import Clock
from mongostore.models import Client
from mongostore.mongo.cleanup import MongoCleanupRecords
from mongostore.mongo.clients import MongoClientStore
from mongostore.mongo.cors import MongoCorsPolicyService
from mongostore.mongo.databases import Databases
from mongostore.mongo.device_codes import MongoDeviceFlowStore
from mongostore.mongo.documents.device_codes import DeviceCodeCodec
from mongostore.mongo.documents.grants import GrantCodec
from mongostore.mongo.documents.messages import MessageCodec
from mongostore.mongo.documents.pushed_requests import PushedRequestCodec
from mongostore.mongo.documents.sessions import SessionCodec
from mongostore.mongo.documents.signing_keys import SigningKeyCodec
from mongostore.mongo.grant_records import MongoGrantRecordStore
from mongostore.mongo.identity_providers import MongoIdentityProviderStore
from mongostore.mongo.leases import Leases
from mongostore.mongo.messages import MongoMessageStore
from mongostore.mongo.persisted_grants import MongoPersistedGrantStore
from mongostore.mongo.pushed_requests import MongoPushedAuthorizationRequestStore
from mongostore.mongo.replay import MongoReplayCache
from mongostore.mongo.resources import MongoResourceStore
from mongostore.mongo.sealed_records import MongoSealedRecordStore
from mongostore.mongo.sessions import MongoServerSideSessionStore
from mongostore.mongo.signing_keys import MongoSigningKeyStore
from mongostore.observer import Observer
from mongostore.options import StoreOptions
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.protection.paging_tokens import PagingTokens
from mongostore.protection.protector import SealingProtector
from mongostore.signing.key_material import check_usable
from mongostore.stores.messages import MessageKind
from mongostore.tenancy import Tenant

_VALID: Mapping[str, Callable[[Any, Validity, Tenant], object]] = {
    "clients": ValidClientStore,
    "resources": ValidResourceStore,
    "identity_providers": ValidIdentityProviderStore,
}


class MongoBackends:
    """Makes the stores of any tenant of a deployment."""

    def __init__(
        self,
        databases: Databases,
        key_ring: KeyRing,
        clock: Clock,
        options: StoreOptions,
        *,
        caches: ConfigurationCaches,
        observer: Observer,
    ) -> None:
        """Make nothing yet; see `backend`.

        Args:
            databases: where data lie.
            key_ring: what seals them.
            clock: tells the time.
            options: how the stores behave.
            caches: what configuration is kept in memory by.
            observer: hears of records that were tampered with.
        """
        self._databases = databases
        self._key_ring = key_ring
        self._protector = SealingProtector(key_ring, observer.tampered)
        self._validity = Validity(clock, observer.events)
        self._clock = clock
        self._options = options
        self._caches = caches

    def backend(self, tenant: Tenant, replacements: Mapping[str, Any], gate: Gate | None) -> Backend:
        """The stores of a tenant.

        Args:
            tenant: whose.
            replacements: the user's own stores, by attribute; what they give of configuration is served if valid.
            gate: admits whatever could leave a record; None for the default tenant, which is always admitted.
        """
        own = {**self._configuration(tenant), **self._operational(tenant, gate)}
        stores = own if gate is None else {name: gate.admitted(store) for name, store in own.items()}
        caching = self._options.caching
        if caching is not None:
            stores = stores | self._cached(stores, tenant)
        stores.update(self._valid(replacements, tenant))
        return Backend(**stores)

    def _configuration(self, tenant: Tenant) -> dict[str, Any]:
        binding, validity, protector = self._databases.configuration(tenant), self._validity, self._protector
        providers = MongoIdentityProviderStore(binding, tenant, protector)
        return {
            "clients": ValidClientStore(MongoClientStore(binding, tenant, protector), validity, tenant),
            "resources": ValidResourceStore(MongoResourceStore(binding, tenant, protector), validity, tenant),
            "cors_policy": MongoCorsPolicyService(binding, tenant, protector, self._counts_for_origins(tenant)),
            "identity_providers": ValidIdentityProviderStore(providers, validity, tenant, providers.get_all_providers),
        }

    def _counts_for_origins(self, tenant: Tenant) -> Callable[[Client], bool]:
        def is_served(client: Client) -> bool:
            return self._validity.served(tenant, CLIENT, client, "cors_policy.is_origin_allowed") is not None

        return is_served

    def _valid(self, replacements: Mapping[str, Any], tenant: Tenant) -> dict[str, Any]:
        return {
            name: _VALID[name](store, self._validity, tenant) if name in _VALID else store
            for name, store in replacements.items()
        }

    def _operational(self, tenant: Tenant, gate: Gate | None) -> dict[str, Any]:
        binding, clock, options, protector = (
            self._databases.operational(tenant),
            self._clock,
            self._options,
            self._protector,
        )
        retention = options.consumed_retention
        grants = GrantCodec(tenant, protector, retention)
        device_codes = DeviceCodeCodec(tenant, protector, self._key_ring)
        messages = MessageCodec(tenant, protector, MessageKind.GENERAL)
        consent_messages = MessageCodec(tenant, protector, MessageKind.CONSENT)
        leases = Leases(self._databases.main, tenant, gate.enter if gate else None)
        holders = dict.fromkeys((binding, self._databases.configuration(tenant)))
        return {
            "persisted_grants": MongoPersistedGrantStore(binding, grants, clock),
            "grant_records": MongoGrantRecordStore(binding, grants, clock),
            "device_flow": MongoDeviceFlowStore(binding, device_codes, clock, retention),
            "pushed_authorization_requests": MongoPushedAuthorizationRequestStore(
                binding, PushedRequestCodec(tenant, protector), clock, retention
            ),
            "messages": MongoMessageStore(binding, messages, clock, options.message_lifetime),
            "consent_messages": MongoMessageStore(binding, consent_messages, clock, options.message_lifetime),
            "replay_cache": MongoReplayCache(binding, tenant, clock),
            "server_side_sessions": MongoServerSideSessionStore(
                binding,
                SessionCodec(tenant, protector, options.session_expiry_grace),
                PagingTokens(tenant, self._key_ring),
                clock,
            ),
            "leases": leases,
            "cleanup_records": MongoCleanupRecords(binding, grants, device_codes),
            "signing_keys": MongoSigningKeyStore(binding, SigningKeyCodec(tenant, protector), check_usable),
            "key_ring": KeyRingService(
                self._key_ring, tenant, [MongoSealedRecordStore(holder, leases, tenant) for holder in holders]
            ),
        }

    def _cached(self, stores: Mapping[str, Any], tenant: Tenant) -> dict[str, Any]:
        return {
            "clients": CachedClientStore(stores["clients"], self._caches, tenant),
            "resources": CachedResourceStore(stores["resources"], self._caches, tenant),
            "cors_policy": CachedCorsPolicyService(stores["cors_policy"], self._caches, tenant),
            "identity_providers": CachedIdentityProviderStore(stores["identity_providers"], self._caches, tenant),
        }

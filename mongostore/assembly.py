"""`MongoStore` and `MemoryStore`: which store gets what, and nothing else."""

import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mongostore.clock import Clock, SystemClock
from mongostore.errors import ConfigurationError, MongostoreWarning
from mongostore.grants.authorization_codes import AuthorizationCodes
from mongostore.grants.backchannel import BackChannelAuthenticationRequests
from mongostore.grants.consents import UserConsents
from mongostore.grants.reference_tokens import ReferenceTokens
from mongostore.grants.refresh_tokens import RefreshTokens
from mongostore.grants.service import GrantService
from mongostore.memory.clients import MemoryClientStore
from mongostore.memory.cors import MemoryCorsPolicyService
from mongostore.memory.data_keys import MemoryDataKeyStore
from mongostore.memory.device_codes import MemoryDeviceFlowStore
from mongostore.memory.grant_records import MemoryGrantRecordStore
from mongostore.memory.grant_table import GrantTable
from mongostore.memory.identity_providers import MemoryIdentityProviderStore
from mongostore.memory.messages import MemoryMessageStore
from mongostore.memory.persisted_grants import MemoryPersistedGrantStore
from mongostore.memory.pushed_requests import MemoryPushedAuthorizationRequestStore
from mongostore.memory.replay import MemoryReplayCache
from mongostore.memory.resources import MemoryResourceStore
from mongostore.memory.revisions import MemoryRevisions
from mongostore.mongo.binding import Binding
from mongostore.mongo.clients import MongoClientStore
from mongostore.mongo.connection import Connection
from mongostore.mongo.cors import MongoCorsPolicyService
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.mongo.device_codes import MongoDeviceFlowStore
from mongostore.mongo.documents.device_codes import DeviceCodeCodec
from mongostore.mongo.documents.grants import GrantCodec
from mongostore.mongo.documents.messages import MessageCodec
from mongostore.mongo.documents.pushed_requests import PushedRequestCodec
from mongostore.mongo.grant_records import MongoGrantRecordStore
from mongostore.mongo.identity_providers import MongoIdentityProviderStore
from mongostore.mongo.leases import Leases
from mongostore.mongo.messages import MongoMessageStore
from mongostore.mongo.persisted_grants import MongoPersistedGrantStore
from mongostore.mongo.pushed_requests import MongoPushedAuthorizationRequestStore
from mongostore.mongo.replay import MongoReplayCache
from mongostore.mongo.resources import MongoResourceStore
from mongostore.mongo.sealed_records import MongoSealedRecordStore
from mongostore.options import StoreOptions
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.protection.master_keys import LocalMasterKey, MasterKey
from mongostore.protection.protector import SealingProtector
from mongostore.schema import check_schema
from mongostore.stores.clients import ClientStore
from mongostore.stores.cors import CorsPolicyService
from mongostore.stores.device_codes import DeviceFlowStore
from mongostore.stores.grant_records import GrantRecordStore
from mongostore.stores.identity_providers import IdentityProviderStore
from mongostore.stores.messages import MessageKind, MessageStore
from mongostore.stores.persisted_grants import PersistedGrantStore
from mongostore.stores.pushed_requests import PushedAuthorizationRequestStore
from mongostore.stores.replay import ReplayCache
from mongostore.stores.resources import ResourceStore
from mongostore.tenancy import DEFAULT_TENANT, Tenant, database_name


@dataclass(frozen=True, slots=True)
class Backend:
    """The stores of one tenant that touch a database, or stand in for one."""

    clients: ClientStore
    resources: ResourceStore
    cors_policy: CorsPolicyService
    identity_providers: IdentityProviderStore
    persisted_grants: PersistedGrantStore
    grant_records: GrantRecordStore
    device_flow: DeviceFlowStore
    pushed_authorization_requests: PushedAuthorizationRequestStore
    messages: MessageStore
    consent_messages: MessageStore
    replay_cache: ReplayCache
    key_ring: KeyRingService


class Stores:
    """Everything that an identity server of one tenant remembers.

    Attributes:
        clock: tells the time.
        clients: OAuth clients.
        resources: identity resources, API scopes and API resources.
        cors_policy: which browser origins may call.
        identity_providers: external providers.
        persisted_grants: grants of any type, by key and filter.
        authorization_codes, refresh_tokens, reference_tokens, user_consents: grants by their type.
        backchannel_authentication_requests: requests that a user answers elsewhere (CIBA).
        device_flow: device authorization requests.
        pushed_authorization_requests: parameters that clients pushed.
        messages, consent_messages: what a server leaves for its own next page.
        replay_cache: what must be accepted once only.
        grants: what a subject has granted, over all types.
        key_ring: the keys that seal what is stored.
    """

    def __init__(self, backend: Backend, clock: Clock) -> None:
        """Args: the stores below, and the time."""
        records, grants = backend.grant_records, backend.persisted_grants
        self.clock = clock
        self.clients = backend.clients
        self.resources = backend.resources
        self.cors_policy = backend.cors_policy
        self.identity_providers = backend.identity_providers
        self.key_ring = backend.key_ring
        self.persisted_grants = grants
        self.authorization_codes = AuthorizationCodes(records, grants)
        self.refresh_tokens = RefreshTokens(records, grants, clock)
        self.reference_tokens = ReferenceTokens(records, grants)
        self.user_consents = UserConsents(grants)
        self.backchannel_authentication_requests = BackChannelAuthenticationRequests(records, grants)
        self.device_flow = backend.device_flow
        self.pushed_authorization_requests = backend.pushed_authorization_requests
        self.messages = backend.messages
        self.consent_messages = backend.consent_messages
        self.replay_cache = backend.replay_cache
        self.grants = GrantService(records, grants)


class MongoStore(Stores):
    """Everything that an identity server remembers, on MongoDB.

    Use it as `async with store:`, or call `open` and `close`.
    """

    def __init__(
        self,
        connection: object,
        *,
        database: str,
        key_ring_database: str | None = None,
        master_key: MasterKey | None = None,
        options: StoreOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Put a store together; no I/O happens before `open`.

        Args:
            connection: a MongoDB URI, a PyMongo `AsyncMongoClient`, or a Motor `AsyncIOMotorClient` (extra `motor`).
                What is handed in is not closed by `close`.
            database: the database's name.
            key_ring_database: a database of its own for the key ring, to be backed up apart; else it lies in `database`.
            master_key: what wraps the data keys; it never reaches MongoDB.
            options: how the store behaves.
            clock: tells the time.

        Raises:
            ConfigurationError: there is no master key.
            TypeError, ValueError: an argument has a wrong type or value.
        """
        if master_key is None:
            raise ConfigurationError(
                "a store needs a master key: make one with LocalMasterKey.generate() or 'mongostore keys generate-master', "
                'keep it outside MongoDB, and pass master_key=LocalMasterKey.from_env("MONGOSTORE_MASTER_KEY")'
            )
        self._options = options or StoreOptions()
        self._connection = Connection(
            connection,
            operation_timeout=self._options.operation_timeout,
            server_selection_timeout=self._options.server_selection_timeout,
        )
        self._binding = Binding(self._connection, database_name(database), self._options.collection_prefix)
        self._ring_binding = Binding(
            self._connection,
            database_name(database if key_ring_database is None else key_ring_database),
            self._options.collection_prefix,
        )
        clock = clock or SystemClock()
        self._key_ring = KeyRing(
            MongoDataKeyStore(self._ring_binding), master_key, clock, policy=self._options.key_rotation
        )
        self._protector = SealingProtector(self._key_ring)
        super().__init__(self._backend(DEFAULT_TENANT, clock), clock)

    async def open(self) -> None:
        """Connect, load the key ring, and warn when the schema is not as it should be. Nothing is written.

        Raises:
            ConfigurationError: the URI can't be used.
            StorageUnavailable: no server answered within the configured time.
            KeyUnavailable: the master key does not open the key ring.
        """
        await self._connection.open()
        self._binding.reset()
        self._ring_binding.reset()
        try:
            await self._key_ring.for_tenant(DEFAULT_TENANT).open()
            drift = await check_schema(self._binding, allow_foreign=True)
        except BaseException:
            await self.close()
            raise
        if drift:
            warnings.warn(
                f"the schema of database {self._binding.database_name!r} is not as it should be ({len(drift)} differences): "
                "run 'python -m mongostore schema apply --uri … --database …' at every deploy",
                MongostoreWarning,
                stacklevel=2,
            )

    async def close(self) -> None:
        """Close the connection, unless it was handed in. The store can be opened again."""
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

    def _backend(self, tenant: Tenant, clock: Clock) -> Backend:
        binding = self._binding
        codec = GrantCodec(tenant, self._protector, self._options.consumed_retention)
        retention, lifetime = self._options.consumed_retention, self._options.message_lifetime
        device_codes = DeviceCodeCodec(tenant, self._protector, self._key_ring)
        pushed_requests = PushedRequestCodec(tenant, self._protector)
        messages = MessageCodec(tenant, self._protector, MessageKind.GENERAL)
        consent_messages = MessageCodec(tenant, self._protector, MessageKind.CONSENT)
        return Backend(
            clients=MongoClientStore(binding, tenant),
            resources=MongoResourceStore(binding, tenant),
            cors_policy=MongoCorsPolicyService(binding, tenant),
            identity_providers=MongoIdentityProviderStore(binding, tenant, self._protector),
            persisted_grants=MongoPersistedGrantStore(binding, codec, clock),
            grant_records=MongoGrantRecordStore(binding, codec, clock),
            device_flow=MongoDeviceFlowStore(binding, device_codes, clock, retention),
            pushed_authorization_requests=MongoPushedAuthorizationRequestStore(
                binding, pushed_requests, clock, retention
            ),
            messages=MongoMessageStore(binding, messages, clock, lifetime),
            consent_messages=MongoMessageStore(binding, consent_messages, clock, lifetime),
            replay_cache=MongoReplayCache(binding, tenant, clock),
            key_ring=KeyRingService(
                self._key_ring, tenant, [MongoSealedRecordStore(binding, Leases(binding, tenant), tenant)]
            ),
        )


class MemoryStore(Stores):
    """The same attributes and semantics without a database: for development and tests. What it holds dies with it."""

    def __init__(self, *, options: StoreOptions | None = None, clock: Clock | None = None) -> None:
        """Args: how the store behaves, and what tells the time."""
        clock = clock or SystemClock()
        options = options or StoreOptions()
        table = GrantTable(clock, options.consumed_retention)
        self._key_ring = KeyRing(MemoryDataKeyStore(), LocalMasterKey.generate(), clock, policy=options.key_rotation)
        revisions = MemoryRevisions()
        clients = MemoryClientStore(revisions)
        backend = Backend(
            clients=clients,
            resources=MemoryResourceStore(revisions),
            cors_policy=MemoryCorsPolicyService(clients),
            identity_providers=MemoryIdentityProviderStore(revisions),
            persisted_grants=MemoryPersistedGrantStore(table),
            grant_records=MemoryGrantRecordStore(table),
            device_flow=MemoryDeviceFlowStore(clock, options.consumed_retention),
            pushed_authorization_requests=MemoryPushedAuthorizationRequestStore(clock, options.consumed_retention),
            messages=MemoryMessageStore(clock, options.message_lifetime),
            consent_messages=MemoryMessageStore(clock, options.message_lifetime),
            replay_cache=MemoryReplayCache(clock),
            key_ring=KeyRingService(self._key_ring, DEFAULT_TENANT),
        )
        super().__init__(backend, clock)

    async def open(self) -> None:
        """Nothing to do: here so that either store can be used."""

    async def close(self) -> None:
        """Stop what the key ring does in the background."""
        await self._key_ring.close()

    async def __aenter__(self) -> Self:
        """Open the store."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()

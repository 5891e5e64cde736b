"""What one tenant has: the stores of a backend, and all that is built on them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from mongostore.clock import Clock
from mongostore.grants.authorization_codes import AuthorizationCodes
from mongostore.grants.backchannel import BackChannelAuthenticationRequests
from mongostore.grants.client_deletion import RevokingClientStore
from mongostore.grants.consents import UserConsents
from mongostore.grants.reference_tokens import ReferenceTokens
from mongostore.grants.refresh_tokens import RefreshTokens
from mongostore.grants.revocation import Revocation
from mongostore.grants.service import GrantService
from mongostore.maintenance import Upkeep
from mongostore.observer import Observer
from mongostore.options import StoreOptions
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.expiry import SessionExpiry
from mongostore.sessions.logouts import Logouts
from mongostore.sessions.service import SessionService
from mongostore.sessions.tickets import Tickets
from mongostore.signing.manager import SigningManager
from mongostore.stores.cleanup import Cleanup, CleanupRecords
from mongostore.stores.clients import ClientStore
from mongostore.stores.cors import CorsPolicyService
from mongostore.stores.device_codes import DeviceFlowStore
from mongostore.stores.grant_records import GrantRecordStore
from mongostore.stores.identity_providers import IdentityProviderStore
from mongostore.stores.leases import JobLeases
from mongostore.stores.messages import MessageStore
from mongostore.stores.persisted_grants import PersistedGrantStore
from mongostore.stores.pushed_requests import PushedAuthorizationRequestStore
from mongostore.stores.replay import ReplayCache
from mongostore.stores.resources import ResourceStore
from mongostore.stores.sessions import ServerSideSessionStore
from mongostore.stores.signing_keys import SigningKeyRecords, SigningKeyStore
from mongostore.tenancy import DEFAULT_TENANT, Tenant

OfIncarnation = Callable[[Callable[[], SigningManager]], SigningManager]


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
    server_side_sessions: ServerSideSessionStore
    signing_keys: SigningKeyRecords
    leases: JobLeases
    cleanup_records: CleanupRecords
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
        server_side_sessions: what users' sign-ins are remembered by, by key and filter, in pages.
        tickets: what signs a user in, for a server's cookies.
        sessions: those sessions listed, ended, and processed once expired.
        signing_keys: the keys that sign tokens, as they are stored.
        signing: those keys in use: what signs now, what validates.
        key_ring: the keys that seal what is stored.
    """

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        options: StoreOptions,
        observer: Observer,
        tenant: Tenant = DEFAULT_TENANT,
        *,
        of_incarnation: OfIncarnation = lambda make: make(),
    ) -> None:
        """Build everything on the stores below.

        Args:
            backend: the stores below.
            clock: tells the time.
            options: how the stores behave.
            observer: adds telemetry and events.
            tenant: whose they are.
            of_incarnation: makes the signing keys in use, which are kept in memory for long; see `Gate.of_incarnation`.
        """
        backend = observer.announcing_backend(backend, tenant)
        records, grants = backend.grant_records, backend.persisted_grants
        self.clock = clock
        # For the services below, and for what an administrator does.
        self._revocation = Revocation(grants, backend.device_flow, backend.pushed_authorization_requests)
        # For `TokenCleanupService`.
        self._cleanup = Cleanup(backend.cleanup_records, backend.leases, clock, tenant)
        self.clients = RevokingClientStore(backend.clients, self._revocation)
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
        self.grants = GrantService(records, grants, self._revocation)
        sessions = backend.server_side_sessions
        coordination = SessionCoordination(
            sessions,
            self._revocation,
            backend.clients,
            coordinate_by_default=options.coordinate_client_lifetimes_with_user_session,
        )
        self.server_side_sessions = sessions
        undelivered = functools.partial(observer.logout_undelivered, tenant)
        logouts = Logouts(sessions, clock, options.session_expiry_grace, undelivered)
        self.tickets = Tickets(sessions, coordination, logouts, clock, options.user_display_name_claim_type)
        expiry = SessionExpiry(sessions, coordination, logouts, backend.leases, tenant)
        self.sessions = SessionService(sessions, coordination, logouts, expiry)
        self.signing_keys: SigningKeyStore = backend.signing_keys
        self.signing = of_incarnation(lambda: SigningManager(backend.signing_keys, options.signing, clock))
        # For `Maintenance`.
        self._upkeep = Upkeep(expiry, self._cleanup, self.signing, self.key_ring)
        observer.observe(self, tenant)

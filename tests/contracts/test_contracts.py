"""Every contract suite, on every backend."""

from datetime import timedelta

from mongostore import StoreOptions
from mongostore.testing.contracts.authorization_codes import AuthorizationCodeContract
from mongostore.testing.contracts.backchannel import BackChannelAuthenticationRequestContract
from mongostore.testing.contracts.cleanup import TokenCleanupContract
from mongostore.testing.contracts.client_deletion import ClientDeletionContract
from mongostore.testing.contracts.clients import ClientStoreContract
from mongostore.testing.contracts.copied_models import CopiedModelContract
from mongostore.testing.contracts.cors import CorsPolicyContract
from mongostore.testing.contracts.device_codes import DeviceFlowStoreContract
from mongostore.testing.contracts.expired_sessions import ExpiredSessionContract
from mongostore.testing.contracts.grants import GrantServiceContract, ReferenceTokenContract, UserConsentContract
from mongostore.testing.contracts.identity_providers import IdentityProviderStoreContract
from mongostore.testing.contracts.maintenance import MaintenanceContract
from mongostore.testing.contracts.messages import MessageStoreContract
from mongostore.testing.contracts.persisted_grants import PersistedGrantStoreContract
from mongostore.testing.contracts.pushed_requests import PushedAuthorizationRequestStoreContract
from mongostore.testing.contracts.refresh_tokens import RefreshTokenContract
from mongostore.testing.contracts.replay import ReplayCacheContract
from mongostore.testing.contracts.resources import ResourceStoreContract
from mongostore.testing.contracts.revisions import RevisionContract
from mongostore.testing.contracts.revocation import RevocationContract
from mongostore.testing.contracts.session_ends import SessionEndContract
from mongostore.testing.contracts.session_expiry import SessionExpiryContract
from mongostore.testing.contracts.session_paging import SessionPagingContract
from mongostore.testing.contracts.session_service import SessionServiceContract
from mongostore.testing.contracts.sessions import ServerSideSessionStoreContract
from mongostore.testing.contracts.signing import SigningContract
from mongostore.testing.contracts.signing_keys import SigningKeyStoreContract
from mongostore.testing.contracts.tenants import TenantContract
from mongostore.testing.contracts.tickets import TicketContract


class TestClients(ClientStoreContract):
    pass


class TestResources(ResourceStoreContract):
    pass


class TestRevisions(RevisionContract):
    pass


class TestClientDeletion(ClientDeletionContract):
    pass


class TestCorsPolicy(CorsPolicyContract):
    pass


class TestIdentityProviders(IdentityProviderStoreContract):
    pass


class TestPersistedGrants(PersistedGrantStoreContract):
    pass


class TestAuthorizationCodes(AuthorizationCodeContract):
    pass


class TestRefreshTokens(RefreshTokenContract):
    pass


class TestReferenceTokens(ReferenceTokenContract):
    pass


class TestUserConsents(UserConsentContract):
    pass


class TestRevocation(RevocationContract):
    pass


class TestGrantService(GrantServiceContract):
    pass


class TestSigningKeys(SigningKeyStoreContract):
    pass


class TestSigning(SigningContract):
    pass


class TestBackChannelAuthenticationRequests(BackChannelAuthenticationRequestContract):
    pass


class TestDeviceFlow(DeviceFlowStoreContract):
    pass


class TestPushedAuthorizationRequests(PushedAuthorizationRequestStoreContract):
    pass


class TestMessages(MessageStoreContract):
    pass


class TestReplayCache(ReplayCacheContract):
    pass


class TestServerSideSessions(ServerSideSessionStoreContract):
    pass


class TestExpiredSessions(ExpiredSessionContract):
    pass


class TestSessionPaging(SessionPagingContract):
    pass


class TestTickets(TicketContract):
    pass


class TestSessionService(SessionServiceContract):
    pass


class TestSessionEnds(SessionEndContract):
    pass


class TestSessionExpiry(SessionExpiryContract):
    pass


class TestTokenCleanup(TokenCleanupContract):
    pass


class TestMaintenance(MaintenanceContract):
    pass


class TestCopiedModels(CopiedModelContract):
    pass


class TestTenants(TenantContract):
    options = StoreOptions(operation_timeout=timedelta(seconds=2))

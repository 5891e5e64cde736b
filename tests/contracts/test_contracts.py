"""Every contract suite, on every backend."""

from mongostore.testing.contracts.authorization_codes import AuthorizationCodeContract
from mongostore.testing.contracts.clients import ClientStoreContract
from mongostore.testing.contracts.cors import CorsPolicyContract
from mongostore.testing.contracts.grants import GrantServiceContract, ReferenceTokenContract, UserConsentContract
from mongostore.testing.contracts.identity_providers import IdentityProviderStoreContract
from mongostore.testing.contracts.persisted_grants import PersistedGrantStoreContract
from mongostore.testing.contracts.refresh_tokens import RefreshTokenContract
from mongostore.testing.contracts.resources import ResourceStoreContract


class TestClients(ClientStoreContract):
    pass


class TestResources(ResourceStoreContract):
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


class TestGrantService(GrantServiceContract):
    pass

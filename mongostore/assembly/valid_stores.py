"""Stores that serve only what keeps the rules, in front of any store of configuration: ours, or one's own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from mongostore.assembly.validity import (
    API_RESOURCE,
    API_SCOPE,
    CLIENT,
    IDENTITY_PROVIDER,
    IDENTITY_RESOURCE,
    Validity,
)
from mongostore.models import (
    ApiResource,
    ApiScope,
    Client,
    IdentityProvider,
    IdentityProviderName,
    IdentityResource,
    Resources,
)
from mongostore.stores.clients import ClientStore
from mongostore.stores.identity_providers import IdentityProviderStore
from mongostore.stores.resources import ResourceStore
from mongostore.stores.revised import Revised
from mongostore.tenancy import Tenant


class ValidClientStore(ClientStore):
    """Clients that keep the rules; the others are absent."""

    def __init__(self, store: ClientStore, validity: Validity, tenant: Tenant) -> None:
        """Args: the clients, what judges them, and whose they are."""
        self._store = store
        self._validity = validity
        self._tenant = tenant

    async def find_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_client_by_id`."""
        return self._served(await self._store.find_client_by_id(client_id), "find_client_by_id")

    async def find_enabled_client_by_id(self, client_id: str) -> Client | None:
        """See `ClientStore.find_enabled_client_by_id`."""
        return self._served(await self._store.find_enabled_client_by_id(client_id), "find_enabled_client_by_id")

    async def get_all_clients(self) -> AsyncIterator[Client]:
        """See `ClientStore.get_all_clients`."""
        async for client in self._store.get_all_clients():
            if self._served(client, "get_all_clients") is not None:
                yield client

    async def save_client(self, client: Client, *, expected_revision: int | None = None) -> int:
        """See `ClientStore.save_client`."""
        return await self._store.save_client(client, expected_revision=expected_revision)

    async def get_client_revision(self, client_id: str) -> int | None:
        """See `ClientStore.get_client_revision`."""
        return await self._store.get_client_revision(client_id)

    async def read_client(self, client_id: str) -> Revised[Client] | None:
        """See `ClientStore.read_client`."""
        return self._validity.read(self._tenant, CLIENT, await self._store.read_client(client_id))

    async def delete_client(self, client_id: str, *, expected_revision: int | None = None) -> bool:
        """See `ClientStore.delete_client`."""
        return await self._store.delete_client(client_id, expected_revision=expected_revision)

    def _served(self, client: Client | None, method: str) -> Client | None:
        return self._validity.served(self._tenant, CLIENT, client, f"clients.{method}")


class ValidResourceStore(ResourceStore):
    """Resources that keep the rules; the others are absent."""

    def __init__(self, store: ResourceStore, validity: Validity, tenant: Tenant) -> None:
        """Args: the resources, what judges them, and whose they are."""
        self._store = store
        self._validity = validity
        self._tenant = tenant

    async def find_identity_resources_by_scope_name(self, names: Iterable[str]) -> list[IdentityResource]:
        """See `ResourceStore.find_identity_resources_by_scope_name`."""
        found = await self._store.find_identity_resources_by_scope_name(names)
        operation = "resources.find_identity_resources_by_scope_name"
        return self._validity.all_served(self._tenant, IDENTITY_RESOURCE, found, operation)

    async def find_api_scopes_by_name(self, names: Iterable[str]) -> list[ApiScope]:
        """See `ResourceStore.find_api_scopes_by_name`."""
        found = await self._store.find_api_scopes_by_name(names)
        return self._validity.all_served(self._tenant, API_SCOPE, found, "resources.find_api_scopes_by_name")

    async def find_api_resources_by_scope_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_scope_name`."""
        found = await self._store.find_api_resources_by_scope_name(names)
        operation = "resources.find_api_resources_by_scope_name"
        return self._validity.all_served(self._tenant, API_RESOURCE, found, operation)

    async def find_api_resources_by_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_name`."""
        found = await self._store.find_api_resources_by_name(names)
        return self._validity.all_served(self._tenant, API_RESOURCE, found, "resources.find_api_resources_by_name")

    async def get_all_resources(self) -> Resources:
        """See `ResourceStore.get_all_resources`."""
        return self._served(await self._store.get_all_resources(), "get_all_resources")

    async def find_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_resources_by_scope`."""
        return self._served(await self._store.find_resources_by_scope(names), "find_resources_by_scope")

    async def find_enabled_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_enabled_resources_by_scope`."""
        found = await self._store.find_enabled_resources_by_scope(names)
        return self._served(found, "find_enabled_resources_by_scope")

    async def save_identity_resource(self, resource: IdentityResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_identity_resource`."""
        return await self._store.save_identity_resource(resource, expected_revision=expected_revision)

    async def save_api_scope(self, scope: ApiScope, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_scope`."""
        return await self._store.save_api_scope(scope, expected_revision=expected_revision)

    async def save_api_resource(self, resource: ApiResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_resource`."""
        return await self._store.save_api_resource(resource, expected_revision=expected_revision)

    async def read_identity_resource(self, name: str) -> Revised[IdentityResource] | None:
        """See `ResourceStore.read_identity_resource`."""
        read = await self._store.read_identity_resource(name)
        return self._validity.read(self._tenant, IDENTITY_RESOURCE, read)

    async def read_api_scope(self, name: str) -> Revised[ApiScope] | None:
        """See `ResourceStore.read_api_scope`."""
        return self._validity.read(self._tenant, API_SCOPE, await self._store.read_api_scope(name))

    async def read_api_resource(self, name: str) -> Revised[ApiResource] | None:
        """See `ResourceStore.read_api_resource`."""
        return self._validity.read(self._tenant, API_RESOURCE, await self._store.read_api_resource(name))

    async def delete_identity_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_identity_resource`."""
        return await self._store.delete_identity_resource(name, expected_revision=expected_revision)

    async def delete_api_scope(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_scope`."""
        return await self._store.delete_api_scope(name, expected_revision=expected_revision)

    async def delete_api_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_resource`."""
        return await self._store.delete_api_resource(name, expected_revision=expected_revision)

    def _served(self, found: Resources, method: str) -> Resources:
        validity, tenant, operation = self._validity, self._tenant, f"resources.{method}"
        return found.model_copy(
            update={
                "identity_resources": validity.all_served(
                    tenant, IDENTITY_RESOURCE, found.identity_resources, operation
                ),
                "api_resources": validity.all_served(tenant, API_RESOURCE, found.api_resources, operation),
                "api_scopes": validity.all_served(tenant, API_SCOPE, found.api_scopes, operation),
            }
        )


class ValidIdentityProviderStore(IdentityProviderStore):
    """Identity providers that keep the rules; the others are absent, from the list of names too."""

    def __init__(
        self,
        store: IdentityProviderStore,
        validity: Validity,
        tenant: Tenant,
        all_providers: Callable[[], Awaitable[Iterable[IdentityProvider]]] | None = None,
    ) -> None:
        """Put the rules in front of a store.

        Args:
            store: the providers.
            validity: what judges them.
            tenant: whose they are.
            all_providers: reads all of them at once, for the list of names; by default they are read one by one.
        """
        self._store = store
        self._validity = validity
        self._tenant = tenant
        self._all_providers = all_providers

    async def get_all_scheme_names(self) -> list[IdentityProviderName]:
        """See `IdentityProviderStore.get_all_scheme_names`."""
        operation = "identity_providers.get_all_scheme_names"
        if self._all_providers is not None:
            found = await self._all_providers()
            served = self._validity.all_served(self._tenant, IDENTITY_PROVIDER, found, operation)
            return [
                IdentityProviderName(scheme=each.scheme, display_name=each.display_name, enabled=each.enabled)
                for each in served
            ]
        names = await self._store.get_all_scheme_names()
        return [name for name in names if self._served(await self._store.get_by_scheme(name.scheme), operation)]

    async def get_by_scheme(self, scheme: str) -> IdentityProvider | None:
        """See `IdentityProviderStore.get_by_scheme`."""
        return self._served(await self._store.get_by_scheme(scheme), "identity_providers.get_by_scheme")

    async def save_identity_provider(self, provider: IdentityProvider, *, expected_revision: int | None = None) -> int:
        """See `IdentityProviderStore.save_identity_provider`."""
        return await self._store.save_identity_provider(provider, expected_revision=expected_revision)

    async def read_identity_provider(self, scheme: str) -> Revised[IdentityProvider] | None:
        """See `IdentityProviderStore.read_identity_provider`."""
        read = await self._store.read_identity_provider(scheme)
        return self._validity.read(self._tenant, IDENTITY_PROVIDER, read)

    async def delete_identity_provider(self, scheme: str, *, expected_revision: int | None = None) -> bool:
        """See `IdentityProviderStore.delete_identity_provider`."""
        return await self._store.delete_identity_provider(scheme, expected_revision=expected_revision)

    def _served(self, provider: IdentityProvider | None, operation: str) -> IdentityProvider | None:
        return self._validity.served(self._tenant, IDENTITY_PROVIDER, provider, operation)

"""`ResourceStore` on MongoDB: a request's scopes are looked up by two commands at once."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mongostore.models import ApiResource, ApiScope, IdentityResource, Resources
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
from mongostore.mongo.documents.configuration import ConfigurationCodec, RevisedFields, StoredDocument, tenant_ids
from mongostore.mongo.documents.resources import (
    API_RESOURCES,
    API_SCOPES,
    IDENTITY_RESOURCES,
    ApiResourceFields,
    ScopeFields,
)
from mongostore.mongo.documents.sealed_secrets import api_resource_codec
from mongostore.mongo.revisions import RevisedRecords
from mongostore.protection.protector import Protector
from mongostore.stores.configuration import OFFLINE_ACCESS, ScopeKind, wanted_names
from mongostore.stores.resources import ResourceT, check_resource, enabled_only
from mongostore.stores.revised import Revised
from mongostore.tenancy import Tenant

IDENTITY_RESOURCE: ScopeKind = "identity_resource"
API_SCOPE: ScopeKind = "api_scope"


class MongoResourceStore:
    """Resources of one tenant in MongoDB."""

    def __init__(self, binding: Binding, tenant: Tenant, protector: Protector) -> None:
        self._binding = binding
        self._tenant = tenant
        self._api_resources = api_resource_codec(tenant, protector)
        self._records = RevisedRecords(binding, tenant)

    async def find_identity_resources_by_scope_name(self, names: Iterable[str]) -> list[IdentityResource]:
        """See `ResourceStore.find_identity_resources_by_scope_name`."""
        return await IDENTITY_RESOURCES.models(await self._scopes(wanted_names(names), IDENTITY_RESOURCE))

    async def find_api_scopes_by_name(self, names: Iterable[str]) -> list[ApiScope]:
        """See `ResourceStore.find_api_scopes_by_name`."""
        return await API_SCOPES.models(await self._scopes(wanted_names(names), API_SCOPE))

    async def find_api_resources_by_scope_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_scope_name`."""
        return await self._api_resources.models(await self._api_resources_of(wanted_names(names)))

    async def find_api_resources_by_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_name`."""
        wanted = wanted_names(names)
        query = {"_id": {"$in": self._ids(wanted)}}
        return await self._api_resources.models(await self._find(ApiResourceFields, query) if wanted else [])

    async def get_all_resources(self) -> Resources:
        """See `ResourceStore.get_all_resources`."""
        everything = {"_id": tenant_ids(self._tenant)}
        scopes, api_resources = await asyncio.gather(
            self._find(ScopeFields, everything), self._find(ApiResourceFields, everything)
        )
        return await self._resources(scopes, api_resources, offline_access=False)

    async def find_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_resources_by_scope`."""
        wanted = wanted_names(names)
        scopes, api_resources = await asyncio.gather(self._scopes(wanted), self._api_resources_of(wanted))
        return await self._resources(scopes, api_resources, offline_access=OFFLINE_ACCESS in wanted)

    async def find_enabled_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_enabled_resources_by_scope`."""
        return enabled_only(await self.find_resources_by_scope(names))

    async def save_identity_resource(self, resource: IdentityResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_identity_resource`."""
        resource = check_resource(resource, IdentityResource, "the identity resource", expected_revision)
        fields = IDENTITY_RESOURCES.fields(self._tenant, resource)
        return await self._save_scope(
            fields, IDENTITY_RESOURCE, IDENTITY_RESOURCES.what(resource.name), expected_revision
        )

    async def save_api_scope(self, scope: ApiScope, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_scope`."""
        scope = check_resource(scope, ApiScope, "the API scope", expected_revision)
        fields = API_SCOPES.fields(self._tenant, scope)
        return await self._save_scope(fields, API_SCOPE, API_SCOPES.what(scope.name), expected_revision)

    async def save_api_resource(self, resource: ApiResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_resource`."""
        resource = check_resource(resource, ApiResource, "the API resource", expected_revision)
        fields = await self._api_resources.fields(resource)
        what = API_RESOURCES.what(resource.name)
        return await self._records.save(ApiResourceFields, fields, what, expected_revision)

    async def read_identity_resource(self, name: str) -> Revised[IdentityResource] | None:
        """See `ResourceStore.read_identity_resource`."""
        return await self._read_scope(name, IDENTITY_RESOURCE, IDENTITY_RESOURCES)

    async def read_api_scope(self, name: str) -> Revised[ApiScope] | None:
        """See `ResourceStore.read_api_scope`."""
        return await self._read_scope(name, API_SCOPE, API_SCOPES)

    async def read_api_resource(self, name: str) -> Revised[ApiResource] | None:
        """See `ResourceStore.read_api_resource`."""
        found = await self._records.read(ApiResourceFields, name, "read an API resource")
        return None if found is None else Revised(await self._api_resources.model(found), API_RESOURCES.revision(found))

    async def delete_identity_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_identity_resource`."""
        what = IDENTITY_RESOURCES.what(name)
        return await self._records.delete(ScopeFields, name, what, expected_revision, same={"kind": IDENTITY_RESOURCE})

    async def delete_api_scope(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_scope`."""
        what = API_SCOPES.what(name)
        return await self._records.delete(ScopeFields, name, what, expected_revision, same={"kind": API_SCOPE})

    async def delete_api_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_resource`."""
        return await self._records.delete(ApiResourceFields, name, API_RESOURCES.what(name), expected_revision)

    async def _scopes(self, names: list[str], kind: ScopeKind | None = None) -> Sequence[StoredDocument]:
        query: dict[str, Any] = {"_id": {"$in": self._ids(names)}}
        if kind is not None:
            query["kind"] = kind
        return await self._find(ScopeFields, query) if names else []

    async def _api_resources_of(self, scopes: list[str]) -> Sequence[StoredDocument]:
        query = {"tenant": self._tenant, "scopes": {"$in": scopes}}
        return await self._find(ApiResourceFields, query) if scopes else []

    async def _find(self, fields_class: type[RevisedFields], query: Mapping[str, Any]) -> Sequence[StoredDocument]:
        with self._binding.call("find resources") as own:
            return await self._binding.preferred(fields_class).find(query, session=own).to_list()

    async def _save_scope(
        self, fields: dict[str, Any], kind: ScopeKind, what: str, expected_revision: int | None
    ) -> int:
        of_this_kind = {"kind": kind}
        return await self._records.save(ScopeFields, fields | of_this_kind, what, expected_revision, same=of_this_kind)

    async def _read_scope(
        self, name: str, kind: ScopeKind, codec: ConfigurationCodec[ResourceT]
    ) -> Revised[ResourceT] | None:
        found = await self._records.read(ScopeFields, name, "read a scope")
        if found is None or found.get("kind") != kind:
            return None
        return Revised(codec.model(found), codec.revision(found))

    async def _resources(
        self, scopes: Sequence[StoredDocument], api_resources: Sequence[StoredDocument], *, offline_access: bool
    ) -> Resources:
        identity_resources = [each for each in scopes if each.get("kind") == IDENTITY_RESOURCE]
        api_scopes = [each for each in scopes if each.get("kind") == API_SCOPE]
        return Resources(
            identity_resources=await IDENTITY_RESOURCES.models(identity_resources),
            api_resources=await self._api_resources.models(api_resources),
            api_scopes=await API_SCOPES.models(api_scopes),
            offline_access=offline_access,
        )

    def _ids(self, names: list[str]) -> list[str]:
        return [record_id(self._tenant, name) for name in names]

"""`ResourceStore` without a database."""

from collections.abc import Iterable

from mongostore.memory.revisions import MemoryRevisions, RevisedRecords
from mongostore.models import ApiResource, ApiScope, IdentityResource, Resources
from mongostore.stores.configuration import OFFLINE_ACCESS, name_in_use, named, wanted_names
from mongostore.stores.resources import ResourceT, check_resource, enabled_only
from mongostore.stores.revised import Revised


class MemoryResourceStore:
    """A `ResourceStore` that forgets everything with the process."""

    def __init__(self, revisions: MemoryRevisions) -> None:
        self._identity_resources: RevisedRecords[IdentityResource] = RevisedRecords(revisions)
        self._api_scopes: RevisedRecords[ApiScope] = RevisedRecords(revisions)
        self._api_resources: RevisedRecords[ApiResource] = RevisedRecords(revisions)

    async def find_identity_resources_by_scope_name(self, names: Iterable[str]) -> list[IdentityResource]:
        """See `ResourceStore.find_identity_resources_by_scope_name`."""
        return _named(self._identity_resources, wanted_names(names))

    async def find_api_scopes_by_name(self, names: Iterable[str]) -> list[ApiScope]:
        """See `ResourceStore.find_api_scopes_by_name`."""
        return _named(self._api_scopes, wanted_names(names))

    async def find_api_resources_by_scope_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_scope_name`."""
        wanted = wanted_names(names)
        return [each for each in self._api_resources.all() if not each.scopes.isdisjoint(wanted)]

    async def find_api_resources_by_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_name`."""
        return _named(self._api_resources, wanted_names(names))

    async def get_all_resources(self) -> Resources:
        """See `ResourceStore.get_all_resources`."""
        return Resources(
            identity_resources=self._identity_resources.all(),
            api_resources=self._api_resources.all(),
            api_scopes=self._api_scopes.all(),
        )

    async def find_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_resources_by_scope`."""
        wanted = wanted_names(names)
        return Resources(
            identity_resources=_named(self._identity_resources, wanted),
            api_resources=await self.find_api_resources_by_scope_name(wanted),
            api_scopes=_named(self._api_scopes, wanted),
            offline_access=OFFLINE_ACCESS in wanted,
        )

    async def find_enabled_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_enabled_resources_by_scope`."""
        return enabled_only(await self.find_resources_by_scope(names))

    async def save_identity_resource(self, resource: IdentityResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_identity_resource`."""
        resource = check_resource(resource, IdentityResource, "the identity resource", expected_revision)
        what = named("identity resource", resource.name)
        if resource.name in self._api_scopes:
            raise name_in_use(what)
        return self._identity_resources.save(resource.name, resource, what, expected_revision)

    async def save_api_scope(self, scope: ApiScope, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_scope`."""
        scope = check_resource(scope, ApiScope, "the API scope", expected_revision)
        what = named("API scope", scope.name)
        if scope.name in self._identity_resources:
            raise name_in_use(what)
        return self._api_scopes.save(scope.name, scope, what, expected_revision)

    async def save_api_resource(self, resource: ApiResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_resource`."""
        resource = check_resource(resource, ApiResource, "the API resource", expected_revision)
        what = named("API resource", resource.name)
        return self._api_resources.save(resource.name, resource, what, expected_revision)

    async def read_identity_resource(self, name: str) -> Revised[IdentityResource] | None:
        """See `ResourceStore.read_identity_resource`."""
        return self._identity_resources.read(name)

    async def read_api_scope(self, name: str) -> Revised[ApiScope] | None:
        """See `ResourceStore.read_api_scope`."""
        return self._api_scopes.read(name)

    async def read_api_resource(self, name: str) -> Revised[ApiResource] | None:
        """See `ResourceStore.read_api_resource`."""
        return self._api_resources.read(name)

    async def delete_identity_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_identity_resource`."""
        return self._identity_resources.delete(name, named("identity resource", name), expected_revision)

    async def delete_api_scope(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_scope`."""
        return self._api_scopes.delete(name, named("API scope", name), expected_revision)

    async def delete_api_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_resource`."""
        return self._api_resources.delete(name, named("API resource", name), expected_revision)


def _named(records: RevisedRecords[ResourceT], names: list[str]) -> list[ResourceT]:
    return [found for name in names if (found := records.get(name)) is not None]

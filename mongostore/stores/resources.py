"""Where resources are kept: identity resources, API scopes, API resources."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from mongostore.models import ApiResource, ApiScope, IdentityResource, Resources
from mongostore.models.configuration_validation import resource_problems
from mongostore.models.resources import Resource
from mongostore.stores.configuration import check_expected_revision, check_model
from mongostore.stores.revised import Revised

ResourceT = TypeVar("ResourceT", bound=Resource)


class ResourceStore(Protocol):
    """Resources by their names, compared byte for byte.

    Identity resources and API scopes share one name space, since a request names both alike; API resources have one of
    their own. Names are given as any number of texts, in any order; duplicates and impossible names (empty, NUL,
    over-long) do not matter, and unknown ones find nothing. Results come in no particular order, each resource once.
    Unreadable ones are logged and left out; `PayloadUnreadable` is raised when not one of those found can be read.
    Revisions are as in `ClientStore`.
    """

    async def find_identity_resources_by_scope_name(self, names: Iterable[str]) -> list[IdentityResource]:
        """Read the identity resources of these names, disabled ones included.

        Raises:
            TypeError: `names` is one text, or nothing that can be iterated over.
        """

    async def find_api_scopes_by_name(self, names: Iterable[str]) -> list[ApiScope]:
        """Read the API scopes of these names, disabled ones included."""

    async def find_api_resources_by_scope_name(self, names: Iterable[str]) -> list[ApiResource]:
        """Read the API resources that serve at least one of these scopes, disabled ones included."""

    async def find_api_resources_by_name(self, names: Iterable[str]) -> list[ApiResource]:
        """Read the API resources of these names, disabled ones included."""

    async def get_all_resources(self) -> Resources:
        """Read everything, disabled and hidden resources included; `offline_access` is False."""

    async def find_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """Read what a request for these scopes is about, disabled resources included.

        `offline_access` among the names sets the flag.
        """

    async def find_enabled_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """Read what a request for these scopes is about, without disabled resources of any kind."""

    async def save_identity_resource(self, resource: IdentityResource, *, expected_revision: int | None = None) -> int:
        """Insert or replace an identity resource; see `ClientStore.save_client`.

        Raises:
            AlreadyExists: also when an API scope has the name.
        """

    async def save_api_scope(self, scope: ApiScope, *, expected_revision: int | None = None) -> int:
        """Insert or replace an API scope; see `ClientStore.save_client`.

        Raises:
            AlreadyExists: also when an identity resource has the name.
        """

    async def save_api_resource(self, resource: ApiResource, *, expected_revision: int | None = None) -> int:
        """Insert or replace an API resource; see `ClientStore.save_client`. Its scopes need not be stored."""

    async def read_identity_resource(self, name: str) -> Revised[IdentityResource] | None:
        """Read an identity resource and its revision together, to change it; see `ClientStore.read_client`."""

    async def read_api_scope(self, name: str) -> Revised[ApiScope] | None:
        """Read an API scope and its revision together, to change it; see `ClientStore.read_client`."""

    async def read_api_resource(self, name: str) -> Revised[ApiResource] | None:
        """Read an API resource and its revision together, to change it; see `ClientStore.read_client`."""

    async def delete_identity_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """Delete an identity resource; see `ClientStore.delete_client`."""

    async def delete_api_scope(self, name: str, *, expected_revision: int | None = None) -> bool:
        """Delete an API scope; see `ClientStore.delete_client`. API resources keep naming it."""

    async def delete_api_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """Delete an API resource; see `ClientStore.delete_client`. Its scopes stay."""


def check_resource(
    resource: ResourceT, expected: type[ResourceT], what: str, expected_revision: int | None
) -> ResourceT:
    """Give a resource as the `save_*` methods are to save it; see there."""
    check_expected_revision(expected_revision)
    return check_model(resource, expected, what, resource_problems)


def enabled_only(resources: Resources) -> Resources:
    """Give the resources without the disabled ones."""
    return Resources(
        identity_resources=[each for each in resources.identity_resources if each.enabled],
        api_resources=[each for each in resources.api_resources if each.enabled],
        api_scopes=[each for each in resources.api_scopes if each.enabled],
        offline_access=resources.offline_access,
    )

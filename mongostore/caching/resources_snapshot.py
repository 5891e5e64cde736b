"""All resources of a tenant as read at one moment, ready to be searched."""

from collections.abc import Sequence

from mongostore.caching.copies import own_copy
from mongostore.models import ApiResource, ApiScope, IdentityResource, Resources
from mongostore.stores.configuration import OFFLINE_ACCESS


class ResourcesSnapshot:
    """Answers every question about resources from one read of them, so that the answers fit together."""

    def __init__(self, resources: Resources) -> None:
        """Args: everything that the tenant has."""
        self._identity_resources = {each.name: each for each in resources.identity_resources}
        self._api_scopes = {each.name: each for each in resources.api_scopes}
        self._api_resources = {each.name: each for each in resources.api_resources}

    def everything(self) -> Resources:
        """All that the tenant has."""
        return Resources(
            identity_resources=self.identity_resources(list(self._identity_resources)),
            api_resources=self.api_resources(list(self._api_resources)),
            api_scopes=self.api_scopes(list(self._api_scopes)),
        )

    def identity_resources(self, names: Sequence[str]) -> list[IdentityResource]:
        """The identity resources of these names."""
        return [own_copy(self._identity_resources[name]) for name in names if name in self._identity_resources]

    def api_scopes(self, names: Sequence[str]) -> list[ApiScope]:
        """The API scopes of these names."""
        return [own_copy(self._api_scopes[name]) for name in names if name in self._api_scopes]

    def api_resources(self, names: Sequence[str]) -> list[ApiResource]:
        """The API resources of these names."""
        return [own_copy(self._api_resources[name]) for name in names if name in self._api_resources]

    def api_resources_by_scope(self, names: Sequence[str]) -> list[ApiResource]:
        """The API resources that serve at least one of these scopes."""
        return [own_copy(each) for each in self._api_resources.values() if not each.scopes.isdisjoint(names)]

    def by_scope(self, names: Sequence[str]) -> Resources:
        """What a request for these scopes is about."""
        return Resources(
            identity_resources=self.identity_resources(names),
            api_resources=self.api_resources_by_scope(names),
            api_scopes=self.api_scopes(names),
            offline_access=OFFLINE_ACCESS in names,
        )

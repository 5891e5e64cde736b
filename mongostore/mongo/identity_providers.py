"""`IdentityProviderStore` on MongoDB: what may hold secrets is sealed."""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from mongostore.models import IdentityProvider, IdentityProviderName
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
from mongostore.mongo.documents.configuration import readable, stored_revision, tenant_ids
from mongostore.mongo.documents.identity_providers import (
    IdentityProviderCodec,
    IdentityProviderFields,
    what,
)
from mongostore.mongo.revisions import RevisedRecords
from mongostore.protection.protector import Protector
from mongostore.stores.identity_providers import check_identity_provider
from mongostore.stores.revised import Revised
from mongostore.tenancy import Tenant


class MongoIdentityProviderStore:
    """Identity providers of one tenant in MongoDB."""

    def __init__(self, binding: Binding, tenant: Tenant, protector: Protector) -> None:
        self._binding = binding
        self._tenant = tenant
        self._codec = IdentityProviderCodec(tenant, protector)
        self._records = RevisedRecords(binding, tenant)

    async def get_all_scheme_names(self) -> list[IdentityProviderName]:
        """See `IdentityProviderStore.get_all_scheme_names`."""
        return [
            IdentityProviderName(scheme=each.scheme, display_name=each.display_name, enabled=each.enabled)
            for each in await self.get_all_providers()
        ]

    async def get_all_providers(self) -> list[IdentityProvider]:
        """Read every provider whole: what stands beside the sealed properties is believed only together with them."""
        query = {"_id": tenant_ids(self._tenant)}
        with self._binding.call("list identity providers") as own:
            found = await self._providers.find(query, sort=[("_id", 1)], session=own).to_list()
        return await readable(found, self._codec.provider)

    async def get_by_scheme(self, scheme: str) -> IdentityProvider | None:
        """See `IdentityProviderStore.get_by_scheme`."""
        if not is_identifier(scheme):
            return None
        with self._binding.call("find an identity provider") as own:
            found = await self._providers.find_one({"_id": record_id(self._tenant, scheme)}, session=own)
        return None if found is None else await self._codec.provider(found)

    async def save_identity_provider(self, provider: IdentityProvider, *, expected_revision: int | None = None) -> int:
        """See `IdentityProviderStore.save_identity_provider`."""
        provider = check_identity_provider(provider, expected_revision)
        fields = await self._codec.fields(provider)
        return await self._records.save(IdentityProviderFields, fields, what(provider.scheme), expected_revision)

    async def read_identity_provider(self, scheme: str) -> Revised[IdentityProvider] | None:
        """See `IdentityProviderStore.read_identity_provider`."""
        found = await self._records.read(IdentityProviderFields, scheme, "read an identity provider")
        if found is None:
            return None
        revision = stored_revision(found, IdentityProviderFields.label, what(scheme))
        return Revised(await self._codec.provider(found), revision)

    async def delete_identity_provider(self, scheme: str, *, expected_revision: int | None = None) -> bool:
        """See `IdentityProviderStore.delete_identity_provider`."""
        return await self._records.delete(IdentityProviderFields, scheme, what(scheme), expected_revision)

    @property
    def _providers(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.preferred(IdentityProviderFields)

"""The database that a tenant has to itself: marked as the tenant's when it is made, and dropped only if it is.

What the mark must tell apart: databases that somebody else made under a name of the pattern, and those of another deployment
on the same server, whose main database or collection prefix is another one.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pymongo.errors import DuplicateKeyError, OperationFailure

from mongostore.clock import Clock
from mongostore.errors import ConfigurationError, StorageUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.documents.tenants import TenantDatabaseFields, TenantFields
from mongostore.mongo.driver_errors import UNAUTHORIZED
from mongostore.tenancy import Tenant

# These lie in a deployment's main and key-ring databases: where one of them is, the database is no tenant's.
_OF_A_DEPLOYMENT = frozenset({DataKeyFields, LeaseFields, TenantFields})
_MOST_NAMES_TOLD = 5


class TenantDatabase:
    """The database of one tenant."""

    def __init__(self, binding: Binding, tenant: Tenant, *, main: str, clock: Clock) -> None:
        """Args: the database; whose it is; the main database of the deployment; the time. Does no I/O."""
        self._binding = binding
        self._tenant = tenant
        self._name = binding.database_name
        self._mark = {"_id": tenant, "tenant": tenant, "main": main, "prefix": binding.prefix}
        self._clock = clock
        self._ours = {binding.prefix + fields.label for fields in DOCUMENTS if fields not in _OF_A_DEPLOYMENT}

    async def claim(self, *, is_new: bool) -> None:
        """Mark the database as the tenant's; it may be repeated.

        A new tenant's database must not hold anything yet. That of a registered tenant may be of an earlier version, which
        made no marks: it is marked when all collections in it are the library's, and left as it is otherwise.

        Raises:
            ConfigurationError: it is marked as another deployment's; or a new tenant's holds something.
        """
        if await self._is_marked():
            return
        names = await self._collections()
        foreign = sorted(names - self._ours)
        if is_new:
            if foreign or await self._has_records(names):
                raise ConfigurationError(
                    f"the tenant {self._tenant!r} was not created: its database {self._name!r} exists, and was not made "
                    f"for it ({_listed(foreign) or 'it holds records'}). Use another slug or pattern, or drop the database "
                    "if nobody needs what is in it"
                )
        elif foreign:
            return
        # A duplicate: another node marks it at the same time, or another deployment.
        with self._binding.call(f"mark the database {self._name}") as own, suppress(DuplicateKeyError):
            await self._marks.insert_one({**self._mark, "created": self._clock.now()}, session=own)
        await self._is_marked()

    async def require_droppable(self) -> None:
        """Return when the database is the tenant's alone, or is not there.

        Raises:
            ConfigurationError: it has no mark, or that of another deployment; or it holds other collections.
        """
        names = await self._collections()
        if not names:
            return
        foreign = sorted(names - self._ours)
        if foreign:
            raise ConfigurationError(
                f"the tenant {self._tenant!r} was not deleted: its database {self._name!r} holds what is not the library's "
                f"({_listed(foreign)}), and would be dropped. Move that, then delete the tenant again"
            )
        if not await self._is_marked():
            raise ConfigurationError(
                f"the tenant {self._tenant!r} was not deleted: its database {self._name!r} is not marked as the tenant's, "
                "because an earlier version made it, or somebody else. If all that is in it is the tenant's, call "
                f"store.tenants.create({self._tenant!r}), which marks it, then delete the tenant again; or drop it yourself"
            )

    async def drop(self) -> None:
        """Drop the database, if it is there. It may be repeated.

        Raises:
            ConfigurationError: as `require_droppable`.
            StorageUnavailable: MongoDB did not answer, or does not allow it.
        """
        await self.require_droppable()
        with self._binding.call(f"drop the database {self._name}") as own:
            try:
                await self._binding.connection.client.drop_database(self._name, session=own)
            except OperationFailure as error:
                if error.code != UNAUTHORIZED:
                    raise
                raise StorageUnavailable(
                    f"could not drop the database {self._name} of the tenant {self._tenant!r}: MongoDB does not allow it to "
                    f"this user. Give the user the action dropDatabase on {self._name}, which is in the role dbAdmin, then "
                    "delete the tenant again"
                ) from error

    async def _is_marked(self) -> bool:
        with self._binding.call(f"read the mark of the database {self._name}") as own:
            found: Mapping[str, Any] | None = await self._marks.find_one({}, session=own)
        if found is None:
            return False
        if any(found.get(name) != value for name, value in self._mark.items()):
            raise ConfigurationError(
                f"the database {self._name!r} of the tenant {self._tenant!r} is marked as that of the tenant "
                f"{found.get('tenant')!r} of the deployment with the main database {found.get('main')!r} and the collection "
                f"prefix {found.get('prefix')!r}: use another pattern"
            )
        return True

    async def _has_records(self, names: set[str]) -> bool:
        for name in names:
            with self._binding.call(f"look into the database {self._name}") as own:
                if await self._binding.database[name].find_one({}, {"_id": 1}, session=own) is not None:
                    return True
        return False

    async def _collections(self) -> set[str]:
        with self._binding.call(f"list the collections of {self._name}") as own:
            names = await self._binding.database.list_collection_names(session=own)
        return {name for name in names if not name.startswith("system.")}

    @property
    def _marks(self) -> Any:
        return self._binding.collection(TenantDatabaseFields)


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > _MOST_NAMES_TOLD else ""
    return ("collections: " + ", ".join(names[:_MOST_NAMES_TOLD]) + more) if names else ""

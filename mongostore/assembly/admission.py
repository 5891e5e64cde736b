"""Who may bring a tenant into being: asked before a tenant's first write, by whatever store it comes."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, cast

from mongostore.clock import Clock
from mongostore.errors import NotFound
from mongostore.stores.data_keys import DataKeyRecord, DataKeyStore
from mongostore.stores.tenants import TenantRegistry
from mongostore.tenancy import DEFAULT_TENANT, Placement, Tenant

Admit = Callable[[], Awaitable[None]]

# Every method whose name begins so may write something that was not there. The rest reads, changes or removes: that
# brings no tenant into being.
_BRINGS_INTO_BEING = ("store", "save", "create", "insert", "write", "add", "rotate")

# How long a node goes on without asking again after a tenant was deleted on another one.
_ADMITTED_FOR = timedelta(minutes=1)
_MAX_REMEMBERED = 10_000


class Admission:
    """Lets a tenant's writes pass once it is registered, and registers it where everybody may."""

    def __init__(
        self,
        registry: TenantRegistry,
        placement: Placement,
        bring_into_being: Callable[[Tenant], Awaitable[object]],
        clock: Clock,
    ) -> None:
        """Args: the list of tenants; who may get onto it; what to do for a new one; the time."""
        self._registry = registry
        self._placement = placement
        self._bring_into_being = bring_into_being
        self._clock = clock
        self._admitted: dict[Tenant, datetime] = {}

    async def admit(self, tenant: Tenant) -> None:
        """Return when the tenant may write.

        Raises:
            NotFound: only registered tenants may, and it is not.
        """
        if self._is_remembered(tenant):
            return
        if not await self._registry.is_registered(tenant):
            if self._placement.tenants == "registered":
                raise _unknown(tenant)
            await self._bring_into_being(tenant)
        self._remember(tenant)

    async def require(self, tenant: Tenant) -> None:
        """Return when the tenant is there.

        Raises:
            NotFound: it is not; and nobody is brought into being by asking.
        """
        if self._is_remembered(tenant):
            return
        if not await self._registry.is_registered(tenant):
            raise _unknown(tenant)
        self._remember(tenant)

    def forget(self, tenant: Tenant) -> None:
        """Ask again at the next write."""
        self._admitted.pop(tenant, None)

    def _is_remembered(self, tenant: Tenant) -> bool:
        until = self._admitted.get(tenant)
        return tenant == DEFAULT_TENANT or (until is not None and self._clock.now() < until)

    def _remember(self, tenant: Tenant) -> None:
        if len(self._admitted) >= _MAX_REMEMBERED:
            self._admitted.clear()
        self._admitted[tenant] = self._clock.now() + _ADMITTED_FOR


def _unknown(tenant: Tenant) -> NotFound:
    return NotFound(f"there is no tenant {tenant!r}: create it with store.tenants.create({tenant!r}) first")


def admitted(store: Any, admit: Admit) -> Any:
    """The store, its writes that could be a tenant's first waiting for `admit`."""
    return _Admitted(store, admit)


class _Admitted:
    def __init__(self, store: Any, admit: Admit) -> None:
        self._store = store
        self._admit = admit

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not name.startswith(_BRINGS_INTO_BEING):
            return method

        @wraps(method)
        async def after_admission(*arguments: Any, **named: Any) -> Any:
            await self._admit()
            return await method(*arguments, **named)

        return after_admission


def keys_of_admitted(store: DataKeyStore, admission: Admission) -> DataKeyStore:
    """Data keys, of which none is made for a tenant that is not there.

    A change to what is not there seals before it finds that out: it must not leave the first key of a stranger.
    """
    return cast("DataKeyStore", _KeysOfAdmitted(store, admission))


class _KeysOfAdmitted:
    def __init__(self, store: DataKeyStore, admission: Admission) -> None:
        self._store = store
        self._admission = admission

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def insert(self, record: DataKeyRecord) -> bool:
        """See `DataKeyStore.insert`. Raises `NotFound` when there is no such tenant."""
        await self._admission.require(Tenant(record.tenant))
        return await self._store.insert(record)

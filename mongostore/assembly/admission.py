"""Who may bring a tenant into being: asked before a tenant's first write, by whatever store it comes."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from mongostore.clock import Clock
from mongostore.errors import NotFound
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
        until = self._admitted.get(tenant)
        now = self._clock.now()
        if tenant == DEFAULT_TENANT or (until is not None and now < until):
            return
        if not await self._registry.is_registered(tenant):
            if self._placement.tenants == "registered":
                raise NotFound(f"there is no tenant {tenant!r}: create it with store.tenants.create({tenant!r}) first")
            await self._bring_into_being(tenant)
        if len(self._admitted) >= _MAX_REMEMBERED:
            self._admitted.clear()
        self._admitted[tenant] = now + _ADMITTED_FOR

    def forget(self, tenant: Tenant) -> None:
        """Ask again at the next write."""
        self._admitted.pop(tenant, None)


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

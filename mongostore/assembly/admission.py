"""Decides whether a tenant may be written for: asked before every write that could leave a record.

A tenant's deletion is a bound, not a hope. Its first step marks the tenant as leaving, and whatever a node knew before that
ends at a known moment:

- A node asks the list of tenants at most `_REMEMBERED_FOR` before it begins a write. That is measured from when it asked,
  by the machine's monotonic clock: the store's clock may stand still, or jump.
- All commands of that write end within the operation time limit behind it. The driver sends the time that is left along with
  each command (`maxTimeMS`), so the server gives up by then as well.
- `_SLACK` covers the way of a command to the server, and clocks that don't run at quite the same speed.

So `settling_time` after the mark, no node writes for the tenant. What is removed then stays removed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from mongostore.errors import AlreadyExists, NotFound, StorageUnavailable
from mongostore.stores.data_keys import DataKeyRecord, DataKeyStore
from mongostore.stores.leases import JobLease
from mongostore.stores.tenants import TenantRegistry
from mongostore.tenancy import DEFAULT_TENANT, Placement, Tenant

T = TypeVar("T")

Within = Callable[[float], AbstractContextManager[object]]
"""Limits the database's commands in a block to so many seconds, all of them together."""

_REMEMBERED_FOR = timedelta(seconds=1)
_SLACK = timedelta(seconds=1)
# A look-up that memory can answer waits no longer to hear whether it may.
_LONGEST_WAIT_OF_A_LOOK_UP = timedelta(seconds=1)
_MAX_REMEMBERED = 10_000
_SHORTEST_LIMIT_SECONDS = 0.001

# Methods of the stores whose names begin so may write something that was not there. The others read, change or remove: that
# brings no tenant into being.
_BRINGS_INTO_BEING = ("store", "save", "create", "insert", "write", "add")
# Also this, of a key ring; `rotate_if_due` makes no first key.
_ROTATES = "rotate"


class _IdleLease(JobLease):
    """The lease of a job for which there is nothing to do: it keeps nobody out."""

    async def renew(self) -> bool:
        return True

    async def release(self) -> None:
        pass


# These may leave a record of their own (a closed family, a lease). What they give for a tenant that is not there, where they
# are of no use.
_ONLY_IF_THERE: dict[str, object] = {"remove_family": 0, "acquire": _IdleLease()}


@dataclass(frozen=True, slots=True)
class _Sighting:
    """What a node knows of a tenant.

    Attributes:
        asked_at: when the node asked, by the monotonic clock.
        incarnation: of the tenant; None when nothing may be written for it.
        is_leaving: whether that is because its deletion has begun.
    """

    asked_at: float
    incarnation: str | None
    is_leaving: bool


class Admission:
    """Admits the writes of registered tenants, and registers new ones where anybody may be one."""

    def __init__(
        self,
        registry: TenantRegistry,
        placement: Placement,
        bring_into_being: Callable[[Tenant], Awaitable[object]],
        *,
        operation_timeout: timedelta | None = None,
        within: Within = lambda _: nullcontext(),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Make an admission that knows of no tenant yet.

        Args:
            registry: the list of tenants.
            placement: whether only registered tenants are admitted.
            bring_into_being: registers a tenant.
            operation_timeout: how long the commands of a write take at most; None where a write takes no time, in memory.
            within: imposes that limit.
            on_change: forgets what is cached: a slug may have another owner.
        """
        self._registry = registry
        self._placement = placement
        self._bring_into_being = bring_into_being
        self._operation_seconds = operation_timeout.total_seconds() if operation_timeout else 0.0
        self._remembered_seconds = _REMEMBERED_FOR.total_seconds() if operation_timeout else 0.0
        self._within = within
        self._on_change = on_change
        self._sightings: dict[Tenant, _Sighting] = {}
        self._unanswered: dict[Tenant, float] = {}
        self._questions: dict[Tenant, asyncio.Task[_Sighting]] = {}
        self._arrivals: WeakValueDictionary[Tenant, asyncio.Lock] = WeakValueDictionary()

    @property
    def settling_time(self) -> float:
        """For how many seconds after a tenant was marked as leaving a node may still write for it."""
        if not self._operation_seconds:
            return 0.0
        return self._remembered_seconds + self._operation_seconds + _SLACK.total_seconds()

    async def admit(self, tenant: Tenant, *, bring_into_being: bool = True) -> AbstractContextManager[object]:
        """Wait until it is known that the tenant may be written for. The write must be done within the context given.

        Args:
            tenant: the slug.
            bring_into_being: register the tenant if it is new and the placement lets it.

        Raises:
            NotFound: it is not registered, or its deletion has begun.
        """
        if tenant == DEFAULT_TENANT:
            return nullcontext()
        sighting = self._fresh(tenant)
        if sighting is None or sighting.incarnation is None:
            sighting = await self._look(tenant)
            is_new = sighting.incarnation is None and not sighting.is_leaving
            if is_new and bring_into_being and self._placement.tenants == "open":
                await self._let_arrive(tenant)
                sighting = await self._look(tenant)
        if sighting.incarnation is None:
            raise _refusal(tenant, is_leaving=sighting.is_leaving)
        until = sighting.asked_at + self._remembered_seconds + self._operation_seconds
        # Not nothing, which would be no limit: this node may have been held up since.
        return self._within(max(until - time.monotonic(), _SHORTEST_LIMIT_SECONDS))

    async def incarnation(self, tenant: Tenant) -> str | None:
        """The present incarnation of a tenant, None when it is leaving or not there; for look-ups that memory answers.

        While the database does not answer, the last known one: what is in memory goes on serving.
        """
        sighting = self._fresh(tenant)
        if sighting is None and time.monotonic() >= self._unanswered.get(tenant, 0.0):
            try:
                async with asyncio.timeout(_LONGEST_WAIT_OF_A_LOOK_UP.total_seconds()):
                    sighting = await self._look(tenant)
            except (StorageUnavailable, TimeoutError):
                self._unanswered[tenant] = time.monotonic() + self._remembered_seconds
        sighting = sighting or self._sightings.get(tenant)
        return sighting.incarnation if sighting else None

    def forget(self, tenant: Tenant) -> None:
        """Ask again at the next write."""
        self._sightings.pop(tenant, None)
        self._on_change()

    def _fresh(self, tenant: Tenant) -> _Sighting | None:
        sighting = self._sightings.get(tenant)
        is_fresh = sighting is not None and time.monotonic() < sighting.asked_at + self._remembered_seconds
        return sighting if is_fresh else None

    async def _look(self, tenant: Tenant) -> _Sighting:
        """Ask the list; any number of callers at once share a question."""
        if not self._remembered_seconds:
            return await self._ask(tenant)
        question = self._questions.get(tenant)
        if question is None:
            # It is not the first caller's alone: neither its time limit nor its cancellation may end it.
            question = asyncio.create_task(self._ask(tenant), context=Context())
            self._questions[tenant] = question
            question.add_done_callback(lambda done: self._answered(tenant, done))
        return await asyncio.shield(question)

    def _answered(self, tenant: Tenant, question: "asyncio.Task[_Sighting]") -> None:
        del self._questions[tenant]
        # When every caller is cancelled, nobody is left to be told of an error.
        if not question.cancelled():
            question.exception()

    async def _ask(self, tenant: Tenant) -> _Sighting:
        asked_at = time.monotonic()
        entry = await self._registry.find(tenant)
        is_leaving = entry is not None and entry.is_leaving
        sighting = _Sighting(asked_at, None if entry is None or is_leaving else entry.incarnation, is_leaving)
        before = self._sightings.get(tenant)
        if before is not None and before.incarnation != sighting.incarnation:
            self._on_change()
        if len(self._sightings) >= _MAX_REMEMBERED:
            # What is forgotten here can't be told from the next incarnation.
            self._sightings.clear()
            self._unanswered.clear()
            self._on_change()
        self._sightings[tenant] = sighting
        return sighting

    async def _let_arrive(self, tenant: Tenant) -> None:
        """Register a tenant; of any number of first writes on this node, one does it."""
        lock = self._arrivals.get(tenant) or self._arrivals.setdefault(tenant, asyncio.Lock())
        async with lock:
            if (await self._look(tenant)).incarnation is not None:
                return
            try:
                await self._bring_into_being(tenant)
            except AlreadyExists as error:
                # To whoever stores something, this would say that theirs exists.
                raise _refusal(tenant, is_leaving=True) from error


def _refusal(tenant: Tenant, *, is_leaving: bool) -> NotFound:
    if is_leaving:
        return NotFound(
            f"the tenant {tenant!r} is being deleted, and nothing is stored for it: when store.tenants.delete({tenant!r}) "
            "has returned, create it again; if that was cut off, repeat it"
        )
    return NotFound(f"there is no tenant {tenant!r}: create it with store.tenants.create({tenant!r}) first")


class Gate:
    """The admission of one tenant."""

    def __init__(self, admission: Admission, tenant: Tenant, *, brings_into_being: bool = True) -> None:
        """Args: who decides; for which tenant; whether a first write may register it."""
        self._admission = admission
        self._tenant = tenant
        self._brings_into_being = brings_into_being

    async def enter(self) -> AbstractContextManager[object]:
        """See `Admission.admit`."""
        return await self._admission.admit(self._tenant, bring_into_being=self._brings_into_being)

    async def enter_if_there(self) -> AbstractContextManager[object] | None:
        """The same, but None when the tenant is not there, and it isn't registered."""
        try:
            return await self._admission.admit(self._tenant, bring_into_being=False)
        except NotFound:
            return None

    def admitted(self, store: T) -> T:
        """The store, its writes that could leave a record waiting for admission."""
        return cast("T", _Admitted(store, self))

    def of_incarnation(self, make: Callable[[], T]) -> T:
        """What `make` gives, made anew when the tenant was deleted: what it keeps in memory is not the next owner's."""
        return cast("T", _OfIncarnation(make, lambda: self._admission.incarnation(self._tenant)))


class _Admitted:
    def __init__(self, store: Any, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in _ONLY_IF_THERE:

            @wraps(method)
            async def if_there(*arguments: Any, **named: Any) -> Any:
                limit = await self._gate.enter_if_there()
                if limit is None:
                    return _ONLY_IF_THERE[name]
                with limit:
                    return await method(*arguments, **named)

            return if_there
        if name != _ROTATES and not name.startswith(_BRINGS_INTO_BEING):
            return method

        @wraps(method)
        async def after_admission(*arguments: Any, **named: Any) -> Any:
            with await self._gate.enter():
                return await method(*arguments, **named)

        return after_admission


class _OfIncarnation:
    def __init__(self, make: Callable[[], Any], incarnation: Callable[[], Awaitable[str | None]]) -> None:
        self._make = make
        self._incarnation = incarnation
        self._made = make()
        self._made_for: str | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._made, name)
        if name.startswith("_") or not callable(method):
            return method

        @wraps(method)
        async def of_the_present_one(*arguments: Any, **named: Any) -> Any:
            incarnation = await self._incarnation()
            if incarnation != self._made_for:
                self._made, self._made_for = self._make(), incarnation
            return await getattr(self._made, name)(*arguments, **named)

        return of_the_present_one


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
        with await self._admission.admit(Tenant(record.tenant), bring_into_being=False):
            return await self._store.insert(record)

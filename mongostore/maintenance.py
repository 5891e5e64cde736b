"""The one loop that a deployment runs: keys ahead of time, clean-up and expired sessions, for all of its tenants.

Each job has one lease for the whole deployment, so one node at a time does it. Within a round, tenants take turns of a
few batches: none waits for another one's backlog, and none is kept in memory. What the jobs do is the business of
`signing`, `protection`, `grants` and `sessions`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from mongostore.cancellation import Cancellation
from mongostore.errors import ConfigurationError, MongostoreError, NotFound
from mongostore.grants.cleanup_pass import CleanupPass, RemovedKind
from mongostore.models import ServerSideSession
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.sessions.deliveries import Outcome
from mongostore.sessions.expiry import SessionExpiry
from mongostore.signing.manager import SigningManager
from mongostore.stores.cleanup import Cleanup
from mongostore.stores.kept_lease import KeptLease, keep_lease
from mongostore.stores.leases import JobLeases
from mongostore.tenancy import DEFAULT_TENANT, Tenant

_log = logging.getLogger("mongostore")

DEFAULT_INTERVAL = timedelta(minutes=10)
_LONGEST_INTERVAL = timedelta(days=36_500)

_LEASE = timedelta(minutes=1)
_BATCHES_PER_TURN = 10

JobName = Literal["keys", "cleanup", "sessions"]

OnExpiredSession = Callable[[ServerSideSession, str], Awaitable[Outcome] | Outcome]
"""As the callback of `sessions.run`, with the slug of the session's tenant as its second argument."""

OnRemoved = Callable[[RemovedKind, Sequence[Any], str], Awaitable[object] | object]
"""As the callback of `TokenCleanupService`, with the tenant's slug as its third argument."""


@dataclass(frozen=True, kw_only=True)
class TenantMaintenance:
    """What one round did for a tenant.

    Attributes:
        keys: how many data and signing keys were made ahead of time.
        removed: how many grants, device codes and pushed requests were removed.
        sessions: how many expired sessions were processed.
        failures: the jobs that failed, wholly or for some sessions or records; they are tried again in the next round.
    """

    keys: int = 0
    removed: int = 0
    sessions: int = 0
    failures: tuple[JobName, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MaintenanceReport:
    """What one round did.

    Attributes:
        tenants: by slug, those for which something was done or failed.
        looked_after: how many tenants there were.
        skipped: the jobs that another node was doing.
    """

    tenants: Mapping[str, TenantMaintenance] = field(default_factory=dict)
    looked_after: int = 0
    skipped: tuple[JobName, ...] = ()


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What can be done for one tenant.

    Attributes:
        expiry: processes expired sessions.
        cleanup: the records to clean up.
        signing: makes signing keys.
        key_ring: makes data keys.
    """

    expiry: SessionExpiry
    cleanup: Cleanup
    signing: SigningManager
    key_ring: KeyRingService


class Maintenance:
    """The maintenance of a whole deployment, all tenants.

    Every node may run it. Tenants that come are seen by the next round. A tenant's failure stops no other one.
    """

    def __init__(
        self,
        leases: JobLeases,
        registered: Callable[[], Awaitable[Sequence[Tenant]]],
        upkeep_of: Callable[[Tenant], Upkeep | None],
    ) -> None:
        """Put it together.

        Args:
            leases: those of the deployment.
            registered: lists the tenants; `default` need not be among them.
            upkeep_of: makes what one turn of a tenant needs, without I/O; `None` when the tenant is gone.
        """
        self._leases = leases
        self._registered = registered
        self._upkeep_of = upkeep_of
        self._stops: set[asyncio.Event] = set()

    async def run(
        self,
        *,
        on_expired_session: OnExpiredSession | None = None,
        on_removed: OnRemoved | None = None,
        interval: timedelta = DEFAULT_INTERVAL,
    ) -> None:
        """Look after all tenants until the task is cancelled or the store is closed. Run it on every node.

        A round that MongoDB cuts off is logged, and the next one comes in its turn.

        Args:
            on_expired_session: notifies the clients of an expired session, at least once for each (see
                `sessions.process_expired`). `None`: expired sessions are left to `sessions.run`.
            on_removed: is told of grants and device codes before they are removed (see `TokenCleanupService`, whose
                default options hold; `StoreOptions.ttl_delay` keeps MongoDB's TTL behind it). `None`: their removal is
                left to MongoDB's TTL.
            interval: how long to pause after a round.

        Raises:
            TypeError, ValueError: an argument has a wrong type or value.
            ConfigurationError: the store is not open.
        """
        jobs = _jobs(on_expired_session, on_removed)
        if not isinstance(interval, timedelta):
            raise TypeError(f"interval must be a timedelta, not {type(interval).__name__}")
        if not timedelta(0) < interval <= _LONGEST_INTERVAL:
            raise ValueError(f"interval must be positive and not longer than a century, but is {interval}")
        _log.info("All tenants are looked after every %s: %s", interval, ", ".join(job.name for job in jobs))
        cancellation = Cancellation()
        stop = asyncio.Event()
        self._stops.add(stop)
        try:
            while not stop.is_set():
                await self._logged_round(jobs, stop, interval)
                cancellation.check()
                await _wait(stop, interval)
        finally:
            self._stops.discard(stop)

    async def run_once(
        self, *, on_expired_session: OnExpiredSession | None = None, on_removed: OnRemoved | None = None
    ) -> MaintenanceReport:
        """Make one round: all that is due now, of all tenants. The arguments are those of `run`.

        A tenant's failures are logged, once for each job, and reported.

        Raises:
            TypeError: an argument has a wrong type.
            StorageUnavailable: MongoDB did not answer; what is done stays done, run it again.
            ConfigurationError: the store is not open.
        """
        return await self._round(_jobs(on_expired_session, on_removed), asyncio.Event())

    def stop(self) -> None:
        """Let every `run` return when the tenant at work has had its turn; closing the store does this."""
        for stop in self._stops:
            stop.set()

    async def _logged_round(self, jobs: "Sequence[_Job]", stop: asyncio.Event, interval: timedelta) -> None:
        try:
            await self._round(jobs, stop)
        except MongostoreError as error:
            if stop.is_set():
                return
            if isinstance(error, ConfigurationError):
                raise
            _log.warning("The maintenance was cut off, and begins again in %s: %s", interval, error)

    async def _round(self, jobs: "Sequence[_Job]", stop: asyncio.Event) -> MaintenanceReport:
        cancellation = Cancellation()
        tenants = list(dict.fromkeys([DEFAULT_TENANT, *await self._registered()]))
        done: dict[Tenant, _Done] = {}
        skipped: list[JobName] = []
        for job in jobs:
            # Frozen: nodes of different versions must not work side by side.
            async with keep_lease(self._leases, f"maintenance-{job.name}", _LEASE) as lease:
                cancellation.check()
                if lease is None:
                    skipped.append(job.name)
                else:
                    await self._take_turns(job, lease, deque(tenants), stop, done)
            cancellation.check()
        return MaintenanceReport(
            tenants={tenant: each.summary() for tenant, each in sorted(done.items())},
            looked_after=len(tenants),
            skipped=tuple(skipped),
        )

    async def _take_turns(
        self, job: "_Job", lease: KeptLease, queue: deque[Tenant], stop: asyncio.Event, done: "dict[Tenant, _Done]"
    ) -> None:
        """Give each tenant its turn, and those who have more to do another one behind the others."""
        cancellation = Cancellation()
        while queue and not stop.is_set() and not lease.is_lost:
            tenant = queue.popleft()
            turn = await self._turn(job, tenant, lease)
            cancellation.check()
            if stop.is_set():
                return
            if turn.count or turn.failures:
                done.setdefault(tenant, _Done()).note(tenant, job.name, turn)
            if turn.has_more:
                queue.append(tenant)
            # Where the database as a whole does not answer, or the store is closed, nothing goes on.
            if turn.failures and not await lease.renew():
                return

    async def _turn(self, job: "_Job", tenant: Tenant, lease: KeptLease) -> "_Turn":
        try:
            upkeep = self._upkeep_of(tenant)
            return _Turn() if upkeep is None else await job.turn(tenant, upkeep, lease)
        except NotFound:
            # The tenant was deleted meanwhile, and nothing is to be made for it.
            return _Turn()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one tenant must not hold up the others
            return _Turn(failures=(error,))


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a job did for a tenant in one turn, and whether there is more to do in this round."""

    count: int = 0
    failures: Sequence[Exception] = ()
    has_more: bool = False


class _Done:
    """What was done for a tenant in a round so far."""

    def __init__(self) -> None:
        self._counts: dict[JobName, int] = {}
        self._failures: list[JobName] = []

    def note(self, tenant: Tenant, job: JobName, turn: _Turn) -> None:
        """Add a turn; the first failure of a job is logged."""
        self._counts[job] = self._counts.get(job, 0) + turn.count
        if not turn.failures or job in self._failures:
            return
        self._failures.append(job)
        error = turn.failures[0]
        _log.warning(
            "The maintenance (%s) of tenant %s failed, and is tried again in the next round: %s",
            job,
            tenant,
            error if isinstance(error, MongostoreError) else type(error).__name__,
            exc_info=None if isinstance(error, MongostoreError) else error,
        )

    def summary(self) -> TenantMaintenance:
        counts = self._counts
        return TenantMaintenance(
            keys=counts.get("keys", 0),
            removed=counts.get("cleanup", 0),
            sessions=counts.get("sessions", 0),
            failures=tuple(self._failures),
        )


class _Job(Protocol):
    """Something to be done for each tenant."""

    @property
    def name(self) -> JobName:
        """What the job is called in leases, logs and reports."""

    async def turn(self, tenant: Tenant, upkeep: Upkeep, lease: KeptLease) -> _Turn:
        """Do a bounded part of what is due for a tenant."""


class _Keys:
    """The next data key and signing keys, stored ahead of time though nobody seals or signs."""

    name: JobName = "keys"

    async def turn(self, _tenant: Tenant, upkeep: Upkeep, _lease: KeptLease) -> _Turn:
        made = await upkeep.key_ring.rotate_if_due()
        return _Turn(made + await upkeep.signing.rotate_if_due())


@dataclass(frozen=True, slots=True)
class _Cleanup:
    """Expired grants, device codes and pushed requests, told of and removed."""

    callback: OnRemoved
    name: JobName = "cleanup"

    async def turn(self, tenant: Tenant, upkeep: Upkeep, lease: KeptLease) -> _Turn:
        outcome = await CleanupPass(upkeep.cleanup, lambda kind, items: self.callback(kind, items, tenant)).run(
            lease, _BATCHES_PER_TURN
        )
        failures = tuple(outcome.failures.values())
        return _Turn(sum(outcome.removed.values()), failures, has_more=not outcome.is_complete and not failures)


@dataclass(frozen=True, slots=True)
class _Sessions:
    """Expired sessions, processed at least once each."""

    callback: OnExpiredSession
    name: JobName = "sessions"

    async def turn(self, tenant: Tenant, upkeep: Upkeep, _lease: KeptLease) -> _Turn:
        batch = await upkeep.expiry.process_batch(lambda session: self.callback(session, tenant))
        # Where a whole batch fails, the callback is likely to fail for the rest as well: the next round tries.
        return _Turn(batch.processed, batch.failures, has_more=batch.processed > 0)


def _jobs(on_expired_session: OnExpiredSession | None, on_removed: OnRemoved | None) -> list[_Job]:
    """What is to be done, the shortest job first: a slow callback must not hold up the keys."""
    for name, callback in (("on_expired_session", on_expired_session), ("on_removed", on_removed)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be a function, not {type(callback).__name__}")
    jobs: list[_Job] = [_Keys()]
    if on_removed is not None:
        jobs.append(_Cleanup(on_removed))
    if on_expired_session is not None:
        jobs.append(_Sessions(on_expired_session))
    return jobs


async def _wait(stop: asyncio.Event, longest: timedelta) -> None:
    try:
        async with asyncio.timeout(longest.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return

"""Processes sessions that are over, each at least once: claimed, worked on, and only then deleted."""

import asyncio
import functools
import logging
import random
from dataclasses import dataclass
from datetime import timedelta

from mongostore.cancellation import Cancellation
from mongostore.errors import KeyUnavailable, MongostoreError, PayloadUnreadable, StorageUnavailable
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.logouts import ClientsNotTold, Logouts, Teller
from mongostore.stores.leases import JobLease, JobLeases
from mongostore.stores.sessions import ServerSideSessionStore
from mongostore.tenancy import DEFAULT_TENANT, Tenant

_log = logging.getLogger("mongostore")

DEFAULT_COUNT = 10
DEFAULT_LEASE = timedelta(minutes=1)
DEFAULT_INTERVAL = timedelta(minutes=10)

# Frozen: nodes of different versions must not work side by side.
_JOB = "session-expiry"
_MAX_DOUBLINGS = 10

ExpiryCallback = Teller
"""Tells the clients of a session that is over; see `SessionService.process_expired`."""


@dataclass(frozen=True, slots=True)
class ExpiredBatch:
    """What became of one batch of expired sessions.

    Attributes:
        claimed: how many there were.
        failures: why the others were not processed, one error for each; they come again after a pause, or when their
            lease is over.
    """

    claimed: int
    failures: tuple[Exception, ...] = ()

    @property
    def processed(self) -> int:
        """How many were processed."""
        return self.claimed - len(self.failures)


class SessionExpiry:
    """The sessions of one tenant that have expired or were ended."""

    def __init__(
        self,
        sessions: ServerSideSessionStore,
        coordination: SessionCoordination,
        logouts: Logouts,
        leases: JobLeases,
        tenant: Tenant = DEFAULT_TENANT,
    ) -> None:
        """Args: the sessions, what ends their tokens and carries out logouts, what keeps nodes apart, and whose they are."""
        self._sessions = sessions
        self._coordination = coordination
        self._logouts = logouts
        self._leases = leases
        self._tenant = tenant

    async def process(self, callback: ExpiryCallback, count: int, lease: timedelta) -> int:
        """See `SessionService.process_expired`."""
        batch = await self.process_batch(callback, count, lease)
        _log_failures(batch)
        return batch.processed

    async def run(self, callback: ExpiryCallback, interval: timedelta) -> None:
        """See `SessionService.run`."""
        _log.info(
            "Expired sessions of tenant %s, and of no other, are processed every %s; store.maintenance serves all tenants",
            self._tenant,
            interval,
        )
        cancellation = Cancellation()
        failures = 0
        while True:
            failures = failures + 1 if await self._round_fails(callback, cancellation) else 0
            cancellation.check()
            await asyncio.sleep(_pause(interval, failures).total_seconds())

    async def _round_fails(self, callback: ExpiryCallback, cancellation: Cancellation) -> bool:
        """Process all that is due, unless another node is at it."""
        try:
            lease = await self._leases.acquire(_JOB, DEFAULT_LEASE)
            if lease is None:
                return False
            try:
                return await self._drain(callback, lease, cancellation)
            finally:
                await _release(lease)
        except (StorageUnavailable, PayloadUnreadable, KeyUnavailable) as error:
            _log.warning("Expired sessions could not be processed, and will be tried again: %s", error)
            return True

    async def _drain(self, callback: ExpiryCallback, lease: JobLease, cancellation: Cancellation) -> bool:
        failed = False
        while True:
            batch = await self.process_batch(callback, DEFAULT_COUNT, DEFAULT_LEASE)
            _log_failures(batch)
            cancellation.check()
            failed = failed or bool(batch.failures)
            # A lease that has passed on does no harm: claims keep two nodes apart as well.
            if batch.claimed == 0 or not await lease.renew():
                return failed

    async def process_batch(
        self, callback: ExpiryCallback, count: int = DEFAULT_COUNT, lease: timedelta = DEFAULT_LEASE
    ) -> ExpiredBatch:
        """Process one batch as `SessionService.process_expired` does, and return what failed instead of logging it."""
        claimed = await self._sessions.claim_logouts(count, lease)
        failures: list[Exception] = []
        for logout in claimed:
            try:
                error = await self._logouts.carry_out(
                    logout, functools.partial(self._coordination.revoke_for, logout), callback
                )
            except Exception as failure:  # noqa: BLE001 - one session must not hold up the others
                error = failure
            if error is not None:
                failures.append(error)
        return ExpiredBatch(len(claimed), tuple(failures))


def _log_failures(batch: ExpiredBatch) -> None:
    for error in batch.failures:
        if isinstance(error, ClientsNotTold):
            _log.warning("%s; it is tried again later", error)
        else:
            _log.error(
                "The logout of a session that is over could not be processed; it is tried again later", exc_info=error
            )


def _pause(interval: timedelta, failures: int) -> timedelta:
    """How long to wait: after failures from one lease on, doubling, but never longer than without."""
    if failures == 0:
        return interval
    leases: int = 2 ** min(failures - 1, _MAX_DOUBLINGS)
    jitter = random.uniform(1, 1.5)  # noqa: S311 - it only spreads the nodes
    return min(interval, DEFAULT_LEASE * leases * jitter)


async def _release(lease: JobLease) -> None:
    try:
        await lease.release()
    except MongostoreError as error:
        # Nothing may take the place of a cancellation; the lease expires by itself.
        _log.warning("%s; it expires by itself", error)

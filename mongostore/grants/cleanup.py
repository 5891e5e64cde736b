"""Removes what has expired, and tells of it. Nobody needs this for the removal itself: MongoDB's TTL does that.

It is for a server that wants to be told what is removed, or that wants consumed tokens gone before their time. Where it
runs, `StoreOptions.ttl_delay` keeps the TTL behind it, as a net: otherwise the TTL is mostly first.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import timedelta

from mongostore.cancellation import Cancellation
from mongostore.errors import MongostoreError
from mongostore.grants.cleanup_pass import DEFAULT_BATCH_SIZE, CleanupPass, OnRemoved
from mongostore.stores.cleanup import CleanedStores, Cleanup, CleanupStep
from mongostore.stores.kept_lease import keep_lease

_log = logging.getLogger("mongostore")

# Frozen: nodes of different versions must not work side by side.
_JOB = "token-cleanup"
_LEASE = timedelta(minutes=1)

_LARGEST_BATCH = 10_000
_LONGEST = timedelta(days=36_500)


@dataclass(frozen=True, kw_only=True)
class TokenCleanupOptions:
    """How `TokenCleanupService` works. Names and defaults are the reference's.

    Attributes:
        interval: what lies between two passes of a node.
        batch_size: how many records are removed, and told of, at a time.
        remove_consumed_tokens: whether consumed grants go before they expire and before
            `StoreOptions.consumed_retention` is over. A second use of what is gone can't be told from an unknown handle,
            so a replayed refresh token no longer ends its family.
        consumed_token_cleanup_delay: how long such a grant stays after it was consumed.
        fuzz_start: whether the first pass comes after a random part of the interval, rather than a whole one.
    """

    interval: timedelta = timedelta(hours=1)
    batch_size: int = DEFAULT_BATCH_SIZE
    remove_consumed_tokens: bool = False
    consumed_token_cleanup_delay: timedelta = timedelta(0)
    fuzz_start: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            TypeError, ValueError: an option has a wrong type or value; the message names it.
        """
        for name in ("interval", "consumed_token_cleanup_delay"):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
            if not timedelta(0) <= value <= _LONGEST:
                raise ValueError(f"{name} must not be negative, nor longer than a century, but is {value}")
        if self.interval == timedelta(0):
            raise ValueError("interval must be positive")
        if not isinstance(self.batch_size, int) or isinstance(self.batch_size, bool):
            raise TypeError(f"batch_size must be an int, not {type(self.batch_size).__name__}")
        if not 1 <= self.batch_size <= _LARGEST_BATCH:
            raise ValueError(f"batch_size must be from 1 to {_LARGEST_BATCH:,}, not {self.batch_size}")
        for name in ("remove_consumed_tokens", "fuzz_start"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {type(getattr(self, name)).__name__}")

    def first_delay(self) -> timedelta:
        """How long a node waits before its first pass."""
        return self.interval * random.random() if self.fuzz_start else self.interval  # noqa: S311 - it spreads the nodes


@dataclass(frozen=True, kw_only=True)
class CleanupCounts:
    """What one pass removed.

    Attributes:
        grants: expired ones, and those that were consumed and no longer retained.
        consumed_grants: consumed ones that had time left.
        device_codes: expired device authorization requests.
        pushed_authorization_requests: expired ones.
        failures: the steps that failed, by the names above; what each removed before that is counted.
        skipped: True when another node was at it, so that nothing was done.
    """

    grants: int = 0
    consumed_grants: int = 0
    device_codes: int = 0
    pushed_authorization_requests: int = 0
    failures: tuple[str, ...] = ()
    skipped: bool = False


class TokenCleanupService:
    """Removes the expired grants, device codes and pushed requests of one tenant, and tells of them.

    The tenant is that of the stores it is given: with a `MongoStore` or `MemoryStore` itself, `default` alone.
    `store.maintenance` does the same for all tenants of a deployment.

    What is removed is told first, so it is told at least once: a batch whose callback fails, or whose process dies, is
    told again by the next pass, until MongoDB's TTL takes it (`StoreOptions.ttl_delay` after its time). Twice it is told
    only after such a failure, or when a node was stopped for longer than a minute in the middle. Told is what is removed
    for its age: not what somebody removes by key, filter or family, and not pushed requests, as in the reference.
    """

    def __init__(
        self, store: CleanedStores, options: TokenCleanupOptions | None = None, on_removed: OnRemoved | None = None
    ) -> None:
        """Args: a store, or that of a tenant (`store.for_tenant("acme")`); how to work; who wants to know.

        Raises:
            TypeError: an argument is of another kind.
        """
        if not hasattr(store, "_cleanup"):
            raise TypeError(f"store must be a MongoStore, a MemoryStore or a tenant's, not {type(store).__name__}")
        if not isinstance(options, TokenCleanupOptions | None):
            raise TypeError(f"options must be TokenCleanupOptions, not {type(options).__name__}")
        if on_removed is not None and not callable(on_removed):
            raise TypeError(f"on_removed must be a function of kind and items, not {type(on_removed).__name__}")
        self._store = store
        self._options = options or TokenCleanupOptions()
        self._on_removed = on_removed

    async def run(self) -> None:
        """Clean up, now and then, until the task is cancelled. Let every node run it: one at a time does the work.

        Only the tenant of the stores is served; a line in the log names it at the start. A pass that fails is logged,
        and the next one comes in its turn.
        """
        _log.info(
            "The grants of tenant %s, and of no other, are cleaned up every %s; store.maintenance serves all tenants",
            self._cleanup.tenant,
            self._options.interval,
        )
        cancellation = Cancellation()
        delay = self._options.first_delay()
        while True:
            await asyncio.sleep(delay.total_seconds())
            try:
                await self.cleanup_grants()
            except MongostoreError as error:
                _log.warning("Nothing was cleaned up, and will be in %s: %s", self._options.interval, error)
            cancellation.check()
            delay = self._options.interval

    async def cleanup_grants(self) -> CleanupCounts:
        """Make one pass, unless another node is at it. A step that fails is logged, and the others are done.

        Returns:
            How many records were removed, and which steps failed.

        Raises:
            StorageUnavailable: MongoDB did not answer, so nothing was begun.
        """
        cancellation = Cancellation()
        async with keep_lease(self._cleanup.leases, _JOB, _LEASE) as lease:
            if lease is None:
                return CleanupCounts(skipped=True)
            cancellation.check()
            outcome = await self._pass().run(lease)
        for step, error in outcome.failures.items():
            if isinstance(error, MongostoreError):
                _log.warning("The cleanup of %s stopped, and will be tried again: %s", step, error)
            else:
                _log.error("The cleanup of %s stopped, and will be tried again", step, exc_info=error)
        removed = outcome.removed
        return CleanupCounts(
            grants=removed[CleanupStep.GRANTS],
            consumed_grants=removed[CleanupStep.CONSUMED_GRANTS],
            device_codes=removed[CleanupStep.DEVICE_CODES],
            pushed_authorization_requests=removed[CleanupStep.PUSHED_AUTHORIZATION_REQUESTS],
            failures=tuple(step.value for step in outcome.failures),
        )

    @property
    def _cleanup(self) -> Cleanup:
        # Asked for each time: a tenant that was deleted has other stores from then on.
        return self._store._cleanup  # noqa: SLF001 - of this package, and no attribute for users

    def _pass(self) -> CleanupPass:
        options = self._options
        return CleanupPass(
            self._cleanup,
            self._on_removed,
            options.batch_size,
            options.consumed_token_cleanup_delay if options.remove_consumed_tokens else None,
        )

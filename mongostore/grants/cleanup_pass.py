"""One pass of the clean-up over the records of one tenant, under a lease that its caller holds."""

import inspect
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from mongostore.cancellation import Cancellation
from mongostore.errors import StorageUnavailable
from mongostore.stores.cleanup import Cleanup, CleanupStep
from mongostore.stores.kept_lease import KeptLease

DEFAULT_BATCH_SIZE = 100

RemovedKind = Literal["persisted_grants", "device_codes"]
OnRemoved = Callable[[RemovedKind, Sequence[Any]], Awaitable[object] | object]
"""Is told what is being removed: the kind, and the `PersistedGrant`s or `DeviceCode`s of a batch, data in clear.

A coroutine function, or a plain one. Raising keeps the batch, and asks for another try.
"""

_KINDS: Mapping[CleanupStep, RemovedKind] = {
    CleanupStep.GRANTS: "persisted_grants",
    CleanupStep.CONSUMED_GRANTS: "persisted_grants",
    CleanupStep.DEVICE_CODES: "device_codes",
}


@dataclass(frozen=True, slots=True)
class PassOutcome:
    """What a pass did.

    Attributes:
        removed: how many records each step removed, also before it failed.
        failures: why a step stopped.
        is_complete: False when a step reached its limit, so that more may be due.
    """

    removed: Mapping[CleanupStep, int]
    failures: Mapping[CleanupStep, Exception]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class CleanupPass:
    """How a pass works.

    Attributes:
        cleanup: whose records, and the time.
        on_removed: is called before a batch is removed.
        batch_size: how many records are removed at a time.
        consumed_delay: how long a consumed grant stays that has time left; `None`: as long as it is retained.
    """

    cleanup: Cleanup
    on_removed: OnRemoved | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    consumed_delay: timedelta | None = None

    async def run(self, lease: KeptLease, most_batches: int | None = None) -> PassOutcome:
        """Remove what is due; a step that fails does not hold up the others.

        Args:
            lease: is renewed before each batch; when it is lost, the steps fail.
            most_batches: how many batches a step may remove; `None`: all that are due.
        """
        cancellation = Cancellation()
        removed: Counter[CleanupStep] = Counter()
        failures: dict[CleanupStep, Exception] = {}
        is_complete = True
        for step, before in self._steps():
            batches = 0
            try:
                async with aclosing(self._removals(step, before, lease)) as removals:
                    async for count in removals:
                        removed[step] += count
                        batches += 1
                        if batches == most_batches:
                            is_complete = False
                            break
            except Exception as error:  # noqa: BLE001 - the callback is the server's, and one step must not hold up the others
                failures[step] = error
            cancellation.check()
        return PassOutcome(removed, failures, is_complete)

    def _steps(self) -> list[tuple[CleanupStep, datetime]]:
        """What to do, each with the instant before which its records are due."""
        now = self.cleanup.clock.now()
        befores = dict.fromkeys(CleanupStep, now)
        if self.consumed_delay is None:
            del befores[CleanupStep.CONSUMED_GRANTS]
        else:
            befores[CleanupStep.CONSUMED_GRANTS] = now - self.consumed_delay
        return list(befores.items())

    async def _removals(self, step: CleanupStep, before: datetime, lease: KeptLease) -> AsyncGenerator[int, None]:
        """Tell of and remove batch after batch, and give how many went with each."""
        records = self.cleanup.records
        async with aclosing(records.due(step, before, self.batch_size)) as batches:
            async for ids in batches:
                if not await lease.renew():
                    raise StorageUnavailable("the lease of the cleanup has passed on to another node; that one does it")
                if self.on_removed is not None and step in _KINDS:
                    items = await records.read(step, ids, before)
                    if items:
                        outcome = self.on_removed(_KINDS[step], items)
                        if inspect.isawaitable(outcome):
                            await outcome
                yield await records.remove(step, ids, before)

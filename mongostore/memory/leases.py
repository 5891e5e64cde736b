"""Leases within one process, by its monotonic clock."""

import time
from datetime import timedelta


class MemoryLease:
    """A lease that was acquired."""

    def __init__(self, held: dict[str, tuple[object, float]], name: str, duration: timedelta) -> None:
        """Args: who holds what until when, the job, and how long."""
        self._held = held
        self._name = name
        self._duration = duration
        held[name] = (self, time.monotonic() + duration.total_seconds())

    async def renew(self) -> bool:
        """See `JobLease.renew`."""
        owner, until = self._held[self._name]
        if owner is not self or until <= time.monotonic():
            return False
        self._held[self._name] = (self, time.monotonic() + self._duration.total_seconds())
        return True

    async def release(self) -> None:
        """See `JobLease.release`."""
        if self._held[self._name][0] is self:
            self._held[self._name] = (self, time.monotonic())


class MemoryLeases:
    """The leases of one tenant in a dictionary."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[object, float]] = {}

    async def acquire(self, name: str, duration: timedelta) -> MemoryLease | None:
        """See `JobLeases.acquire`."""
        _, until = self._held.get(name, (None, 0.0))
        return None if until > time.monotonic() else MemoryLease(self._held, name, duration)

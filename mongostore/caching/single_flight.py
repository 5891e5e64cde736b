"""A bounded cache: one load for any number of concurrent misses, and never a value that was outdated while it loaded."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar, cast

from mongostore.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a cache has done.

    Attributes:
        hits: look-ups answered from memory.
        misses: look-ups that waited for a load, their own or a concurrent one.
        loads: loads that were begun.
        entries: what it holds now, absences included.
    """

    hits: int
    misses: int
    loads: int
    entries: int


class SingleFlightCache(Generic[K, V]):
    """Values by key for a limited time. The least recently used go first; absences have a bound of their own.

    It belongs to one event loop at a time.
    """

    def __init__(self, clock: Clock, *, expiration: timedelta, absence_expiration: timedelta, max_entries: int) -> None:
        """Args: the time; how long a value, and how long an absence (None) may be used; how many of each are kept."""
        self._clock = clock
        self._expiration = expiration
        self._absence_expiration = absence_expiration
        self._max_entries = max_entries
        # Kept apart, so that somebody who asks for what is not there can't drive out what is.
        self._values: OrderedDict[K, tuple[V, datetime]] = OrderedDict()
        self._absences: OrderedDict[K, datetime] = OrderedDict()
        self._flights: dict[K, asyncio.Task[V | None]] = {}
        self._hits = self._misses = self._loads = 0

    async def get(self, key: K, load: Callable[[], Awaitable[V | None]]) -> V | None:
        """The cached value or absence; otherwise what `load` brings. What `load` raises is raised and not kept."""
        found = self._values.get(key)
        if found is not None:
            if self._clock.now() < found[1]:
                self._values.move_to_end(key)
                self._hits += 1
                return found[0]
            del self._values[key]
        elif key in self._absences:
            if self._clock.now() < self._absences[key]:
                self._hits += 1
                return None
            del self._absences[key]
        self._misses += 1
        flight = self._flights.get(key)
        if flight is None:
            self._loads += 1
            # A task of its own: a caller that is cancelled takes nothing from the others that wait.
            flight = self._flights[key] = asyncio.create_task(self._load(key, load))
            # When every caller is cancelled, nobody is left to be told of an error.
            flight.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(flight)

    def invalidate(self, key: K) -> None:
        """Forget a key; a load that is under way still answers those who wait for it, and is not kept."""
        self._values.pop(key, None)
        self._absences.pop(key, None)
        self._flights.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._absences.clear()
        self._flights.clear()

    def statistics(self) -> CacheStatistics:
        """What the cache has done since it was made."""
        return CacheStatistics(self._hits, self._misses, self._loads, len(self._values) + len(self._absences))

    async def _load(self, key: K, load: Callable[[], Awaitable[V | None]]) -> V | None:
        flight = cast("asyncio.Task[V | None]", asyncio.current_task())
        try:
            value = await load()
        finally:
            # Gone when the key was invalidated meanwhile: what was read may be from before the change.
            is_current = self._flights.get(key) is flight
            if is_current:
                del self._flights[key]
        if is_current:
            self._keep(key, value)
        return value

    def _keep(self, key: K, value: V | None) -> None:
        if value is None:
            self._absences[key] = self._clock.now() + self._absence_expiration
            if len(self._absences) > self._max_entries:
                self._absences.popitem(last=False)
        else:
            self._values[key] = (value, self._clock.now() + self._expiration)
            if len(self._values) > self._max_entries:
                self._values.popitem(last=False)

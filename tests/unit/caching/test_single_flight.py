"""One load for all who wait, nothing outdated kept, and bounds that hold."""

import asyncio
from datetime import timedelta

import pytest

from mongostore.caching.single_flight import SingleFlightCache
from mongostore.testing import FakeClock


class Source:
    """Something slow to load from: each load waits until it is let go."""

    def __init__(self) -> None:
        self.loads = 0
        self.value: object = "first"
        self.let_go = asyncio.Event()
        self.error: Exception | None = None

    async def begun(self, loads: int) -> None:
        """Wait until so many loads have begun."""
        async with asyncio.timeout(60):
            while self.loads < loads:
                await asyncio.sleep(0)

    async def load(self) -> object:
        self.loads += 1
        value = self.value
        await self.let_go.wait()
        if self.error is not None:
            raise self.error
        return value


def a_cache(clock: FakeClock | None = None, **bounds) -> SingleFlightCache:
    return SingleFlightCache(
        clock or FakeClock(),
        **{"expiration": timedelta(minutes=5), "absence_expiration": timedelta(seconds=10), "max_entries": 3, **bounds},
    )


async def test_a_thousand_concurrent_misses_load_once():
    """Whoever asks while a load is under way waits for it."""
    cache, source = a_cache(), Source()
    asking = [asyncio.create_task(cache.get("k", source.load)) for _ in range(1_000)]
    await asyncio.sleep(0)
    source.let_go.set()
    assert await asyncio.gather(*asking) == ["first"] * 1_000
    assert source.loads == 1
    assert await cache.get("k", source.load) == "first"
    assert source.loads == 1
    statistics = cache.statistics()
    assert (statistics.hits, statistics.misses, statistics.loads, statistics.entries) == (1, 1_000, 1, 1)


async def test_a_load_that_was_under_way_at_a_change_is_not_kept():
    """What was read before an invalidation answers those who asked before it, and nobody after."""
    cache, source = a_cache(), Source()
    early = asyncio.create_task(cache.get("k", source.load))
    await source.begun(1)
    source.value = "second"
    cache.invalidate("k")
    late = asyncio.create_task(cache.get("k", source.load))
    await source.begun(2)
    source.let_go.set()
    assert (await early, await late) == ("first", "second")
    assert await cache.get("k", source.load) == "second"
    assert source.loads == 2


async def test_forgetting_reaches_loads_under_way():
    """A flush is a flush: what is being read at that moment may be outdated too."""
    cache, source = a_cache(), Source()
    early = asyncio.create_task(cache.get("k", source.load))
    await source.begun(1)
    cache.clear()
    source.let_go.set()
    await early
    assert cache.statistics().entries == 0


async def test_a_cancelled_caller_takes_nothing_from_the_others():
    """The load goes on when the one who began it goes away."""
    cache, source = a_cache(), Source()
    first = asyncio.create_task(cache.get("k", source.load))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.get("k", source.load))
    await asyncio.sleep(0)
    first.cancel()
    source.let_go.set()
    assert await second == "first"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_error_is_raised_to_all_who_wait_and_not_kept():
    """A failed load is tried again by the next one who asks."""
    cache, source = a_cache(), Source()
    source.error = RuntimeError("down")
    asking = [asyncio.create_task(cache.get("k", source.load)) for _ in range(3)]
    await asyncio.sleep(0)
    source.let_go.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError] * 3
    source.error = None
    assert await cache.get("k", source.load) == "first"


async def test_values_and_absences_expire():
    """A value serves for its time, an absence for its own, shorter one."""
    clock = FakeClock()
    cache, source = a_cache(clock), Source()
    source.let_go.set()
    await cache.get("there", source.load)
    source.value = None
    assert await cache.get("absent", source.load) is None
    assert await cache.get("absent", source.load) is None
    assert source.loads == 2
    clock.advance(timedelta(seconds=10))
    await cache.get("absent", source.load)
    assert source.loads == 3
    clock.advance(timedelta(minutes=5))
    await cache.get("there", source.load)
    assert source.loads == 4


async def test_absences_do_not_drive_out_values():
    """Asking for a million things that are not there costs memory for three, and no value."""
    cache, source = a_cache(), Source()
    source.let_go.set()
    for key in ("a", "b", "c"):
        await cache.get(key, source.load)
    source.value = None
    for number in range(100):
        await cache.get(f"absent{number}", source.load)
    assert cache.statistics().entries == 6
    assert source.loads == 103
    for key in ("a", "b", "c"):
        assert await cache.get(key, source.load) == "first"
    assert source.loads == 103


async def test_the_least_recently_used_value_goes_first():
    """The bound holds, and what is used stays."""
    cache, source = a_cache(), Source()
    source.let_go.set()
    for key in ("a", "b", "c", "a", "d"):
        await cache.get(key, source.load)
    assert source.loads == 4
    await cache.get("a", source.load)
    assert source.loads == 4
    await cache.get("b", source.load)
    assert source.loads == 5


async def test_loads_of_different_keys_do_not_wait_for_one_another():
    """A slow key blocks nobody else."""
    cache, slow, fast = a_cache(), Source(), Source()
    waiting = asyncio.create_task(cache.get("slow", slow.load))
    fast.let_go.set()
    assert await cache.get("fast", fast.load) == "first"
    slow.let_go.set()
    await waiting

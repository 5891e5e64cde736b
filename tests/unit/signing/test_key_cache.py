"""Keys are used for a time, not longer."""

from datetime import UTC, datetime, timedelta

import pytest

from mongostore.signing.key_cache import KeyCache, KeySet

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(milliseconds=1)
KEYS = KeySet(NOW, NOW, 1, (), {})


def test_an_empty_cache_gives_nothing():
    """There is nothing before the first read."""
    assert KeyCache().get(NOW) is None


@pytest.mark.parametrize(
    ("at", "held"), [(NOW, True), (NOW + HOUR - TICK, True), (NOW + HOUR, False), (NOW - TICK, False)]
)
def test_keys_are_held_for_the_duration(at, held):
    """From the read until the duration is over; a clock that jumps back behind the read ends it too."""
    cache = KeyCache()
    cache.put(KEYS, HOUR)
    assert (cache.get(at) is KEYS) is held


def test_a_duration_of_zero_holds_nothing():
    """Then every use reads."""
    cache = KeyCache()
    cache.put(KEYS, timedelta(0))
    assert cache.get(NOW) is None


def test_the_last_keys_replace_the_ones_before():
    """With their own time."""
    cache = KeyCache()
    cache.put(KEYS, HOUR)
    later = KeySet(NOW + TICK, NOW, 2, (), {})
    cache.put(later, TICK)
    assert cache.get(NOW + TICK) is later
    assert cache.get(NOW + TICK * 2) is None

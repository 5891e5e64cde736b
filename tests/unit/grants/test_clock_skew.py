"""Rotation on nodes whose clocks differ."""

from datetime import timedelta

import pytest

from mongostore import MemoryStore
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_refresh_token


@pytest.mark.parametrize("behind", [timedelta(milliseconds=1), timedelta(minutes=5)])
async def test_without_a_grace_a_slow_clock_makes_no_retry(behind):
    """A node whose clock is behind that of the node that used a token sees a replay all the same."""
    clock = FakeClock()
    async with MemoryStore(clock=clock) as store:
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        clock.advance(-behind)
        second = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        assert (second.outcome, second.handle) == ("replayed", None)
        assert await store.refresh_tokens.get_refresh_token(first.handle) is None

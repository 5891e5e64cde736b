"""What every `ReplayCache` does.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongostore.testing.contracts.persisted_grants import IMPOSSIBLE_IDENTIFIERS, MILLISECOND, ODD_IDENTIFIERS

MINUTE = timedelta(minutes=1)


class ReplayCacheContract:
    """Remembering handles, each for one purpose."""

    async def test_only_the_first_caller_is_told_true(self, store: Any) -> None:
        """A handle is new once, and exists from then on."""
        expires_at = store.clock.now() + MINUTE
        assert await store.replay_cache.exists("jti", "a") is False
        assert await store.replay_cache.add("jti", "a", expires_at) is True
        assert await store.replay_cache.exists("jti", "a") is True
        assert await store.replay_cache.add("jti", "a", expires_at) is False

    async def test_purpose_and_handle_are_told_apart(self, store: Any) -> None:
        """However a text is split into purpose and handle, each split is another entry."""
        expires_at = store.clock.now() + MINUTE
        pairs = [("a", "bc"), ("ab", "c"), ("a|b", "c"), ("a", "b|c"), ("a:b", "c"), ("a", "b:c"), ("bc", "a")]
        for pair in pairs:
            assert await store.replay_cache.exists(*pair) is False
            assert await store.replay_cache.add(*pair, expires_at) is True
        for pair in pairs:
            assert await store.replay_cache.add(*pair, expires_at) is False

    @pytest.mark.parametrize("odd", [*ODD_IDENTIFIERS, "x" * 100_000])
    async def test_handles_are_of_any_form_and_length(self, store: Any, odd: str) -> None:
        """No character is special, and handles are compared byte for byte."""
        expires_at = store.clock.now() + MINUTE
        assert await store.replay_cache.add("jti", odd, expires_at) is True
        assert await store.replay_cache.add("jti", odd, expires_at) is False
        for similar in {odd.upper(), odd.lower(), odd.strip() or "z", odd + " "} - {odd}:
            assert await store.replay_cache.exists("jti", similar) is False
            assert await store.replay_cache.add("jti", similar, expires_at) is True

    @pytest.mark.parametrize("odd", ODD_IDENTIFIERS)
    async def test_purposes_are_compared_byte_for_byte(self, store: Any, odd: str) -> None:
        """Every identifier is a purpose of its own."""
        assert await store.replay_cache.add(odd, "a", store.clock.now() + MINUTE) is True
        for similar in {odd.upper(), odd.lower(), odd.strip() or "z", odd + " "} - {odd}:
            assert await store.replay_cache.exists(similar, "a") is False
        assert await store.replay_cache.exists(odd, "a") is True

    async def test_an_entry_counts_until_the_instant_it_expires(self, store: Any) -> None:
        """One millisecond before it is there; from then on it is not, and exactly one caller is the first again."""
        expires_at = store.clock.now() + MINUTE
        await store.replay_cache.add("jti", "a", expires_at)
        store.clock.advance(MINUTE - MILLISECOND)
        assert await store.replay_cache.exists("jti", "a") is True
        assert await store.replay_cache.add("jti", "a", expires_at + MINUTE) is False
        store.clock.advance(MILLISECOND)
        assert await store.replay_cache.exists("jti", "a") is False
        assert await store.replay_cache.add("jti", "a", store.clock.now() + MINUTE) is True
        assert await store.replay_cache.add("jti", "a", store.clock.now() + MINUTE) is False

    async def test_a_replay_does_not_prolong_an_entry(self, store: Any) -> None:
        """The instant that the first caller gave holds."""
        await store.replay_cache.add("jti", "a", store.clock.now() + MINUTE)
        await store.replay_cache.add("jti", "a", store.clock.now() + 10 * MINUTE)
        store.clock.advance(MINUTE)
        assert await store.replay_cache.exists("jti", "a") is False

    @pytest.mark.parametrize("over_an_expired_one", [False, True])
    async def test_of_concurrent_callers_one_is_told_true(self, store: Any, over_an_expired_one: bool) -> None:
        """Of 50 callers with the same handle, one is the first, whether or not an expired entry is there."""
        for round_ in range(5):
            if over_an_expired_one:
                await store.replay_cache.add("jti", str(round_), store.clock.now() + MINUTE)
                store.clock.advance(MINUTE)
            expires_at = store.clock.now() + MINUTE
            told = await asyncio.gather(*(store.replay_cache.add("jti", str(round_), expires_at) for _ in range(50)))
            assert told.count(True) == 1

    @pytest.mark.parametrize("late", [timedelta(0), MILLISECOND, timedelta(days=10_000)])
    async def test_what_has_expired_already_is_still_accepted_once_only(self, store: Any, late: timedelta) -> None:
        """An entry that is late is kept for five minutes, so that two callers are never told True."""
        expires_at = store.clock.now() - late
        told = await asyncio.gather(*(store.replay_cache.add("jti", "a", expires_at) for _ in range(20)))
        assert told.count(True) == 1
        store.clock.advance(5 * MINUTE - MILLISECOND)
        assert await store.replay_cache.add("jti", "a", expires_at) is False
        store.clock.advance(MILLISECOND)
        assert await store.replay_cache.exists("jti", "a") is False

    async def test_bad_input_is_refused(self, store: Any) -> None:
        """What can't be stored raises, and is not there."""
        expires_at = store.clock.now() + MINUTE
        for impossible in IMPOSSIBLE_IDENTIFIERS:
            with pytest.raises(ValueError, match="purpose"):
                await store.replay_cache.add(impossible, "a", expires_at)
            assert await store.replay_cache.exists(impossible, "a") is False
        for impossible in ("", "a\0b", "\ud800"):
            with pytest.raises(ValueError, match="handle"):
                await store.replay_cache.add("jti", impossible, expires_at)
            assert await store.replay_cache.exists("jti", impossible) is False
        with pytest.raises(ValueError, match="expires_at"):
            await store.replay_cache.add("jti", "a", datetime(2030, 1, 1))  # noqa: DTZ001 - that is the point
        for wrong in ((None, "a", expires_at), ("jti", b"a", expires_at), ("jti", "a", 60)):
            with pytest.raises(TypeError):
                await store.replay_cache.add(*wrong)
        assert await store.replay_cache.exists("jti", "a") is False

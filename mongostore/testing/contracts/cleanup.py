"""What `TokenCleanupService` does on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`, on a schema that was applied.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from mongostore.grants.cleanup import CleanupCounts, TokenCleanupOptions, TokenCleanupService
from mongostore.models import PersistedGrantFilter
from mongostore.stores.grant_records import GrantRecord
from mongostore.testing.factories import a_device_code, a_grant, a_pushed_request, a_refresh_token

MILLISECOND = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ALICES = PersistedGrantFilter(subject_id="alice")


class Told:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[Any]]] = []

    def __call__(self, kind: str, items: Sequence[Any]) -> None:
        self.batches.append((kind, list(items)))

    def keys(self) -> list[str]:
        """The keys of all grants, in order."""
        return [item.key for kind, items in self.batches if kind == "persisted_grants" for item in items]

    def sizes(self) -> list[int]:
        """How many there were in each batch."""
        return [len(items) for _, items in self.batches]


class TokenCleanupContract:
    """Removal of what has expired, and what is told of it."""

    async def test_what_expired_is_removed_and_what_is_valid_stays(self, store: Any) -> None:
        """Grants, device codes and pushed requests whose instant is past go; the rest, and what never expires, stays."""
        grants = store.persisted_grants
        for name, expires in (("over", HOUR - MILLISECOND), ("now", HOUR), ("live", HOUR + MILLISECOND)):
            await self._add_one_of_each(store, name, expires)
        await grants.store(a_grant("eternal", expiration=None))
        store.clock.advance(HOUR)
        assert await TokenCleanupService(store).cleanup_grants() == CleanupCounts(
            grants=1, device_codes=1, pushed_authorization_requests=1
        )
        assert await grants.remove("over") is False
        assert await store.device_flow.remove_by_device_code("over") is False
        assert await grants.remove("now") is True, "the comparison is strict"
        assert await store.device_flow.remove_by_device_code("now") is True
        assert (await grants.get("live")).key == "live"
        assert (await grants.get("eternal")).key == "eternal"
        assert await store.device_flow.find_by_device_code("live") is not None
        assert await store.pushed_authorization_requests.get_by_hash("live") is not None

    async def test_nothing_due_is_nothing_done(self, store: Any) -> None:
        """On an empty store, all counts are 0 and nobody is told."""
        told = Told()
        assert await TokenCleanupService(store, on_removed=told).cleanup_grants() == CleanupCounts()
        assert told.batches == []

    async def test_what_is_removed_is_told_whole(self, store: Any) -> None:
        """Grants and device codes come as they were stored, data in clear, in the order of their expiration."""
        now = store.clock.now()
        second = a_grant("second", expiration=now + 2 * MINUTE, data="the second's data")
        first = a_grant("first", expiration=now + MINUTE, data=b"\0binary", subject_id=None)
        for grant in (second, first):
            await store.persisted_grants.store(grant)
        code = a_device_code(creation_time=now, lifetime=60)
        await store.device_flow.store_device_authorization("device", "user", code)
        await store.pushed_authorization_requests.store(a_pushed_request("par", expires_at_utc=now + MINUTE))
        store.clock.advance(HOUR)
        told = Told()
        await TokenCleanupService(store, on_removed=told).cleanup_grants()
        assert told.batches == [("persisted_grants", [first, second]), ("device_codes", [code])]

    async def test_a_coroutine_function_is_waited_for(self, store: Any) -> None:
        """A batch is removed once the coroutine has returned, not while it works."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 1)
        there: list[int] = []

        async def on_removed(_kind: str, _items: Sequence[Any]) -> None:
            await asyncio.sleep(0)
            there.append(await store.persisted_grants.remove_all(ALICES))

        counts = await TokenCleanupService(store, on_removed=on_removed).cleanup_grants()
        assert (there, counts.grants) == ([1], 0)

    @pytest.mark.parametrize("remove_consumed_tokens", [False, True])
    async def test_consumed_ones_go_when_asked_for(self, store: Any, remove_consumed_tokens: bool) -> None:
        """A consumed grant stays until it expires, unless consumed ones are to go; others are not touched."""
        consumed = await self._consumed(store, "consumed")
        await store.persisted_grants.store(a_grant("live"))
        store.clock.advance(MINUTE)
        told = Told()
        options = TokenCleanupOptions(remove_consumed_tokens=remove_consumed_tokens)
        counts = await TokenCleanupService(store, options, told).cleanup_grants()
        assert counts == CleanupCounts(consumed_grants=int(remove_consumed_tokens))
        assert (await store.persisted_grants.get("consumed") is None) is remove_consumed_tokens
        assert await store.persisted_grants.get("live") is not None
        assert told.batches == ([("persisted_grants", [consumed])] if remove_consumed_tokens else [])

    async def test_consumed_ones_have_a_delay(self, store: Any) -> None:
        """The delay is counted from the consumption, and compared strictly."""
        await self._consumed(store, "early")
        store.clock.advance(MILLISECOND)
        await self._consumed(store, "late")
        store.clock.advance(10 * MINUTE)
        options = TokenCleanupOptions(remove_consumed_tokens=True, consumed_token_cleanup_delay=10 * MINUTE)
        assert (await TokenCleanupService(store, options).cleanup_grants()).consumed_grants == 1
        assert await store.persisted_grants.get("early") is None
        assert await store.persisted_grants.get("late") is not None

    async def test_consumed_ones_that_are_no_longer_retained_go_as_expired(self, store: Any) -> None:
        """What readers no longer see goes with the expired ones, before its expiration."""
        day = timedelta(days=1)
        await self._consumed(store, "consumed", type="other", expiration=store.clock.now() + 9 * day)
        store.clock.advance(day + MILLISECOND)
        told = Told()
        assert await TokenCleanupService(store, on_removed=told).cleanup_grants() == CleanupCounts(grants=1)
        assert told.keys() == ["consumed"]

    @pytest.mark.parametrize("consumed", [False, True])
    @pytest.mark.parametrize(("count", "sizes"), [(100, [20] * 5), (101, [20] * 5 + [1]), (7, [7])])
    async def test_batches_have_their_size(self, store: Any, consumed: bool, count: int, sizes: list[int]) -> None:
        """Of 100, at 20 at a time, somebody is told 5 times; each grant is in one batch."""
        keys = [f"{number:03}" for number in range(count)]
        for key in keys:
            await (self._consumed(store, key) if consumed else store.persisted_grants.store(a_grant(key)))
        store.clock.advance(MINUTE if consumed else 2 * HOUR)
        told = Told()
        options = TokenCleanupOptions(batch_size=20, remove_consumed_tokens=consumed)
        counts = await TokenCleanupService(store, options, told).cleanup_grants()
        assert told.sizes() == sizes
        assert sorted(told.keys()) == keys
        assert counts == (CleanupCounts(consumed_grants=count) if consumed else CleanupCounts(grants=count))
        assert await store.persisted_grants.remove_all(ALICES) == 0

    async def test_without_a_callback_more_than_a_batch_goes_too(self, store: Any) -> None:
        """One pass removes everything of every kind, whatever the batch's size."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 25)
        for number in range(7):
            await self._add_device_code(store, f"{number}", MINUTE)
            await self._add_pushed_request(store, f"{number}", MINUTE)
        store.clock.advance(HOUR)
        for number in range(11):
            await self._consumed(store, f"consumed{number}", expiration=None)
        store.clock.advance(MILLISECOND)
        options = TokenCleanupOptions(batch_size=5, remove_consumed_tokens=True)
        assert await TokenCleanupService(store, options).cleanup_grants() == CleanupCounts(
            grants=25, consumed_grants=11, device_codes=7, pushed_authorization_requests=7
        )
        assert await store.persisted_grants.remove_all(ALICES) == 0

    async def test_device_codes_are_told_in_batches_too(self, store: Any) -> None:
        """Of 7, at 3 at a time, somebody is told 3 times, the longest expired first."""
        codes = [a_device_code(creation_time=store.clock.now(), lifetime=60 + number) for number in range(7)]
        for number, code in enumerate(codes):
            await store.device_flow.store_device_authorization(f"{number}", f"user {number}", code)
        store.clock.advance(HOUR)
        told = Told()
        counts = await TokenCleanupService(store, TokenCleanupOptions(batch_size=3), told).cleanup_grants()
        assert told.batches == [("device_codes", batch) for batch in (codes[:3], codes[3:6], codes[6:])]
        assert counts == CleanupCounts(device_codes=7)

    async def test_what_a_callback_adds_between_batches_is_removed_too(self, store: Any) -> None:
        """5 that are added after the first of 5 full batches make one more; what is added during the last stays."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 100)
        told = Told()

        async def on_removed(kind: str, items: Sequence[Any]) -> None:
            told(kind, items)
            if len(told.batches) == 1:
                await self._add_expired(store, 5, "between")
            if len(items) == 5:
                await self._add_expired(store, 1, "last")

        counts = await TokenCleanupService(store, TokenCleanupOptions(batch_size=20), on_removed).cleanup_grants()
        assert told.sizes() == [20] * 5 + [5]
        assert counts.grants == 105
        assert await store.persisted_grants.remove("last0") is True

    async def test_a_callback_that_fails_keeps_its_batch_and_nothing_else(
        self, store: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The other steps are done; the batch is told again by the next pass. The log names the step and no key."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 3)
        await self._add_device_code(store, "device", MINUTE)
        await self._add_pushed_request(store, "par", MINUTE)
        store.clock.advance(HOUR)
        told = Told()

        def on_removed(kind: str, items: Sequence[Any]) -> None:
            told(kind, items)
            if len(told.batches) == 2:
                raise RuntimeError("the queue is full")

        service = TokenCleanupService(store, TokenCleanupOptions(batch_size=2), on_removed)
        with caplog.at_level(logging.WARNING, "mongostore"):
            counts = await service.cleanup_grants()
        assert counts == CleanupCounts(grants=2, device_codes=1, pushed_authorization_requests=1, failures=("grants",))
        assert "The cleanup of grants stopped" in caplog.text
        assert "expired2" not in caplog.text
        assert await service.cleanup_grants() == CleanupCounts(grants=1)
        assert told.keys() == ["expired0", "expired1", "expired2", "expired2"]

    async def test_what_is_stored_anew_meanwhile_stays(self, store: Any) -> None:
        """A grant that the callback, or anybody else, stores over while it is told of is not removed."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 2)

        async def on_removed(_kind: str, _items: Sequence[Any]) -> None:
            await store.persisted_grants.store(a_grant("expired0", expiration=store.clock.now() + HOUR))

        counts = await TokenCleanupService(store, on_removed=on_removed).cleanup_grants()
        assert counts.grants == 1
        assert (await store.persisted_grants.get("expired0")).key == "expired0"

    async def test_what_never_was_visible_is_removed_untold(self, store: Any) -> None:
        """A successor that a crashed rotation left behind goes, and nobody hears of it."""
        records = store.refresh_tokens._records  # noqa: SLF001 - nothing public leaves such a record behind
        await records.insert(GrantRecord(a_grant("pending")), pending_until=store.clock.now() + MINUTE)
        store.clock.advance(HOUR)
        told = Told()
        assert await TokenCleanupService(store, on_removed=told).cleanup_grants() == CleanupCounts(grants=1)
        assert told.batches == []

    async def test_a_rotated_token_is_kept_for_replays_unless_asked_otherwise(self, store: Any) -> None:
        """By default a second use still ends the family after a pass; with consumed ones removed, it is unknown."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        successor = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        store.clock.advance(MINUTE)
        await TokenCleanupService(store).cleanup_grants()
        assert (await store.refresh_tokens.get_refresh_token(handle)).consumed_time is not None
        options = TokenCleanupOptions(remove_consumed_tokens=True)
        assert (await TokenCleanupService(store, options).cleanup_grants()).consumed_grants == 1
        again = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        assert again.outcome == "unknown"
        assert await store.refresh_tokens.get_refresh_token(successor.handle) is not None

    async def test_a_tenant_s_service_leaves_others_alone(self, store: Any) -> None:
        """Only the tenant that the service was made for is cleaned up and told of, consumed grants included."""
        store.clock.advance(2 * HOUR)
        for tenant in ("acme", "acme-2", "default"):
            await self._add_expired(store.for_tenant(tenant), 2, tenant)
            await self._consumed(store.for_tenant(tenant), f"{tenant} consumed", expiration=None)
        store.clock.advance(MILLISECOND)
        told = Told()
        options = TokenCleanupOptions(remove_consumed_tokens=True)
        counts = await TokenCleanupService(store.for_tenant("acme"), options, told).cleanup_grants()
        assert counts == CleanupCounts(grants=2, consumed_grants=1)
        assert told.keys() == ["acme0", "acme1", "acme consumed"]
        assert await store.persisted_grants.remove_all(ALICES) == 3
        assert await store.for_tenant("acme-2").persisted_grants.remove_all(ALICES) == 3

    async def test_of_many_at_once_one_does_it(self, store: Any) -> None:
        """10 concurrent passes tell of each grant once; who comes too late says so."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 50)
        told = Told()

        async def on_removed(kind: str, items: Sequence[Any]) -> None:
            told(kind, items)
            await asyncio.sleep(0.001)

        options = TokenCleanupOptions(batch_size=10)
        passes = await asyncio.gather(
            *(TokenCleanupService(store, options, on_removed).cleanup_grants() for _ in range(10))
        )
        assert sum(each.grants for each in passes) == 50
        assert len(told.keys()) == len(set(told.keys())) == 50
        assert any(each.skipped for each in passes)

    async def test_run_goes_on_after_a_failure_until_it_is_cancelled(self, store: Any) -> None:
        """Pass after pass, a failing callback notwithstanding; a cancellation ends it, and frees the lease."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 1)
        done = asyncio.Event()
        calls = 0

        async def on_removed(_kind: str, _items: Sequence[Any]) -> None:
            nonlocal calls
            calls += 1
            if calls < 3:
                raise RuntimeError("not now")
            done.set()
            await asyncio.Event().wait()

        options = TokenCleanupOptions(interval=10 * MILLISECOND)
        task = asyncio.create_task(TokenCleanupService(store, options, on_removed).run())
        async with asyncio.timeout(60):
            await done.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert calls == 3
        assert await TokenCleanupService(store).cleanup_grants() == CleanupCounts(grants=1)

    async def test_run_begins_after_an_interval(self, store: Any) -> None:
        """Without a fuzzy start, nothing happens within the first interval."""
        store.clock.advance(2 * HOUR)
        await self._add_expired(store, 1)
        options = TokenCleanupOptions(fuzz_start=False)
        task = asyncio.create_task(TokenCleanupService(store, options).run())
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await store.persisted_grants.remove_all(ALICES) == 1

    @pytest.mark.parametrize("tenant", ["default", "acme"])
    async def test_run_says_which_tenant_it_serves(
        self, store: Any, tenant: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its log names the tenant at the start."""
        with caplog.at_level(logging.INFO, "mongostore"):
            task = asyncio.create_task(TokenCleanupService(store.for_tenant(tenant)).run())
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert f"grants of tenant {tenant}, and of no other" in caplog.text

    async def _add_expired(self, store: Any, count: int, prefix: str = "expired") -> None:
        """Add expired grants, the longest expired first, once the clock has advanced by more than an hour.

        By the real time they have not expired, so that MongoDB's TTL leaves them alone.
        """
        over = store.clock.now() - HOUR
        for number in range(count):
            await store.persisted_grants.store(
                a_grant(f"{prefix}{number}", creation_time=over - HOUR, expiration=over + number * MILLISECOND)
            )

    async def _add_one_of_each(self, store: Any, name: str, lifetime: timedelta) -> None:
        await store.persisted_grants.store(a_grant(name, expiration=store.clock.now() + lifetime))
        await self._add_device_code(store, name, lifetime)
        await self._add_pushed_request(store, name, lifetime)

    async def _add_device_code(self, store: Any, name: str, lifetime: timedelta) -> None:
        # Its lifetime is whole seconds; so the creation moves.
        code = a_device_code(creation_time=store.clock.now() + lifetime - HOUR, lifetime=3_600)
        await store.device_flow.store_device_authorization(name, f"user {name}", code)

    async def _add_pushed_request(self, store: Any, name: str, lifetime: timedelta) -> None:
        await store.pushed_authorization_requests.store(
            a_pushed_request(name, expires_at_utc=store.clock.now() + lifetime)
        )

    async def _consumed(self, store: Any, key: str, **values: Any) -> Any:
        """Add a grant and consume it: the grant as it then is."""
        await store.persisted_grants.store(a_grant(key, **values))
        assert await store.persisted_grants.consume(key) is not None
        return await store.persisted_grants.get(key)

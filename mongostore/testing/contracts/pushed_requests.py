"""What every `PushedAuthorizationRequestStore` does.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongostore.errors import AlreadyExists
from mongostore.models import PushedAuthorizationRequest
from mongostore.testing.contracts.persisted_grants import IMPOSSIBLE_IDENTIFIERS, MILLISECOND, NO_TEXTS, ODD_IDENTIFIERS
from mongostore.testing.factories import a_grant, a_pushed_request

HOUR = timedelta(hours=1)


class PushedAuthorizationRequestStoreContract:
    """Storing, reading and consuming pushed authorization requests."""

    async def test_a_request_comes_back_by_its_hash(self, store: Any) -> None:
        """Parameters come back with every value, in order, whatever their names are."""
        parameters = {"scope": ["openid"], "a.b": ["$1", "", "ü\0"], "": [], "resource": ["b", "a", "b"]}
        par = a_pushed_request(parameters=parameters)
        await store.pushed_authorization_requests.store(par)
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == par
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == par

    @pytest.mark.parametrize("odd", ODD_IDENTIFIERS)
    async def test_no_character_is_special(self, store: Any, odd: str) -> None:
        """Hashes are text of any form, compared byte for byte."""
        par = a_pushed_request(odd)
        await store.pushed_authorization_requests.store(par)
        await store.pushed_authorization_requests.store(a_pushed_request("other"))
        for similar in {odd.upper(), odd.lower(), odd.strip(), odd + " "} - {odd}:
            assert await store.pushed_authorization_requests.get_by_hash(similar) is None
        assert await store.pushed_authorization_requests.consume_by_hash(odd) == par

    @pytest.mark.parametrize(
        "impossible", [*IMPOSSIBLE_IDENTIFIERS, "unknown", *NO_TEXTS], ids=lambda value: ascii(value)[:9]
    )
    async def test_what_can_not_be_there_is_not_found(self, store: Any, impossible: Any) -> None:
        """Whatever a party sends, the answer is that there is no such request."""
        assert await store.pushed_authorization_requests.get_by_hash(impossible) is None
        assert await store.pushed_authorization_requests.consume_by_hash(impossible) is None

    async def test_bad_input_is_not_stored(self, store: Any) -> None:
        """Something else than a request, one that was tampered with, or is too large, is refused; nothing is stored."""
        good = a_pushed_request()
        naive = datetime(2030, 1, 1)  # noqa: DTZ001 - that is the point
        for wrong, error in [
            (None, TypeError),
            (a_grant(), TypeError),
            *((good.model_copy(update={"reference_value_hash": each}), ValueError) for each in IMPOSSIBLE_IDENTIFIERS),
            (good.model_copy(update={"expires_at_utc": naive}), ValueError),
            (good.model_copy(update={"parameters": {"scope": "openid"}}), TypeError),
            (good.model_copy(update={"client": "web"}), ValueError),
            (good.model_copy(update={"client_id": "a\0"}), ValueError),
            (PushedAuthorizationRequest.model_construct(), ValueError),
            (good.model_copy(update={"parameters": {"request": ["x" * 2**20]}}), ValueError),
            (good.model_copy(update={"parameters": {"state": ["\ud800"]}}), ValueError),
        ]:
            with pytest.raises(error):
                await store.pushed_authorization_requests.store(wrong)
            assert await store.pushed_authorization_requests.get_by_hash(good.reference_value_hash) is None

    async def test_a_hash_that_is_taken_is_refused(self, store: Any) -> None:
        """AlreadyExists, and the request that is there stays as it is."""
        par = a_pushed_request()
        await store.pushed_authorization_requests.store(par)
        with pytest.raises(AlreadyExists):
            await store.pushed_authorization_requests.store(a_pushed_request(parameters={}))
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == par

    async def test_a_consumed_request_blocks_its_hash(self, store: Any) -> None:
        """A reference that was used up can't be filled again while the request is kept."""
        par = a_pushed_request(expires_at_utc=store.clock.now() + HOUR)
        await store.pushed_authorization_requests.store(par)
        await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash)
        with pytest.raises(AlreadyExists):
            await store.pushed_authorization_requests.store(par)
        assert await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash) is None
        store.clock.advance(HOUR)
        fresh = a_pushed_request(expires_at_utc=store.clock.now() + HOUR)
        await store.pushed_authorization_requests.store(fresh)
        assert await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash) == fresh

    async def test_a_consumed_request_is_kept_for_the_retention(self, store: Any) -> None:
        """However long it would have lived, its hash is free one day after it was consumed, the default retention."""
        par = a_pushed_request(expires_at_utc=store.clock.now() + timedelta(days=3))
        await store.pushed_authorization_requests.store(par)
        await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash)
        store.clock.advance(timedelta(days=1) - MILLISECOND)
        with pytest.raises(AlreadyExists):
            await store.pushed_authorization_requests.store(par)
        store.clock.advance(MILLISECOND)
        await store.pushed_authorization_requests.store(par)
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == par

    async def test_a_request_is_absent_from_the_instant_it_expires(self, store: Any) -> None:
        """One millisecond before it is there; from then on it is neither read nor consumed, nor in the way."""
        par = a_pushed_request(expires_at_utc=store.clock.now() + HOUR)
        await store.pushed_authorization_requests.store(par)
        store.clock.advance(HOUR - MILLISECOND)
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == par
        store.clock.advance(MILLISECOND)
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) is None
        assert await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash) is None
        fresh = a_pushed_request(expires_at_utc=store.clock.now() + HOUR, parameters={"fresh": ["yes"]})
        await store.pushed_authorization_requests.store(fresh)
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == fresh

    @pytest.mark.parametrize("over_an_expired_one", [False, True])
    async def test_of_concurrent_storers_one_wins(self, store: Any, over_an_expired_one: bool) -> None:
        """Of 20 callers with the same hash, one is not told AlreadyExists."""
        for round_ in range(3):
            hash_ = str(round_)
            if over_an_expired_one:
                await store.pushed_authorization_requests.store(
                    a_pushed_request(hash_, expires_at_utc=store.clock.now() + HOUR)
                )
                store.clock.advance(HOUR)
            fresh = a_pushed_request(hash_, expires_at_utc=store.clock.now() + HOUR)
            results = await asyncio.gather(
                *(store.pushed_authorization_requests.store(fresh) for _ in range(20)), return_exceptions=True
            )
            assert sorted(map(type, results), key=str) == [type(None), *[AlreadyExists] * 19]
            assert await store.pushed_authorization_requests.get_by_hash(hash_) == fresh

    async def test_consuming_gives_the_request_once(self, store: Any) -> None:
        """The first consumer gets the request, the second nothing, and it is not read any more."""
        par = a_pushed_request()
        await store.pushed_authorization_requests.store(par)
        assert await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash) == par
        assert await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash) is None
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) is None

    async def test_requests_are_independent(self, store: Any) -> None:
        """Each has its own parameters and its own end; consuming one leaves the others as they were."""
        requests = store.pushed_authorization_requests
        start = store.clock.now()
        early = a_pushed_request("early", expires_at_utc=start + HOUR, parameters={"state": ["1"]})
        late = a_pushed_request("late", expires_at_utc=start + 2 * HOUR, parameters={"state": ["2"]})
        taken = a_pushed_request("taken", expires_at_utc=start + 2 * HOUR, parameters={"state": ["3"]})
        for par in (early, late, taken):
            await requests.store(par)
        assert await requests.consume_by_hash("taken") == taken
        assert await requests.get_by_hash("early") == early
        assert await requests.get_by_hash("late") == late
        store.clock.advance(HOUR)
        assert await requests.get_by_hash("early") is None
        assert await requests.consume_by_hash("late") == late

    async def test_concurrent_consumers_have_one_winner(self, store: Any) -> None:
        """Of 50 concurrent consumers, exactly one gets the request."""
        for round_ in range(5):
            par = a_pushed_request(str(round_))
            await store.pushed_authorization_requests.store(par)
            taken = await asyncio.gather(
                *(store.pushed_authorization_requests.consume_by_hash(str(round_)) for _ in range(50))
            )
            assert [each for each in taken if each is not None] == [par]

    async def test_a_stored_request_does_not_follow_its_model(self, store: Any) -> None:
        """What the caller does to the parameters afterwards stays the caller's."""
        par = a_pushed_request(parameters={"scope": ["openid"]})
        await store.pushed_authorization_requests.store(par)
        par.parameters["scope"].append("admin")
        found = await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash)
        assert found.parameters == {"scope": ["openid"]}

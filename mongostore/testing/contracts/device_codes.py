"""What every `DeviceFlowStore` does.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, NotFound
from mongostore.models import Claim, DeviceCode, Principal
from mongostore.testing.contracts.persisted_grants import MILLISECOND, ODD_IDENTIFIERS
from mongostore.testing.factories import LIFETIME_SECONDS, a_device_code, a_grant, an_answered_device_code

SECOND = timedelta(seconds=1)
LIFETIME = timedelta(seconds=LIFETIME_SECONDS)
INTERVAL = timedelta(seconds=5)
ODD_CODES = [*ODD_IDENTIFIERS, "😀", "x" * 5_000]
IMPOSSIBLE_CODES = ["", "a\0b", "\ud800"]


async def outcomes(*calls: Any) -> list[type]:
    """What became of concurrent calls: NoneType, or the kind of error."""
    return [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)]


class DeviceFlowStoreContract:
    """Storing, finding, answering, polling and consuming device authorization requests."""

    async def test_a_request_comes_back_by_either_code(self, store: Any) -> None:
        """What is stored under two codes is found by each, every field."""
        data = DeviceCode(
            creation_time=store.clock.now(),
            lifetime=300,
            client_id="tv",
            description="d",
            is_open_id=True,
            is_authorized=True,
            requested_scopes=["a", "b"],
            authorized_scopes=["a"],
            subject=Principal([Claim("sub", "alice"), Claim("age", "7", "integer", "elsewhere")], "pwd"),
            session_id="s1",
        )
        await store.device_flow.store_device_authorization("device", "user", data)
        assert await store.device_flow.find_by_device_code("device") == data
        assert await store.device_flow.find_by_user_code("user") == data

    async def test_the_two_kinds_of_codes_are_apart(self, store: Any) -> None:
        """A device code finds nothing as a user code, nor the other way."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        assert await store.device_flow.find_by_device_code("user") is None
        assert await store.device_flow.find_by_user_code("device") is None
        assert await store.device_flow.remove_by_device_code("user") is False

    @pytest.mark.parametrize("odd", ODD_CODES)
    async def test_no_character_is_special(self, store: Any, odd: str) -> None:
        """Codes are of any length and compared byte for byte."""
        await store.device_flow.store_device_authorization(odd, odd, an_answered_device_code("odd"))
        await store.device_flow.store_device_authorization("other", "other", a_device_code())
        for similar in {odd.upper(), odd.lower(), odd.strip(), odd + " "} - {odd}:
            assert await store.device_flow.find_by_device_code(similar) is None
            assert await store.device_flow.find_by_user_code(similar) is None
        assert (await store.device_flow.find_by_user_code(odd)).subject_id == "odd"
        assert (await store.device_flow.consume_by_device_code(odd)).subject_id == "odd"

    @pytest.mark.parametrize("impossible", [*IMPOSSIBLE_CODES, "unknown"])
    async def test_what_can_not_be_there_is_not_found(self, store: Any, impossible: str) -> None:
        """Whatever a party sends for a code, the answer is that it is unknown."""
        assert await store.device_flow.find_by_device_code(impossible) is None
        assert await store.device_flow.find_by_user_code(impossible) is None
        assert await store.device_flow.consume_by_device_code(impossible) is None
        assert await store.device_flow.remove_by_device_code(impossible) is False
        assert await store.device_flow.register_poll(impossible, INTERVAL) is True
        with pytest.raises(NotFound):
            await store.device_flow.update_by_user_code(impossible, a_device_code())

    @pytest.mark.parametrize("impossible", IMPOSSIBLE_CODES)
    async def test_an_impossible_code_is_not_stored(self, store: Any, impossible: str) -> None:
        """Saving what can't be found again raises ValueError, which names the code's kind, and stores nothing."""
        with pytest.raises(ValueError, match="device_code"):
            await store.device_flow.store_device_authorization(impossible, "user", a_device_code())
        with pytest.raises(ValueError, match="user_code"):
            await store.device_flow.store_device_authorization("device", impossible, a_device_code())
        assert await store.device_flow.find_by_user_code("user") is None
        assert await store.device_flow.find_by_device_code("device") is None

    async def test_bad_data_is_not_stored(self, store: Any) -> None:
        """Something else than a request, one that was tampered with, or is too large, is refused; nothing is stored."""
        good = a_device_code()
        naive = datetime(2030, 1, 1)  # noqa: DTZ001 - that is the point
        for wrong, error in [
            (None, TypeError),
            (a_grant(), TypeError),
            (good.model_copy(update={"client_id": ""}), ValueError),
            (good.model_copy(update={"is_authorised": True}), ValueError),
            (DeviceCode.model_construct(), ValueError),
            (good.model_copy(update={"creation_time": naive}), ValueError),
            (good.model_copy(update={"description": "\ud800"}), ValueError),
            (good.model_copy(update={"description": "x" * 2**20}), ValueError),
            (good.model_copy(update={"creation_time": datetime.max.replace(tzinfo=UTC)}), ValueError),
        ]:
            with pytest.raises(error):
                await store.device_flow.store_device_authorization("device", "user", wrong)
            assert await store.device_flow.find_by_user_code("user") is None
        await store.device_flow.store_device_authorization("device", "user", good)
        for wrong, error in [(None, TypeError), (good.model_copy(update={"client_id": ""}), ValueError)]:
            with pytest.raises(error):
                await store.device_flow.update_by_user_code("user", wrong)
            with pytest.raises(error):
                await store.device_flow.update_by_user_code("unknown", wrong)
        with pytest.raises(TypeError):
            await store.device_flow.find_by_user_code(None)
        with pytest.raises(TypeError):
            await store.device_flow.store_device_authorization(b"device", "user", good)
        assert await store.device_flow.find_by_user_code("user") == good

    async def test_a_code_that_is_taken_is_refused(self, store: Any) -> None:
        """AlreadyExists on either code, and the request that is there stays as it is."""
        data = a_device_code()
        await store.device_flow.store_device_authorization("device", "user", data)
        for device_code, user_code in [("device", "user"), ("device", "other"), ("other", "user")]:
            with pytest.raises(AlreadyExists):
                await store.device_flow.store_device_authorization(device_code, user_code, an_answered_device_code())
        assert await store.device_flow.find_by_device_code("device") == data
        assert await store.device_flow.find_by_user_code("user") == data
        assert await store.device_flow.find_by_user_code("other") is None
        assert await store.device_flow.find_by_device_code("other") is None

    @pytest.mark.parametrize("taken", ["device", "user", "both"])
    async def test_of_concurrent_storers_one_wins(self, store: Any, taken: str) -> None:
        """Of 20 callers that draw the same device code, user code or both, one is not told AlreadyExists."""
        for round_ in range(3):
            calls = [
                store.device_flow.store_device_authorization(
                    f"d{round_}" if taken != "user" else f"d{round_} {number}",
                    f"u{round_}" if taken != "device" else f"u{round_} {number}",
                    a_device_code(),
                )
                for number in range(20)
            ]
            assert sorted(await outcomes(*calls), key=str) == [type(None), *[AlreadyExists] * 19]

    async def test_an_expired_request_blocks_neither_code(self, store: Any) -> None:
        """Its codes can be drawn again, each by another request, though it may be physically there; others stay."""
        others = [str(number) for number in range(10)]
        for device_code, user_code in [
            ("both", "both"),
            ("device", "its"),
            ("its", "user"),
            *zip(others, others, strict=True),
        ]:
            data = a_device_code(creation_time=store.clock.now(), lifetime=60)
            await store.device_flow.store_device_authorization(device_code, user_code, data)
        store.clock.advance(timedelta(seconds=60))
        fresh = a_device_code(creation_time=store.clock.now(), client_id="fresh")
        await store.device_flow.store_device_authorization("both", "both", fresh)
        await store.device_flow.store_device_authorization("device", "user", fresh)
        for code in ("both", "device"):
            assert await store.device_flow.find_by_device_code(code) == fresh
        for code in ("both", "user"):
            assert await store.device_flow.find_by_user_code(code) == fresh
        assert await store.device_flow.find_by_user_code("its") is None
        assert await store.device_flow.find_by_device_code("its") is None
        assert all([await store.device_flow.remove_by_device_code(code) for code in others])

    @pytest.mark.parametrize("same_device", [True, False])
    async def test_of_concurrent_storers_over_an_expired_request_one_wins(self, store: Any, same_device: bool) -> None:
        """Of 20 callers that store over an expired request, one is not told AlreadyExists."""
        for round_ in range(3):
            old = a_device_code(creation_time=store.clock.now(), lifetime=60)
            await store.device_flow.store_device_authorization(f"d{round_}", f"u{round_}", old)
            store.clock.advance(timedelta(seconds=60))
            fresh = a_device_code(creation_time=store.clock.now())
            calls = [
                store.device_flow.store_device_authorization(
                    f"d{round_}" if same_device else f"d{round_} {number}", f"u{round_}", fresh
                )
                for number in range(20)
            ]
            assert sorted(await outcomes(*calls), key=str) == [type(None), *[AlreadyExists] * 19]
            assert await store.device_flow.find_by_user_code(f"u{round_}") == fresh

    async def test_a_request_is_absent_from_the_instant_it_expires(self, store: Any) -> None:
        """One millisecond before it is there; from then on it is not found, answered or consumed."""
        data = an_answered_device_code(creation_time=store.clock.now())
        await store.device_flow.store_device_authorization("device", "user", data)
        store.clock.advance(LIFETIME - MILLISECOND)
        assert await store.device_flow.find_by_device_code("device") == data
        assert await store.device_flow.find_by_user_code("user") == data
        await store.device_flow.update_by_user_code("user", data)
        store.clock.advance(MILLISECOND)
        assert await store.device_flow.find_by_device_code("device") is None
        assert await store.device_flow.find_by_user_code("user") is None
        assert await store.device_flow.consume_by_device_code("device") is None
        with pytest.raises(NotFound):
            await store.device_flow.update_by_user_code("user", data)
        assert await store.device_flow.remove_by_device_code("device") is True

    async def test_the_answer_is_written_down(self, store: Any) -> None:
        """Subject, session, description and scopes of the answer are found by both codes."""
        data = a_device_code()
        await store.device_flow.store_device_authorization("device", "user", data)
        answer = {"is_authorized": True, "session_id": "s9", "description": "sofa", "authorized_scopes": []}
        answered = data.model_copy(update={**answer, "subject": Principal([Claim("sub", "bob")])})
        await store.device_flow.update_by_user_code("user", answered)
        assert await store.device_flow.find_by_device_code("device") == answered
        assert await store.device_flow.find_by_user_code("user") == answered

    async def test_an_answer_does_not_prolong_the_request(self, store: Any) -> None:
        """Whatever the data say of creation and lifetime, the request expires when it always would have."""
        await store.device_flow.store_device_authorization(
            "device", "user", a_device_code(creation_time=store.clock.now(), lifetime=60)
        )
        longer = an_answered_device_code(creation_time=store.clock.now() + LIFETIME)
        await store.device_flow.update_by_user_code("user", longer)
        store.clock.advance(timedelta(seconds=60) - MILLISECOND)
        assert await store.device_flow.find_by_device_code("device") is not None
        store.clock.advance(MILLISECOND)
        assert await store.device_flow.find_by_device_code("device") is None
        assert await store.device_flow.consume_by_device_code("device") is None

    async def test_an_answer_never_brings_a_request_back(self, store: Any) -> None:
        """What was removed or consumed is NotFound for the answer, and stays away."""
        for code in ("removed", "consumed"):
            await store.device_flow.store_device_authorization(code, code, an_answered_device_code())
        await store.device_flow.remove_by_device_code("removed")
        await store.device_flow.consume_by_device_code("consumed")
        for code in ("removed", "consumed"):
            with pytest.raises(NotFound):
                await store.device_flow.update_by_user_code(code, an_answered_device_code())
            assert await store.device_flow.find_by_device_code(code) is None
            assert await store.device_flow.find_by_user_code(code) is None
            assert await store.device_flow.consume_by_device_code(code) is None

    async def test_answers_and_removal_at_once(self, store: Any) -> None:
        """Whichever comes first, a request that was removed stays removed."""
        for round_ in range(5):
            code = str(round_)
            await store.device_flow.store_device_authorization(code, code, a_device_code())
            answers = [store.device_flow.update_by_user_code(code, an_answered_device_code()) for _ in range(10)]
            await outcomes(*answers[:5], store.device_flow.remove_by_device_code(code), *answers[5:])
            assert await store.device_flow.find_by_user_code(code) is None
            assert await store.device_flow.find_by_device_code(code) is None

    async def test_remove_tells_whether_there_was_one(self, store: Any) -> None:
        """The first removal finds the request, the second does not; its codes are free again."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        assert await store.device_flow.remove_by_device_code("device") is True
        assert await store.device_flow.remove_by_device_code("device") is False
        assert await store.device_flow.find_by_user_code("user") is None
        await store.device_flow.store_device_authorization("device", "user", a_device_code())

    async def test_only_an_answered_request_is_consumed(self, store: Any) -> None:
        """While the user has not answered there is nothing to consume; after, there is, once."""
        data = a_device_code()
        await store.device_flow.store_device_authorization("device", "user", data)
        assert await store.device_flow.consume_by_device_code("device") is None
        assert await store.device_flow.find_by_device_code("device") == data
        answered = an_answered_device_code()
        await store.device_flow.update_by_user_code("user", answered)
        assert await store.device_flow.consume_by_device_code("device") == answered
        assert await store.device_flow.consume_by_device_code("device") is None
        assert await store.device_flow.find_by_device_code("device") is None
        assert await store.device_flow.find_by_user_code("user") is None

    async def test_an_answer_can_be_taken_back(self, store: Any) -> None:
        """What is no longer authorized is not consumed."""
        await store.device_flow.store_device_authorization("device", "user", an_answered_device_code())
        await store.device_flow.update_by_user_code("user", a_device_code())
        assert await store.device_flow.consume_by_device_code("device") is None

    async def test_a_denied_request_is_consumed_like_any_other(self, store: Any) -> None:
        """Authorized for no scopes is an answer too."""
        denied = a_device_code(is_authorized=True)
        await store.device_flow.store_device_authorization("device", "user", denied)
        assert await store.device_flow.consume_by_device_code("device") == denied

    async def test_a_consumed_request_blocks_its_codes(self, store: Any) -> None:
        """Codes that were used are not given out again while the request is kept, at most until it expires."""
        data = an_answered_device_code(creation_time=store.clock.now())
        await store.device_flow.store_device_authorization("device", "user", data)
        await store.device_flow.consume_by_device_code("device")
        for device_code, user_code in [("device", "other"), ("other", "user")]:
            with pytest.raises(AlreadyExists):
                await store.device_flow.store_device_authorization(device_code, user_code, a_device_code())
        store.clock.advance(LIFETIME)
        await store.device_flow.store_device_authorization(
            "device", "user", a_device_code(creation_time=store.clock.now())
        )

    async def test_a_consumed_request_is_kept_for_the_retention(self, store: Any) -> None:
        """However long it would have lived, its codes are free one day after it was consumed, the default retention."""
        day = timedelta(days=1)
        data = an_answered_device_code(creation_time=store.clock.now(), lifetime=3 * 24 * 3_600)
        await store.device_flow.store_device_authorization("device", "user", data)
        await store.device_flow.consume_by_device_code("device")
        store.clock.advance(day - MILLISECOND)
        with pytest.raises(AlreadyExists):
            await store.device_flow.store_device_authorization("device", "user", a_device_code())
        store.clock.advance(MILLISECOND)
        fresh = a_device_code(creation_time=store.clock.now())
        await store.device_flow.store_device_authorization("device", "user", fresh)
        assert await store.device_flow.find_by_user_code("user") == fresh

    async def test_concurrent_consumers_have_one_winner(self, store: Any) -> None:
        """Of 50 concurrent consumers, exactly one gets the request."""
        for round_ in range(5):
            code = str(round_)
            await store.device_flow.store_device_authorization(code, code, an_answered_device_code(code))
            taken = await asyncio.gather(*(store.device_flow.consume_by_device_code(code) for _ in range(50)))
            assert [each.subject_id for each in taken if each is not None] == [code]

    async def test_polls_that_keep_the_interval_are_told_true(self, store: Any) -> None:
        """The first poll may come at once, the next ones when the interval has passed, to the millisecond."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        assert await store.device_flow.register_poll("device", INTERVAL) is True
        store.clock.advance(INTERVAL)
        assert await store.device_flow.register_poll("device", INTERVAL) is True
        store.clock.advance(INTERVAL - MILLISECOND)
        assert await store.device_flow.register_poll("device", INTERVAL) is False

    async def test_a_poll_that_is_too_early_restarts_the_interval(self, store: Any) -> None:
        """Who does not slow down is never told True."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        await store.device_flow.register_poll("device", INTERVAL)
        for _ in range(4):
            store.clock.advance(INTERVAL / 2)
            assert await store.device_flow.register_poll("device", INTERVAL) is False
        store.clock.advance(INTERVAL)
        assert await store.device_flow.register_poll("device", INTERVAL) is True

    async def test_of_polls_at_the_same_time_one_is_told_true(self, store: Any) -> None:
        """The write that notes the poll decides."""
        for round_ in range(3):
            await store.device_flow.store_device_authorization(f"d{round_}", f"u{round_}", a_device_code())
            polls = await asyncio.gather(*(store.device_flow.register_poll(f"d{round_}", INTERVAL) for _ in range(20)))
            assert polls.count(True) == 1

    async def test_polls_of_two_devices_are_apart(self, store: Any) -> None:
        """Each request has its own interval, and a poll changes nothing else."""
        data = a_device_code()
        for code in ("one", "two"):
            await store.device_flow.store_device_authorization(code, code, data)
        assert await store.device_flow.register_poll("one", INTERVAL) is True
        assert await store.device_flow.register_poll("two", INTERVAL) is True
        assert await store.device_flow.find_by_device_code("one") == data

    async def test_an_answer_does_not_restart_the_interval(self, store: Any) -> None:
        """The device goes on polling as before while its user answers."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        await store.device_flow.register_poll("device", INTERVAL)
        await store.device_flow.update_by_user_code("user", an_answered_device_code())
        store.clock.advance(SECOND)
        assert await store.device_flow.register_poll("device", INTERVAL) is False

    async def test_an_interval_that_is_none_is_refused(self, store: Any) -> None:
        """Seconds as a number, and a negative duration, are mistakes; no interval at all slows nobody."""
        await store.device_flow.store_device_authorization("device", "user", a_device_code())
        with pytest.raises(TypeError, match="interval"):
            await store.device_flow.register_poll("device", 5)
        with pytest.raises(ValueError, match="interval"):
            await store.device_flow.register_poll("device", -SECOND)
        for _ in range(3):
            assert await store.device_flow.register_poll("device", timedelta(0)) is True

"""What the backchannel authentication requests of every store do.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
import logging
import re
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import NotFound, PayloadUnreadable
from mongostore.grants.handles import grant_key
from mongostore.models import PersistedGrantFilter
from mongostore.testing.contracts.persisted_grants import IMPOSSIBLE_IDENTIFIERS, MILLISECOND, ODD_IDENTIFIERS
from mongostore.testing.factories import (
    LIFETIME_SECONDS,
    a_backchannel_request,
    a_grant,
    a_principal,
    a_refresh_token,
    an_authorization_code,
)

LIFETIME = timedelta(seconds=LIFETIME_SECONDS)
ANSWER: dict[str, Any] = {
    "is_complete": True,
    "authorized_scopes": ["openid"],
    "session_id": "s9",
    "description": "by phone",
}


async def created(store: Any, **values: Any) -> tuple[str, str, Any]:
    """Handle, internal id and request as stored."""
    request = a_backchannel_request(**values)
    handle = await store.backchannel_authentication_requests.create_request(request)
    internal_id = grant_key(handle, "ciba")
    return handle, internal_id, request.model_copy(update={"internal_id": internal_id})


class BackChannelAuthenticationRequestContract:
    """Creating, finding, answering and consuming backchannel authentication requests."""

    async def test_a_request_comes_back_by_either_id(self, store: Any) -> None:
        """Every field is read back, with the internal id that the store set."""
        handle, internal_id, request = await created(
            store,
            internal_id="ignored",
            requested_resource_indicators=["urn:orders"],
            authentication_context_reference_classes=["urn:acr"],
            tenant="t",
            idp="i",
            properties={"a.b": [1, None, {"$c": "d"}]},
        )
        assert await store.backchannel_authentication_requests.get_by_authentication_request_id(handle) == request
        assert await store.backchannel_authentication_requests.get_by_internal_id(internal_id) == request

    async def test_the_two_ids_are_not_interchangeable(self, store: Any) -> None:
        """Who knows the internal id can't poll with it, nor the other way."""
        handle, internal_id, _ = await created(store)
        assert await store.backchannel_authentication_requests.get_by_authentication_request_id(internal_id) is None
        assert await store.backchannel_authentication_requests.get_by_internal_id(handle) is None

    async def test_a_handle_is_random_and_of_the_references_form(self, store: Any) -> None:
        """64 upper-case hex digits and the version, a new one each time."""
        handles = {(await created(store))[0] for _ in range(10)}
        assert len(handles) == 10
        assert all(re.fullmatch(r"[0-9A-F]{64}-1", handle) for handle in handles)

    async def test_a_request_is_a_grant_of_its_type(self, store: Any) -> None:
        """Filters find it by subject, client and type, and `remove_all_grants` takes it along; its handle is not in it."""
        handle, internal_id, request = await created(store, subject_id="bob")
        (grant,) = await store.persisted_grants.get_all(
            PersistedGrantFilter(subject_id="bob", client_id="bank", type="ciba")
        )
        assert (grant.key, grant.expiration) == (internal_id, request.creation_time + LIFETIME)
        assert handle not in grant.model_dump_json()
        assert await store.grants.remove_all_grants("bob") == 1
        assert await store.backchannel_authentication_requests.get_by_internal_id(internal_id) is None

    @pytest.mark.parametrize("impossible", [*IMPOSSIBLE_IDENTIFIERS, "unknown", "x" * 5_000])
    async def test_what_can_not_be_there_is_not_found(self, store: Any, impossible: str) -> None:
        """Whatever a party sends for an id, the answer is that it is unknown."""
        await created(store, is_complete=True)
        requests = store.backchannel_authentication_requests
        assert await requests.get_by_authentication_request_id(impossible) is None
        assert await requests.get_by_internal_id(impossible) is None
        assert await requests.consume_by_internal_id(impossible) is None
        assert await requests.remove_by_internal_id(impossible) is False
        with pytest.raises(NotFound):
            await requests.update_by_internal_id(impossible, a_backchannel_request())

    @pytest.mark.parametrize("odd", ODD_IDENTIFIERS)
    async def test_no_character_of_an_identifier_is_special(self, store: Any, odd: str) -> None:
        """Subjects and clients are compared byte for byte."""
        _, _, request = await created(store, subject_id=odd, client_id=odd)
        await created(store)
        requests = store.backchannel_authentication_requests
        assert await requests.get_logins_for_user(odd) == [request]
        assert await requests.get_logins_for_user(odd, odd) == [request]
        for similar in {odd.upper(), odd.lower(), odd.strip() or "z", odd + " "} - {odd}:
            assert await requests.get_logins_for_user(similar) == []
            assert await requests.get_logins_for_user(odd, similar) == []

    async def test_logins_are_those_of_the_user(self, store: Any) -> None:
        """Pending and answered requests of the subject, of one client when given; nothing of another type."""
        requests = store.backchannel_authentication_requests
        _, _, pending = await created(store)
        _, _, answered = await created(store, client_id="shop", **ANSWER)
        await created(store, subject_id="bob")
        await store.authorization_codes.store_authorization_code(an_authorization_code())
        found = await requests.get_logins_for_user("alice")
        assert sorted(found, key=lambda each: each.client_id) == [pending, answered]
        assert await requests.get_logins_for_user("alice", "shop") == [answered]
        assert await requests.get_logins_for_user("alice", "nobody") == []
        assert await requests.get_logins_for_user("a\0b") == []
        for subject_id, client_id in [("", None), ("alice", "")]:
            with pytest.raises(ValueError, match="_id"):
                await requests.get_logins_for_user(subject_id, client_id)
        with pytest.raises(TypeError, match="subject_id"):
            await requests.get_logins_for_user(None)

    async def test_expired_and_consumed_logins_are_left_out(self, store: Any) -> None:
        """What can't be answered any more is not listed."""
        now = store.clock.now()
        await created(store, creation_time=now, lifetime=60)
        _, consumed, _ = await created(store, creation_time=now, **ANSWER)
        _, _, live = await created(store, creation_time=now)
        await store.backchannel_authentication_requests.consume_by_internal_id(consumed)
        store.clock.advance(timedelta(seconds=60))
        assert await store.backchannel_authentication_requests.get_logins_for_user("alice") == [live]

    async def test_a_damaged_login_is_logged_and_left_out(self, store: Any, caplog: pytest.LogCaptureFixture) -> None:
        """One that can't be read does not hide the others, and when none can be read that is an error."""
        requests = store.backchannel_authentication_requests
        damaged = a_grant(type="ciba", client_id="bank", data='{"secret": "hunter2"}')
        await store.persisted_grants.store(damaged)
        with pytest.raises(PayloadUnreadable):
            await requests.get_logins_for_user("alice")
        with pytest.raises(PayloadUnreadable):
            await requests.get_by_internal_id(damaged.key)
        _, _, request = await created(store)
        caplog.clear()
        with caplog.at_level(logging.ERROR, "mongostore"):
            assert await requests.get_logins_for_user("alice") == [request]
        assert caplog.records
        assert "hunter2" not in caplog.text

    async def test_the_answer_is_written_down(self, store: Any) -> None:
        """Scopes, session and description are found by both ids, in the list and in the grant; the internal id stays."""
        handle, internal_id, request = await created(store)
        answered = request.model_copy(update={**ANSWER, "subject": a_principal("alice", "s9")})
        requests = store.backchannel_authentication_requests
        await requests.update_by_internal_id(internal_id, answered.model_copy(update={"internal_id": "another"}))
        assert await requests.get_by_internal_id(internal_id) == answered
        assert await requests.get_by_authentication_request_id(handle) == answered
        assert await requests.get_logins_for_user("alice") == [answered]
        (grant,) = await store.persisted_grants.get_all(PersistedGrantFilter(session_id="s9"))
        assert (grant.key, grant.description) == (internal_id, "by phone")

    async def test_the_lifetime_of_an_answer_is_taken_as_given(self, store: Any) -> None:
        """A server may shorten or prolong a request when it is answered."""
        _, internal_id, request = await created(store, creation_time=store.clock.now(), lifetime=60)
        requests = store.backchannel_authentication_requests
        await requests.update_by_internal_id(internal_id, request.model_copy(update={"lifetime": 120}))
        store.clock.advance(timedelta(seconds=120) - MILLISECOND)
        assert await requests.get_by_internal_id(internal_id) is not None
        store.clock.advance(MILLISECOND)
        assert await requests.get_by_internal_id(internal_id) is None

    async def test_an_answer_for_another_client_is_not_found(self, store: Any) -> None:
        """A request stays its client's."""
        _, internal_id, request = await created(store)
        requests = store.backchannel_authentication_requests
        with pytest.raises(NotFound):
            await requests.update_by_internal_id(internal_id, a_backchannel_request(client_id="shop", **ANSWER))
        assert await requests.get_by_internal_id(internal_id) == request

    async def test_other_grants_are_out_of_reach(self, store: Any) -> None:
        """The key of a grant of another type reads, answers and consumes nothing."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(client_id="bank"))
        key = grant_key(handle, "refresh_token")
        requests = store.backchannel_authentication_requests
        assert await requests.get_by_internal_id(key) is None
        assert await requests.consume_by_internal_id(key) is None
        with pytest.raises(NotFound):
            await requests.update_by_internal_id(key, a_backchannel_request(**ANSWER))
        assert await store.refresh_tokens.get_refresh_token(handle) is not None

    async def test_an_answer_never_brings_a_request_back(self, store: Any) -> None:
        """What was removed, consumed or has expired is NotFound for the answer, and stays away."""
        now = store.clock.now()
        requests = store.backchannel_authentication_requests
        _, removed, _ = await created(store, creation_time=now, **ANSWER)
        _, consumed, _ = await created(store, creation_time=now, **ANSWER)
        _, expired, _ = await created(store, creation_time=now, lifetime=60, **ANSWER)
        await requests.remove_by_internal_id(removed)
        await requests.consume_by_internal_id(consumed)
        store.clock.advance(timedelta(seconds=60))
        for internal_id in (removed, consumed, expired):
            with pytest.raises(NotFound):
                await requests.update_by_internal_id(internal_id, a_backchannel_request(creation_time=now, **ANSWER))
            assert await requests.get_by_internal_id(internal_id) is None
            assert await requests.consume_by_internal_id(internal_id) is None
        assert await requests.get_logins_for_user("alice") == []

    async def test_answers_and_consumption_at_once(self, store: Any) -> None:
        """Whichever comes first, a request that was consumed stays consumed."""
        requests = store.backchannel_authentication_requests
        for _ in range(5):
            _, internal_id, request = await created(store, **ANSWER)
            answers = [requests.update_by_internal_id(internal_id, request) for _ in range(10)]
            consumers = [requests.consume_by_internal_id(internal_id) for _ in range(10)]
            results = await asyncio.gather(*answers[:5], *consumers, *answers[5:], return_exceptions=True)
            assert [each for each in results[5:15] if each is not None] == [request]
            assert await requests.get_by_internal_id(internal_id) is None
            assert await requests.consume_by_internal_id(internal_id) is None

    async def test_remove_tells_whether_there_was_one(self, store: Any) -> None:
        """The first removal finds the request, the second does not; an expired one is still removed."""
        requests = store.backchannel_authentication_requests
        _, internal_id, _ = await created(store, creation_time=store.clock.now(), lifetime=60)
        store.clock.advance(timedelta(seconds=60))
        assert await requests.remove_by_internal_id(internal_id) is True
        assert await requests.remove_by_internal_id(internal_id) is False

    async def test_only_an_answered_request_is_consumed(self, store: Any) -> None:
        """While the user has not answered there is nothing to consume; after, there is, once."""
        requests = store.backchannel_authentication_requests
        handle, internal_id, request = await created(store)
        assert await requests.consume_by_internal_id(internal_id) is None
        assert await requests.get_by_internal_id(internal_id) == request
        answered = request.model_copy(update=ANSWER)
        await requests.update_by_internal_id(internal_id, answered)
        assert await requests.consume_by_internal_id(internal_id) == answered
        assert await requests.consume_by_internal_id(internal_id) is None
        assert await requests.get_by_internal_id(internal_id) is None
        assert await requests.get_by_authentication_request_id(handle) is None

    async def test_an_answer_can_be_taken_back(self, store: Any) -> None:
        """What is no longer complete is not consumed."""
        _, internal_id, request = await created(store, **ANSWER)
        requests = store.backchannel_authentication_requests
        await requests.update_by_internal_id(internal_id, request.model_copy(update={"is_complete": False}))
        assert await requests.consume_by_internal_id(internal_id) is None

    async def test_a_denied_request_is_consumed_like_any_other(self, store: Any) -> None:
        """Complete without scopes is an answer too."""
        _, internal_id, request = await created(store, is_complete=True)
        assert await store.backchannel_authentication_requests.consume_by_internal_id(internal_id) == request

    async def test_concurrent_consumers_have_one_winner(self, store: Any) -> None:
        """Of 50 concurrent consumers, exactly one gets the request."""
        for _ in range(5):
            _, internal_id, request = await created(store, **ANSWER)
            taken = await asyncio.gather(
                *(store.backchannel_authentication_requests.consume_by_internal_id(internal_id) for _ in range(50))
            )
            assert [each for each in taken if each is not None] == [request]

    async def test_a_request_is_absent_from_the_instant_it_expires(self, store: Any) -> None:
        """One millisecond before it is there; from then on it is neither found nor consumed."""
        requests = store.backchannel_authentication_requests
        handle, internal_id, request = await created(store, creation_time=store.clock.now(), **ANSWER)
        store.clock.advance(LIFETIME - MILLISECOND)
        assert await requests.get_by_internal_id(internal_id) == request
        store.clock.advance(MILLISECOND)
        assert await requests.get_by_internal_id(internal_id) is None
        assert await requests.get_by_authentication_request_id(handle) is None
        assert await requests.consume_by_internal_id(internal_id) is None

    async def test_bad_input_is_refused(self, store: Any) -> None:
        """Something else than a request, or one that is too large, is refused; nothing changes."""
        requests = store.backchannel_authentication_requests
        _, internal_id, request = await created(store)
        large = a_backchannel_request(binding_message="x" * 2**20)
        for wrong, error in [(None, TypeError), (a_grant(), TypeError), (large, ValueError)]:
            with pytest.raises(error):
                await requests.create_request(wrong)
            with pytest.raises(error):
                await requests.update_by_internal_id(internal_id, wrong)
        with pytest.raises(TypeError):
            await requests.get_by_authentication_request_id(None)
        assert await requests.get_logins_for_user("alice") == [request]

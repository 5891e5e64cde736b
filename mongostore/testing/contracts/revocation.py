"""Revocation is final: what it covers is not live afterwards, whatever was in flight when it came."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongostore.errors import NotFound
from mongostore.models import PersistedGrantFilter
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    an_answered_device_code,
    an_authorization_code,
)

EVERYTHING = PersistedGrantFilter(subject_id="alice")
GRACE = timedelta(seconds=30)
HOUR = timedelta(hours=1)

Revoke = Callable[[Any, str], Awaitable[object]]

EVERY_REVOCATION: dict[str, Revoke] = {
    "family": lambda store, family: store.grants.remove_family(family),
    "subject": lambda store, _: store.grants.remove_all_grants("alice"),
    "subject and client": lambda store, _: store.grants.remove_all_grants("alice", "web"),
    "session": lambda store, _: store.grants.remove_all_grants("alice", session_id="s1"),
    "raw filter": lambda store, _: store.persisted_grants.remove_all(PersistedGrantFilter(client_id="web")),
    "tokens of both types": lambda store, _: store.persisted_grants.remove_all(
        PersistedGrantFilter(subject_id="alice", types=["refresh_token", "reference_token"])
    ),
}


async def redeemed(store: Any) -> str:
    """The family of a code that was just redeemed."""
    handle = await store.authorization_codes.store_authorization_code(an_authorization_code(lifetime=300))
    return str((await store.authorization_codes.redeem_authorization_code(handle)).family)


async def answered(store: Any, **values: Any) -> None:
    """A device authorization and a backchannel request that the user has answered, and a pushed request of the user."""
    await store.device_flow.store_device_authorization("device", "USER", a_device_code())
    await store.device_flow.update_by_user_code("USER", an_answered_device_code(**values))
    request = a_pushed_request("hash", client_id="tv", subject_id="alice", session_id="s1")
    await store.pushed_authorization_requests.store(request)


async def assert_nothing_is_issued(store: Any, family: str) -> None:
    """Neither kind of token gets into the family, and nothing of the attempt is left."""
    before = await store.persisted_grants.get_all(EVERYTHING)
    with pytest.raises(NotFound, match="revoked"):
        await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
    with pytest.raises(NotFound, match="revoked"):
        await store.reference_tokens.store_reference_token(a_reference_token(), family=family)
    assert await store.persisted_grants.get_all(EVERYTHING) == before


class RevocationContract:
    """Subclass it with a `store` fixture; see `mongostore.testing.contracts`."""

    @pytest.mark.parametrize("revocation", EVERY_REVOCATION)
    async def test_nothing_is_issued_from_a_code_that_was_redeemed_before(self, store: Any, revocation: str) -> None:
        """Between a code's redemption and the issue lies a request's work: what is revoked then is not issued."""
        family = await redeemed(store)
        await EVERY_REVOCATION[revocation](store, family)
        await assert_nothing_is_issued(store, family)

    @pytest.mark.parametrize("revocation", EVERY_REVOCATION)
    async def test_nothing_is_issued_beside_a_token_that_was_rotated_before(self, store: Any, revocation: str) -> None:
        """A reference token that is issued at a refresh joins the family, and dies with it."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        rotation = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        joined = await store.reference_tokens.store_reference_token(a_reference_token(), family=rotation.family)
        await EVERY_REVOCATION[revocation](store, rotation.family)
        assert await store.reference_tokens.get_reference_token(joined) is None
        await assert_nothing_is_issued(store, rotation.family)

    @pytest.mark.parametrize("revocation", EVERY_REVOCATION)
    async def test_nothing_is_issued_into_a_named_family_whose_token_was_revoked(
        self, store: Any, revocation: str
    ) -> None:
        """A family that the server named itself is closed with its refresh token, whatever the removal goes by."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family="login 1")
        rotation = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        await EVERY_REVOCATION[revocation](store, rotation.family)
        await assert_nothing_is_issued(store, "login 1")

    async def test_a_rotation_gives_the_family_that_the_code_began(self, store: Any) -> None:
        """Codes, tokens and their successors share one family, which every answer names."""
        family = await redeemed(store)
        first = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
        second = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        retry = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        third = await store.refresh_tokens.rotate_refresh_token(second.handle, a_refresh_token(), grace=GRACE)
        replay = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token())
        assert {each.family for each in (second, retry, third, replay)} == {family}
        assert [each.outcome for each in (second, retry, third, replay)] == [
            "rotated",
            "retried",
            "rotated",
            "replayed",
        ]
        unknown = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token())
        assert (unknown.outcome, unknown.family) == ("unknown", None)

    async def test_a_replay_takes_what_was_issued_at_a_refresh(self, store: Any) -> None:
        """Replay detection and revocation (RFC 7009) reach the reference tokens that were issued with a successor."""
        for end in ("replay", "revocation"):
            first = await store.refresh_tokens.store_refresh_token(a_refresh_token())
            rotation = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token())
            access = await store.reference_tokens.store_reference_token(a_reference_token(), family=rotation.family)
            assert await store.reference_tokens.get_reference_token(access) is not None
            if end == "replay":
                await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token())
            else:
                await store.refresh_tokens.remove_refresh_token(rotation.handle)
            assert await store.reference_tokens.get_reference_token(access) is None
            await assert_nothing_is_issued(store, rotation.family)

    async def test_tokens_are_issued_from_a_code_for_an_hour(self, store: Any) -> None:
        """The redeemed code is kept longer than it would have lived: what is issued late is issued, and then no more."""
        family = await redeemed(store)
        store.clock.advance(HOUR - timedelta(milliseconds=1))
        await store.reference_tokens.store_reference_token(a_reference_token(lifetime=4 * 3_600), family=family)
        store.clock.advance(timedelta(milliseconds=1))
        with pytest.raises(NotFound, match="too long ago"):
            await store.reference_tokens.store_reference_token(a_reference_token(lifetime=4 * 3_600), family=family)

    async def test_a_live_refresh_token_keeps_its_family_open(self, store: Any) -> None:
        """Long after the code has gone, tokens are issued beside the refresh token that is in use."""
        long = 30 * 24 * 3_600
        family = await redeemed(store)
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(lifetime=long), family=family)
        for _ in range(3):
            store.clock.advance(timedelta(days=5))
            rotation = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(lifetime=long))
            token = a_reference_token(lifetime=long)
            access = await store.reference_tokens.store_reference_token(token, family=rotation.family)
            assert await store.reference_tokens.get_reference_token(access) is not None
            handle = rotation.handle

    async def test_a_refresh_token_that_is_kept_in_use_keeps_its_family_open(self, store: Any) -> None:
        """Where tokens are updated rather than rotated, what is issued beside them joins the family too."""
        long = 30 * 24 * 3_600
        family = await redeemed(store)
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(lifetime=long), family=family)
        store.clock.advance(timedelta(days=5))
        await store.refresh_tokens.update_refresh_token(handle, a_refresh_token(lifetime=2 * long))
        await store.reference_tokens.store_reference_token(a_reference_token(lifetime=long), family=family)
        await store.refresh_tokens.remove_refresh_token(handle)
        await assert_nothing_is_issued(store, family)

    @pytest.mark.parametrize("end", ["removed", "kept too long"])
    async def test_a_code_that_is_gone_issues_nothing(self, store: Any, end: str) -> None:
        """Where the code's record has gone, nobody could revoke what is issued: nothing is."""
        code = await store.authorization_codes.store_authorization_code(an_authorization_code(lifetime=300))
        family = (await store.authorization_codes.redeem_authorization_code(code)).family
        if end == "removed":
            await store.authorization_codes.remove_authorization_code(code)
        else:
            store.clock.advance(HOUR)
        with pytest.raises(NotFound):
            await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)

    async def test_a_family_nobody_heard_of_takes_nothing_in(self, store: Any) -> None:
        """A family that is named after a code or a token needs one."""
        for family in ("code-" + 32 * "0", 64 * "A"):
            with pytest.raises(NotFound):
                await store.reference_tokens.store_reference_token(a_reference_token(), family=family)

    async def test_removing_refresh_tokens_stops_those_being_issued(self, store: Any) -> None:
        """A code that was redeemed before yields no refresh token; one that is redeemed later does."""
        codes = store.authorization_codes
        family, waiting = (
            await redeemed(store),
            await codes.store_authorization_code(an_authorization_code()),
        )
        await store.refresh_tokens.remove_refresh_tokens("alice", "web")
        await assert_nothing_is_issued(store, family)
        later = (await codes.redeem_authorization_code(waiting)).family
        assert await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=later)

    async def test_removing_reference_tokens_stops_those_being_issued(self, store: Any) -> None:
        """Refresh tokens stay, and what is issued at their next rotation is live."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        rotation = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        family = await redeemed(store)
        await store.reference_tokens.remove_reference_tokens("alice", "web")
        for closed in (rotation.family, family):
            with pytest.raises(NotFound):
                await store.reference_tokens.store_reference_token(a_reference_token(), family=closed)
        again = await store.refresh_tokens.rotate_refresh_token(rotation.handle, a_refresh_token())
        assert again.outcome == "rotated"
        access = await store.reference_tokens.store_reference_token(a_reference_token(), family=again.family)
        assert await store.reference_tokens.get_reference_token(access) is not None

    async def test_a_retry_after_the_removal_of_reference_tokens_issues(self, store: Any) -> None:
        """A client that asks again inside the grace has presented its refresh token anew: what is issued then is live."""
        grace = timedelta(minutes=1)
        first = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=grace)
        await store.reference_tokens.remove_reference_tokens("alice", "web")
        retry = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=grace)
        assert retry.outcome == "retried"
        access = await store.reference_tokens.store_reference_token(a_reference_token(), family=retry.family)
        assert await store.reference_tokens.get_reference_token(access) is not None

    async def test_removing_consents_leaves_what_is_being_issued(self, store: Any) -> None:
        """A removal stops only what it covers."""
        family = await redeemed(store)
        await store.persisted_grants.remove_all(PersistedGrantFilter(subject_id="alice", type="user_consent"))
        assert await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)

    async def test_others_go_on(self, store: Any) -> None:
        """A revocation for one subject, client or session leaves the flows of others alone."""
        family = await redeemed(store)
        await store.grants.remove_all_grants("bob")
        await store.grants.remove_all_grants("alice", "other")
        await store.grants.remove_all_grants("alice", session_id="other")
        await store.grants.remove_family("code-" + 32 * "0")
        assert await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)

    async def test_a_token_that_was_read_before_is_not_updated_after(self, store: Any) -> None:
        """What was retrieved before the revocation can't be written back."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        read = await store.refresh_tokens.get_refresh_token(handle)
        await store.grants.remove_all_grants("alice")
        with pytest.raises(NotFound):
            await store.refresh_tokens.update_refresh_token(handle, read)

    async def test_an_updated_token_is_replayed_as_long_as_it_would_have_lived(self, store: Any) -> None:
        """A token that was used up by an update is kept like a rotated one: its replay is seen."""
        long = 30 * 24 * 3_600
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(lifetime=long))
        used = a_refresh_token(lifetime=long, consumed_time=store.clock.now())
        await store.refresh_tokens.update_refresh_token(handle, used)
        store.clock.advance(timedelta(days=29))
        successor = a_refresh_token(lifetime=2 * long)
        assert (await store.refresh_tokens.rotate_refresh_token(handle, successor)).outcome == "replayed"

    async def test_a_retry_at_the_end_of_the_old_token_s_life_finds_the_successor(self, store: Any) -> None:
        """The grace holds although the old token would have expired within it; from its end on, the token is unknown."""
        old = a_refresh_token(creation_time=store.clock.now(), lifetime=10)
        handle = await store.refresh_tokens.store_refresh_token(old)
        store.clock.advance(timedelta(seconds=9))
        first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        store.clock.advance(GRACE - timedelta(milliseconds=1))
        retry = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        assert (retry.outcome, retry.handle) == ("retried", first.handle)
        assert await store.refresh_tokens.get_refresh_token(handle) is None
        store.clock.advance(timedelta(milliseconds=1))
        late = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        assert late.outcome == "unknown"
        assert await store.refresh_tokens.get_refresh_token(first.handle) is not None

    async def test_a_successor_that_expired_unused_is_no_replay(self, store: Any) -> None:
        """A retry after the successor's short life is unknown; the family's other tokens live on."""
        family = await redeemed(store)
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
        other = await store.reference_tokens.store_reference_token(a_reference_token(), family=family)
        short = a_refresh_token(creation_time=store.clock.now(), lifetime=5)
        await store.refresh_tokens.rotate_refresh_token(handle, short, grace=GRACE)
        store.clock.advance(timedelta(seconds=5))
        retry = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        assert retry.outcome == "unknown"
        assert await store.reference_tokens.get_reference_token(other) is not None

    async def test_retries_are_counted(self, store: Any) -> None:
        """Who shadows a client by repeating its rotations leaves a trace."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        rotations = [
            await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE) for _ in range(4)
        ]
        assert [(each.outcome, each.retries) for each in rotations] == [
            ("rotated", 0),
            ("retried", 1),
            ("retried", 2),
            ("retried", 3),
        ]

    @pytest.mark.parametrize(
        ("revoke", "is_covered"),
        [
            (lambda store: store.grants.remove_all_grants("alice"), True),
            (lambda store: store.grants.remove_all_grants("alice", "tv"), True),
            (lambda store: store.grants.remove_all_grants("alice", session_id="s1"), True),
            (lambda store: store.clients.delete_client("tv"), True),
            (lambda store: store.grants.remove_all_grants("bob"), False),
            (lambda store: store.grants.remove_all_grants("alice", "web"), False),
            (lambda store: store.grants.remove_all_grants("alice", session_id="s2"), False),
            (lambda store: store.clients.delete_client("web"), False),
        ],
        ids=[
            "subject",
            "client",
            "session",
            "deleted client",
            "other",
            "other client",
            "other session",
            "other deleted",
        ],
    )
    async def test_requests_of_a_subject_go_with_its_grants(
        self, store: Any, revoke: Callable[[Any], Awaitable[object]], is_covered: bool
    ) -> None:
        """A device that the user has answered gets no tokens once all that the user granted was revoked."""
        await store.clients.save_client(a_client("tv"))
        await answered(store)
        await revoke(store)
        request = await store.device_flow.consume_by_device_code("device")
        pushed = await store.pushed_authorization_requests.consume_by_hash("hash")
        assert ((request is None), (pushed is None)) == (is_covered, is_covered)

    async def test_a_device_nobody_answered_belongs_to_its_client_alone(self, store: Any) -> None:
        """Before the user has answered, no subject's revocation can cover a device's request."""
        await store.device_flow.store_device_authorization("device", "USER", a_device_code())
        await store.grants.remove_all_grants("alice")
        assert await store.device_flow.find_by_device_code("device") is not None
        await store.clients.delete_client("tv")
        assert await store.device_flow.find_by_device_code("device") is None

    async def test_requests_are_removed_by_filter(self, store: Any) -> None:
        """Each store of requests removes by subject, session and client; the number says how many there were."""
        stores = (store.device_flow, store.pushed_authorization_requests)
        for wanted in ({"subject_id": "alice"}, {"session_id": "s1"}, {"client_id": "tv"}, {"client_ids": ["tv", "x"]}):
            await answered(store)
            for requests in stores:
                assert await requests.remove_all(PersistedGrantFilter(**wanted, types=["anything"])) == 1
                assert await requests.remove_all(PersistedGrantFilter(**wanted)) == 0
        for requests in stores:
            assert await requests.remove_all(PersistedGrantFilter(client_ids=[])) == 0
            with pytest.raises(ValueError, match="filter"):
                await requests.remove_all(PersistedGrantFilter.model_construct())

    async def test_everything_of_before_an_instant_can_be_revoked(self, store: Any) -> None:
        """After a restore, what was created before lives no longer; consents and requests of devices are among it."""
        before = store.clock.now()
        old = await store.refresh_tokens.store_refresh_token(a_refresh_token(creation_time=before))
        await store.user_consents.store_user_consent(a_consent(creation_time=before))
        await store.persisted_grants.store(a_grant("raw", creation_time=before))
        request = a_backchannel_request(creation_time=before)
        await store.backchannel_authentication_requests.create_request(request)
        await store.device_flow.store_device_authorization("device", "USER", a_device_code(creation_time=before))
        code = await store.authorization_codes.store_authorization_code(an_authorization_code(creation_time=before))
        family = (await store.authorization_codes.redeem_authorization_code(code)).family
        store.clock.advance(timedelta(seconds=1))
        cut = store.clock.now()
        new = await store.refresh_tokens.store_refresh_token(a_refresh_token(creation_time=cut))
        assert await store.grants.revoke_before(cut) == 6
        assert await store.grants.revoke_before(cut) == 0
        assert await store.refresh_tokens.get_refresh_token(old) is None
        assert await store.device_flow.find_by_user_code("USER") is None
        assert len(await store.persisted_grants.get_all(EVERYTHING)) == 1
        assert await store.refresh_tokens.get_refresh_token(new) is not None
        with pytest.raises(NotFound):
            await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)

    @pytest.mark.parametrize("instant", [None, "2030-01-01", 7, datetime(2030, 1, 1)], ids=repr)  # noqa: DTZ001
    async def test_a_cut_is_an_aware_instant(self, store: Any, instant: Any) -> None:
        """What is no instant revokes nothing."""
        await store.persisted_grants.store(a_grant("raw"))
        with pytest.raises((TypeError, ValueError), match="instant"):
            await store.grants.revoke_before(instant)
        assert await store.persisted_grants.get("raw") is not None

"""What the refresh tokens of every store do: rotation, retries, replay and families.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import NotFound
from mongostore.grants.handles import grant_key, new_handle
from mongostore.models import PersistedGrantFilter
from mongostore.testing.factories import (
    LIFETIME_SECONDS,
    a_grant,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)

LIFETIME = timedelta(seconds=LIFETIME_SECONDS)
GRACE = timedelta(seconds=30)
MILLISECOND = timedelta(milliseconds=1)
EVERYTHING = PersistedGrantFilter(types=["refresh_token", "reference_token", "authorization_code"])


class RefreshTokenContract:
    """Storing, updating, rotating and revoking refresh tokens."""

    async def test_a_stored_token_comes_back_by_its_handle(self, store: Any) -> None:
        """A token is read back from the handle that storing it gave, every field."""
        token = a_refresh_token(access_tokens={"": a_reference_token()}, description="laptop")
        handle = await store.refresh_tokens.store_refresh_token(token)
        assert await store.refresh_tokens.get_refresh_token(handle) == token

    @pytest.mark.parametrize("handle", ["", "unknown", "a\0b", "x" * 5_000, "\ud800"])
    async def test_an_unknown_handle_gives_nothing(self, store: Any, handle: str) -> None:
        """Whatever a party sends for a handle, the answer is that it is unknown."""
        assert await store.refresh_tokens.get_refresh_token(handle) is None
        assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "unknown"
        await store.refresh_tokens.remove_refresh_token(handle)
        with pytest.raises(NotFound):
            await store.refresh_tokens.update_refresh_token(handle, a_refresh_token())

    async def test_a_handle_of_another_type_is_unknown(self, store: Any) -> None:
        """A code's handle opens no refresh token."""
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        assert await store.refresh_tokens.get_refresh_token(handle) is None

    async def test_an_expired_token_is_unknown(self, store: Any) -> None:
        """From the end of its lifetime on, a token is neither read nor rotated nor updated."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(creation_time=store.clock.now()))
        store.clock.advance(LIFETIME)
        assert await store.refresh_tokens.get_refresh_token(handle) is None
        assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "unknown"
        with pytest.raises(NotFound):
            await store.refresh_tokens.update_refresh_token(handle, a_refresh_token())

    async def test_an_update_replaces_the_token_under_its_handle(self, store: Any) -> None:
        """What an update says is read back, and found by its new columns."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(description="laptop"))
        longer = a_refresh_token(lifetime=2 * LIFETIME_SECONDS, session_id=None)
        await store.refresh_tokens.update_refresh_token(handle, longer)
        assert await store.refresh_tokens.get_refresh_token(handle) == longer
        store.clock.advance(LIFETIME)
        assert await store.refresh_tokens.get_refresh_token(handle) == longer
        assert await store.persisted_grants.get_all(PersistedGrantFilter(session_id="s1")) == []

    async def test_an_update_can_use_a_token_up(self, store: Any) -> None:
        """Setting `consumed_time` is seen by readers, and a used token is not updated again."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        used = a_refresh_token(consumed_time=store.clock.now())
        await store.refresh_tokens.update_refresh_token(handle, used)
        assert await store.refresh_tokens.get_refresh_token(handle) == used
        with pytest.raises(NotFound):
            await store.refresh_tokens.update_refresh_token(handle, a_refresh_token())
        assert await store.refresh_tokens.get_refresh_token(handle) == used

    async def test_an_update_never_brings_a_token_back(self, store: Any) -> None:
        """Updating what was removed raises NotFound and stores nothing."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        await store.refresh_tokens.remove_refresh_token(handle)
        with pytest.raises(NotFound):
            await store.refresh_tokens.update_refresh_token(handle, a_refresh_token())
        assert await store.refresh_tokens.get_refresh_token(handle) is None

    async def test_rotation_gives_a_successor_and_keeps_the_old_token_as_used(self, store: Any) -> None:
        """The successor is there under a new handle; the old token is read with the time of its use."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        successor = a_refresh_token(description="second")
        rotation = await store.refresh_tokens.rotate_refresh_token(handle, successor)
        assert (rotation.outcome, rotation.token) == ("rotated", successor)
        assert rotation.handle not in (None, handle)
        assert await store.refresh_tokens.get_refresh_token(rotation.handle) == successor
        assert (await store.refresh_tokens.get_refresh_token(handle)).consumed_time == store.clock.now()

    async def test_a_second_use_is_a_replay_and_kills_the_family(self, store: Any) -> None:
        """Without a grace, the second use revokes the successor as well; afterwards both handles are unknown."""
        token = a_refresh_token()
        handle = await store.refresh_tokens.store_refresh_token(token)
        first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        replay = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        assert (replay.outcome, replay.handle) == ("replayed", None)
        assert replay.token == token.model_copy(update={"consumed_time": replay.token.consumed_time})
        for dead in (handle, first.handle):
            assert await store.refresh_tokens.get_refresh_token(dead) is None
            assert (await store.refresh_tokens.rotate_refresh_token(dead, a_refresh_token())).outcome == "unknown"
        assert await store.persisted_grants.get_all(EVERYTHING) == []

    async def test_a_retry_inside_the_grace_gives_the_same_successor(self, store: Any) -> None:
        """A client that lost the response asks again and gets the handle that it was meant to have, again and again."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        successor = a_refresh_token(description="second")
        first = await store.refresh_tokens.rotate_refresh_token(handle, successor, grace=GRACE)
        store.clock.advance(GRACE - MILLISECOND)
        for _ in range(2):
            retry = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
            assert (retry.outcome, retry.handle, retry.token) == ("retried", first.handle, successor)
        assert await store.refresh_tokens.get_refresh_token(first.handle) == successor
        assert len(await store.persisted_grants.get_all(EVERYTHING)) == 2

    async def test_a_second_use_after_the_grace_is_a_replay(self, store: Any) -> None:
        """The grace ends at its end."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        store.clock.advance(GRACE)
        replay = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        assert replay.outcome == "replayed"
        assert await store.refresh_tokens.get_refresh_token(first.handle) is None

    async def test_a_retry_does_not_restart_the_grace(self, store: Any) -> None:
        """The grace counts from the first use, however often it is retried."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        outcomes = []
        for _ in range(3):
            store.clock.advance(GRACE / 3)
            outcomes.append(
                (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)).outcome
            )
        assert outcomes == ["retried", "retried", "replayed"]

    async def test_a_second_use_after_the_successor_was_used_is_a_replay(self, store: Any) -> None:
        """Who uses the successor has received it: inside the grace too, the old handle is then a theft."""
        first = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        second = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        third = await store.refresh_tokens.rotate_refresh_token(second.handle, a_refresh_token(), grace=GRACE)
        replay = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        assert replay.outcome == "replayed"
        for dead in (first, second.handle, third.handle):
            assert await store.refresh_tokens.get_refresh_token(dead) is None

    async def test_a_token_consumed_otherwise_is_replayed(self, store: Any) -> None:
        """A token that was consumed without a successor has nothing to retry."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        (grant,) = await store.persisted_grants.get_all(EVERYTHING)
        await store.persisted_grants.consume(grant.key)
        rotation = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
        assert rotation.outcome == "replayed"

    async def test_a_rotated_token_is_kept_until_its_own_expiration(self, store: Any) -> None:
        """A replay is seen as long as the old token would have lived, whatever the retention of other grants."""
        long = 30 * 24 * 3_600
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(lifetime=long))
        await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(lifetime=2 * long))
        store.clock.advance(timedelta(seconds=long) - timedelta(minutes=1))
        assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "replayed"

    async def test_a_replayed_code_can_revoke_all_that_it_issued(self, store: Any) -> None:
        """The family reaches from the code to every token issued from it and to their successors, and no further."""
        codes, refresh, reference = store.authorization_codes, store.refresh_tokens, store.reference_tokens
        code = await codes.store_authorization_code(an_authorization_code())
        family = (await codes.redeem_authorization_code(code)).family
        first = await refresh.store_refresh_token(a_refresh_token(), family=family)
        access = await reference.store_reference_token(a_reference_token(), family=family)
        second = (await refresh.rotate_refresh_token(first, a_refresh_token())).handle
        other = await refresh.store_refresh_token(a_refresh_token())
        replay = await codes.redeem_authorization_code(code)
        assert (replay.outcome, replay.family) == ("replayed", family)
        assert await store.grants.remove_family(replay.family) == 4
        assert await refresh.get_refresh_token(first) is None
        assert await refresh.get_refresh_token(second) is None
        assert await reference.get_reference_token(access) is None
        assert await refresh.get_refresh_token(other) is not None
        assert await store.grants.remove_family(replay.family) == 0

    async def test_nothing_is_issued_into_a_code_s_family_once_it_was_revoked(self, store: Any) -> None:
        """Who redeemed the code may still be at work when the replay is seen: what it stores then is refused."""
        code = await store.authorization_codes.store_authorization_code(an_authorization_code())
        family = (await store.authorization_codes.redeem_authorization_code(code)).family
        assert await store.grants.remove_family(family) == 1
        store.clock.advance(timedelta(minutes=59))
        with pytest.raises(NotFound, match="revoked"):
            await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
        with pytest.raises(NotFound, match="revoked"):
            await store.reference_tokens.store_reference_token(a_reference_token(), family=family)
        assert await store.persisted_grants.get_all(EVERYTHING) == []
        assert await store.persisted_grants.remove_all(EVERYTHING) == 0
        assert await store.grants.remove_family(family) == 0

    async def test_what_is_issued_while_its_family_is_revoked_does_not_stay(self, store: Any) -> None:
        """In whatever order they come: a token is refused, or removed with its family."""
        for _ in range(5):
            code = await store.authorization_codes.store_authorization_code(an_authorization_code())
            family = (await store.authorization_codes.redeem_authorization_code(code)).family
            issued = await asyncio.gather(
                *(store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family) for _ in range(5)),
                store.grants.remove_family(family),
                *(store.reference_tokens.store_reference_token(a_reference_token(), family=family) for _ in range(5)),
                return_exceptions=True,
            )
            assert all(isinstance(each, NotFound | str | int) for each in issued), issued
            assert await store.persisted_grants.get_all(EVERYTHING) == []

    async def test_a_family_that_the_caller_named_can_be_used_again_later(self, store: Any) -> None:
        """Such a family is closed too, also when nothing is in it; an hour later, its name may be used again."""
        for count in (0, 1):
            assert await store.grants.remove_family("f") == count
            for issue in (
                store.refresh_tokens.store_refresh_token(a_refresh_token(), family="f"),
                store.reference_tokens.store_reference_token(a_reference_token(), family="f"),
            ):
                with pytest.raises(NotFound, match="revoked"):
                    await issue
            assert await store.persisted_grants.get_all(EVERYTHING) == []
            store.clock.advance(timedelta(hours=1))
            handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(lifetime=7_200), family="f")
            assert await store.refresh_tokens.get_refresh_token(handle) is not None

    @pytest.mark.parametrize("family", [None, 7, b"f", ["f"], {"$ne": ""}], ids=repr)
    async def test_a_family_is_named_by_a_text(self, store: Any, family: Any) -> None:
        """What is no text is no family: it is refused rather than taken for one that is empty."""
        with pytest.raises(TypeError, match="family must be a str"):
            await store.grants.remove_family(family)

    async def test_removing_a_token_removes_its_family(self, store: Any) -> None:
        """Revoking a token revokes what it was rotated from and what was issued beside it (RFC 7009)."""
        first = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family="f")
        access = await store.reference_tokens.store_reference_token(a_reference_token(), family="f")
        second = (await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)).handle
        for _ in range(2):
            await store.refresh_tokens.remove_refresh_token(second)
        assert await store.refresh_tokens.get_refresh_token(first) is None
        assert await store.reference_tokens.get_reference_token(access) is None
        retry = await store.refresh_tokens.rotate_refresh_token(first, a_refresh_token(), grace=GRACE)
        assert retry.outcome == "unknown"

    async def test_a_token_of_an_old_version_is_read_and_rotated(self, store: Any) -> None:
        """An imported payload of before version 5 is upgraded: what it lacks comes from its access token."""
        handle, access_token = new_handle(), a_reference_token()
        payload = {
            "CreationTime": access_token.creation_time.isoformat(),
            "Lifetime": LIFETIME_SECONDS,
            "Version": 4,
            "AccessToken": json.loads(access_token.model_dump_json(by_alias=True)),
        }
        await store.persisted_grants.store(a_grant(grant_key(handle, "refresh_token"), data=json.dumps(payload)))
        token = await store.refresh_tokens.get_refresh_token(handle)
        assert (token.version, token.subject_id, token.session_id, token.client_id) == (5, "alice", "s1", "web")
        assert (token.authorized_scopes, token.access_tokens) == (["orders.read"], {"": access_token})
        rotation = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        assert (rotation.outcome, rotation.token.version) == ("rotated", 5)

    async def test_a_token_that_was_stored_raw_rotates_and_is_revoked_too(self, store: Any) -> None:
        """An imported token has no family; its rotation makes one, and a replay still removes all of it."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        (grant,) = await store.persisted_grants.get_all(EVERYTHING)
        await store.persisted_grants.store(grant)
        second = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        assert second.outcome == "rotated"
        assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "replayed"
        assert await store.persisted_grants.get_all(EVERYTHING) == []

    async def test_tokens_are_removed_by_subject_and_client(self, store: Any) -> None:
        """What else the subject or the client has stays."""
        doomed = [await store.refresh_tokens.store_refresh_token(a_refresh_token()) for _ in range(2)]
        await store.refresh_tokens.rotate_refresh_token(doomed[0], a_refresh_token())
        kept = [
            await store.refresh_tokens.store_refresh_token(a_refresh_token("bob")),
            await store.refresh_tokens.store_refresh_token(a_refresh_token(client_id="spa")),
        ]
        await store.reference_tokens.store_reference_token(a_reference_token())
        assert await store.refresh_tokens.remove_refresh_tokens("alice", "web") == 3
        assert all([await store.refresh_tokens.get_refresh_token(handle) for handle in kept])
        assert len(await store.persisted_grants.get_all(EVERYTHING)) == 3

    @pytest.mark.parametrize("ids", [(None, "web"), ("alice", None), ("", "web"), ("alice", "")], ids=repr)
    async def test_a_missing_id_never_widens_a_revocation(self, store: Any, ids: Any) -> None:
        """None or an empty text in place of a subject or client would mean every one: refused, and nothing is removed."""
        refresh, reference = store.refresh_tokens, store.reference_tokens
        handle = await refresh.store_refresh_token(a_refresh_token())
        token = await reference.store_reference_token(a_reference_token())
        for remove in (refresh.remove_refresh_tokens, reference.remove_reference_tokens):
            with pytest.raises((TypeError, ValueError), match="_id must"):
                await remove(*ids)
        assert await refresh.get_refresh_token(handle) is not None
        assert await reference.get_reference_token(token) is not None

    @pytest.mark.parametrize("change", [{"subject_id": "bob"}, {"client_id": "spa"}, {"session_id": "s2"}])
    async def test_a_successor_of_somebody_else_is_refused(self, store: Any, change: dict[str, str]) -> None:
        """Subject, client and session stay the same along a family; the old token stays usable."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        with pytest.raises(ValueError, match=next(iter(change))):
            await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(**change))
        assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "rotated"

    async def test_bad_arguments_are_refused(self, store: Any) -> None:
        """Wrong types and values are refused before anything is written."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        rotate = store.refresh_tokens.rotate_refresh_token
        with pytest.raises(ValueError, match="grace"):
            await rotate(handle, a_refresh_token(), grace=timedelta(seconds=-1))
        with pytest.raises(TypeError, match="grace"):
            await rotate(handle, a_refresh_token(), grace=30)
        with pytest.raises(TypeError):
            await rotate(handle, a_reference_token())
        with pytest.raises(ValueError, match="consumed_time"):
            await rotate(handle, a_refresh_token(consumed_time=store.clock.now()))
        with pytest.raises(ValueError, match="family"):
            await store.refresh_tokens.store_refresh_token(a_refresh_token(), family="")
        assert (await store.refresh_tokens.get_refresh_token(handle)).consumed_time is None

    async def test_concurrent_rotations_inside_the_grace_give_one_successor(self, store: Any) -> None:
        """Of 30 concurrent rotations, one rotates and the others get the same handle."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        rotations = await asyncio.gather(
            *(store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE) for _ in range(30))
        )
        assert sorted(r.outcome for r in rotations) == ["retried"] * 29 + ["rotated"]
        assert len({rotation.handle for rotation in rotations}) == 1
        assert len(await store.persisted_grants.get_all(EVERYTHING)) == 2

    async def test_concurrent_rotations_without_grace_kill_the_family(self, store: Any) -> None:
        """Of 30 concurrent rotations at most one rotates, somebody is told of the replay, and nothing stays."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        rotations = await asyncio.gather(
            *(store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token()) for _ in range(30))
        )
        outcomes = [rotation.outcome for rotation in rotations]
        assert outcomes.count("rotated") <= 1
        assert outcomes.count("replayed") >= 1
        assert set(outcomes) <= {"rotated", "replayed", "unknown"}
        assert await store.persisted_grants.get_all(EVERYTHING) == []
        assert await store.persisted_grants.remove_all(EVERYTHING) == 0

"""What reference tokens, consents, and the service over all grants do in every store.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import logging
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import PayloadUnreadable
from mongostore.models import PersistedGrantFilter, PersistedGrantType
from mongostore.testing.factories import (
    LIFETIME_SECONDS,
    a_backchannel_request,
    a_consent,
    a_grant,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)

LIFETIME = timedelta(seconds=LIFETIME_SECONDS)


class ReferenceTokenContract:
    """Storing, reading and revoking reference tokens."""

    @pytest.mark.parametrize(("subject_id", "session_id"), [("alice", "s1"), ("alice", None), (None, None)])
    async def test_a_stored_token_comes_back(self, store: Any, subject_id: str | None, session_id: str | None) -> None:
        """A token is read back by its handle until it expires, a client's own without subject included."""
        token = a_reference_token(subject_id, session_id, creation_time=store.clock.now())
        handle = await store.reference_tokens.store_reference_token(token)
        assert await store.reference_tokens.get_reference_token(handle) == token
        store.clock.advance(LIFETIME)
        assert await store.reference_tokens.get_reference_token(handle) is None

    async def test_a_removed_token_is_unknown(self, store: Any) -> None:
        """Revoking a token twice is no error; the others of its family stay."""
        handle = await store.reference_tokens.store_reference_token(a_reference_token(), family="f")
        other = await store.reference_tokens.store_reference_token(a_reference_token(), family="f")
        for _ in range(2):
            await store.reference_tokens.remove_reference_token(handle)
        assert await store.reference_tokens.get_reference_token(handle) is None
        assert await store.reference_tokens.get_reference_token(other) is not None

    async def test_tokens_are_removed_by_subject_client_and_session(self, store: Any) -> None:
        """The session narrows what is removed when it is given."""
        for session_id in ("s1", "s2"):
            await store.reference_tokens.store_reference_token(a_reference_token("alice", session_id))
        await store.reference_tokens.store_reference_token(a_reference_token("bob"))
        await store.refresh_tokens.store_refresh_token(a_refresh_token())
        assert await store.reference_tokens.remove_reference_tokens("alice", "web", "s1") == 1
        assert await store.reference_tokens.remove_reference_tokens("alice", "web") == 1
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web"))) == 2


class UserConsentContract:
    """Storing, reading and withdrawing consents."""

    async def test_a_consent_is_found_by_subject_and_client(self, store: Any) -> None:
        """A consent comes back with every field, for this subject and client only."""
        consent = a_consent(expiration=store.clock.now() + LIFETIME)
        await store.user_consents.store_user_consent(consent)
        assert await store.user_consents.get_user_consent("alice", "web") == consent
        assert await store.user_consents.get_user_consent("web", "alice") is None
        assert await store.user_consents.get_user_consent("alice", "spa") is None

    async def test_a_later_consent_replaces_the_earlier(self, store: Any) -> None:
        """There is one consent for a subject and a client."""
        await store.user_consents.store_user_consent(a_consent(expiration=store.clock.now() + LIFETIME))
        wider = a_consent(scopes=["openid", "orders.read"])
        await store.user_consents.store_user_consent(wider)
        assert await store.user_consents.get_user_consent("alice", "web") == wider
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))) == 1

    async def test_an_expired_consent_is_absent_and_can_be_given_again(self, store: Any) -> None:
        """An expired consent is not there, and does not stand in the way of a new one."""
        await store.user_consents.store_user_consent(a_consent(expiration=store.clock.now() + LIFETIME))
        store.clock.advance(LIFETIME)
        assert await store.user_consents.get_user_consent("alice", "web") is None
        again = a_consent()
        await store.user_consents.store_user_consent(again)
        assert await store.user_consents.get_user_consent("alice", "web") == again

    async def test_a_withdrawn_consent_is_absent(self, store: Any) -> None:
        """Withdrawing twice is no error."""
        await store.user_consents.store_user_consent(a_consent())
        for _ in range(2):
            await store.user_consents.remove_user_consent("alice", "web")
        assert await store.user_consents.get_user_consent("alice", "web") is None

    async def test_different_pairs_never_share_a_consent(self, store: Any) -> None:
        """Ids that hold the separator, or its encoding, stay apart."""
        pairs = [("b|c", "a"), ("c", "a|b"), ("c", "a%7Cb"), ("b%7Cc", "a"), ("c", "a%257Cb"), ("c|", "b"), ("c", "|b")]
        for number, (subject_id, client_id) in enumerate(pairs):
            await store.user_consents.store_user_consent(a_consent(subject_id, client_id, scopes=[str(number)]))
        for number, (subject_id, client_id) in enumerate(pairs):
            assert (await store.user_consents.get_user_consent(subject_id, client_id)).scopes == [str(number)]

    @pytest.mark.parametrize("impossible", ["", "a\0b", "x" * 1_001])
    async def test_an_impossible_identifier_finds_nothing(self, store: Any, impossible: str) -> None:
        """Looking up what can't be stored is no error."""
        assert await store.user_consents.get_user_consent(impossible, "web") is None
        assert await store.user_consents.get_user_consent("alice", impossible) is None
        await store.user_consents.remove_user_consent(impossible, impossible)


class GrantServiceContract:
    """Listing and removing all that a subject granted."""

    @pytest.mark.parametrize("subject_id", [None, "", 7], ids=repr)
    async def test_a_missing_subject_never_means_everybody(self, store: Any, subject_id: Any) -> None:
        """Also beside a client and a session: refused, and nothing is listed or removed."""
        handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        for call in (
            store.grants.get_all_grants(subject_id),
            store.grants.remove_all_grants(subject_id),
            store.grants.remove_all_grants(subject_id, "web"),
            store.grants.remove_all_grants(subject_id, session_id="s1"),
        ):
            with pytest.raises((TypeError, ValueError), match="subject_id must"):
                await call
        assert await store.refresh_tokens.get_refresh_token(handle) is not None

    async def test_grants_are_merged_per_client(self, store: Any) -> None:
        """Scopes are joined, the earliest creation and the latest expiration hold, and a description is found."""
        now = store.clock.now()
        hour = timedelta(hours=1)
        await store.user_consents.store_user_consent(
            a_consent(scopes=["a", "b"], creation_time=now, expiration=now + 9 * hour)
        )
        await store.refresh_tokens.store_refresh_token(
            a_refresh_token(
                authorized_scopes=["b", "c"], creation_time=now - hour, lifetime=7_200, description="laptop"
            )
        )
        await store.reference_tokens.store_reference_token(a_reference_token(creation_time=now))
        await store.authorization_codes.store_authorization_code(an_authorization_code(requested_scopes=["d"]))
        await store.user_consents.store_user_consent(a_consent(client_id="spa", scopes=None))
        await store.user_consents.store_user_consent(a_consent("bob"))
        spa, web = await store.grants.get_all_grants("alice")
        assert (web.subject_id, web.client_id, web.description) == ("alice", "web", "laptop")
        assert set(web.scopes) == {"a", "b", "c", "d", "orders.read"}
        assert (web.creation_time, web.expiration) == (now - hour, now + 9 * hour)
        assert (spa.client_id, spa.scopes, spa.expiration) == ("spa", [], None)

    async def test_what_never_expires_makes_the_whole_endless(self, store: Any) -> None:
        """Of several grants to a client, one without expiration is enough; requests by backchannel don't count."""
        now = store.clock.now()
        await store.user_consents.store_user_consent(a_consent())
        await store.refresh_tokens.store_refresh_token(a_refresh_token(creation_time=now))
        await store.backchannel_authentication_requests.create_request(a_backchannel_request())
        (grant,) = await store.grants.get_all_grants("alice")
        assert (grant.client_id, grant.expiration) == ("web", None)

    async def test_consumed_and_expired_grants_are_left_out(self, store: Any) -> None:
        """What is used up or over is not a grant any more."""
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        await store.authorization_codes.redeem_authorization_code(handle)
        await store.user_consents.store_user_consent(a_consent(client_id="spa", expiration=store.clock.now()))
        assert await store.grants.get_all_grants("alice") == []

    async def test_a_grant_of_unexpected_content_is_left_out(
        self, store: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One corrupt grant is logged and does not hide the others; when there are only corrupt ones, that is an error."""
        await store.persisted_grants.store(a_grant("bad", data="hunter2"))
        await store.persisted_grants.store(a_grant("worse", type="user_consent", data="{}"))
        with pytest.raises(PayloadUnreadable):
            await store.grants.get_all_grants("alice")
        await store.user_consents.store_user_consent(a_consent())
        caplog.clear()
        with caplog.at_level(logging.ERROR, "mongostore"):
            (grant,) = await store.grants.get_all_grants("alice")
        assert grant.scopes == ["openid", "profile"]
        assert "2 grants of one subject can't be read" in caplog.text
        assert "hunter2" not in caplog.text

    async def test_an_empty_subject_is_refused(self, store: Any) -> None:
        """Nobody is never everybody."""
        with pytest.raises(ValueError, match="subject_id"):
            await store.grants.get_all_grants("")
        with pytest.raises(ValueError, match="subject_id"):
            await store.grants.remove_all_grants("")

    async def test_all_grants_are_removed_by_subject_client_and_session(self, store: Any) -> None:
        """Every type goes, consents included, as far as client and session say."""
        await store.user_consents.store_user_consent(a_consent())
        await store.refresh_tokens.store_refresh_token(a_refresh_token())
        await store.refresh_tokens.store_refresh_token(a_refresh_token(session_id="s2"))
        await store.reference_tokens.store_reference_token(a_reference_token(client_id="spa"))
        await store.reference_tokens.store_reference_token(a_reference_token("bob"))
        assert await store.grants.remove_all_grants("alice", "web", "s2") == 1
        assert await store.grants.remove_all_grants("alice", "web") == 2
        assert await store.grants.remove_all_grants("alice") == 1
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web"))) == 1

    async def test_all_grants_of_a_session_are_removed(self, store: Any) -> None:
        """With the session alone, its grants to every client go, of every type; consents and other sessions stay."""
        await store.user_consents.store_user_consent(a_consent())
        await store.authorization_codes.store_authorization_code(an_authorization_code())
        await store.refresh_tokens.store_refresh_token(a_refresh_token(client_id="spa"))
        await store.reference_tokens.store_reference_token(a_reference_token())
        await store.reference_tokens.store_reference_token(a_reference_token(session_id="s2"))
        await store.reference_tokens.store_reference_token(a_reference_token("bob"))
        assert await store.grants.remove_all_grants("alice", session_id="s1") == 3
        left = await store.persisted_grants.get_all(PersistedGrantFilter(types=[*PersistedGrantType]))
        assert sorted((grant.subject_id, grant.type, grant.session_id) for grant in left) == [
            ("alice", "reference_token", "s2"),
            ("alice", "user_consent", None),
            ("bob", "reference_token", "s1"),
        ]

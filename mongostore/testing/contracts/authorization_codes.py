"""What the authorization codes of every store do.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from mongostore.models import PersistedGrantFilter
from mongostore.testing.factories import LIFETIME_SECONDS, a_grant, a_principal, an_authorization_code

LIFETIME = timedelta(seconds=LIFETIME_SECONDS)


class AuthorizationCodeContract:
    """Storing, reading and redeeming codes."""

    async def test_a_stored_code_comes_back_by_its_handle(self, store: Any) -> None:
        """A code is read back from the handle that storing it gave, every field."""
        code = an_authorization_code(
            requested_resource_indicators=["urn:orders"],
            state_hash="hash",
            was_consent_shown=True,
            dpop_key_thumbprint="thumbprint",
            description="laptop",
            properties={"a.b": "$1"},
        )
        handle = await store.authorization_codes.store_authorization_code(code)
        assert await store.authorization_codes.get_authorization_code(handle) == code

    async def test_a_handle_is_random_and_of_the_references_form(self, store: Any) -> None:
        """64 upper-case hex digits and the version, a new one each time."""
        code = an_authorization_code()
        handles = {await store.authorization_codes.store_authorization_code(code) for _ in range(10)}
        assert len(handles) == 10
        assert all(re.fullmatch(r"[0-9A-F]{64}-1", handle) for handle in handles)

    async def test_a_code_can_be_found_by_subject_client_and_session(self, store: Any) -> None:
        """A stored code is a grant of its type, with the columns that filters need, and without its handle."""
        code = an_authorization_code("bob", client_id="spa", session_id="s9", description="laptop")
        handle = await store.authorization_codes.store_authorization_code(code)
        (grant,) = await store.persisted_grants.get_all(
            PersistedGrantFilter(subject_id="bob", client_id="spa", session_id="s9", type="authorization_code")
        )
        assert grant.expiration == code.creation_time + LIFETIME
        assert grant.description == "laptop"
        assert handle not in grant.model_dump_json()

    @pytest.mark.parametrize("handle", ["", "unknown", "a\0b", "x" * 5_000, "\ud800"])
    async def test_an_unknown_handle_gives_nothing(self, store: Any, handle: str) -> None:
        """Whatever a party sends for a handle, the answer is that it is unknown."""
        assert await store.authorization_codes.get_authorization_code(handle) is None
        assert (await store.authorization_codes.redeem_authorization_code(handle)).outcome == "unknown"
        await store.authorization_codes.remove_authorization_code(handle)

    async def test_redeeming_gives_the_code_and_its_family(self, store: Any) -> None:
        """The first redemption gets the code; a code that was redeemed is not read any more."""
        code = an_authorization_code()
        handle = await store.authorization_codes.store_authorization_code(code)
        redemption = await store.authorization_codes.redeem_authorization_code(handle)
        assert (redemption.outcome, redemption.value) == ("redeemed", code)
        assert redemption.family
        assert await store.authorization_codes.get_authorization_code(handle) is None

    async def test_a_second_redemption_is_a_replay_with_code_and_family(self, store: Any) -> None:
        """A replay says so, and gives what is needed to revoke what the first redemption issued."""
        code = an_authorization_code()
        handle = await store.authorization_codes.store_authorization_code(code)
        first = await store.authorization_codes.redeem_authorization_code(handle)
        for _ in range(2):
            replay = await store.authorization_codes.redeem_authorization_code(handle)
            assert (replay.outcome, replay.value, replay.family) == ("replayed", code, first.family)

    async def test_two_codes_have_two_families(self, store: Any) -> None:
        """Revoking what came of one code leaves what came of another."""
        families = set()
        for _ in range(2):
            handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
            families.add((await store.authorization_codes.redeem_authorization_code(handle)).family)
        assert len(families) == 2

    async def test_concurrent_redemptions_have_one_winner(self, store: Any) -> None:
        """Of 50 concurrent redemptions of a code, one gets it and 49 are replays."""
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        redemptions = await asyncio.gather(
            *(store.authorization_codes.redeem_authorization_code(handle) for _ in range(50))
        )
        outcomes = [redemption.outcome for redemption in redemptions]
        assert (outcomes.count("redeemed"), outcomes.count("replayed")) == (1, 49)

    async def test_a_removed_code_is_unknown(self, store: Any) -> None:
        """Removing a code, and removing it again, leaves nothing to redeem."""
        handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
        for _ in range(2):
            await store.authorization_codes.remove_authorization_code(handle)
        assert await store.authorization_codes.get_authorization_code(handle) is None
        assert (await store.authorization_codes.redeem_authorization_code(handle)).outcome == "unknown"

    async def test_an_expired_code_is_unknown(self, store: Any) -> None:
        """From the end of its lifetime on, a code is neither read nor redeemed."""
        code = an_authorization_code(creation_time=store.clock.now())
        handle = await store.authorization_codes.store_authorization_code(code)
        store.clock.advance(LIFETIME - timedelta(milliseconds=1))
        assert await store.authorization_codes.get_authorization_code(handle) == code
        store.clock.advance(timedelta(milliseconds=1))
        assert await store.authorization_codes.get_authorization_code(handle) is None
        assert (await store.authorization_codes.redeem_authorization_code(handle)).outcome == "unknown"

    async def test_a_grant_of_another_type_under_the_key_is_no_code(self, store: Any) -> None:
        """What lies under the code's key but says to be of another type is not taken for a code."""
        code = an_authorization_code()
        handle = await store.authorization_codes.store_authorization_code(code)
        (grant,) = await store.persisted_grants.get_all(PersistedGrantFilter(type="authorization_code"))
        await store.persisted_grants.store(grant.model_copy(update={"type": "refresh_token"}))
        assert await store.authorization_codes.get_authorization_code(handle) is None
        assert (await store.authorization_codes.redeem_authorization_code(handle)).outcome == "unknown"

    async def test_a_code_without_a_subject_claim_is_kept(self, store: Any) -> None:
        """A principal without `sub` has no subject to filter by, and comes back as it was."""
        code = an_authorization_code(subject=a_principal().model_copy(update={"claims": []}), session_id=None)
        handle = await store.authorization_codes.store_authorization_code(code)
        assert (await store.authorization_codes.redeem_authorization_code(handle)).value == code

    async def test_a_code_that_is_too_large_is_refused(self, store: Any) -> None:
        """More than 1 MiB raises ValueError, and nothing is stored."""
        with pytest.raises(ValueError, match="1 MiB"):
            await store.authorization_codes.store_authorization_code(an_authorization_code(nonce="x" * 2**20))
        assert await store.persisted_grants.get_all(PersistedGrantFilter(client_id="web")) == []

    async def test_something_else_than_a_code_is_refused(self, store: Any) -> None:
        """Wrong types are TypeErrors."""
        with pytest.raises(TypeError):
            await store.authorization_codes.store_authorization_code(a_grant())
        with pytest.raises(TypeError):
            await store.authorization_codes.redeem_authorization_code(None)

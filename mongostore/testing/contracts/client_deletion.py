"""What becomes of grants when their client is deleted.

Subclass with a fixture `store`: an open, empty store.
"""

from typing import Any

import pytest

from mongostore.errors import NotFound, StaleRevision
from mongostore.testing.contracts.filled_models import IMPOSSIBLE_NAMES
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)


class Granted:
    """Something of every kind that a client can be granted."""

    def __init__(self, store: Any, client_id: str) -> None:
        self._store = store
        self._client_id = client_id

    async def grant(self) -> None:
        """Store all of it."""
        s, client_id = self._store, self._client_id
        self._code = await s.authorization_codes.store_authorization_code(an_authorization_code(client_id=client_id))
        self._used = await s.authorization_codes.store_authorization_code(an_authorization_code(client_id=client_id))
        family = (await s.authorization_codes.redeem_authorization_code(self._used)).family
        self._refresh = await s.refresh_tokens.store_refresh_token(a_refresh_token(client_id=client_id), family=family)
        self._reference = await s.reference_tokens.store_reference_token(a_reference_token(client_id=client_id))
        await s.user_consents.store_user_consent(a_consent(client_id=client_id))
        await s.persisted_grants.store(a_grant(client_id, client_id=client_id, type="urn:x:of-its-own"))
        requests = s.backchannel_authentication_requests
        self._ciba = await requests.create_request(a_backchannel_request(client_id=client_id))

        self._device = f"device of {client_id}"
        await s.device_flow.store_device_authorization(self._device, client_id, a_device_code(client_id=client_id))
        self._pushed = f"pushed by {client_id}"
        await s.pushed_authorization_requests.store(a_pushed_request(self._pushed, client_id=client_id))

    async def live(self) -> set[str]:
        """Which of it can still be used."""
        s = self._store
        found = {
            "code": await s.authorization_codes.get_authorization_code(self._code),
            "refresh token": await s.refresh_tokens.get_refresh_token(self._refresh),
            "reference token": await s.reference_tokens.get_reference_token(self._reference),
            "consent": await s.user_consents.get_user_consent("alice", self._client_id),
            "a grant of its own": await s.persisted_grants.get(self._client_id),
            "backchannel request": await s.backchannel_authentication_requests.get_by_authentication_request_id(
                self._ciba
            ),
            "device request": await s.device_flow.find_by_device_code(self._device),
            "pushed request": await s.pushed_authorization_requests.get_by_hash(self._pushed),
        }
        return {what for what, value in found.items() if value is not None}


class ClientDeletionContract:
    """Deleting clients with what was granted to them."""

    @pytest.fixture
    async def webs(self, store: Any) -> Granted:
        """What the client `web` was granted."""
        granted = Granted(store, "web")
        await granted.grant()
        return granted

    async def test_the_next_client_of_an_id_inherits_nothing(self, store: Any, webs: Granted) -> None:
        """Nothing that a client was granted outlives it; other clients keep theirs."""
        others = Granted(store, "web2")
        await others.grant()
        everything = await others.live()
        assert len(everything) == 8
        await store.clients.save_client(a_client())
        assert await store.clients.delete_client("web") is True
        await store.clients.save_client(a_client(), expected_revision=0)
        assert await webs.live() == set()
        assert [grant.client_id for grant in await store.grants.get_all_grants("alice")] == ["web2"]
        assert await others.live() == everything

    async def test_nothing_is_issued_from_what_a_deleted_client_had_redeemed(self, store: Any) -> None:
        """A code that was redeemed before the deletion leads to no token afterwards."""
        await store.clients.save_client(a_client())
        code = await store.authorization_codes.store_authorization_code(an_authorization_code())
        family = (await store.authorization_codes.redeem_authorization_code(code)).family
        await store.clients.delete_client("web")
        with pytest.raises(NotFound):
            await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
        assert await store.grants.get_all_grants("alice") == []

    async def test_grants_may_be_kept(self, store: Any, webs: Granted) -> None:
        """Whoever moves a client asks for it."""
        before = await webs.live()
        await store.clients.save_client(a_client())
        assert await store.clients.delete_client("web", revoke_grants=False) is True
        assert await webs.live() == before

    async def test_a_repeated_deletion_finishes_what_the_first_one_left(self, store: Any, webs: Granted) -> None:
        """Also when the client is gone already, its grants go: the first attempt may have died in between."""
        revision = await store.clients.save_client(a_client())
        await store.clients.delete_client("web", revoke_grants=False)
        assert await store.clients.delete_client("web", expected_revision=revision) is False
        assert await webs.live() == set()

    async def test_a_refused_deletion_revokes_nothing(self, store: Any, webs: Granted) -> None:
        """The client stays, and so do its grants."""
        before = await webs.live()
        revision = await store.clients.save_client(a_client())
        with pytest.raises(StaleRevision):
            await store.clients.delete_client("web", expected_revision=revision + 1)
        with pytest.raises(ValueError, match="expected_revision"):
            await store.clients.delete_client("web", expected_revision=0)
        assert await webs.live() == before

    async def test_an_impossible_id_revokes_nothing(self, store: Any, webs: Granted) -> None:
        """What no client can be called has no grants."""
        before = await webs.live()
        for client_id in IMPOSSIBLE_NAMES:
            assert await store.clients.delete_client(client_id) is False
        assert await webs.live() == before

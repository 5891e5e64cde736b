"""What `store.tenants` does, on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`, where tenants share a database
and are admitted by their first write, on a schema that was applied. A deletion waits a little longer than the operation time
limit: choose a short one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import AlreadyExists, NotFound
from mongostore.models import ApiResource, ApiScope, IdentityResource, Message, OidcProvider
from mongostore.testing.factories import (
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_serialized_key,
    a_session,
    an_authorization_code,
)

HOUR = timedelta(hours=1)

# Collection by collection, in this order.
EVERYTHING = [
    ("api_resources", 1),
    ("clients", 1),
    ("device_codes", 1),
    ("grants", 5),
    ("identity_providers", 1),
    ("messages", 2),
    ("pushed_authorization_requests", 1),
    ("replay_cache", 1),
    ("revisions", 1),
    ("scopes", 2),
    ("sessions", 1),
    ("signing_keys", 1),
]


class TenantContract:
    """Tenants come, are listed, and go with all that they had."""

    async def test_creating_twice_does_no_harm(self, store: Any) -> None:
        """The second creation says that the tenant was there; the list is in order, without `default`."""
        assert await store.tenants.create("beta") is True
        assert await store.tenants.create("acme") is True
        assert await store.tenants.create("beta") is False
        assert await store.tenants.create("default") is False
        assert await store.tenants.list() == ["acme", "beta"]

    async def test_many_first_writes_at_once(self, store: Any) -> None:
        """A tenant that comes into being by several writes at the same time is one."""
        acme = store.for_tenant("acme")
        await asyncio.gather(*(acme.persisted_grants.store(a_grant(f"g{number}")) for number in range(10)))
        assert await store.tenants.list() == ["acme"]
        assert [await acme.persisted_grants.get(f"g{number}") is not None for number in range(10)] == [True] * 10

    async def test_a_deletion_counts_and_shows_what_it_removes(self, store: Any) -> None:
        """Each collection is reported, and all of them counted; in all backends alike."""
        await self._fill(store.for_tenant("acme"))
        progress: list[tuple[str, int]] = []
        removed = await store.tenants.delete("acme", on_progress=lambda *step: progress.append(step))
        assert progress == EVERYTHING
        assert removed == sum(count for _, count in EVERYTHING)
        assert await store.tenants.list() == []
        assert await store.tenants.delete("acme", on_progress=lambda *step: progress.append(step)) == 0
        assert progress == EVERYTHING

    async def test_a_large_deletion_reports_every_thousand(self, store: Any) -> None:
        """The number is of all that went from the collection so far."""
        acme = store.for_tenant("acme")
        for begin in range(0, 1_001, 50):
            numbers = range(begin, min(begin + 50, 1_001))
            await asyncio.gather(*(acme.persisted_grants.store(a_grant(f"g{number}")) for number in numbers))
        progress: list[tuple[str, int]] = []
        assert await store.tenants.delete("acme", on_progress=lambda *step: progress.append(step)) == 1_001
        assert progress == [("grants", 1_000), ("grants", 1_001)]

    async def test_a_tenant_that_is_created_again_begins_with_nothing(self, store: Any) -> None:
        """Whoever holds on to its stores goes on with the new one's; other tenants are not touched."""
        acme, other = store.for_tenant("acme"), store.for_tenant("acme-2")
        grants = acme.persisted_grants
        handle = await acme.refresh_tokens.store_refresh_token(a_refresh_token())
        for each in (acme, other, store):
            await each.persisted_grants.store(a_grant("k"))
        signs = (await acme.signing.get_signing_credentials()).key_id
        await store.tenants.delete("acme")
        await store.tenants.create("acme")
        assert await grants.get("k") is None
        assert await acme.refresh_tokens.get_refresh_token(handle) is None
        assert (await acme.signing.get_signing_credentials()).key_id != signs
        await grants.store(a_grant("new"))
        assert await store.for_tenant("acme").persisted_grants.get("new") is not None
        for each in (other, store):
            assert await each.persisted_grants.get("k") is not None

    async def test_while_a_tenant_leaves_nothing_is_stored_for_it(self, store: Any) -> None:
        """Neither does a first write bring it back, nor a creation; what is told of it is as if it were not there."""
        acme = store.for_tenant("acme")
        await acme.persisted_grants.store(a_grant("k"))
        attempts: list[asyncio.Task[Any]] = []

        def attempt(*_: Any) -> None:
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: acme.persisted_grants.store(a_grant("late")),
                lambda: acme.clients.save_client(a_client()),
                acme.key_ring.rotate,
                lambda: store.tenants.create("acme"),
            ]
            attempts.extend(asyncio.ensure_future(call()) for call in calls)

        await store.tenants.delete("acme", on_progress=attempt)
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            assert isinstance(result, NotFound | AlreadyExists), result
        assert await store.tenants.list() == []

    async def test_a_tenant_that_was_never_there_is_deleted_at_once(self, store: Any) -> None:
        """There is nothing to wait for."""
        assert await store.tenants.delete("acme") == 0

    @pytest.mark.parametrize("slug", ["default", "", "Acme", "a|b"])
    async def test_what_cant_be_deleted_is_refused(self, store: Any, slug: str) -> None:
        """The tenant `default`, and what is no slug."""
        with pytest.raises(ValueError, match="tenant"):
            await store.tenants.delete(slug)

    async def _fill(self, acme: Any) -> None:
        await acme.clients.save_client(a_client())
        await acme.resources.save_identity_resource(IdentityResource(name="openid", user_claims=["sub"]))
        await acme.resources.save_api_scope(ApiScope(name="orders.read"))
        await acme.resources.save_api_resource(ApiResource(name="orders", scopes=["orders.read"]))
        await acme.identity_providers.save_identity_provider(
            OidcProvider(scheme="idp", display_name="IdP", authority="https://idp.example.com", client_id="us")
        )
        await acme.persisted_grants.store(a_grant("k"))
        await acme.authorization_codes.store_authorization_code(an_authorization_code())
        await acme.refresh_tokens.store_refresh_token(a_refresh_token())
        await acme.reference_tokens.store_reference_token(a_reference_token())
        await acme.user_consents.store_user_consent(a_consent())
        await acme.device_flow.store_device_authorization("device", "USER", a_device_code())
        await acme.pushed_authorization_requests.store(a_pushed_request("h"))
        await acme.messages.write(Message(data="m"))
        await acme.consent_messages.write(Message(data="m"))
        await acme.replay_cache.add("jti", "1", acme.clock.now() + HOUR)
        await acme.server_side_sessions.create_session(a_session())
        await acme.signing_keys.store_key(a_serialized_key("kid"))

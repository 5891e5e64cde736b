"""Every query of the library, as the planner sees it at the moment when it is sent, on a database that has seen use."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from mongostore import TenantMaintenance, TokenCleanupOptions, TokenCleanupService
from mongostore.errors import AlreadyExists, NotFound
from mongostore.grants.handles import grant_key
from mongostore.models import (
    Message,
    PersistedGrantFilter,
    RemoveSessionsContext,
    SessionFilter,
    SessionQuery,
)
from mongostore.mongo.documents.grants import GrantFields
from mongostore.mongo.identity_providers import MongoIdentityProviderStore
from mongostore.mongo.removal import delete_all
from mongostore.schema import apply_schema
from mongostore.signing.options import SigningOptions
from mongostore.stores import LogoutState
from mongostore.tenancy import DEFAULT_TENANT
from mongostore.testing.contracts.filled_models import (
    a_filled_api_resource,
    a_filled_api_scope,
    a_filled_client,
    a_filled_identity_resource,
    an_oidc_provider,
)
from mongostore.testing.factories import (
    a_backchannel_request,
    a_client,
    a_consent,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    a_serialized_key,
    a_session,
    a_ticket,
    an_answered_device_code,
    an_authorization_code,
)

GRACE, MINUTE = timedelta(seconds=30), timedelta(minutes=1)
TYPES = ["refresh_token", "reference_token", "authorization_code", "user_consent"]
COORDINATED = a_client("web", coordinate_lifetime_with_user_session=True)


async def refused(call: Awaitable[Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await call


async def save_twice(save: Callable[..., Awaitable[int]], model: Any) -> None:
    revision = await save(model)
    await save(model)
    await save(model, expected_revision=revision + 1)
    await refused(save(model, expected_revision=0), AlreadyExists)


async def clients(s: Any) -> None:
    await s.clients.find_client_by_id("client-7")
    await s.clients.find_enabled_client_by_id("absent")
    assert len([client async for client in s.clients.get_all_clients()]) > 200
    await save_twice(s.clients.save_client, a_filled_client("new"))
    await s.clients.get_client_revision("client-7")
    assert await s.clients.read_client("client-7") is not None
    await s.cors_policy.is_origin_allowed("https://7.example")
    await s.clients.delete_client("client-7")


async def resources(s: Any) -> None:
    await s.resources.find_identity_resources_by_scope_name(["identity-1", "identity-2", "absent"])
    await s.resources.find_api_scopes_by_name(["scope-1", "scope-2"])
    await s.resources.find_api_resources_by_scope_name(["scope-1", "scope-2"])
    await s.resources.find_api_resources_by_name(["api-1", "api-2"])
    await s.resources.get_all_resources()
    await s.resources.find_resources_by_scope(["identity-1", "scope-1"])
    await s.resources.find_enabled_resources_by_scope(["scope-1"])
    await save_twice(s.resources.save_identity_resource, a_filled_identity_resource("new"))
    await save_twice(s.resources.save_api_scope, a_filled_api_scope("new-scope"))
    await save_twice(s.resources.save_api_resource, a_filled_api_resource("new"))
    assert await s.resources.read_identity_resource("identity-1") is not None
    assert await s.resources.read_api_scope("scope-1") is not None
    assert await s.resources.read_api_resource("api-1") is not None
    await s.resources.delete_identity_resource("identity-1")
    await s.resources.delete_api_scope("scope-1")
    await s.resources.delete_api_resource("api-1")


async def identity_providers(s: Any) -> None:
    await s.identity_providers.get_all_scheme_names()
    unjudged = MongoIdentityProviderStore(s._databases.main, DEFAULT_TENANT, s._backends._protector)
    assert await unjudged.get_all_scheme_names() != []
    await s.identity_providers.get_by_scheme("scheme-1")
    await save_twice(s.identity_providers.save_identity_provider, an_oidc_provider("new"))
    assert await s.identity_providers.read_identity_provider("scheme-1") is not None
    await s.identity_providers.delete_identity_provider("scheme-1")


def grant_filters() -> Iterator[PersistedGrantFilter]:
    """All 15 shapes of a filter, with single values and with lists."""
    for subject, session, client, kind in product((None, "alice"), (None, "s1"), (None, "c", "cs"), (None, "t", "ts")):
        values: dict[str, Any] = {"subject_id": subject, "session_id": session}
        values |= {"c": {"client_id": "web"}, "cs": {"client_ids": ["web", "tv"]}}.get(client or "", {})
        values |= {"t": {"type": TYPES[0]}, "ts": {"type": TYPES[0], "types": TYPES[1:3]}}.get(kind or "", {})
        if any(value is not None for value in values.values()):
            yield PersistedGrantFilter(**values)


async def persisted_grants(s: Any) -> None:
    await s.persisted_grants.store(a_grant())
    await s.persisted_grants.get("default 1")
    for each in grant_filters():
        assert await s.persisted_grants.get_all(each), each
    await s.persisted_grants.consume("default 2")
    await s.persisted_grants.remove("default 1")
    # The narrowest first, so that the wider ones find something, too.
    for each in sorted(grant_filters(), key=lambda each: len(each.model_fields_set), reverse=True):
        await s.persisted_grants.store(a_grant(type=TYPES[0]))
        assert await s.persisted_grants.remove_all(each), each
    await s.persisted_grants.remove_created_before(s.clock.now() - timedelta(days=400))
    # What a removal goes on with when one command has no time for all.
    binding = s._databases.main
    query = {"tenant": "default", "subject_id": "bob", "client_id": "app", "type": TYPES[3]}
    assert await delete_all(binding, binding.collection(GrantFields), query)


async def authorization_codes(s: Any) -> None:
    code = await s.authorization_codes.store_authorization_code(an_authorization_code())
    await s.authorization_codes.get_authorization_code(code)
    for handle in (code, code, "unknown"):
        await s.authorization_codes.redeem_authorization_code(handle)
    await s.authorization_codes.remove_authorization_code(code)


async def refresh_tokens(s: Any) -> None:
    token = await s.refresh_tokens.store_refresh_token(a_refresh_token())
    await s.refresh_tokens.get_refresh_token(token)
    await s.refresh_tokens.update_refresh_token(token, a_refresh_token())
    # Rotated, retried, replayed.
    for grace in (GRACE, GRACE, timedelta(0)):
        await s.refresh_tokens.rotate_refresh_token(token, a_refresh_token(), grace=grace)
    await s.refresh_tokens.remove_refresh_token(await s.refresh_tokens.store_refresh_token(a_refresh_token()))
    await s.refresh_tokens.remove_refresh_tokens("dora", "web")
    # Who loses a race discards its own successor.
    await s.refresh_tokens._records.discard_pending("default 17")


async def reference_tokens(s: Any) -> None:
    token = await s.reference_tokens.store_reference_token(a_reference_token())
    await s.reference_tokens.get_reference_token(token)
    await s.reference_tokens.remove_reference_token(token)
    await s.reference_tokens.remove_reference_tokens("dora", "web", "s1")


async def user_consents_and_all_grants(s: Any) -> None:
    await s.user_consents.store_user_consent(a_consent("dora"))
    await s.user_consents.get_user_consent("dora", "web")
    assert await s.grants.get_all_grants("dora")
    await s.user_consents.remove_user_consent("dora", "web")
    await s.grants.remove_all_grants("dora", "app", "s1")
    await s.grants.remove_family("family 1")
    await s.grants.revoke_before(s.clock.now() - timedelta(days=400))


async def families(s: Any) -> None:
    code = await s.authorization_codes.store_authorization_code(an_authorization_code())
    family = (await s.authorization_codes.redeem_authorization_code(code)).family
    await s.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
    await s.reference_tokens.store_reference_token(a_reference_token(), family=family)
    assert await s.grants.remove_family(family) == 3
    with suppress(NotFound):  # It comes too late.
        await s.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)


async def backchannel_authentication_requests(s: Any) -> None:
    requests = s.backchannel_authentication_requests
    handle = await requests.create_request(a_backchannel_request())
    internal_id = grant_key(handle, "ciba")
    await requests.get_by_authentication_request_id(handle)
    await requests.get_by_internal_id(internal_id)
    await requests.get_logins_for_user("alice")
    await requests.get_logins_for_user("alice", "bank")
    assert await requests.consume_by_internal_id(internal_id) is None
    await requests.update_by_internal_id(internal_id, a_backchannel_request(is_complete=True))
    assert await requests.consume_by_internal_id(internal_id)
    await requests.remove_by_internal_id(internal_id)


async def device_flow(s: Any) -> None:
    flow, short = s.device_flow, a_device_code(creation_time=s.clock.now(), lifetime=60)
    await flow.store_device_authorization("short 1", "user short 1", short)
    await flow.store_device_authorization("short 2", "user short 2", short)
    s.clock.advance(MINUTE)
    await flow.store_device_authorization("short 1", "user new 1", a_device_code())
    await flow.store_device_authorization("new 2", "user short 2", a_device_code())
    await refused(flow.store_device_authorization("new 3", "user 1", a_device_code()), AlreadyExists)
    await flow.remove_created_before(s.clock.now() - timedelta(days=400))
    await flow.find_by_device_code("device 1")
    await flow.find_by_user_code("user 1")
    await flow.find_by_user_code("unknown")
    await flow.update_by_user_code("user 2", an_answered_device_code())
    await refused(flow.update_by_user_code("unknown", a_device_code()), NotFound)
    await flow.register_poll("device 4", MINUTE)
    assert await flow.consume_by_device_code("device 5")
    assert await flow.consume_by_device_code("device 6") is None
    assert await flow.remove_by_device_code("device 7")


async def pushed_authorization_requests(s: Any) -> None:
    requests = s.pushed_authorization_requests
    await requests.store(a_pushed_request("short", expires_at_utc=s.clock.now() + MINUTE))
    s.clock.advance(MINUTE)
    await requests.store(a_pushed_request("short"))
    await refused(requests.store(a_pushed_request("short")), AlreadyExists)
    assert await requests.get_by_hash("1")
    assert await requests.consume_by_hash("1")


async def messages_and_replay_cache(s: Any) -> None:
    for messages in (s.messages, s.consent_messages):
        message = await messages.write(Message("text"))
        assert await messages.read(message)
        await messages.delete(message)
    for _ in range(2):
        await s.replay_cache.add("jti", "new", s.clock.now() + MINUTE)
    s.clock.advance(MINUTE)
    assert await s.replay_cache.add("jti", "new", s.clock.now() + MINUTE)
    assert await s.replay_cache.exists("jti", "1")


SESSION_FILTERS = [
    SessionFilter(subject_id="subject 1"),
    SessionFilter(session_id="session 53"),
    SessionFilter(subject_id="subject 5", session_id="session 55"),
]


def ended(_: Any) -> LogoutState:
    return LogoutState()


async def server_side_sessions(s: Any) -> None:
    sessions = s.server_side_sessions
    await sessions.create_session(a_session("short", expires=s.clock.now() + MINUTE))
    await refused(sessions.create_session(a_session("short")), AlreadyExists)
    s.clock.advance(MINUTE)
    await sessions.create_session(a_session("short", session_id="its successor"))
    assert await sessions.get_session("key 1")
    await sessions.update_session(a_session("key 1"))
    assert await sessions.slide_session("key 2")
    assert await sessions.change_session("key 2", lambda session: session)
    assert await sessions.delete_session("key 2")
    (logout,) = (
        await sessions.end_sessions(SessionFilter(subject_id="subject 6", session_id="session 56"), ended, MINUTE)
    ).logouts
    assert await sessions.keep_logout(logout, logout.state, s.clock.now())
    claimed = await sessions.claim_logouts(1, MINUTE)
    assert await sessions.finish_logouts(claimed) == 1
    logout = await sessions.end_session("key 7", ended, MINUTE)
    assert await sessions.finish_logouts([logout]) == 1
    for each in SESSION_FILTERS:
        assert await sessions.get_sessions(each)
        assert await sessions.slide_sessions(each)
        assert await sessions.delete_sessions(each)


async def session_pages(s: Any) -> None:
    """First, next and former page, by every combination of what may be asked for."""
    names = ("subject_id", "session_id", "display_name")
    prefixes = product((None, "subject 3"), (None, "session 103"), (None, "User 0"))
    substrings = product((None, "ect 3"), (None, "ion 1"), (None, "ser 01"))
    searches: list[dict[str, Any]] = [dict(zip(names, values, strict=True)) for values in prefixes]
    searches += [dict(zip(names, values, strict=True)) | {"match": "substring"} for values in substrings]
    for search in searches:
        first = await s.server_side_sessions.query_sessions(SessionQuery(count_requested=3, **search))
        assert first.results, search
        for backwards in (False, True):
            query = SessionQuery(
                count_requested=3, results_token=first.results_token, request_prior_results=backwards, **search
            )
            await s.sessions.query(query)


async def expired_sessions(s: Any) -> None:
    sessions = s.server_side_sessions
    claimed = await sessions.claim_expired_sessions(3, MINUTE)
    assert await sessions.acknowledge_expired_sessions([session.key for session in claimed]) == len(claimed) == 3
    assert len(await sessions.get_and_remove_expired_sessions(3)) == 3
    assert await s.sessions.process_expired(lambda _: None, count=2) == 2
    heard = asyncio.Event()
    await until(heard, s.sessions.run(lambda _: heard.set()))


async def until(heard: asyncio.Event, endless: Any) -> None:
    task = asyncio.create_task(endless)
    await heard.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def sign_ins(s: Any) -> None:
    await s.clients.save_client(COORDINATED)
    key = await s.tickets.store(a_ticket())
    await s.tickets.retrieve(key)
    await s.tickets.retrieve(key, slide=True)
    await s.tickets.renew(key, a_ticket())
    await s.tickets.add_client(key, "tv")
    key = await s.tickets.renew(key, a_ticket(session_id="another"))
    await s.sessions.validate_session("alice", "another", COORDINATED)
    await s.sessions.process_logout(await s.server_side_sessions.get_session(key))
    await s.tickets.remove(key)
    await s.tickets.store(a_ticket("erin"))

    async def fail(_: Any) -> None:
        raise RuntimeError

    assert await s.sessions.end(RemoveSessionsContext(subject_id="erin"), on_logout=fail) == 1
    assert await s.sessions.end(RemoveSessionsContext(subject_id="subject 4", client_ids=["web", "tv"]))


async def signing_keys(s: Any) -> None:
    assert await s.signing_keys.load_keys()
    await s.signing_keys.store_key(a_serialized_key("new"))
    await s.signing_keys.delete_key("new")
    assert not await s.signing_keys.retire(1, s.clock.now() + timedelta(hours=1))
    for number in range(3):
        await s.signing_keys.delete_key(f"key {number}")
    await s.signing.get_signing_credentials()
    await s.signing.rotate()
    await s.signing.get_validation_keys()
    await s.signing.jwks()
    assert await s.signing.rotate_if_due() == 0


async def tenants_and_key_ring(s: Any) -> None:
    await s.tenants.create("few")
    for number in range(3):
        await s.for_tenant("few").persisted_grants.store(a_grant(str(number)))
    await s.key_ring.status()
    await s.key_ring.rotate()
    assert await s.key_ring.rotate_if_due() == 0
    await s.persisted_grants.remove_all(PersistedGrantFilter(types=TYPES))  # So that there is less to seal anew.
    anew = (await s.key_ring.reencrypt(batch_size=50)).total
    assert anew.reencrypted > 300
    assert anew.unreadable == 0
    await s.key_ring.rewrap()
    # What that does under another master key.
    data_keys = s._key_ring._store
    (record, *_) = await data_keys.load("default")
    assert await data_keys.replace_wrapped(record, record)
    assert await s.key_ring.destroy("few")
    assert await s.tenants.delete("few") == 3
    assert "acme" in await s.tenants.list()


async def cleanup(s: Any) -> None:
    await s.persisted_grants.store(a_grant("used"))
    await s.persisted_grants.consume("used")
    await s.persisted_grants.store(a_grant("old", expiration=s.clock.now() + MINUTE))
    short = a_device_code(creation_time=s.clock.now(), lifetime=60)
    await s.device_flow.store_device_authorization("old", "old", short)
    await s.pushed_authorization_requests.store(a_pushed_request("old", expires_at_utc=s.clock.now() + MINUTE))
    s.clock.advance(2 * MINUTE)
    heard = asyncio.Event()
    options = TokenCleanupOptions(remove_consumed_tokens=True, interval=timedelta(milliseconds=1))
    service = TokenCleanupService(s, options, lambda kind, items: heard.set())
    counts = await service.cleanup_grants()
    assert min(counts.grants, counts.consumed_grants, counts.device_codes, counts.pushed_authorization_requests) > 0
    await s.persisted_grants.store(a_grant("old", expiration=s.clock.now() + MINUTE))
    s.clock.advance(2 * MINUTE)
    heard.clear()
    await until(heard, service.run())


async def maintenance(s: Any) -> None:
    await s.tenants.create("looked-after")
    theirs = s.for_tenant("looked-after")
    await theirs.persisted_grants.store(a_grant("old", expiration=s.clock.now() + MINUTE))
    await theirs.tickets.store(a_ticket(expires=s.clock.now() + MINUTE))
    s.clock.advance(2 * MINUTE)
    report = await s.maintenance.run_once(on_expired_session=lambda *_: None, on_removed=lambda *_: None)
    assert report.tenants["looked-after"] == TenantMaintenance(removed=1, sessions=1)
    await theirs.tickets.store(a_ticket(expires=s.clock.now()))
    heard = asyncio.Event()
    await until(heard, s.maintenance.run(on_expired_session=lambda *_: heard.set()))


async def the_store_itself(s: Any) -> None:
    assert (await s.health()).status != "down"
    await apply_schema(s._databases.main)
    lease = await s._cleanup.leases.acquire("a job", MINUTE)
    assert await lease.holds()
    await lease.release()
    await s.close()
    await s.open()


CONFIGURATION = [clients, resources, identity_providers]
CHAPTERS = [
    *CONFIGURATION,
    *(persisted_grants, authorization_codes, refresh_tokens, reference_tokens, user_consents_and_all_grants, families),
    *(backchannel_authentication_requests, device_flow, pushed_authorization_requests, messages_and_replay_cache),
    *(server_side_sessions, session_pages, expired_sessions, sign_ins),
    *(signing_keys, tenants_and_key_ring, cleanup, maintenance, the_store_itself),
]


async def test_no_query_scans_sorts_or_reads_what_it_does_not_need(
    used_database, open_store, planner, uncalled, attributes_of
):
    """Whatever the library asks is answered from an index: no scan, no sort in memory, no document that is not meant.

    A public method that is in no chapter fails this: of any attribute, of the store, or of what sends commands below.
    """
    left = uncalled(planner.senders())
    options = {"caching": None, "telemetry": False, "signing": SigningOptions(signing_algorithms=["ES256"])}
    planner.listens = True
    async with open_store(used_database, **options) as store:
        attributes = attributes_of(store)
        del attributes["clock"], attributes["caches"]  # They send nothing.
        left_of_store = uncalled(attributes | {"store": store, "TokenCleanupService": TokenCleanupService})
        for chapter in CHAPTERS:
            before = planner.explained
            await chapter(store)
            assert planner.explained > before, chapter.__name__
    assert planner.problems == []
    assert left_of_store | left == set(), "nobody calls these: give them a line in a chapter"


async def test_no_cache_asks_otherwise(configured_database, open_store, planner):
    """What is asked to fill the caches, and to find out whether they may be believed, goes by an index as well."""
    planner.listens = True
    async with open_store(configured_database) as store:
        for chapter in CONFIGURATION:
            before = planner.explained
            await chapter(store)
            assert planner.explained > before, chapter.__name__
        assert (await store.health()).status != "down"
    assert planner.problems == []

"""Events: what an auditor hears of, once each, with nothing in it that an audit log must not hold."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest

from mongostore import LocalMasterKey, MemoryStore, MongoStore, StoreOptions
from mongostore.events import StoreEvent
from mongostore.models import PersistedGrantFilter, RemoveSessionsContext
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.signing.options import SigningOptions
from mongostore.testing import FakeClock
from mongostore.testing.factories import (
    a_consent,
    a_grant,
    a_reference_token,
    a_refresh_token,
    a_session,
    a_ticket,
    an_authorization_code,
)

POLICY = KeyRotationPolicy(rotation_interval=timedelta(days=90), propagation=timedelta(hours=1))
GRACE = timedelta(seconds=30)


class Heard:
    """A hook that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[StoreEvent] = []
        self.options = StoreOptions(
            telemetry=False,
            on_event=self.events.append,
            key_rotation=POLICY,
            signing=SigningOptions(signing_algorithms=("ES256",)),
        )

    def __call__(self) -> list[dict[str, Any]]:
        """What was told since the last time, without what is None, and without the time."""
        told = [
            {name: value for name, value in asdict(event).items() if value is not None and name != "at"}
            for event in self.events
        ]
        self.events.clear()
        return told


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(params=["memory", "mongo"])
async def store(request, mongo_uri, prepared_database, heard) -> AsyncIterator[MongoStore | MemoryStore]:
    clock = FakeClock()
    if request.param == "memory":
        async with MemoryStore(options=heard.options, clock=clock) as memory:
            yield memory
    else:
        async with MongoStore(
            mongo_uri,
            database=prepared_database,
            master_key=LocalMasterKey.generate(),
            options=heard.options,
            clock=clock,
        ) as opened:
            yield opened


def revoked(operation: str, count: int, **more: Any) -> dict[str, Any]:
    return {"kind": "revoked", "operation": operation, "tenant": "default", "count": count, **more}


async def test_a_login_is_no_event(store, heard):
    """What goes as it should is told to nobody."""
    handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
    family = (await store.authorization_codes.redeem_authorization_code(handle)).family
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
    await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token(), grace=GRACE)
    await store.refresh_tokens.remove_refresh_tokens("nobody", "web")
    await store.grants.remove_family("none")
    assert await store.replay_cache.add("jti", "1", store.clock.now() + GRACE)
    assert heard() == []


async def test_a_replayed_code_is_told(store, heard):
    """With the client and the family, whose tokens the server then revokes."""
    handle = await store.authorization_codes.store_authorization_code(an_authorization_code())
    family = (await store.authorization_codes.redeem_authorization_code(handle)).family
    await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=family)
    await store.authorization_codes.redeem_authorization_code(handle)
    [event] = heard.events
    assert event.at == store.clock.now()
    assert heard() == [
        {
            "kind": "replayed",
            "operation": "authorization_codes.redeem_authorization_code",
            "tenant": "default",
            "client_id": "web",
            "family": family,
        }
    ]
    count = await store.grants.remove_family(family)
    assert heard() == [revoked("grant_records.remove_family", count, family=family)]


async def test_a_replayed_token_is_told_with_the_family_s_end(store, heard):
    """Two events: the family is revoked, and why."""
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token())
    await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token())
    first, second = heard()
    family = first.pop("family")
    assert family
    assert first == revoked("grant_records.remove_family", 2)
    assert second == {
        "kind": "replayed",
        "operation": "refresh_tokens.rotate_refresh_token",
        "tenant": "default",
        "client_id": "web",
        "family": family,
    }


async def test_each_retry_is_told(store, heard):
    """Who shadows a client by repeating its rotations inside the grace leaves a trace, with a number that grows."""
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    for _ in range(3):
        rotation = await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token(), grace=GRACE)
    told = {
        "kind": "retried",
        "operation": "refresh_tokens.rotate_refresh_token",
        "tenant": "default",
        "client_id": "web",
        "family": rotation.family,
    }
    assert heard() == [told | {"count": 1}, told | {"count": 2}]


async def test_a_replayed_assertion_is_told(store, heard):
    """The second use of an id that may be used once."""
    until = store.clock.now() + GRACE
    assert await store.replay_cache.add("jti", "1", until)
    assert not await store.replay_cache.add("jti", "1", until)
    assert heard() == [{"kind": "replayed", "operation": "replay_cache.add", "tenant": "default"}]


async def test_every_way_to_revoke_is_told_once(store, heard):
    """Whoever asks for it, with the number of records and the client where it is known."""
    tokens, references = store.refresh_tokens, store.reference_tokens

    handle = await tokens.store_refresh_token(a_refresh_token())
    await tokens.remove_refresh_token(handle)
    [event] = heard()
    assert event | {"family": None} == revoked("grant_records.remove_family", 1, family=None)

    await tokens.store_refresh_token(a_refresh_token())
    assert await tokens.remove_refresh_tokens("alice", "web") == 1
    assert heard() == [revoked("persisted_grants.remove_all", 1, client_id="web")]

    await references.remove_reference_token(await references.store_reference_token(a_reference_token()))
    assert heard() == [revoked("persisted_grants.remove", 1)]

    await references.store_reference_token(a_reference_token())
    await store.user_consents.store_user_consent(a_consent())
    assert await store.grants.remove_all_grants("alice") == 2
    assert heard() == [revoked("persisted_grants.remove_all", 2)]

    await store.user_consents.store_user_consent(a_consent())
    await store.user_consents.remove_user_consent("alice", "web")
    assert heard() == [revoked("persisted_grants.remove", 1)]

    grant = a_grant()
    await store.persisted_grants.store(grant)
    assert await store.persisted_grants.remove(grant.key)
    assert not await store.persisted_grants.remove(grant.key)
    await store.persisted_grants.store(grant)
    assert await store.persisted_grants.remove_all(filter=PersistedGrantFilter(subject_id="alice")) == 1
    assert heard() == [revoked("persisted_grants.remove", 1), revoked("persisted_grants.remove_all", 1)]


async def test_the_end_of_a_session_revokes(store, heard):
    """The grants that hang on it, told where they are removed."""
    await store.server_side_sessions.create_session(a_session())
    await store.refresh_tokens.store_refresh_token(a_refresh_token())
    await store.sessions.end(RemoveSessionsContext(subject_id="alice", session_id="s1"))
    assert heard() == [revoked("persisted_grants.remove_all", 1)]


@pytest.mark.parametrize("ticket", ["ours", "of the server's own"])
async def test_a_client_that_is_never_told_of_a_logout_is_told_of(store, heard, ticket):
    """Once, when it is given up, by its name; a session whose clients are not known without one."""
    expires = store.clock.now() + timedelta(hours=1)
    if ticket == "ours":
        await store.tickets.store(a_ticket(expires=expires, client_ids=["web", "dead"]))
    else:
        await store.server_side_sessions.create_session(a_session(expires=expires))
    store.clock.advance(timedelta(hours=1))
    for _ in range(3):
        assert heard() == []
        assert await store.sessions.process_expired(lambda _: ["dead"]) == 0
        store.clock.advance(timedelta(days=3.5))
    assert await store.sessions.process_expired(lambda _: ["dead"]) == 0
    client = {"client_id": "dead"} if ticket == "ours" else {}
    undelivered = {"kind": "logout_undelivered", "operation": "sessions.process_expired", "tenant": "default"}
    assert heard() == [undelivered | client]


async def test_a_new_data_key_is_told(store, heard):
    """By the policy in the background and by hand alike; the first of all is no rotation."""
    await store.persisted_grants.store(a_grant())
    await store.device_flow.find_by_user_code("ABCD")
    ring = store._key_ring.for_tenant("default")
    await ring.sealing_key()
    assert heard() == []
    status = await store.key_ring.rotate()
    rotated = {"kind": "key_rotated", "operation": "data_keys.insert", "tenant": "default"}
    assert heard() == [rotated | {"key_id": status.active_key_id}]

    store.clock.advance(POLICY.rotation_interval - POLICY.propagation)
    await ring.sealing_key()
    async with asyncio.timeout(60):
        while not heard.events:
            await asyncio.sleep(0.01)
    newest = max((await store.key_ring.status()).keys, key=lambda key: key.generation)
    assert heard() == [rotated | {"key_id": newest.key_id}]


async def test_a_new_signing_key_is_told(store, heard):
    """The first is no rotation; its successor is, with the key id that tokens will name."""
    await store.signing.get_signing_credentials()
    assert heard() == []
    key = await store.signing.rotate()
    assert heard() == [
        {
            "kind": "signing_key_rotated",
            "operation": "signing_keys.add",
            "tenant": "default",
            "key_id": key.public_jwk()["kid"],
        }
    ]


async def test_a_destroyed_tenant_is_told(store, heard):
    """Each time that it is asked for: the answer of the first time may have been lost. By its own name."""
    await store.for_tenant("acme").persisted_grants.store(a_grant())
    keys = await store.key_ring.destroy("acme")
    await store.key_ring.destroy("acme")
    destroyed = {"kind": "tenant_destroyed", "operation": "key_ring.destroy", "tenant": "acme"}
    assert heard() == [destroyed | {"count": keys}, destroyed | {"count": 0}]
    await store.tenants.delete("acme")
    [event] = heard()
    assert (event["kind"], event["operation"], event["tenant"]) == ("tenant_deleted", "tenants.delete", "acme")


async def test_events_name_their_tenant(store, heard):
    """What happens in one tenant is told of that one."""
    acme = store.for_tenant("acme")
    await acme.user_consents.store_user_consent(a_consent())
    await acme.grants.remove_all_grants("alice", "web")
    assert heard() == [revoked("persisted_grants.remove_all", 1, client_id="web", tenant="acme")]


async def test_no_event_holds_a_handle_or_a_subject(store, heard):
    """Families and key ids are in events; what opens a door, and who goes through it, are not."""
    subject = "subject-of-data-protection"
    handle = await store.authorization_codes.store_authorization_code(an_authorization_code(subject))
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token(subject))
    rotation = await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token(subject))
    for _ in range(2):
        await store.authorization_codes.redeem_authorization_code(handle)
    await store.refresh_tokens.rotate_refresh_token(token, a_refresh_token(subject))
    await store.refresh_tokens.store_refresh_token(a_refresh_token(subject))
    await store.grants.remove_all_grants(subject)
    told = repr(heard.events)
    assert len(heard.events) == 4
    for secret in (subject, handle, token, rotation.handle, handle[:64], token[:64], rotation.handle[:64]):
        assert secret not in told


async def test_a_hook_that_fails_breaks_nothing(caplog):
    """What was done is done: its caller gets the answer, and the log the failure."""

    def failing(event: StoreEvent) -> None:
        raise RuntimeError(event.kind)

    async with MemoryStore(options=replace(StoreOptions(), on_event=failing)) as memory:
        await memory.user_consents.store_user_consent(a_consent())
        assert await memory.grants.remove_all_grants("alice") == 1
    [record] = [each for each in caplog.records if each.name == "mongostore"]
    assert record.levelname == "ERROR"
    assert "The hook on_event failed for an event 'revoked' of tenant default" in record.getMessage()

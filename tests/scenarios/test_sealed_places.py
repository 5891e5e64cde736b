"""Sealed values of every noun, as they lie in MongoDB: none opens in another place or altered, all are sealed anew."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import ApiResource, IdentityProvider, Message, Secret
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.documents import DOCUMENTS
from mongostore.schema import apply_schema
from mongostore.testing.factories import (
    a_client,
    a_device_code,
    a_grant,
    a_pushed_request,
    a_refresh_token,
    a_serialized_key,
    a_session,
)

GRACE = timedelta(minutes=5)

# Writes a record and gives what reads it again: something, or None or an error when it can't be read.
Write = Callable[[Any, str], Awaitable[Callable[[], Awaitable[Any]]]]


async def write_grant(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    await store.persisted_grants.store(a_grant(name, data=name))
    return lambda: store.persisted_grants.get(name)


async def write_successor(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(name))
    first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(name), grace=GRACE)

    async def retry() -> str | None:
        again = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(name), grace=GRACE)
        return again.handle if again.handle == first.handle else None

    return retry


async def write_device_code(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    await store.device_flow.store_device_authorization(name, f"user code {name}", a_device_code())
    return lambda: store.device_flow.find_by_device_code(name)


async def write_identity_provider(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    provider = IdentityProvider(scheme=name, type="saml", properties={"secret": name})
    await store.identity_providers.save_identity_provider(provider)
    return lambda: store.identity_providers.get_by_scheme(name)


async def write_client(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    await store.clients.save_client(a_client(name, client_secrets=[Secret(type="api-key", value=name)]))
    return lambda: store.clients.find_client_by_id(name)


async def write_api_resource(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    secrets = [Secret(type="api-key", value=name)]
    await store.resources.save_api_resource(ApiResource(name=name, api_secrets=secrets))

    async def find() -> Any:
        return next(iter(await store.resources.find_api_resources_by_name([name])), None)

    return find


async def write_message(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    message_id = await store.messages.write(Message({"error": name}))
    return lambda: store.messages.read(message_id)


async def write_pushed_request(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    await store.pushed_authorization_requests.store(a_pushed_request(name))
    return lambda: store.pushed_authorization_requests.get_by_hash(name)


async def write_session(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    await store.server_side_sessions.create_session(a_session(name, ticket=name))
    return lambda: store.server_side_sessions.get_session(name)


async def write_signing_key(store: Any, name: str) -> Callable[[], Awaitable[Any]]:
    await store.signing_keys.store_key(a_serialized_key(name))

    async def load() -> Any:
        return next((key for key in await store.signing_keys.load_keys() if key.id == name), None)

    return load


WRITES: dict[tuple[str, str], Write] = {
    ("api_resources", "payload"): write_api_resource,
    ("clients", "payload"): write_client,
    ("device_codes", "payload"): write_device_code,
    ("grants", "payload"): write_grant,
    ("grants", "successor"): write_successor,
    ("identity_providers", "payload"): write_identity_provider,
    ("messages", "payload"): write_message,
    ("pushed_authorization_requests", "payload"): write_pushed_request,
    ("sessions", "payload"): write_session,
    ("signing_keys", "payload"): write_signing_key,
}


@dataclass
class Place:
    """A stored envelope, and how its record is read."""

    what: str
    collection: Any
    stored_id: str
    field: str
    read: Callable[[], Awaitable[Any]]

    @property
    def envelope(self) -> bytes:
        return self.collection.find_one({"_id": self.stored_id})[self.field]

    async def opens_with(self, envelope: bytes) -> bool:
        """Put something else there, read, and put back what was there."""
        before = self.envelope
        self._put(envelope)
        try:
            return await self.read() is not None
        except (PayloadUnreadable, KeyUnavailable):
            return False
        finally:
            self._put(before)

    def _put(self, envelope: bytes) -> None:
        # Past the validators, as somebody who can change the database could write.
        change = {"$set": {self.field: envelope}}
        self.collection.update_one({"_id": self.stored_id}, change, bypass_document_validation=True)


@pytest.fixture
async def uncached(mongo_uri, database_name) -> AsyncIterator[MongoStore]:
    """A store that reads everything from the database."""
    connection = Connection(mongo_uri, operation_timeout=GRACE, server_selection_timeout=GRACE)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    options = StoreOptions(caching=None)
    master_key = LocalMasterKey.generate()
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key, options=options) as store:
        yield store


@pytest.fixture
def database(mongo_connection, database_name) -> Database:
    return mongo_connection[database_name]


async def a_place(database: Database, store: Any, of: tuple[str, str], name: str) -> Place:
    label, field = of
    collection = database[label]
    before = {document["_id"] for document in collection.find({}, {"_id": 1})}
    read = await WRITES[of](store, name)
    (stored_id,) = {document["_id"] for document in collection.find({field: {"$exists": True}}, {"_id": 1})} - before
    return Place(f"{label}.{field} of {name}", collection, stored_id, field, read)


def test_every_sealed_field_is_tested_here():
    """Whoever adds a noun with a sealed field adds it to WRITES, and with that to the tests of this file."""
    assert set(WRITES) == {(fields.label, name) for fields in DOCUMENTS for name in fields.sealed_fields}


def alterations(envelope: bytes) -> Iterator[bytes]:
    """Every byte flipped, cut short at every length, and made longer."""
    for position in range(len(envelope)):
        yield envelope[:position] + bytes([envelope[position] ^ 0x01]) + envelope[position + 1 :]
    for length in range(1, len(envelope)):
        yield envelope[:length]
    yield envelope + b"\0"


@pytest.mark.parametrize("of", WRITES, ids=".".join)
async def test_altered_it_does_not_open(uncached, database, of):
    """With any byte flipped, cut short anywhere, or made longer, it is not read; as it was, it is."""
    place = await a_place(database, uncached, of, "one")
    assert await place.opens_with(place.envelope)
    for altered in alterations(place.envelope):
        assert not await place.opens_with(altered)
    assert await place.read() is not None


async def test_moved_it_does_not_open(uncached, database):
    """No envelope opens in another record, field, collection or tenant: every one is tried in every place."""
    places = [
        await a_place(database, store, of, name)
        for of in WRITES
        for store, name in ((uncached, "one"), (uncached, "two"), (uncached.for_tenant("acme"), "one"))
    ]
    envelopes = {place.what + place.stored_id: place.envelope for place in places}
    opened = [
        (origin, place.what)
        for origin, envelope in envelopes.items()
        for place in places
        if await place.opens_with(envelope)
    ]
    assert opened == [(place.what + place.stored_id, place.what) for place in places]


@pytest.mark.parametrize("of", WRITES, ids=".".join)
async def test_it_is_sealed_anew(uncached, database, of):
    """Re-encryption opens and seals by the same place as the noun's codec does."""
    place = await a_place(database, uncached, of, "one")
    before = place.envelope
    active = (await uncached.key_ring.rotate()).active_key_id
    result = await uncached.key_ring.reencrypt()
    assert result.total.unreadable == 0
    assert place.envelope != before
    assert place.envelope[1:17].hex() == active
    assert await place.read() is not None


async def test_a_session_that_lies_aside_is_sealed_anew(uncached):
    """An expired session whose key another one has taken is bound to that key still, and opens afterwards."""
    sessions = uncached.server_side_sessions
    expired = a_session("one", session_id="expired", expires=datetime.now(UTC) - GRACE)
    for session in (expired, a_session("one")):
        await sessions.create_session(session)
    await uncached.key_ring.rotate()
    result = await uncached.key_ring.reencrypt()
    assert (result.total.reencrypted, result.total.unreadable) == (2, 0)
    assert [session.session_id for session in await sessions.claim_expired_sessions(1, GRACE)] == ["expired"]

"""The driver's sessions: each call has one of its own, whatever session the caller has bound."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import AutoReconnect
from pymongo.monitoring import CommandListener

from mongostore import AlreadyExists, LocalMasterKey, MongoStore, StorageUnavailable
from mongostore.models import PersistedGrantFilter
from mongostore.mongo.documents.grants import GrantFields
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_client, a_grant, a_refresh_token

TASKS = 40
ROUNDS = 10


class Overlaps(CommandListener):
    """Which of the driver's sessions were in use for two commands at once."""

    def __init__(self) -> None:
        self._running: Counter[bytes] = Counter()
        self.used: set[bytes] = set()
        self.overlapped: set[bytes] = set()
        self._session_of: dict[int, bytes] = {}

    def started(self, event: Any) -> None:
        if event.command_name in ("endSessions", "killCursors"):
            return  # They speak of sessions and cursors from outside.
        session = bytes(event.command["lsid"]["id"])
        self._session_of[event.request_id] = session
        self._running[session] += 1
        self.used.add(session)
        if self._running[session] > 1:
            self.overlapped.add(session)

    def succeeded(self, event: Any) -> None:
        self._running[self._session_of.pop(event.request_id, b"")] -= 1

    failed = succeeded


async def test_no_session_serves_two_calls_at_once(mongo_uri, prepared_database):
    """Forty tasks that read, write, rotate, list and fail: no more sessions than tasks, none of them shared."""
    overlaps = Overlaps()
    master_key = LocalMasterKey.generate()
    async with (
        AsyncMongoClient(mongo_uri, event_listeners=[overlaps]) as client,
        MongoStore(client, database=prepared_database, master_key=master_key) as store,
    ):

        async def work(task: int) -> None:
            for _ in range(ROUNDS):
                grant = a_grant(subject_id=f"subject {task}")
                await store.persisted_grants.store(grant)
                await store.persisted_grants.store(grant)
                assert await store.persisted_grants.get(grant.key) is not None
                handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
                assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "rotated"
                await store.clients.save_client(a_client(f"client {task}"))
                with pytest.raises(AlreadyExists):
                    await store.clients.save_client(a_client(f"client {task}"), expected_revision=0)
                await store.persisted_grants.get_all(PersistedGrantFilter(subject_id=f"subject {task}"))

        await asyncio.gather(*(work(task) for task in range(TASKS)))
    assert overlaps.overlapped == set()
    # And a few for what goes on in the background.
    assert len(overlaps.used) <= TASKS + 5


async def test_a_session_is_used_again_unless_its_fate_is_unknown(prepared_binding, monkeypatch):
    """Also after an answer that was an error; not after a lost connection or a cancellation."""
    connection, grants = prepared_binding.connection, prepared_binding.collection(GrantFields)

    async def used(failure: BaseException | None = None) -> AsyncClientSession | None:
        with prepared_binding.call("try") as own:
            await grants.find_one({}, session=own)
            if failure is not None:
                raise failure
        return own

    first = await used()
    assert await used() is first
    with pytest.raises(AlreadyExists):
        await used(AlreadyExists("taken"))
    assert await used() is first
    with pytest.raises(StorageUnavailable):
        await used(AutoReconnect("lost"))
    second = await used()
    assert second is not first
    with pytest.raises(asyncio.CancelledError):
        await used(asyncio.CancelledError())
    assert await used() is not second
    assert len(connection.idle_sessions) == 1


async def test_a_store_that_is_opened_again_has_other_sessions(mongo_uri, prepared_database):
    """Sessions belong to a connection, and go with it."""
    store = MongoStore(mongo_uri, database=prepared_database, master_key=LocalMasterKey.generate())
    for _ in range(2):
        async with store:
            grant = a_grant()
            await store.persisted_grants.store(grant)
            assert await store.persisted_grants.get(grant.key) == grant


@pytest.mark.skipif(not hasattr(AsyncClientSession, "bind"), reason="this PyMongo binds no sessions")
async def test_a_store_works_beside_a_session_of_another_connection(mongo_uri, database_name, prepared_binding):
    """The driver would refuse every command on a connection that the bound session is not of."""
    async with AsyncMongoClient(mongo_uri) as others, others.start_session() as session, session.bind():
        await apply_schema(prepared_binding)
        store = MongoStore(mongo_uri, database=database_name, master_key=LocalMasterKey.generate())
        await store.open()
        assert (await store.health()).ready
        await store.tenants.create("acme")
        await store.for_tenant("acme").clients.save_client(a_client())
        assert await store.tenants.delete("acme") > 0
    async with asyncio.timeout(60):
        # What listens for changes has begun inside, and outlives it.
        while not store._feed.is_listening:
            await asyncio.sleep(0.01)
    await store.close()

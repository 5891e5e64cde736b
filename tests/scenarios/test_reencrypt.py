"""Re-encryption of a store in use: nothing that anybody wrote meanwhile is lost."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from pymongo.collection import Collection

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.clock import SystemClock
from mongostore.models import PersistedGrantFilter
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.mongo.documents.grants import GrantCodec
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import SealingProtector
from mongostore.schema import apply_schema
from mongostore.tenancy import DEFAULT_TENANT
from mongostore.testing.factories import a_grant, a_refresh_token

LIMIT = timedelta(minutes=1)


@pytest.fixture
def master_key() -> LocalMasterKey:
    return LocalMasterKey.generate()


@pytest.fixture
async def connection(mongo_uri, database_name) -> AsyncIterator[Connection]:
    """A connection of its own, to a database with its schema applied."""
    opened = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await opened.open()
    await apply_schema(Binding(opened, database_name))
    yield opened
    await opened.close()


@pytest.fixture
async def new_node(connection, mongo_uri, database_name, master_key) -> AsyncIterator[Callable[..., Any]]:
    """Open stores on that database, as several nodes would."""
    async with AsyncExitStack() as opened:

        async def node() -> MongoStore:
            options = StoreOptions(operation_timeout=LIMIT)
            store = MongoStore(mongo_uri, database=database_name, master_key=master_key, options=options)
            return await opened.enter_async_context(store)

        yield node


@pytest.fixture
def grants(mongo_connection, database_name) -> Collection:
    return mongo_connection[database_name]["grants"]


def sealing_keys(grants: Collection) -> set[str]:
    return {document["payload"][1:17].hex() for document in grants.find({}, {"payload": 1})}


@pytest.fixture
def fill(grants, connection, master_key) -> Callable[..., Any]:
    """Store the grants of each writer as the store would, but many in one command."""

    async def insert(of: list[list[str]]) -> None:
        ring = KeyRing(MongoDataKeyStore(Binding(connection, grants.database.name)), master_key, SystemClock())
        codec = GrantCodec(DEFAULT_TENANT, SealingProtector(ring), timedelta(days=1))
        for number, keys in enumerate(of):
            first = [a_grant(key, data=f"first {key}", subject_id=f"subject {number}") for key in keys]
            grants.insert_many([await codec.document(grant) for grant in first])
        await ring.close()

    return insert


class Writer:
    """Changes grants of its own until it is told to stop, and knows what must be there."""

    def __init__(self, store: MongoStore, number: int, keys: list[str]) -> None:
        self.store = store
        self.number = number
        self.subject_id = f"subject {number}"
        self.expected = {key: (f"first {key}", False) for key in keys}
        self.done = Counter[str]()

    async def run(self, stop: asyncio.Event) -> None:
        chance = random.Random(self.number)
        step = 0
        while not stop.is_set():
            step += 1
            what = chance.choice(["change", "change", "consume", "remove", "add"])
            key = chance.choice(list(self.expected)) if self.expected else ""
            if what == "add" or not key:
                what, key = "add", f"new {self.number} {step}"
            if what in {"add", "change"}:
                data = f"step {step} of writer {self.number}"
                grant = a_grant(key, data=data, subject_id=self.subject_id)
                await self.store.persisted_grants.store(grant)
                self.expected[key] = (data, False)
            elif what == "consume":
                data, consumed = self.expected[key]
                found = await self.store.persisted_grants.consume(key)
                assert (found is None) == consumed
                assert found is None or found.data == data
                self.expected[key] = (data, True)
            else:
                assert await self.store.persisted_grants.remove(key)
                del self.expected[key]
            self.done[what] += 1


@pytest.mark.parametrize(
    ("count", "writers"), [(3_000, 8), pytest.param(100_000, 16, marks=pytest.mark.slow)], ids=["3000", "100000"]
)
async def test_nothing_is_lost_while_others_write(new_node, grants, fill, count, writers):
    """Every grant is afterwards as its last writer left it, removed ones stay removed, and all name the active key.

    Half of the writers are on a node that has not noticed the rotation: what it still seals by the old key behind the
    run's back is found by the next run.
    """
    # Each writer has every n-th grant, so that they write everywhere, in front of the run and behind it.
    keys = [f"{number:06}" for number in range(count)]
    of = [keys[number::writers] for number in range(writers)]
    await fill(of)
    store, other_node = await new_node(), await new_node()
    assert await other_node.persisted_grants.get(keys[0]) is not None
    active = (await store.key_ring.rotate()).active_key_id

    at_work = [Writer((store, other_node)[number % 2], number, of[number]) for number in range(writers)]
    stop = asyncio.Event()
    writing = [asyncio.create_task(writer.run(stop)) for writer in at_work]
    result = await store.key_ring.reencrypt(batch_size=max(100, count // 200))
    stop.set()
    await asyncio.gather(*writing)
    assert all(sum(writer.done.values()) > 0 for writer in at_work)
    assert result.total.unreadable == 0
    assert result.total.reencrypted > count // 2

    await store.key_ring.reencrypt()
    assert sealing_keys(grants) == {active}
    assert grants.count_documents({}) == sum(len(writer.expected) for writer in at_work)
    for writer in at_work:
        found = await store.persisted_grants.get_all(PersistedGrantFilter(subject_id=writer.subject_id))
        assert {grant.key: (grant.data, grant.consumed_time is not None) for grant in found} == writer.expected


async def test_stored_successors_are_sealed_anew(new_node, grants):
    """A retried rotation is given the same successor after re-encryption: that handle, too, is under the new key."""
    store = await new_node()
    handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=LIMIT)
    active = (await store.key_ring.rotate()).active_key_id
    assert (await store.key_ring.reencrypt()).total.reencrypted == 3
    (predecessor,) = grants.find({"successor": {"$exists": True}})
    assert predecessor["successor"][1:17].hex() == active
    again = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=LIMIT)
    assert (again.outcome, again.handle) == ("retried", first.handle)

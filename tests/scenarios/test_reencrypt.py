"""Re-encryption of a store in use: nothing that anybody wrote meanwhile is lost."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from pymongo.collection import Collection

from mongostore import LocalMasterKey, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_grant, a_refresh_token

LIMIT = timedelta(minutes=1)
CHUNK = 200


@pytest.fixture
async def new_node(mongo_uri, database_name) -> AsyncIterator[Callable[[], Awaitable[MongoStore]]]:
    """Open stores on one database, its schema applied."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    master_key = LocalMasterKey.generate()
    async with AsyncExitStack() as opened:

        async def node() -> MongoStore:
            return await opened.enter_async_context(
                MongoStore(mongo_uri, database=database_name, master_key=master_key)
            )

        yield node


@pytest.fixture
def grants(mongo_connection, database_name) -> Collection:
    return mongo_connection[database_name]["grants"]


def sealing_keys(grants: Collection) -> set[str]:
    return {document["payload"][1:17].hex() for document in grants.find({}, {"payload": 1})}


async def in_chunks(keys: list[str], work: Callable[[str], Awaitable[Any]]) -> list[Any]:
    results: list[Any] = []
    for start in range(0, len(keys), CHUNK):
        results += await asyncio.gather(*map(work, keys[start : start + CHUNK]))
    return results


class Writer:
    """Changes grants of its own until it is told to stop, and knows what must be there."""

    def __init__(self, store: MongoStore, number: int, keys: list[str]) -> None:
        self.store = store
        self.number = number
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
                await self.store.persisted_grants.store(a_grant(key, data=data))
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
async def test_nothing_is_lost_while_others_write(new_node, grants, count, writers):
    """Every grant is afterwards as its last writer left it, removed ones stay removed, and all name the active key.

    Half of the writers are on a node that has not noticed the rotation: what it still seals by the old key behind the
    run's back is found by the next run.
    """
    store, other_node = await new_node(), await new_node()
    keys = [f"{number:06}" for number in range(count)]
    await in_chunks(keys, lambda key: store.persisted_grants.store(a_grant(key, data=f"first {key}")))
    await other_node.persisted_grants.get(keys[0])
    active = (await store.key_ring.rotate()).active_key_id

    # Each has every n-th grant, so that they write everywhere, in front of the run and behind it.
    at_work = [Writer((store, other_node)[n % 2], n, keys[n::writers]) for n in range(writers)]
    stop = asyncio.Event()
    writing = [asyncio.create_task(writer.run(stop)) for writer in at_work]
    result = await store.key_ring.reencrypt(batch_size=100)
    stop.set()
    await asyncio.gather(*writing)
    assert all(sum(writer.done.values()) > 0 for writer in at_work)
    assert result.total.unreadable == 0
    assert result.total.reencrypted > count // 2

    expected = {key: state for writer in at_work for key, state in writer.expected.items()}
    await store.key_ring.reencrypt()
    assert sealing_keys(grants) == {active}
    assert grants.count_documents({}) == len(expected)
    found = await in_chunks(list(expected), store.persisted_grants.get)
    assert {grant.key: (grant.data, grant.consumed_time is not None) for grant in found} == expected


async def test_stored_successors_are_sealed_anew(new_node, grants, mongo_connection, database_name):
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

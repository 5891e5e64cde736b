"""Re-encryption that is cut off, by the death of its process or of the server: running it again finishes the rest."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pymongo.collection import Collection

from mongostore import LocalMasterKey, MongoStore
from mongostore.errors import StorageUnavailable
from mongostore.testing.factories import a_grant

pytestmark = pytest.mark.filterwarnings("ignore:the schema of database")

COUNT = 2_000
BATCH = 50

PROCESS = """
import asyncio, sys, warnings
from datetime import timedelta
from mongostore import LocalMasterKey, MongoStore

async def main(uri, database, master_key, batch_size):
    async with MongoStore(uri, database=database, master_key=LocalMasterKey.from_text(master_key)) as store:
        await store.key_ring.reencrypt(
            batch_size=int(batch_size),
            pause=timedelta(milliseconds=10),
            on_progress=lambda result: print(result.total.reencrypted, flush=True),
        )

warnings.simplefilter("ignore")
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def master_key() -> LocalMasterKey:
    return LocalMasterKey.generate()


@pytest.fixture
async def store(mongo_uri, database_name, master_key) -> AsyncIterator[MongoStore]:
    """A store with grants under a retired key."""
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key) as opened:
        for start in range(0, COUNT, 200):
            numbers = range(start, start + 200)
            await asyncio.gather(*(opened.persisted_grants.store(a_grant(f"{n}", data=f"data {n}")) for n in numbers))
        await opened.key_ring.rotate()
        yield opened


@pytest.fixture
def grants(mongo_connection, database_name) -> Collection:
    return mongo_connection[database_name]["grants"]


async def stale_count(store: MongoStore, grants: Collection) -> int:
    active = (await store.key_ring.status()).active_key_id
    return sum(document["payload"][1:17].hex() != active for document in grants.find({}, {"payload": 1}))


async def assert_all_is_there(store: MongoStore) -> None:
    for start in range(0, COUNT, 200):
        numbers = range(start, start + 200)
        found = await asyncio.gather(*(store.persisted_grants.get(f"{n}") for n in numbers))
        assert [grant.data for grant in found] == [f"data {n}" for n in numbers]


async def test_killed_half_way_another_run_finishes(store, grants, mongo_uri, database_name, master_key):
    """SIGKILL in the middle: no payload is lost or twice sealed, and the next run does exactly what was left."""
    command = [sys.executable, "-c", PROCESS, mongo_uri, database_name, master_key.export(), str(BATCH)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        while int(await process.stdout.readline()) < COUNT // 2:
            pass
    finally:
        process.kill()
        await process.communicate()
    left = await stale_count(store, grants)
    assert 0 < left <= COUNT // 2
    await assert_all_is_there(store)

    # It waits for the lease of the dead process to expire.
    result = await store.key_ring.reencrypt()
    assert result.total.reencrypted == left
    assert await stale_count(store, grants) == 0
    await assert_all_is_there(store)


@pytest.mark.slow
async def test_server_that_dies_half_way_is_told_and_another_run_finishes(store, grants, needs_own_server):
    """The run raises; what was acknowledged before is there when the server is back, and the rest follows."""
    killed: list[int] = []

    def kill_half_way(result: object) -> None:
        if not killed and result.total.reencrypted >= COUNT // 2:
            needs_own_server.kill(0)
            killed.append(result.total.reencrypted)

    try:
        with pytest.raises(StorageUnavailable):
            await store.key_ring.reencrypt(batch_size=BATCH, on_progress=kill_half_way)
    finally:
        needs_own_server.start(0)
    assert COUNT - killed[0] - BATCH <= await stale_count(store, grants) <= COUNT - killed[0]
    await store.key_ring.reencrypt(pause=timedelta(0))
    assert await stale_count(store, grants) == 0
    await assert_all_is_there(store)

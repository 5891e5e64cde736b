"""The key ring through the store, on a real server: `store.key_ring`, several nodes, several processes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.collection import Collection
from pymongo.monitoring import CommandListener

from mongostore import LocalMasterKey, MasterKeyChain, MemoryStore, MongoStore, StoreOptions
from mongostore.errors import KeyUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.master_keys import MasterKey
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.protection.tenant_key_ring import TenantKeyRing
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_grant

pytestmark = pytest.mark.filterwarnings("ignore:the schema of database")

LONG_LIVED = timedelta(days=1_000)
MINUTE = timedelta(minutes=1)

ROTATING_PROCESS = """
import asyncio, sys, warnings
from mongostore import LocalMasterKey, MongoStore

async def main(uri, database, master_key):
    async with MongoStore(uri, database=database, master_key=LocalMasterKey.from_text(master_key)) as store:
        await store.key_ring.status()
        print("ready", flush=True)
        sys.stdin.readline()
        print((await store.key_ring.rotate()).active_key_id, flush=True)

warnings.simplefilter("ignore")
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def master_key() -> LocalMasterKey:
    return LocalMasterKey.generate()


@pytest.fixture
def keys(mongo_connection: MongoClient, database_name: str) -> Collection:
    """The ring's collection, behind the stores' back."""
    return mongo_connection[database_name]["data_keys"]


@pytest.fixture
async def new_node(mongo_uri, database_name, master_key, clock) -> AsyncIterator[Callable[..., Any]]:
    """Open another store on the same database, as another node would; all are closed at the end."""
    async with AsyncExitStack() as opened:

        async def open_node(connection: object = mongo_uri, **arguments: Any) -> MongoStore:
            store = MongoStore(
                connection, **{"database": database_name, "master_key": master_key, "clock": clock, **arguments}
            )
            return await opened.enter_async_context(store)

        yield open_node


@pytest.fixture
async def ring_of(mongo_uri, database_name, master_key, clock) -> AsyncIterator[Callable[..., TenantKeyRing]]:
    """The ring of a tenant, as yet another node has it."""
    limit = timedelta(seconds=5)
    connection = Connection(mongo_uri, operation_timeout=limit, server_selection_timeout=limit)
    await connection.open()
    rings = []

    def ring(tenant: str, by: MasterKey = master_key) -> TenantKeyRing:
        rings.append(KeyRing(MongoDataKeyStore(Binding(connection, database_name)), by, clock))
        return rings[-1].for_tenant(tenant)

    yield ring
    for each in rings:
        await each.close()
    await connection.close()


class RingReads(CommandListener):
    """Counts how often the ring is read."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: Any) -> None:
        self.count += event.command_name == "find" and event.command["find"] == "data_keys"

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def a_lasting_grant(clock: FakeClock, key: str = "A", **values: Any):
    return a_grant(key, expiration=clock.now() + LONG_LIVED, **values)


async def test_ring_is_empty_before_the_first_payload(new_node):
    """Opening a store and asking for the status make no key."""
    store = await new_node()
    status = await store.key_ring.status()
    assert (status.tenant, status.keys, status.active_key_id, status.destroyed) == ("default", (), None, False)


async def test_rotation_seals_by_the_new_key_and_reads_the_old(new_node, clock):
    """After rotate new payloads name the new key, and old ones are still read."""
    store = await new_node()
    await store.persisted_grants.store(a_lasting_grant(clock, data="old"))
    before = await store.key_ring.status()
    after = await store.key_ring.rotate()
    assert [key.generation for key in after.keys] == [1, 2]
    assert after.active_key_id not in (None, before.active_key_id)
    assert after == await store.key_ring.status()
    assert (await store.persisted_grants.get("A")).data == "old"


async def test_policy_of_the_options_rotates_ahead_of_time(new_node, clock, keys):
    """With 10 days and 2 hours: the next key is stored 2 hours before the tenth day is over, and seals after it."""
    policy = KeyRotationPolicy(rotation_interval=timedelta(days=10), propagation=timedelta(hours=2))
    store = await new_node(options=StoreOptions(key_rotation=policy))
    await store.persisted_grants.store(a_lasting_grant(clock))
    first = (await store.key_ring.status()).active_key_id

    clock.advance(timedelta(days=10) - timedelta(hours=2) - MINUTE)
    await store.persisted_grants.store(a_lasting_grant(clock))
    assert keys.count_documents({}) == 1

    clock.advance(MINUTE)
    await store.persisted_grants.store(a_lasting_grant(clock))
    async with asyncio.timeout(60):
        while keys.count_documents({}) != 2:
            await asyncio.sleep(0.01)  # The key is stored beside the write, by a task of the store.
    status = await store.key_ring.status()
    assert (len(status.keys), status.active_key_id) == (2, first)

    clock.advance(timedelta(hours=2))
    status = await store.key_ring.status()
    assert status.active_key_id == status.keys[1].key_id
    assert (await store.persisted_grants.get("A")).data == "payload"


async def test_processes_rotating_at_once_make_one_key(mongo_uri, database_name, master_key, new_node, keys):
    """Four processes hold generation 1 and rotate: one generation 2, and all of them seal by it."""
    store = await new_node(clock=None)
    await store.persisted_grants.store(a_grant())
    command = [sys.executable, "-c", ROTATING_PROCESS, mongo_uri, database_name, master_key.export()]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    processes = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(4)]
    try:
        assert [await process.stdout.readline() for process in processes] == [b"ready\n"] * 4
        for process in processes:
            process.stdin.write(b"go\n")
        active = {(await process.stdout.readline()).decode().strip() for process in processes}
    finally:
        for process in processes:
            with suppress(ProcessLookupError):  # It ends by itself when it has told its key.
                process.kill()
            await process.communicate()
    assert active == {(await store.key_ring.status()).active_key_id}
    assert [each["generation"] for each in keys.find({}, sort=[("generation", 1)])] == [1, 2]


async def test_node_that_meets_an_unknown_key_reads_the_ring_once(new_node, clock, mongo_uri):
    """Its ring is fresh and does not have the key: it looks once, and reads what the key sealed.

    When many reads meet it at once, those that came while the ring was being read share a second look.
    """
    first = await new_node()
    await first.persisted_grants.store(a_lasting_grant(clock))
    reads = RingReads()
    async with AsyncMongoClient(mongo_uri, event_listeners=[reads]) as connection:
        second = await new_node(connection)
        await second.persisted_grants.store(a_lasting_grant(clock, "B"))
        await first.key_ring.rotate()
        await first.persisted_grants.store(a_lasting_grant(clock, data="by the new key"))
        reads.count = 0
        assert (await second.persisted_grants.get("A")).data == "by the new key"
        assert (await second.persisted_grants.get("A")).data == "by the new key"
        assert reads.count == 1

        await first.key_ring.rotate()
        await first.persisted_grants.store(a_lasting_grant(clock, data="by the newest key"))
        found = await asyncio.gather(*(second.persisted_grants.get("A") for _ in range(20)))
        assert {grant.data for grant in found} == {"by the newest key"}
        assert reads.count <= 3
        await second.close()


async def test_node_seals_by_the_new_key_within_a_minute(new_node, clock, mongo_connection, database_name):
    """A node that has not noticed a rotation goes on with the old key until its ring is a minute old."""
    first, second = await new_node(), await new_node()
    for store in (first, second):
        await store.persisted_grants.store(a_lasting_grant(clock))
    active = (await first.key_ring.rotate()).active_key_id
    clock.advance(MINUTE)
    await second.persisted_grants.store(a_lasting_grant(clock, "B"))
    stored = mongo_connection[database_name]["grants"].find_one({"_id": "default|B"})
    assert stored["payload"][1:17].hex() == active


async def test_wrong_master_key_is_refused_at_open(new_node, clock, master_key):
    """The message names the data key and both master keys, tells what to do, and holds no secret; the ring stays."""
    store = await new_node()
    await store.persisted_grants.store(a_lasting_grant(clock))
    key_id = (await store.key_ring.status()).active_key_id
    other = LocalMasterKey.generate()
    with pytest.raises(KeyUnavailable) as refused:
        await new_node(master_key=other)
    message = str(refused.value)
    assert refused.value.key_id == key_id
    assert all(name in message for name in (key_id, master_key.id, other.id, "MasterKeyChain", "nothing was deleted"))
    assert master_key.export()[20:] not in message
    assert other.export()[20:] not in message
    assert (await store.persisted_grants.get("A")).data == "payload"


async def test_master_key_is_replaced(new_node, ring_of, clock, master_key):
    """Chain, rewrap, drop the old one: the new one opens everything, the old one nothing. Payloads aren't touched."""
    store = await new_node()
    await store.persisted_grants.store(a_lasting_grant(clock))
    hashed = await ring_of("default").keyed_hash("user_code", "WDJB-MJHT")
    await ring_of("acme").sealing_key()
    new = LocalMasterKey.generate()

    chained = await new_node(master_key=MasterKeyChain(new, master_key))
    assert await chained.key_ring.rewrap() == 3
    assert await chained.key_ring.rewrap() == 0
    assert {key.master_key_id for key in (await chained.key_ring.status()).keys} == {new.id}
    # A node that was not restarted yet has the keys in memory, and reads them no more from the ring.
    assert (await store.persisted_grants.get("A")).data == "payload"

    alone = await new_node(master_key=new)
    assert (await alone.persisted_grants.get("A")).data == "payload"
    assert await ring_of("default", new).keyed_hash("user_code", "WDJB-MJHT") == hashed
    assert len((await ring_of("acme", new).status()).keys) == 1
    await ring_of("acme", new).sealing_key()
    with pytest.raises(KeyUnavailable, match=new.id):
        await new_node()


async def test_destroyed_tenant_is_gone_for_good(new_node, ring_of, clock, keys):
    """Its payloads don't open, nothing can be stored, no key is made anew; the records and a tombstone stay."""
    store = await new_node()
    await store.persisted_grants.store(a_lasting_grant(clock))
    await store.key_ring.rotate()
    await ring_of("default").keyed_hash("user_code", "WDJB-MJHT")
    assert await store.key_ring.destroy("default") == 2
    assert await store.key_ring.destroy("default") == 0

    again = await new_node()
    for node in (store, again):
        with pytest.raises(KeyUnavailable, match="were destroyed"):
            await node.persisted_grants.get("A")
        with pytest.raises(KeyUnavailable, match="were destroyed"):
            await node.persisted_grants.store(a_lasting_grant(clock, "B"))
        for refused in (node.key_ring.rotate, node.key_ring.reencrypt):
            with pytest.raises(KeyUnavailable, match="were destroyed"):
                await refused()
        assert await node.key_ring.rewrap() == 0
        status = await node.key_ring.status()
        assert (status.destroyed, status.active_key_id, len(status.keys)) == (True, None, 3)
    assert keys.count_documents({"wrapped": {"$exists": True}}) == 0
    assert keys.database["grants"].count_documents({}) == 1


async def test_other_nodes_stop_sealing_within_a_minute(new_node, clock):
    """A node that was not told of it seals no more once its ring is a minute old."""
    first, second = await new_node(), await new_node()
    await second.persisted_grants.store(a_lasting_grant(clock))
    await first.key_ring.destroy("default")
    clock.advance(MINUTE)
    with pytest.raises(KeyUnavailable, match="were destroyed"):
        await second.persisted_grants.store(a_lasting_grant(clock, "B"))


async def test_destroying_one_tenant_leaves_the_others(new_node, ring_of, clock):
    """The tenant is named each time, and must be a tenant's name."""
    store = await new_node()
    await store.persisted_grants.store(a_lasting_grant(clock))
    await ring_of("acme").sealing_key()
    assert await store.key_ring.destroy("acme") == 1
    assert await store.key_ring.destroy("never-was") == 0
    with pytest.raises(ValueError, match="no tenant"):
        await store.key_ring.destroy("default|1")
    assert (await store.persisted_grants.get("A")).data == "payload"


async def test_ring_lies_in_a_database_of_its_own(new_node, clock, mongo_connection, database_name):
    """Nothing of it is in the main database, whose backup alone opens nothing."""
    apart = f"{database_name}_keys"
    store = await new_node(key_ring_database=apart, options=StoreOptions(collection_prefix="idp_"))
    await store.persisted_grants.store(a_lasting_grant(clock))
    await store.key_ring.rotate()
    assert mongo_connection[apart].list_collection_names() == ["idp_data_keys"]
    assert mongo_connection[database_name].list_collection_names() == ["idp_grants"]
    assert (await store.persisted_grants.get("A")).data == "payload"
    assert (await store.key_ring.reencrypt()).total.reencrypted == 1

    without = await new_node(options=StoreOptions(collection_prefix="idp_"))
    with pytest.raises(KeyUnavailable, match="not in the key ring"):
        await without.persisted_grants.get("A")


def test_database_of_the_ring_is_checked():
    """A name that MongoDB would not take is refused before anything is opened."""
    with pytest.raises(ValueError, match="database"):
        MongoStore("mongodb://127.0.0.1", database="a", key_ring_database="a.b", master_key=LocalMasterKey.generate())


def test_rotation_policy_is_checked():
    """Only a policy is one."""
    with pytest.raises(TypeError, match="key_rotation"):
        StoreOptions(key_rotation=timedelta(days=90))


@pytest.fixture(params=["memory", "mongo"])
async def any_store(request, new_node, clock) -> AsyncIterator[MemoryStore | MongoStore]:
    if request.param == "mongo":
        yield await new_node()
    else:
        async with MemoryStore(clock=clock) as store:
            yield store


async def test_every_store_has_a_key_ring(any_store):
    """The same methods with the same results on a ring without payloads, in memory as well."""
    ring = any_store.key_ring
    assert (await ring.status()).keys == ()
    first = await ring.rotate()
    second = await ring.rotate()
    assert [key.generation for key in second.keys] == [1, 2]
    assert (first.active_key_id, second.active_key_id) == tuple(key.key_id for key in second.keys)
    assert await ring.rewrap() == 0
    assert (await ring.reencrypt()).total.reencrypted == 0
    assert await ring.destroy("default") == 2
    assert (await ring.status()).destroyed
    with pytest.raises(KeyUnavailable):
        await ring.rotate()

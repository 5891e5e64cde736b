"""What re-encryption reads and writes: which values it takes for stale, what it leaves alone, what it looks at."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from bson import Binary
from pymongo import AsyncMongoClient
from pymongo.collection import Collection
from pymongo.monitoring import CommandListener

from mongostore import LocalMasterKey, MongoStore
from mongostore.clock import SystemClock
from mongostore.errors import KeyUnavailable, StorageUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.mongo.leases import Leases
from mongostore.mongo.sealed_records import MongoSealedRecordStore
from mongostore.protection.context import Context
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.protection.protector import SealingProtector
from mongostore.testing.factories import a_grant

pytestmark = pytest.mark.filterwarnings("ignore:the schema of database")

LIMIT = timedelta(seconds=30)
ACTIVE = bytes.fromhex("00ff0180aa5500ff0180aa5500ff0180")


class Commands(CommandListener):
    """What was sent to the collection of grants."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: Any) -> None:
        if event.command.get(event.command_name) == "grants":
            self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def master_key() -> LocalMasterKey:
    return LocalMasterKey.generate()


@pytest.fixture
async def store(mongo_uri, database_name, master_key) -> AsyncIterator[MongoStore]:
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key) as opened:
        yield opened


@pytest.fixture
async def binding(mongo_uri, database_name, commands) -> AsyncIterator[Binding]:
    async with AsyncMongoClient(mongo_uri, event_listeners=[commands]) as client:
        yield Binding(Connection(client, operation_timeout=LIMIT, server_selection_timeout=LIMIT), database_name)


@pytest.fixture
def records(binding) -> MongoSealedRecordStore:
    return sealed_records(binding)


@pytest.fixture
async def key_ring(binding, master_key) -> AsyncIterator[KeyRing]:
    """The ring as another node has it."""
    ring = KeyRing(MongoDataKeyStore(binding), master_key, SystemClock())
    yield ring
    await ring.close()


@pytest.fixture
def grants(mongo_connection, database_name) -> Collection:
    return mongo_connection[database_name]["grants"]


def sealed_records(binding: Binding, tenant: str = "default") -> MongoSealedRecordStore:
    return MongoSealedRecordStore(binding, Leases(binding, tenant), tenant)


def an_envelope(key_id: bytes, size: int = 100) -> bytes:
    return b"\x01" + key_id + b"n" * 24 + b"c" * (size - 57) + b"t" * 16


def flip(key_id: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(key_id))


async def stale_of(records: MongoSealedRecordStore, limit: int = 1_000) -> list[tuple[str, str]]:
    """Everything that is stale, as record and field."""
    found, after = [], ""
    while after is not None:
        page = await records.find_stale("grants", ACTIVE, after=after, limit=limit)
        found += [(value.record_id, value.field) for value in page.values]
        after = page.last
    return found


async def test_every_bit_of_the_key_id_counts(records, grants):
    """A value is left out only when its 16 bytes are the active key's, whatever its length."""
    grants.insert_many({"_id": f"default|{bit:03}", "payload": an_envelope(flip(ACTIVE, bit))} for bit in range(128))
    grants.insert_many({"_id": f"default|a{size}", "payload": an_envelope(ACTIVE, size)} for size in (57, 58, 5_000))
    assert await stale_of(records) == [(f"{bit:03}", "payload") for bit in range(128)]


async def test_only_stale_fields_of_a_record_are_given(records, grants):
    """Of a record with two sealed fields, the one that is under the active key, or absent, or null, is left out."""
    new, old = an_envelope(ACTIVE), an_envelope(bytes(16))
    grants.insert_many(
        [
            {"_id": "default|1", "payload": new, "successor": old},
            {"_id": "default|2", "payload": old, "successor": new},
            {"_id": "default|3", "payload": old, "successor": None},
            {"_id": "default|4", "payload": old, "successor": old},
            {"_id": "default|5", "payload": new},
        ]
    )
    expected = [("1", "successor"), ("2", "payload"), ("3", "payload"), ("4", "payload"), ("4", "successor")]
    assert await stale_of(records) == expected


async def test_what_is_no_envelope_is_stale(records, grants):
    """Text, numbers and short binaries are given, so that they are counted instead of passed over."""
    for number, payload in enumerate(["text", 7, b"", ACTIVE, [b"x"], {"a": 1}]):
        grants.insert_one({"_id": f"default|{number}", "payload": payload})
    assert len(await stale_of(records)) == 6


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11, 1_000])
async def test_pages_of_any_size_miss_nothing(records, grants, limit):
    """Stale records among others, other tenants on both sides, and any page size: each stale one comes once."""
    for tenant in ("a", "defaul", "default", "default-2", "default2", "z"):
        for number in range(10):
            payload = an_envelope(ACTIVE if number % 3 else bytes(16))
            grants.insert_one({"_id": f"{tenant}|{number}", "payload": payload})
    assert await stale_of(records, limit) == [(f"{number}", "payload") for number in (0, 3, 6, 9)]


async def test_a_page_looks_at_no_more_than_its_limit(records, grants, commands, mongo_connection, database_name):
    """By the index on _id, within the tenant: no look-up of the run examines more, and none sorts."""
    for tenant in ("aa", "default", "zz"):
        payload = an_envelope(ACTIVE if tenant == "default" else bytes(16))
        grants.insert_many({"_id": f"{tenant}|{number:04}", "payload": payload} for number in range(500))
    assert await stale_of(records, limit=100) == []
    # Five pages, and one that is found empty; two commands for each.
    assert len(commands.sent) == 2 * 6
    for command in commands.sent:
        explained = mongo_connection[database_name].command(
            "explain", {name: command[name] for name in command if name in _OF_THE_QUERY}, verbosity="executionStats"
        )
        statistics = explained["executionStats"]
        assert statistics["totalKeysExamined"] <= 101
        assert statistics["totalDocsExamined"] <= 100
        assert "COLLSCAN" not in str(explained)
        assert "'SORT'" not in str(explained)


_OF_THE_QUERY = {"find", "filter", "projection", "sort", "skip", "limit", "singleBatch", "hint"}


async def test_large_values_are_cut_into_several_pages(records, grants):
    """MongoDB answers with 16 MiB at most: 40 values of 1 MiB come in three pages, none is missed."""
    for number in range(40):
        grants.insert_one({"_id": f"default|{number:02}", "payload": an_envelope(bytes(16), 2**20)})
    first = await records.find_stale("grants", ACTIVE, after="", limit=500)
    assert 10 <= len(first.values) <= 16
    assert await stale_of(records, 500) == [(f"{number:02}", "payload") for number in range(40)]


async def test_changed_value_is_not_replaced(records, grants):
    """Each write holds only while the field is what was read; the others of the batch go through."""
    old, new, other = an_envelope(bytes(16)), an_envelope(ACTIVE), an_envelope(b"o" * 16)
    grants.insert_many({"_id": f"default|{number}", "payload": old} for number in range(4))
    page = await records.find_stale("grants", ACTIVE, after="", limit=10)
    grants.update_one({"_id": "default|1"}, {"$set": {"payload": other}})
    grants.delete_one({"_id": "default|2"})
    assert await records.replace("grants", [(value, new) for value in page.values]) == 2
    left = {document["_id"]: document["payload"] for document in grants.find()}
    assert left == {"default|0": new, "default|1": other, "default|3": new}


async def fill(store: MongoStore, count: int, **values: Any) -> None:
    await asyncio.gather(
        *(store.persisted_grants.store(a_grant(f"{n:04}", data=f"{n}", **values)) for n in range(count))
    )


async def test_everything_is_sealed_by_the_active_key(store, grants):
    """Afterwards every payload names the active key and is read as before; another run finds nothing."""
    await fill(store, 30)
    active = (await store.key_ring.rotate()).active_key_id
    result = await store.key_ring.reencrypt(batch_size=7)
    assert (result.total.reencrypted, result.total.changed, result.total.unreadable) == (30, 0, 0)
    assert {document["payload"][1:17].hex() for document in grants.find()} == {active}
    assert [(await store.persisted_grants.get(f"{n:04}")).data for n in range(30)] == [f"{n}" for n in range(30)]
    assert (await store.key_ring.reencrypt()).total.reencrypted == 0


async def test_nothing_but_the_payload_changes(store, grants):
    """All other fields stay, consumed and expired records' as well."""
    await fill(store, 3)
    await store.persisted_grants.consume("0001")
    without_payload = {"payload": 0}
    before = list(grants.find({}, without_payload))
    await store.key_ring.rotate()
    assert (await store.key_ring.reencrypt()).total.reencrypted == 3
    assert list(grants.find({}, without_payload)) == before


async def test_progress_is_told_after_every_batch(store, records):
    """The counts so far, by collection; each is a value of its own."""
    await fill(store, 25)
    await store.key_ring.rotate()
    told = []
    result = await store.key_ring.reencrypt(batch_size=10, on_progress=told.append)
    of_grants = [each.collections["grants"].reencrypted for each in told if "grants" in each.collections]
    assert of_grants[:3] == [10, 20, 25]
    assert told[-1] == result
    assert set(result.collections) == set(records.labels)


async def test_batches_are_throttled(store):
    """It rests after each batch that was written, and not when there is nothing to do."""
    await fill(store, 3)
    await store.key_ring.rotate()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await store.key_ring.reencrypt(batch_size=1, pause=timedelta(milliseconds=100))
    assert loop.time() - begun >= 0.3
    async with asyncio.timeout(60):
        await store.key_ring.reencrypt(batch_size=1, pause=timedelta(hours=1))


async def test_unreadable_values_are_counted_and_left(store, grants, caplog):
    """Damaged, moved, or under a key that is lost: the rest is sealed anew, these stay byte for byte."""
    await fill(store, 10)
    moved = grants.find_one({"_id": "default|0000"})["payload"]
    damaged = {"default|0001": moved, "default|0002": an_envelope(b"k" * 16), "default|0003": b"\x01plain"}
    for stored_id, payload in damaged.items():
        grants.update_one({"_id": stored_id}, {"$set": {"payload": payload}})
    await store.key_ring.rotate()
    for expected in (7, 0):
        result = await store.key_ring.reencrypt()
        assert (result.collections["grants"].reencrypted, result.collections["grants"].unreadable) == (expected, 3)
    assert {stored_id: grants.find_one({"_id": stored_id})["payload"] for stored_id in damaged} == damaged
    assert "3 sealed values in grants" in caplog.text


async def test_unsealed_text_is_counted_and_left(store, grants):
    """What was put into a sealed field from outside, in clear, is neither sealed nor passed over in silence."""
    await fill(store, 1)
    grants.update_one({}, {"$set": {"payload": "in clear"}})
    assert (await store.key_ring.reencrypt()).total.unreadable == 1
    assert grants.find_one()["payload"] == "in clear"


async def test_envelope_under_another_binary_subtype_is_sealed_anew(store, grants):
    """The conditional write matches what was read, subtype and all, and stores an ordinary binary."""
    await fill(store, 1)
    grants.update_one({}, {"$set": {"payload": Binary(grants.find_one()["payload"], 5)}})
    await store.key_ring.rotate()
    assert (await store.key_ring.reencrypt()).total.reencrypted == 1
    assert type(grants.find_one()["payload"]) is bytes
    assert (await store.persisted_grants.get("0000")).data == "0"


async def test_other_tenants_are_not_touched(store, grants, binding, key_ring):
    """A run works on its own tenant's values, by its own tenant's keys."""
    await fill(store, 3)
    protector = SealingProtector(key_ring)
    place = Context("default-2", "grants", "0000", "payload")
    foreign = bytes(await protector.seal(b"bx", place))
    grants.insert_one({"_id": "default-2|0000", "tenant": "default-2", "payload": foreign})
    await store.key_ring.rotate()
    await key_ring.for_tenant("default-2").rotate()
    assert (await store.key_ring.reencrypt()).total.reencrypted == 3
    assert grants.find_one({"_id": "default-2|0000"})["payload"] == foreign
    other = KeyRingService(key_ring, "default-2", [sealed_records(binding, "default-2")])
    assert (await other.reencrypt()).total.reencrypted == 1
    assert await protector.open(grants.find_one({"_id": "default-2|0000"})["payload"], place) == b"bx"


async def test_runs_do_not_overlap(store):
    """Of two at once the second waits for the first and finds nothing left; nothing is written twice."""
    await fill(store, 40)
    await store.key_ring.rotate()
    results = await asyncio.gather(*(store.key_ring.reencrypt(batch_size=5) for _ in range(2)))
    assert sorted(result.total.reencrypted for result in results) == [0, 40]
    assert [result.total.changed for result in results] == [0, 0]


async def test_run_that_waited_too_long_says_so(store, records, monkeypatch):
    """While another one is at work, nothing is written, and the error tells to try again."""
    await fill(store, 1)
    await store.key_ring.rotate()
    monkeypatch.setattr("mongostore.mongo.sealed_records._LONGEST_WAIT", timedelta(milliseconds=50))
    async with records.exclusively():
        with pytest.raises(StorageUnavailable, match="try again"):
            await store.key_ring.reencrypt()
    assert (await store.key_ring.reencrypt()).total.reencrypted == 1


async def test_run_ends_where_the_keys_are_destroyed(store, grants):
    """Destroyed in the middle: the run raises, and what it had not reached stays as it was."""
    await fill(store, 200)
    await store.key_ring.rotate()
    before = {document["_id"]: document["payload"] for document in grants.find()}
    destroyed: list[asyncio.Task[int]] = []

    def destroy_once(_: object) -> None:
        if not destroyed:
            destroyed.append(asyncio.ensure_future(store.key_ring.destroy("default")))

    with pytest.raises(KeyUnavailable, match="were destroyed"):
        await store.key_ring.reencrypt(batch_size=1, on_progress=destroy_once, pause=timedelta(milliseconds=20))
    assert await destroyed[0] == 2
    after = {document["_id"]: document["payload"] for document in grants.find()}
    assert after["default|0199"] == before["default|0199"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 10_001}, ValueError),
        ({"batch_size": "500"}, TypeError),
        ({"batch_size": True}, TypeError),
        ({"pause": timedelta(seconds=-1)}, ValueError),
        ({"pause": 1}, TypeError),
    ],
)
async def test_arguments_are_checked(store, arguments, error):
    """A wrong argument is refused before anything is read; the message names it."""
    with pytest.raises(error, match=next(iter(arguments))):
        await store.key_ring.reencrypt(**arguments)

"""The cleanup as MongoDB sees it: its commands and plans, damage, a lease that is lost, and the TTL behind it."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from bson import Binary

from mongostore import TokenCleanupOptions, TokenCleanupService
from mongostore.grants.cleanup import CleanupCounts
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.protection.envelope import assemble
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_device_code, a_grant, a_pushed_request

ENVELOPE = Binary(bytes(assemble(b"k" * 16, b"n" * 24, b"t" * 16)))
LIMIT = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CLEANUP = {"find", "delete"}
COLLECTIONS = {"grants", "device_codes", "pushed_authorization_requests"}


@pytest.fixture
def database(mongo_connection, prepared_database):
    return mongo_connection[prepared_database]


async def add_expired(store, count=1, prefix="g"):
    """Grants that have expired by the store's clock once it is an hour ahead, and not by the server's."""
    for number in range(count):
        await store.persisted_grants.store(a_grant(f"{prefix}{number}", expiration=store.clock.now() + MINUTE))


async def add_device_code(store, name="device"):
    code = a_device_code(creation_time=store.clock.now(), lifetime=60)
    await store.device_flow.store_device_authorization(name, f"user {name}", code)


async def add_pushed_request(store, name="par"):
    request = a_pushed_request(name, expires_at_utc=store.clock.now() + MINUTE)
    await store.pushed_authorization_requests.store(request)


def ignore(_kind, _items):
    """Somebody who is told and does nothing about it."""


def sent_to(wire, collection):
    return [command for command in wire.sent if next(iter(command.values())) == collection]


def stages(plan):
    """The names of all stages of a plan."""
    return [
        plan["stage"],
        *(name for each in ([plan["inputStage"]] if "inputStage" in plan else []) for name in stages(each)),
    ]


@pytest.mark.parametrize("told", [None, ignore])
async def test_every_command_is_served_by_an_index(store, wire, database, told):
    """No collection scan, no sort in memory, and nothing examined but what is due, or named by its `_id`."""
    for number in range(30):
        await store.persisted_grants.store(a_grant(f"live{number}"))
    await add_expired(store, 3)
    await add_device_code(store)
    await add_pushed_request(store)
    await store.persisted_grants.store(a_grant("consumed"))
    await store.persisted_grants.consume("consumed")
    store.clock.advance(HOUR / 2)
    explained = []

    def explain(_, command):
        if next(iter(command)) in CLEANUP and next(iter(command.values())) in COLLECTIONS:
            statement = {name: value for name, value in command.items() if not name.startswith(("$", "lsid", "txn"))}
            statement.pop("maxTimeMS", None)
            statement.pop("writeConcern", None)
            plan = database.command({"explain": statement, "verbosity": "executionStats"})
            explained.append((statement, plan["queryPlanner"]["winningPlan"], plan["executionStats"]))

    wire.before_sending = explain
    options = TokenCleanupOptions(remove_consumed_tokens=True)
    counts = await TokenCleanupService(store, options, told).cleanup_grants()
    wire.before_sending = None
    assert counts == CleanupCounts(grants=3, consumed_grants=1, device_codes=1, pushed_authorization_requests=1)
    assert len(explained) == (9 if told is None else 12)
    for statement, plan, stats in explained:
        assert {"COLLSCAN", "SORT"}.isdisjoint(stages(plan)), statement
        walk = statement.get("hint") == {"_id": 1} and "find" in statement
        assert stats["totalDocsExamined"] <= (31 if walk else 3), statement


async def test_without_a_callback_no_payload_is_read(store, wire):
    """Ids are read and deleted by; the payloads stay on the server, and a batch is two commands and the lease's renewal."""
    await add_expired(store, 5)
    store.clock.advance(HOUR)
    del wire.sent[:]
    await TokenCleanupService(store).cleanup_grants()
    commands = sent_to(wire, "grants")
    assert [next(iter(command)) for command in commands] == ["find", "delete"]
    assert commands[0]["projection"] == {"_id": 1}
    assert commands[0]["limit"] == 100
    assert commands[0]["singleBatch"] is True
    # Acquired in two commands, since the record is new; renewed, released.
    assert len(sent_to(wire, "leases")) == 4


async def test_the_walk_for_consumed_grants_goes_over_pages(store, database):
    """Of 2,500 grants, the 834 consumed ones are found on three pages, and told of in full batches."""
    now = datetime.now(UTC)
    grant = {"tenant": "default", "type": "t", "client_id": "c", "creation_time": now, "payload": ENVELOPE}
    database.grants.insert_many(
        grant | {"_id": f"default|{number:05}"} | ({} if number % 3 else {"consumed_time": now})
        for number in range(2_500)
    )
    # Neighbours in the order of ids: they are somebody else's.
    for other in ("defaul", "default-2", "defaultx"):
        database.grants.insert_one(grant | {"_id": f"{other}|0", "tenant": other, "consumed_time": now})
    store.clock.advance(HOUR)
    options = TokenCleanupOptions(remove_consumed_tokens=True, batch_size=70)
    counts = await TokenCleanupService(store, options).cleanup_grants()
    assert counts == CleanupCounts(consumed_grants=834)
    assert database.grants.count_documents({}) == 2_500 - 834 + 3


async def test_damaged_records_are_removed_untold(store, database, caplog):
    """Of three, the damaged one is missing in what is told and gone from the database; the log says how many, not which."""
    await add_expired(store, 3)
    other = database.grants.find_one({"_id": "default|g0"})["payload"]
    database.grants.update_one({"_id": "default|g1"}, {"$set": {"payload": other}})
    store.clock.advance(HOUR)
    told = []
    with caplog.at_level(logging.ERROR, "mongostore"):
        counts = await TokenCleanupService(store, on_removed=lambda _, items: told.extend(items)).cleanup_grants()
    assert counts == CleanupCounts(grants=3)
    assert [grant.key for grant in told] == ["g0", "g2"]
    assert database.grants.count_documents({}) == 0
    assert "1 of 3 grants can't be read" in caplog.text
    assert "g1" not in caplog.text


async def test_a_missing_key_keeps_what_is_to_be_told(store, database, caplog):
    """Without the data key nobody can be told, so nothing is removed; the rest is done, and all for who is not told."""
    await add_expired(store)
    await add_pushed_request(store)
    store.clock.advance(HOUR)
    await store.key_ring.destroy("default")
    counts = await TokenCleanupService(store, on_removed=ignore).cleanup_grants()
    assert counts == CleanupCounts(pushed_authorization_requests=1, failures=("grants",))
    assert database.grants.count_documents({}) == 1
    assert await TokenCleanupService(store).cleanup_grants() == CleanupCounts(grants=1)


async def test_a_step_that_fails_leaves_the_others_alone(store, database, caplog):
    """Without the index, the first step fails, is named, and the others are done."""
    await add_expired(store)
    await add_device_code(store)
    await add_pushed_request(store)
    store.clock.advance(HOUR)
    database.grants.drop_index("expiry")
    with caplog.at_level(logging.WARNING, "mongostore"):
        counts = await TokenCleanupService(store).cleanup_grants()
    assert counts == CleanupCounts(device_codes=1, pushed_authorization_requests=1, failures=("grants",))
    assert "The cleanup of grants stopped" in caplog.text


async def test_a_node_that_lost_its_lease_stops(store, database, caplog):
    """Once another node has the lease, nothing more is told or removed: that one does it."""
    await add_expired(store, 5)
    await add_device_code(store)
    store.clock.advance(HOUR)
    told = []

    def on_removed(kind, items):
        told.extend(items)
        database.leases.update_one({"_id": "default|token-cleanup"}, {"$set": {"owner": "another"}})

    options = TokenCleanupOptions(batch_size=2)
    counts = await TokenCleanupService(store, options, on_removed).cleanup_grants()
    assert counts == CleanupCounts(grants=2, failures=("grants", "device_codes"))
    assert len(told) == 2
    assert database.leases.find_one({"_id": "default|token-cleanup"})["expires"] > datetime.now(UTC).replace(
        tzinfo=None
    )
    assert await TokenCleanupService(store).cleanup_grants() == CleanupCounts(skipped=True)


async def test_the_lease_is_kept_however_long_a_callback_takes(store, database, monkeypatch):
    """While a callback takes its time, the lease is renewed, so that nobody else gets it."""
    monkeypatch.setattr("mongostore.stores.kept_lease._RENEWALS_PER_LEASE", 600)
    await add_expired(store, 2)
    store.clock.advance(HOUR)
    skipped = []

    async def on_removed(_kind, _items):
        first = database.leases.find_one({"_id": "default|token-cleanup"})["expires"]
        while database.leases.find_one({"_id": "default|token-cleanup"})["expires"] == first:
            await asyncio.sleep(0.05)
        skipped.append((await TokenCleanupService(store).cleanup_grants()).skipped)

    async with asyncio.timeout(60):
        counts = await TokenCleanupService(store, TokenCleanupOptions(batch_size=1), on_removed).cleanup_grants()
    assert (counts.grants, skipped) == (2, [True, True])


async def test_a_cancelled_pass_frees_the_lease(store):
    """What was told of and not removed is the next one's, which need not wait for the lease to expire."""
    await add_expired(store)
    store.clock.advance(HOUR)
    reached = asyncio.Event()

    async def on_removed(_kind, _items):
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(TokenCleanupService(store, on_removed=on_removed).cleanup_grants())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await TokenCleanupService(store).cleanup_grants() == CleanupCounts(grants=1)


async def test_a_cleanup_creates_no_tenant(open_store, prepared_database, mongo_connection):
    """A pass for a tenant that nobody knows removes nothing and registers nobody."""
    async with open_store(prepared_database) as store:
        assert await TokenCleanupService(store.for_tenant("stranger")).cleanup_grants() == CleanupCounts()
        assert await store.tenants.list() == []


async def test_the_ttl_waits_for_its_delay_and_then_takes_everything(
    open_store, mongo_uri, database_name, mongo_connection
):
    """With a delay, two rounds of MongoDB's TTL leave what has expired to the service; without, they take it."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    database = mongo_connection[database_name]
    await apply_schema(Binding(connection, database_name, ttl_delay=HOUR))
    async with open_store(database_name, ttl_delay=HOUR) as store:
        over = store.clock.now() - MINUTE
        await store.persisted_grants.store(a_grant("g", creation_time=over, expiration=over))
        await store.device_flow.store_device_authorization(
            "device", "user", a_device_code(creation_time=over - MINUTE, lifetime=60)
        )
        await _ttl_rounds(mongo_connection, 2)
        assert database.grants.count_documents({}) == database.device_codes.count_documents({}) == 1
        assert await store.persisted_grants.get("g") is None, "what is over is absent, however long it lies there"
        await apply_schema(Binding(connection, database_name))
        await _ttl_rounds(mongo_connection, 2)
        assert database.grants.count_documents({}) == database.device_codes.count_documents({}) == 0
    await connection.close()


async def _ttl_rounds(mongo_connection, count):
    """Wait until the TTL monitor has gone around that often."""

    def rounds():
        return mongo_connection.admin.command("serverStatus")["metrics"]["ttl"]["passes"]

    enough = rounds() + count
    async with asyncio.timeout(150):
        while rounds() < enough:
            await asyncio.sleep(0.05)

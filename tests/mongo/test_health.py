"""Health: every check finds what it is there for, quickly, and nothing is raised whatever is broken."""

import asyncio
import json
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient

from mongostore import LocalMasterKey, MemoryStore, MongoStore
from mongostore.caching import CachingOptions, ConfigurationCaches
from mongostore.clock import SystemClock
from mongostore.health import HealthReport, check_health
from mongostore.mongo.binding import Binding
from mongostore.mongo.changes import ChangeFeed
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.protection.key_ring import KeyRing
from mongostore.schema.desired import desired_collections
from mongostore.testing import EmbeddedMongo, FakeClock
from mongostore.testing.embedded import find_mongod

LIMIT = timedelta(minutes=1)
SHORT = timedelta(milliseconds=500)
NAMES = ["server", "primary", "replica_set", "schema", "key_ring", "change_stream", "clock_skew", "ttl_monitor"]
PASSWORD = "hunter2-sentinel"


def statuses(report: HealthReport) -> dict[str, str]:
    return {check.name: check.status for check in report.checks}


def detail(report: HealthReport, name: str) -> str:
    return next(check.detail for check in report.checks if check.name == name)


class Node:
    """What a store gives to its health checks."""

    def __init__(self, source, database: str, clock=None) -> None:
        self.clock = clock or SystemClock()
        self.connection = Connection(source, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
        self.binding = Binding(self.connection, database)
        self.key_ring = KeyRing(MongoDataKeyStore(self.binding), LocalMasterKey.generate(), self.clock)
        self.feed: ChangeFeed | None = None

    async def health(self, limit: timedelta = LIMIT) -> HealthReport:
        return await check_health(
            [self.binding], self.key_ring.for_tenant("default"), self.feed, self.clock, limit=limit
        )


@asynccontextmanager
async def node(source, database: str, clock=None) -> AsyncIterator[Node]:
    opened = Node(source, database, clock)
    await opened.connection.open()
    try:
        yield opened
    finally:
        await opened.key_ring.close()
        await opened.connection.close()


@pytest.fixture
async def healthy(mongo_uri, prepared_database) -> AsyncIterator[Node]:
    async with node(mongo_uri, prepared_database) as opened:
        yield opened


async def test_a_healthy_store(healthy):
    """Every check is ok, in a fixed order, live and ready; and a report is JSON."""
    report = await healthy.health()
    assert [check.name for check in report.checks] == NAMES
    assert statuses(report) == dict.fromkeys(NAMES, "ok"), report
    assert (report.status, report.live, report.ready) == ("ok", True, True)
    assert "no data key yet" in detail(report, "key_ring")
    written = json.loads(json.dumps(report.as_dict()))
    assert written.keys() == {"status", "live", "ready", "checks"}
    assert [each.keys() for each in written["checks"]] == [{"name", "status", "detail", "duration_ms"}] * len(NAMES)


async def test_a_report_costs_some_commands_that_read(mongo_uri, prepared_database, wire):
    """One for each collection's indexes and a few more: nothing is written, and no record is counted."""
    async with AsyncMongoClient(mongo_uri, event_listeners=[wire]) as client, node(client, prepared_database) as opened:
        await opened.health()
        wire.sent.clear()
        await opened.health()
        asked = Counter(next(iter(command)) for command in wire.sent)
    assert asked.pop("listIndexes") == len(desired_collections())
    assert asked.keys() == {"hello", "ping", "buildInfo", "getParameter", "listCollections", "find"}
    assert asked.total() <= 10


async def test_a_store_that_is_not_open_is_down(mongo_uri):
    """Before `open`, the report says what to do."""
    report = await Node(mongo_uri, "nowhere").health()
    assert (report.status, report.live, report.ready) == ("down", True, False)
    assert "the store is not open" in detail(report, "server")


async def test_a_schema_that_differs_degrades(mongo_uri, database_name):
    """With the number of differences and the command that mends them; the store can serve."""
    async with node(mongo_uri, database_name) as bare:
        report = await bare.health()
    assert (report.status, report.ready) == ("degraded", True)
    assert statuses(report)["schema"] == "degraded"
    assert f"differences in database '{database_name}': run 'python -m mongostore schema apply" in detail(
        report, "schema"
    )


async def test_the_age_of_the_data_keys(mongo_uri, prepared_database):
    """How many there are, how old the newest is, and which seals."""
    clock = FakeClock()
    async with node(mongo_uri, prepared_database, clock) as opened:
        ring = opened.key_ring.for_tenant("default")
        await ring.sealing_key()
        clock.advance(timedelta(days=12, hours=1))
        report = await opened.health()
        assert detail(report, "key_ring") == "1 data keys, the newest (generation 1) 12 days old; generation 1 seals"
        await ring.rotate()
        assert "2 data keys, the newest (generation 2) 0 days old" in detail(await opened.health(), "key_ring")


async def test_destroyed_keys_are_down(healthy):
    """Nothing can be sealed for the tenant: not ready."""
    ring = healthy.key_ring.for_tenant("default")
    await ring.sealing_key()
    await ring.destroy()
    report = await healthy.health()
    assert (report.status, report.ready) == ("down", False)
    assert "were destroyed" in detail(report, "key_ring")


async def test_another_master_key_is_down(mongo_uri, prepared_database):
    """A ring that the master key does not open can't serve, though everything else does."""
    async with node(mongo_uri, prepared_database) as first:
        await first.key_ring.for_tenant("default").sealing_key()
    async with node(mongo_uri, prepared_database) as other:
        report = await other.health()
    assert {name for name, status in statuses(report).items() if status != "ok"} == {"key_ring"}
    assert (report.status, report.ready) == ("down", False)


@pytest.mark.parametrize(
    ("off", "status", "said"),
    [
        (timedelta(milliseconds=500), "ok", r"0\.\d s apart"),
        (timedelta(seconds=5), "degraded", "ahead of the server's: what expires does so too early"),
        (timedelta(seconds=-5), "degraded", "behind the server's: what expires does so too late"),
        (timedelta(minutes=1), "down", r"(59|60)\.\d s ahead of the server's"),
    ],
)
async def test_a_clock_that_is_off(mongo_uri, prepared_database, off, status, said):
    """More than a second degrades, more than half a minute is worse; the store can serve all the same."""

    class Skewed:
        def now(self):
            return SystemClock().now() + off

    async with node(mongo_uri, prepared_database, Skewed()) as opened:
        report = await opened.health()
    assert statuses(report)["clock_skew"] == status
    assert re.search(said, detail(report, "clock_skew"))
    assert (report.status, report.ready) == ("ok" if status == "ok" else "degraded", True)


async def test_the_change_stream(healthy):
    """Degraded until it listens, and after it was stopped."""
    caches = ConfigurationCaches(CachingOptions(), healthy.clock)
    healthy.feed = ChangeFeed(healthy.binding, caches)
    assert statuses(await healthy.health())["change_stream"] == "degraded"
    healthy.feed.start()
    async with asyncio.timeout(60):
        while not healthy.feed.is_listening:
            await asyncio.sleep(0.01)
    assert statuses(await healthy.health())["change_stream"] == "ok"
    await healthy.feed.stop()
    report = await healthy.health()
    assert (statuses(report)["change_stream"], report.status, report.ready) == ("degraded", "degraded", True)


async def test_the_ttl_monitor(needs_own_server, mongo_connection, healthy):
    """Degraded while it is switched off."""
    mongo_connection.admin.command({"setParameter": 1, "ttlMonitorEnabled": False})
    try:
        report = await healthy.health()
    finally:
        mongo_connection.admin.command({"setParameter": 1, "ttlMonitorEnabled": True})
    assert (statuses(report)["ttl_monitor"], report.status, report.ready) == ("degraded", "degraded", True)
    assert "ttlMonitorEnabled" in detail(report, "ttl_monitor")


async def test_the_stable_api_is_no_failure(mongo_uri, prepared_database):
    """A server that does not answer to getParameter and buildInfo is not told ill; what is not known is said."""
    server_api = pytest.importorskip("pymongo.server_api")
    api = server_api.ServerApi("1", strict=True)
    async with AsyncMongoClient(mongo_uri, server_api=api) as client, node(client, prepared_database) as opened:
        report = await opened.health()
    assert (statuses(report)["server"], statuses(report)["ttl_monitor"]) == ("ok", "ok")
    assert detail(report, "server") == "MongoDB (version not told) answers"
    assert detail(report, "ttl_monitor").startswith("unknown")


@pytest.mark.filterwarnings("ignore:Motor is deprecated:DeprecationWarning")
async def test_a_motor_client(mongo_uri, prepared_database):
    """The same checks through the bridge."""
    motor_asyncio = pytest.importorskip("motor.motor_asyncio")
    client = motor_asyncio.AsyncIOMotorClient(mongo_uri)
    async with node(client, prepared_database) as opened:
        report = await opened.health()
    client.close()
    assert statuses(report) == dict.fromkeys(NAMES, "ok"), report


async def test_a_server_that_is_gone(needs_own_server):
    """Killed: down within the limit, without an error, without the password of the URI."""
    with EmbeddedMongo() as mongo:
        async with node(mongo.uri, "health") as opened:
            mongo.kill(0)
            async with asyncio.timeout(LIMIT.total_seconds() / 2):
                report = await opened.health(SHORT)
            assert (report.status, report.live, report.ready) == ("down", True, False)
            assert "gave no answer within 0.5 s" in detail(report, "server")
            mongo.start(0)
            assert (await opened.health()).ready


async def test_a_server_that_hangs(needs_own_server):
    """Stopped in the middle of everything: down within the limit, and well again when it goes on."""
    with EmbeddedMongo() as mongo:
        async with node(mongo.uri, "health") as opened:
            await opened.health()
            process = mongod_of(mongo)
            os.kill(process, signal.SIGSTOP)
            try:
                async with asyncio.timeout(LIMIT.total_seconds() / 2):
                    report = await opened.health(SHORT)
            finally:
                os.kill(process, signal.SIGCONT)
            assert (report.status, report.ready) == ("down", False)
            assert {statuses(report)[name] for name in ("server", "schema", "key_ring", "ttl_monitor")} == {"down"}
            assert (await opened.health()).ready


def mongod_of(mongo: EmbeddedMongo) -> int:
    """The process that listens on the port of a one-member replica set."""
    port = mongo.uri.partition("?")[0].rstrip("/").rpartition(":")[2]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # It ended meanwhile.
        if Path(command[0]).name == "mongod" and port in command:
            return int(process.name)
    raise AssertionError(f"no mongod listens on port {port}")


@pytest.mark.slow
async def test_a_member_that_is_gone_and_a_set_without_a_primary(needs_own_server):
    """One of three gone: degraded, and named. Two gone: no primary, so down; the server that is left still answers."""
    with EmbeddedMongo(members=3) as mongo:
        async with node(mongo.uri, "health") as opened:
            mongo.step_down()
            async with asyncio.timeout(60):
                while not (report := await opened.health()).ready:
                    await asyncio.sleep(0.2)
            assert "3 members" in detail(report, "replica_set")
            mongo.kill(0)
            async with asyncio.timeout(60):
                while not ((report := await opened.health(SHORT)).ready and report.status == "degraded"):
                    await asyncio.sleep(0.2)
                while "can't be reached" not in detail(report, "replica_set"):
                    report = await opened.health(SHORT)
                    await asyncio.sleep(0.2)
            mongo.kill(1)
            async with asyncio.timeout(60):
                while statuses(report := await opened.health(SHORT))["primary"] != "down":
                    await asyncio.sleep(0.2)
                while statuses(report)["server"] != "ok":
                    report = await opened.health(SHORT)
                    await asyncio.sleep(0.2)
            assert statuses(report)["primary"] == "down"
            assert "nothing can be written" in detail(report, "primary")
            assert (report.status, report.ready) == ("down", False)


async def test_a_standalone_server(needs_own_server, tmp_path, unused_port):
    """It serves; what it can't do is said, once for each thing."""
    process = await asyncio.create_subprocess_exec(
        *(find_mongod(), "--dbpath", tmp_path, "--port", str(unused_port), "--bind_ip", "127.0.0.1", "--quiet"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with node(f"mongodb://127.0.0.1:{unused_port}/", "health") as opened:
            report = await opened.health()
    finally:
        process.terminate()
        await process.wait()
    assert (report.status, report.ready) == ("degraded", True)
    assert {name for name in NAMES if statuses(report)[name] == "degraded"} == {
        "replica_set",
        "change_stream",
        "schema",
    }
    assert "no change streams" in detail(report, "replica_set")


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_master_key_service_that_fails_otherwise(mongo_uri, prepared_database, caplog):
    """A stranger's error does not come out of the report; its class is named, what it says is not."""

    class Broken(LocalMasterKey):
        async def unwrap(self, *_: object, **__: object) -> bytes:
            raise RuntimeError(PASSWORD)

    async with node(mongo_uri, prepared_database) as opened:
        await opened.key_ring.for_tenant("default").sealing_key()
        ring = KeyRing(MongoDataKeyStore(opened.binding), Broken(bytes(32)), opened.clock).for_tenant("default")
        report = await check_health([opened.binding], ring, None, opened.clock)
    assert statuses(report)["key_ring"] == "down"
    assert PASSWORD not in repr(report) + caplog.text


async def test_no_password_in_a_report():
    """The URI's password is in no detail."""
    uri = f"mongodb://user:{PASSWORD}@127.0.0.1:1/?replicaSet=rs0"
    unreachable = Node(uri, "health")
    unreachable.connection._client = unreachable.connection._client_of(uri)
    report = await unreachable.health(SHORT)
    await unreachable.connection.close()
    assert report.status == "down"
    assert "127.0.0.1:1" in detail(report, "server")
    assert PASSWORD not in json.dumps(report.as_dict()) + repr(report)


async def test_both_stores_have_it(mongo_uri, prepared_database):
    """`await store.health()`, with and without a database."""
    async with MongoStore(mongo_uri, database=prepared_database, master_key=LocalMasterKey.generate()) as store:
        async with asyncio.timeout(60):
            # On a busy machine an answer may take longer than the second that the store gives it.
            while not (report := await store.health()).ready:
                pass
        assert [check.name for check in report.checks] == NAMES
    assert not (await store.health()).ready
    async with MemoryStore() as memory:
        report = await memory.health()
    assert [(check.name, check.status) for check in report.checks] == [("key_ring", "ok")]
    assert (report.status, report.ready) == ("ok", True)

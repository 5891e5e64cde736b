"""The MongoDB that tests start: it serves, it fails when told to, and it never outlives its owner."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo import IndexModel, MongoClient

from mongostore.errors import ConfigurationError
from mongostore.testing import EmbeddedMongo, FakeClock
from mongostore.testing.embedded import find_mongod
from mongostore.testing.servers import Server, server

NO_SERVER_URI = "mongodb://somebody:hunter2@127.0.0.1:1/?replicaSet=rs0"


def embedded_mongo_runs_here() -> bool:
    try:
        find_mongod()
    except ConfigurationError:
        return False
    return True


needs_embedded_mongo = pytest.mark.skipif(
    not embedded_mongo_runs_here(),
    reason="needs the embedded MongoDB: pip install 'mongostore[embedded]' on Linux x86_64",
)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def folder_of(mongo: EmbeddedMongo) -> Path:
    return mongo._running().folder


def connect(mongo: EmbeddedMongo) -> MongoClient:
    return MongoClient(mongo.uri, w="majority", serverSelectionTimeoutMS=20_000)


@pytest.fixture(scope="module")
def trio() -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(members=3) as mongo:
        yield mongo


@needs_embedded_mongo
def test_one_member_takes_writes_and_leaves_nothing(list_servers: Callable[[int], list[str]]) -> None:
    """One member is a writable replica set when entered; when left, no process and no folder stays."""
    before = list_servers(os.getpid())
    with EmbeddedMongo() as mongo, connect(mongo) as connection:
        folder = folder_of(mongo)
        connection.app.notes.insert_one({"_id": 1})
        assert connection.app.notes.find_one() == {"_id": 1}
        assert connection.admin.command("hello")["setName"] in mongo.uri
        assert folder.is_dir()
        assert list_servers(os.getpid()) != before
    assert not folder.exists()
    assert list_servers(os.getpid()) == before


@needs_embedded_mongo
def test_an_error_in_the_block_stops_the_server(list_servers: Callable[[int], list[str]]) -> None:
    """An exception passes through the block, and the server stops all the same."""
    before = list_servers(os.getpid())
    folders = []

    def fail_in_the_block() -> None:
        with EmbeddedMongo() as mongo:
            folders.append(folder_of(mongo))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_block()
    assert [folder.exists() for folder in folders] == [False]
    assert list_servers(os.getpid()) == before


@needs_embedded_mongo
def test_only_member_killed_and_started_keeps_its_data() -> None:
    """After SIGKILL the port refuses; after a start the acknowledged write is there and new ones are taken."""
    with EmbeddedMongo() as mongo, connect(mongo) as connection:
        connection.app.notes.insert_one({"_id": "before"})
        uri = mongo.uri
        mongo.kill(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", mongo._ports[0]))
        mongo.kill(0)
        mongo.start(0)
        assert mongo.uri == uri
        connection.app.notes.insert_one({"_id": "after"})
        assert {note["_id"] for note in connection.app.notes.find()} == {"before", "after"}


@needs_embedded_mongo
def test_port_of_a_killed_member_stays_its_own() -> None:
    """While a member is dead, its port counts as taken, so that it can come back; the member itself may use it."""
    with EmbeddedMongo() as mongo:
        mongo.kill(0)
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", mongo._ports[0]))
        mongo.start(0)


@needs_embedded_mongo
def test_only_member_steps_down_and_comes_back() -> None:
    """The only member is re-elected, in a later term."""
    with EmbeddedMongo() as mongo, connect(mongo) as connection:
        term = connection.admin.command("replSetGetStatus")["term"]
        mongo.step_down()
        assert connection.admin.command("replSetGetStatus")["term"] > term
        connection.app.notes.insert_one({"_id": 1})


@needs_embedded_mongo
def test_step_down_elects_another_member(trio: EmbeddedMongo) -> None:
    """Of three members, another one is the primary after a step-down."""
    before = trio.primary()
    trio.step_down()
    assert trio.primary() != before


@needs_embedded_mongo
def test_step_downs_may_follow_each_other(trio: EmbeddedMongo) -> None:
    """Of three members, one takes over at each of four step-downs in a row, although those before have just stepped down."""
    for _ in range(4):
        before = trio.primary()
        trio.step_down()
        assert trio.primary() != before


@needs_embedded_mongo
def test_killed_primary_is_replaced_and_catches_up(trio: EmbeddedMongo) -> None:
    """Of three members, the two left elect a primary; the dead one comes back and gets what it missed."""
    with connect(trio) as connection:
        connection.app.notes.insert_one({"_id": "before"})
        killed = trio.primary()
        trio.kill(killed)
        assert trio.primary() != killed
        connection.app.notes.insert_one({"_id": "meanwhile"})
        trio.start(killed)
        with MongoClient("127.0.0.1", trio._ports[killed], directConnection=True) as direct:
            assert wait_until(lambda: {n["_id"] for n in direct.app.notes.find()} == {"before", "meanwhile"}, 20)


@needs_embedded_mongo
def test_two_at_once_are_apart() -> None:
    """Two servers of one process share neither port, name, folder nor data."""
    with EmbeddedMongo() as one, EmbeddedMongo() as two, connect(one) as first, connect(two) as second:
        assert one.uri != two.uri
        assert folder_of(one) != folder_of(two)
        first.app.notes.insert_one({"_id": 1})
        assert second.app.notes.find_one() is None


@needs_embedded_mongo
def test_ttl_removes_within_seconds() -> None:
    """The TTL monitor makes a round every second, instead of every minute."""
    with EmbeddedMongo() as mongo, connect(mongo) as connection:
        connection.app.notes.create_index("purge_at", expireAfterSeconds=0)
        connection.app.notes.insert_one({"purge_at": datetime.now(UTC) - timedelta(seconds=1)})
        assert wait_until(lambda: connection.app.notes.find_one() is None, 10)


@needs_embedded_mongo
def test_the_server_may_open_as_many_files_as_its_user() -> None:
    """A low soft limit of the process that starts it, such as the usual 1,024, is not the server's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        with EmbeddedMongo() as mongo, connect(mongo) as connection:
            pid = connection.admin.command("serverStatus")["pid"]
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@needs_embedded_mongo
def test_files_that_nobody_uses_are_closed() -> None:
    """Any number of databases may be made one after the other: the files of those before are closed within seconds."""
    with EmbeddedMongo() as mongo, connect(mongo) as connection:
        files = Path("/proc", str(connection.admin.command("serverStatus")["pid"]), "fd")
        before = len(list(files.iterdir()))
        for number in range(100):
            connection.app[f"notes_{number}"].create_indexes([IndexModel(name) for name in "abcd"])
        assert len(list(files.iterdir())) > before + 400
        assert wait_until(lambda: len(list(files.iterdir())) < before + 300, 120)


OWNER = """
import sys, time
from mongostore.testing import EmbeddedMongo
with EmbeddedMongo() as mongo:
    print(mongo._running().folder, flush=True)
    time.sleep(600)
"""
FORKING_OWNER = """
import os, time
from mongostore.testing import EmbeddedMongo
with EmbeddedMongo() as mongo:
    print(mongo._running().folder, flush=True)
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    print(child, flush=True)
    time.sleep(SECONDS)
"""


@pytest.fixture
def start_owner() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    owners = []

    def start(script: str) -> subprocess.Popen[str]:
        owners.append(subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True))
        return owners[-1]

    yield start
    for owner in owners:
        owner.kill()
        owner.wait()
        owner.stdout.close()


@needs_embedded_mongo
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_death_of_the_owner_leaves_nothing(
    death: signal.Signals, start_owner: Callable[[str], subprocess.Popen[str]], list_servers: Callable[[int], list[str]]
) -> None:
    """However the owning process dies, its mongod and its folder are gone soon after."""
    owner = start_owner(OWNER.replace("time.sleep(600)", "sys.stderr.close(); time.sleep(600)"))
    folder = Path(owner.stdout.readline().strip())
    assert folder.is_dir()
    assert list_servers(owner.pid)
    owner.send_signal(death)
    owner.wait()
    assert wait_until(lambda: not folder.exists() and not list_servers(owner.pid), 60)


@needs_embedded_mongo
@pytest.mark.parametrize("killed", [True, False])
def test_fork_of_the_owner_does_not_keep_the_server(
    killed: bool, start_owner: Callable[[str], subprocess.Popen[str]], list_servers: Callable[[int], list[str]]
) -> None:
    """A child that the owner forked, and that lives on, keeps neither the mongod nor the folder nor the owner."""
    owner = start_owner(FORKING_OWNER.replace("SECONDS", "600" if killed else "0"))
    folder = Path(owner.stdout.readline().strip())
    child = int(owner.stdout.readline())
    try:
        if killed:
            owner.kill()
        owner.wait(timeout=60)
        assert wait_until(lambda: not folder.exists() and not list_servers(owner.pid), 60)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


@needs_embedded_mongo
def test_death_of_the_supervisor_ends_the_server() -> None:
    """With its supervisor killed the mongod dies too, and the next call says so."""
    with EmbeddedMongo() as mongo:
        folder = folder_of(mongo)
        supervisor = mongo._running()._supervisor
        supervisor.kill()
        supervisor.wait()
        with pytest.raises(ConfigurationError, match="supervisor of the embedded MongoDB is gone"):
            mongo.kill(0)
        assert wait_until(lambda: mongo._hello(0) is None, 10)
    shutil.rmtree(folder)  # Nobody else was left to do it.


@needs_embedded_mongo
def test_failed_start_shows_the_log_and_leaves_nothing(list_servers: Callable[[int], list[str]]) -> None:
    """A mongod that refuses its parameters is reported with its own words, and cleaned up."""
    before = list_servers(os.getpid())
    with (
        pytest.raises(ConfigurationError, match="nonsenseParameter"),
        EmbeddedMongo(parameters={"nonsenseParameter": "1"}),
    ):
        pass
    assert list_servers(os.getpid()) == before


@needs_embedded_mongo
def test_use_outside_the_block_is_refused() -> None:
    """Before and after the block there is no server, and one object is one server."""
    mongo = EmbeddedMongo()
    with pytest.raises(ConfigurationError, match="inside its `with` block"):
        _ = mongo.uri
    with mongo:
        with pytest.raises(ConfigurationError, match="running already"), mongo:
            pass
        for method in (mongo.kill, mongo.start):
            with pytest.raises(ValueError, match="no member 1"):
                method(1)
    with pytest.raises(ConfigurationError, match="inside its `with` block"):
        mongo.start(0)


def test_two_members_are_refused() -> None:
    """Two members can't fail over, so there are one or three."""
    with pytest.raises(ValueError, match="1 or 3 members, not 2"):
        EmbeddedMongo(members=2)


def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel, the message names the extra to install and the other way."""
    monkeypatch.setattr("mongostore.testing.embedded.sys.platform", "linux")
    monkeypatch.setattr("mongostore.testing.embedded.platform.machine", lambda: "x86_64")
    monkeypatch.setattr("mongostore.testing.embedded.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mongostore\[embedded\]'.*docker compose up"):
        EmbeddedMongo().__enter__()


def test_foreign_platform_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel can't run, the message says so and names the other way."""
    monkeypatch.setattr("mongostore.testing.embedded.platform.machine", lambda: "aarch64")
    with pytest.raises(ConfigurationError, match=r"aarch64.*docker compose up"):
        EmbeddedMongo().__enter__()


def test_given_server_is_not_ours(mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URI wins over the variable, the variable over everything else; neither server is ours to kill."""
    monkeypatch.setenv("MONGOSTORE_TEST_URI", NO_SERVER_URI)
    with server(mongo_uri) as given:
        assert (given.uri, given.ours) == (mongo_uri, False)
    monkeypatch.setenv("MONGOSTORE_TEST_URI", mongo_uri)
    with server() as given:
        assert (given.uri, given.ours) == (mongo_uri, False)


def test_silent_given_server_is_reported_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A given server that does not answer is an error that names where it was given, and never its password."""
    monkeypatch.setenv("MONGOSTORE_TEST_URI", NO_SERVER_URI)
    monkeypatch.setattr("mongostore.testing.servers.GIVEN_WAIT_MS", 100)
    with pytest.raises(ConfigurationError, match="MONGOSTORE_TEST_URI does not answer") as caught, server():
        pass
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
    assert "hunter2" not in repr(Server(NO_SERVER_URI))


def test_no_server_at_all_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no server anywhere, the message has the two lines to type."""
    monkeypatch.delenv("MONGOSTORE_TEST_URI", raising=False)
    monkeypatch.setattr("mongostore.testing.embedded.find_spec", lambda _: None)
    monkeypatch.setattr("mongostore.testing.servers.LOCAL_HOST", "127.0.0.1:1")
    monkeypatch.setattr("mongostore.testing.servers.LOCAL_WAIT_MS", 100)
    with pytest.raises(ConfigurationError) as caught, server():
        pass
    assert "docker compose up -d --wait\n" in str(caught.value)
    assert "/?replicaSet=rs0' scripts/test" in str(caught.value)


@needs_embedded_mongo
def test_local_replica_set_is_used_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel, a replica set that answers at the local address is used, under its own name."""
    with EmbeddedMongo() as mongo:
        monkeypatch.delenv("MONGOSTORE_TEST_URI", raising=False)
        monkeypatch.setattr("mongostore.testing.embedded.find_spec", lambda _: None)
        monkeypatch.setattr("mongostore.testing.servers.LOCAL_HOST", f"127.0.0.1:{mongo._ports[0]}")
        with server() as local:
            assert (local.uri, local.ours) == (mongo.uri, False)


def test_testing_does_not_need_pytest() -> None:
    """`mongostore.testing` imports without pytest: demos use it."""
    script = "import sys, mongostore.testing, mongostore.testing.servers; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_fake_clock_moves_only_when_told() -> None:
    """The clock stands at its start, in UTC, and moves both ways."""
    start = datetime(2030, 1, 1, tzinfo=UTC)
    clock = FakeClock(start)
    assert clock.now() == clock.now() == start
    clock.advance(timedelta(hours=1))
    clock.advance(timedelta(minutes=-1))
    assert clock.now() == start + timedelta(minutes=59)


def test_fake_clock_starts_at_the_real_now_in_milliseconds() -> None:
    """By default it starts at the real now, in the precision of MongoDB."""
    started = FakeClock().now()
    assert timedelta(0) <= datetime.now(UTC) - started < timedelta(seconds=5)
    assert started.microsecond % 1000 == 0
    assert started.tzinfo is UTC


def test_fake_clock_refuses_a_naive_start() -> None:
    """An instant without a zone is no instant."""
    with pytest.raises(ValueError, match="aware start"):
        FakeClock(datetime(2030, 1, 1))  # noqa: DTZ001 - the point of the test

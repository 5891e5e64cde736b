"""What can be wrong with input, server and keys: one clear error of ours each, nothing half-written, no secret told."""

import asyncio
import os
import signal
import socket
import time
import traceback
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from pymongo import AsyncMongoClient

from mongostore import (
    ConfigurationError,
    KeyUnavailable,
    LocalMasterKey,
    MemoryStore,
    MongoStore,
    StorageUnavailable,
    StoreOptions,
)
from mongostore.errors import MongostoreError
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.testing import EmbeddedMongo, FakeClock
from mongostore.testing.factories import a_grant, a_refresh_token, an_authorization_code

KEY = LocalMasterKey.generate()
PASSWORD = "pass/word:4711@secret"
QUOTED = quote(PASSWORD, safe="")
LIMIT = timedelta(seconds=1.5)
# The driver's own limits are no less than this; a busy machine adds less.
LATE_SECONDS = 20
QUICK = StoreOptions(operation_timeout=LIMIT, server_selection_timeout=LIMIT)


def everything_said(error: BaseException) -> str:
    """All that a log could hold of an error: message, repr and attributes, traceback, and those of its causes."""
    said, chain = [], [error]
    while chain:
        link = chain.pop()
        said += [str(link), repr(link), repr(link.args), repr(vars(link))]
        chain += [each for each in (link.__cause__, link.__context__) if each is not None]
    return "\n".join(said + traceback.format_exception(error))


def check_told(error: BaseException, *secrets: str) -> None:
    said = everything_said(error)
    for secret in (PASSWORD, QUOTED, "4711", KEY.export(), *secrets):
        assert secret not in said


async def fails(call, expected=StorageUnavailable, *secrets):
    """The error that a call raises; it must be ours and tell no secret."""
    with pytest.raises(MongostoreError) as caught:
        await call
    assert type(caught.value) is expected, repr(caught.value)
    check_told(caught.value, *secrets)
    return caught.value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


IMPOSSIBLE = ["", "x" * 1_001, "a\0b", "\ud800"]


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=["empty", "over-long", "NUL", "surrogate"])
@pytest.mark.parametrize("field", ["key", "type", "client_id", "subject_id", "session_id"])
async def test_an_impossible_identifier_is_not_saved(store, mongo_connection, prepared_database, field, value):
    """It is refused by name, whichever way it came in; nothing is written, and a look-up of it finds nothing."""
    with pytest.raises(ValueError, match=field):
        PersistedGrant(**{**vars(a_grant("k")), field: value})
    smuggled = a_grant("k", data=PASSWORD).model_copy(update={field: value})
    with pytest.raises(ValueError, match=field) as caught:
        await store.persisted_grants.store(smuggled)
    check_told(caught.value)
    assert mongo_connection[prepared_database]["grants"].count_documents({}) == 0
    if field == "key":
        assert await store.persisted_grants.get(value) is None
        assert await store.persisted_grants.consume(value) is None
        assert await store.persisted_grants.remove(value) is False


async def test_too_much_data_is_refused_by_the_byte(store, mongo_connection, prepared_database):
    """1 MiB is stored, one byte more is not, and the error names the limit; bytes and UTF-8 count alike."""
    limit = 1_048_576
    for most in ("x" * limit, "ä" * (limit // 2), b"x" * limit):
        grant = a_grant("k", data=most)
        await store.persisted_grants.store(grant)
        assert (await store.persisted_grants.get("k")).data == most
        more = most + (b"x" if isinstance(most, bytes) else "x")
        with pytest.raises(ValueError, match="1 MiB"):
            a_grant("k", data=more)
        with pytest.raises(ValueError, match="1 MiB"):
            await store.persisted_grants.store(grant.model_copy(update={"data": more}))
        assert (await store.persisted_grants.get("k")).data == most
    huge = an_authorization_code(nonce=PASSWORD * 60_000)
    with pytest.raises(ValueError, match="1 MiB") as caught:
        await store.authorization_codes.store_authorization_code(huge)
    check_told(caught.value)
    assert mongo_connection[prepared_database]["grants"].count_documents({}) == 1


@pytest.mark.parametrize("field", ["creation_time", "expiration", "consumed_time"])
async def test_a_naive_instant_is_refused(store, mongo_connection, prepared_database, field):
    """An instant without a time zone could be hours off: it is named and not stored."""
    naive = datetime(2030, 1, 1)  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match=field):
        a_grant(**{field: naive})
    with pytest.raises(ValueError, match=field):
        await store.persisted_grants.store(a_grant().model_copy(update={field: naive}))
    assert mongo_connection[prepared_database]["grants"].count_documents({}) == 0


@pytest.mark.parametrize("wrong", [None, 7, b"bytes", ["k"], {"$ne": ""}], ids=repr)
async def test_what_is_no_text_is_never_a_query(store, wrong):
    """A handle or key of another type, an operator of MongoDB among them, matches nothing and takes nothing."""
    await store.persisted_grants.store(a_grant())
    assert await store.persisted_grants.get(wrong) is None
    assert await store.persisted_grants.consume(wrong) is None
    assert await store.persisted_grants.remove(wrong) is False
    with pytest.raises(TypeError):
        await store.authorization_codes.redeem_authorization_code(wrong)
    with pytest.raises(TypeError):
        await store.refresh_tokens.rotate_refresh_token(wrong, a_refresh_token())


@pytest.mark.parametrize("connection", [None, 7, b"mongodb://", object()])
def test_a_wrong_connection_is_refused(connection):
    """What is neither URI nor asynchronous client is a TypeError at once."""
    with pytest.raises(TypeError, match="AsyncMongoClient"):
        MongoStore(connection, database="identity", master_key=KEY)


@pytest.mark.parametrize(
    "master_key", ["text", b"k" * 32, object(), LocalMasterKey], ids=["text", "bytes", "object", "class"]
)
def test_what_is_no_master_key_is_refused(master_key):
    """A key's text or bytes, or the class, in place of the key itself: told at once, and not repeated."""
    with pytest.raises(TypeError, match="a master key has") as caught:
        MongoStore("mongodb://localhost", database="identity", master_key=master_key)
    assert "kkk" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"options": {}}, {"options": {"caching": 1}}, {"clock": 7}, {"clock": FakeClock}], ids=repr
)
def test_wrong_options_and_clocks_are_refused(wrong):
    """By either store, when it is made."""
    with pytest.raises(TypeError, match=next(iter(wrong))):
        MongoStore("mongodb://localhost", database="identity", master_key=KEY, **wrong)
    with pytest.raises(TypeError, match=next(iter(wrong))):
        MemoryStore(**wrong)


def test_what_is_no_clock_is_not_repeated():
    """Arguments that were mixed up tell no secret."""
    with pytest.raises(TypeError, match="it is not a str") as caught:
        MemoryStore(clock=KEY.export())
    check_told(caught.value)


def test_a_synchronous_client_is_refused(mongo_connection):
    """PyMongo's other client would block the loop."""
    with pytest.raises(TypeError, match="an AsyncMongoClient"):
        MongoStore(mongo_connection, database="identity", master_key=KEY)


def test_a_store_needs_a_master_key():
    """The error says how to make one, and repeats no URI."""
    with pytest.raises(ConfigurationError, match="generate-master") as caught:
        MongoStore(f"mongodb://user:{QUOTED}@localhost", database="identity")
    check_told(caught.value)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a$", "a\0", "x" * 64, "a/b"])
def test_an_impossible_database_name_is_refused(name):
    """What MongoDB takes for no database is refused before anything is sent."""
    with pytest.raises(ValueError, match="database"):
        MongoStore("mongodb://localhost", database=name, master_key=KEY)


@pytest.mark.parametrize("argument", ["database", "configuration_database", "key_ring_database"])
@pytest.mark.parametrize(
    "uri", [f"mongodb://user:{PASSWORD}@localhost/identity", f"user:{QUOTED}@localhost", f"x://{PASSWORD}"]
)
def test_a_uri_in_place_of_a_database_is_not_repeated(argument, uri):
    """Arguments that were mixed up tell no password."""
    with pytest.raises(ValueError, match="name") as caught:
        MongoStore("mongodb://localhost", **{"database": "identity", argument: uri}, master_key=KEY)
    check_told(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://user:{PASSWORD}@localhost/",
        f"mongodb://user:{QUOTED}@localhost:99999/",
        f"mongodb://user:{QUOTED}@localhost:{PASSWORD}/",
        f"mongodb://user:{QUOTED}@/",
        f"mongodb://user:{QUOTED}@localhost/?replicaSet",
        f"mongodb://user:{QUOTED}@localhost/?tls=true&ssl=false",
        f"mongodb://user:{QUOTED}%zz@localhost/",
        f"mongodb+srv://user:{QUOTED}@localhost/",
        f"postgres://user:{QUOTED}@localhost/",
        f"user:{PASSWORD}",
        "",
    ],
)
async def test_a_malformed_uri_is_explained_without_its_password(uri):
    """The driver would repeat pieces of the URI: ours says what one looks like."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The driver warns of options that it does not know.
        store = MongoStore(uri, database="identity", master_key=KEY, options=QUICK)
        error = await fails(store.open(), ConfigurationError)
    assert "mongodb://" in str(error) or "mongodb+srv" in str(error)
    assert "4711" not in repr(store)
    await store.close()


async def test_an_unreachable_server_is_named_within_the_time():
    """The error comes in time, names the host and not the password, and the store can be closed."""
    port = free_port()
    store = MongoStore(f"mongodb://user:{QUOTED}@127.0.0.1:{port}/", database="x", master_key=KEY, options=QUICK)
    async with asyncio.timeout(LATE_SECONDS):
        error = await fails(store.open())
    assert f"127.0.0.1:{port}" in str(error)
    await fails(store.persisted_grants.get("k"), ConfigurationError)
    await store.close()


async def test_a_store_that_is_not_open_says_so(mongo_uri, prepared_database, open_store):
    """Before it is opened and after it is closed, each call says what to do."""
    store = MongoStore(mongo_uri, database=prepared_database, master_key=KEY)
    for _ in range(2):
        for call in (
            store.persisted_grants.get("k"),
            store.persisted_grants.store(a_grant()),
            store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")),
            store.authorization_codes.redeem_authorization_code("unknown"),
            store.clients.find_client_by_id("web"),
        ):
            assert "not open" in str(await fails(call, ConfigurationError))
        await store.open()
        assert await store.persisted_grants.get("k") is None
        await store.close()


async def test_a_connection_that_its_owner_closed_is_told(mongo_uri, prepared_database):
    """A store on somebody else's connection says that it is closed."""
    client = AsyncMongoClient(mongo_uri)
    async with MongoStore(client, database=prepared_database, master_key=KEY) as store:
        assert await store.persisted_grants.get("k") is None
        await client.close()
        assert "closed" in str(await fails(store.persisted_grants.get("k"), ConfigurationError))


async def test_a_wrong_master_key_is_found_when_opening(store, mongo_uri, prepared_database, mongo_connection):
    """The error names the data key, and neither it nor the failed opening deletes or adds a thing."""
    await store.persisted_grants.store(a_grant(data=PASSWORD))
    (ring,) = mongo_connection[prepared_database]["data_keys"].find()
    other = LocalMasterKey.generate()
    error = await fails(
        MongoStore(mongo_uri, database=prepared_database, master_key=other).open(), KeyUnavailable, other.export()
    )
    assert error.key_id == ring["key_id"].hex()
    assert error.key_id in str(error)
    assert list(mongo_connection[prepared_database]["data_keys"].find()) == [ring]


@pytest.fixture(scope="module")
def own_server():
    """A server that these tests may kill, stop and start."""
    with EmbeddedMongo() as mongo:
        yield mongo


@pytest.fixture
async def own_store(own_server, prepare):
    """A store that has time to do its work."""
    await prepare("identity", own_server.uri)
    patient = StoreOptions(operation_timeout=timedelta(minutes=1), server_selection_timeout=timedelta(minutes=1))
    async with MongoStore(own_server.uri, database="identity", master_key=KEY, options=patient) as opened:
        yield opened


@pytest.fixture
async def quick_store(own_server, own_store):
    """Another node's, which gives up soon."""
    store = MongoStore(own_server.uri, database="identity", master_key=KEY, options=QUICK)
    await until_answered(store.open)
    yield store
    await store.close()


async def until_answered(call):
    """What a call gives once MongoDB answers it in its time."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except StorageUnavailable:
                await asyncio.sleep(0.1)


async def test_a_server_that_dies_is_told_in_time_and_found_again(own_server, own_store, quick_store):
    """Killed in the middle: each call fails within the time; started again: the same store works, and nothing is lost."""
    grant = a_grant(data="payload 4711 secret")
    await own_store.persisted_grants.store(grant)
    own_server.kill(0)
    grants = quick_store.persisted_grants
    for call in (
        grants.get(grant.key),
        grants.consume(grant.key),
        grants.store(a_grant(data=grant.data)),
        grants.remove_all(PersistedGrantFilter(subject_id="alice")),
        quick_store.clients.find_client_by_id("web"),
    ):
        async with asyncio.timeout(LATE_SECONDS):
            error = await fails(call, StorageUnavailable, grant.key)
        assert "127.0.0.1" in str(error)
    own_server.start(0)
    found = await until_answered(lambda: grants.get_all(PersistedGrantFilter(subject_id="alice")))
    assert [each.key for each in found] == [grant.key]
    assert await own_store.persisted_grants.consume(grant.key) is not None


async def test_a_server_that_hangs_is_given_up_in_time(own_server, own_store, quick_store):
    """A server that takes the command and never answers costs no more than the operation's time."""
    code = await own_store.authorization_codes.store_authorization_code(an_authorization_code())
    process = process_of(own_server)
    os.kill(process, signal.SIGSTOP)
    try:
        while running_threads(process):
            time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to run meanwhile
        for call in (
            quick_store.authorization_codes.redeem_authorization_code(code),
            quick_store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")),
        ):
            async with asyncio.timeout(LATE_SECONDS):
                await fails(call, StorageUnavailable, code)
    finally:
        os.kill(process, signal.SIGCONT)
    outcomes = [
        (await own_store.authorization_codes.redeem_authorization_code(code)).outcome,
        (await own_store.authorization_codes.redeem_authorization_code(code)).outcome,
    ]
    # The given-up command may have been carried out after all; either way the code was used once.
    assert outcomes in (["redeemed", "replayed"], ["replayed", "replayed"])


def process_of(server: EmbeddedMongo) -> int:
    """The process id of its only member."""
    port = server.uri.rpartition(":")[2].partition("/")[0]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text(errors="replace")
        except OSError:
            continue  # It ended meanwhile.
        if f"\0--port\0{port}\0" in command and f"mongostore-{os.getpid()}-" in command:
            found.append(int(entry.name))
    (process,) = found
    return process


def running_threads(process: int) -> list[str]:
    """Those that have not stopped yet: on a busy machine a signal takes its time."""
    states = [(task / "stat").read_text().rpartition(") ")[2][0] for task in Path(f"/proc/{process}/task").iterdir()]
    return [state for state in states if state != "T"]

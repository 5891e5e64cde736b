"""A server that asks who one is: wrong passwords, and users who may not write."""

import socket
import warnings
from datetime import timedelta
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongostore import (
    DatabasePerTenant,
    LocalMasterKey,
    MongoStore,
    MongostoreWarning,
    NotFound,
    StorageUnavailable,
    StoreOptions,
)
from mongostore.models import PersistedGrantFilter
from mongostore.testing.embedded import find_mongod
from mongostore.testing.factories import a_client, a_grant, an_authorization_code
from mongostore.testing.supervised_processes import SupervisedProcesses

KEY = LocalMasterKey.generate()
PASSWORD = "pass/word:hunter-seven@secret"
USERS = {
    "root": [{"role": "root", "db": "admin"}],
    "writer": [{"role": "readWrite", "db": "identity"}],
    "reader": [{"role": "read", "db": "identity"}],
    "nobody": [],
    "keeper": [{"role": "readWrite", "db": name} for name in ("identity", "identity_default", "identity_acme")],
}


@pytest.fixture(scope="module")
def guarded():
    """The address of a server that demands a password, with users of every kind."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = SupervisedProcesses()
    try:
        command = [str(find_mongod()), "--auth", "--nounixsocket", "--bind_ip", "127.0.0.1", "--port", str(port)]
        processes.start("guarded", [*command, "--dbpath", str(processes.folder), "--wiredTigerCacheSizeGB", "0.25"])
        with MongoClient(f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=30_000) as connection:
            connection.admin.command("createUser", "root", pwd=PASSWORD, roles=USERS["root"])
        with MongoClient(f"mongodb://root:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/") as connection:
            for user, roles in list(USERS.items())[1:]:
                connection.admin.command("createUser", user, pwd=PASSWORD, roles=roles)
        yield f"127.0.0.1:{port}"
    finally:
        processes.close()


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        # There is no schema here, and no replica set.
        warnings.simplefilter("ignore", MongostoreWarning)
        yield


def store_of(user, host, password=PASSWORD, options=None):
    uri = f"mongodb://{user}:{quote(password, safe='')}@{host}/"
    return MongoStore(uri, database="identity", master_key=KEY, options=options)


async def refused(call, host):
    """The error of a call: the right one, about this host, with no password in it or in what caused it."""
    with pytest.raises(StorageUnavailable) as caught:
        await call
    link, causes = caught.value, []
    while link is not None:
        causes.append(link)
        assert "hunter-seven" not in f"{link} {link!r} {vars(link)}"
        link = link.__cause__ or link.__context__
    assert any(isinstance(cause, PyMongoError) for cause in causes)
    assert host in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("user", "password"), [("writer", "wrong hunter-seven"), ("stranger", PASSWORD)])
async def test_a_wrong_password_is_told_when_opening(guarded, user, password):
    """Opening says that the user or the password was refused, not that it waited in vain, and repeats neither."""
    assert "refused the user or the password" in await refused(store_of(user, guarded, password).open(), guarded)


async def test_a_user_without_rights_is_told_when_opening(guarded):
    """Who may not even read is told which right is missing."""
    assert "readWrite" in await refused(store_of("nobody", guarded).open(), guarded)


async def test_a_user_who_may_not_write_can_read_and_writes_nothing(guarded):
    """Every write of a reader is refused with the right that is missing; nothing is half-written, not even a key."""
    async with store_of("writer", guarded) as writer:
        grant = a_grant(data=PASSWORD)
        await writer.persisted_grants.store(grant)
        code = await writer.authorization_codes.store_authorization_code(an_authorization_code())
    with MongoClient(f"mongodb://root:{quote(PASSWORD, safe='')}@{guarded}/") as connection:
        database = connection["identity"]
        before = {name: list(database[name].find()) for name in sorted(database.list_collection_names())}
        async with store_of("reader", guarded) as reader:
            assert await reader.persisted_grants.get(grant.key) == grant
            for call in (
                reader.persisted_grants.store(a_grant(data=PASSWORD)),
                reader.persisted_grants.store(grant),
                reader.persisted_grants.consume(grant.key),
                reader.persisted_grants.remove(grant.key),
                reader.persisted_grants.remove_all(PersistedGrantFilter(subject_id="alice")),
                reader.authorization_codes.redeem_authorization_code(code),
                reader.clients.save_client(a_client()),
            ):
                assert "readWrite" in await refused(call, guarded)
        after = {name: list(database[name].find()) for name in sorted(database.list_collection_names())}
    assert after == before


async def test_a_first_key_that_can_t_be_stored_seals_nothing(guarded):
    """On an empty database a reader's first write fails on the key, and leaves neither key nor grant."""
    with MongoClient(f"mongodb://root:{quote(PASSWORD, safe='')}@{guarded}/") as connection:
        connection.drop_database("identity")
        async with store_of("reader", guarded) as reader:
            with pytest.raises(StorageUnavailable, match="key generation 1") as caught:
                await reader.persisted_grants.store(a_grant(data=PASSWORD))
            assert "readWrite" in str(caught.value.__cause__)
        assert connection["identity"].list_collection_names() == []


async def test_a_database_that_may_not_be_dropped_stays_and_so_does_its_tenant(guarded):
    """The error names the right that is missing; once it is given, the same deletion ends what was begun."""
    options = StoreOptions(tenancy=DatabasePerTenant(), operation_timeout=timedelta(seconds=2))
    with MongoClient(f"mongodb://root:{quote(PASSWORD, safe='')}@{guarded}/") as connection:
        async with store_of("root", guarded, options=options) as root:
            await root.for_tenant("acme").persisted_grants.store(a_grant("k"))
        async with store_of("keeper", guarded, options=options) as keeper:
            message = await refused(keeper.tenants.delete("acme"), "identity_acme")
            assert "dropDatabase on identity_acme" in message
            assert "dbAdmin" in message
            assert await keeper.tenants.list() == ["acme"]
            assert await keeper.for_tenant("acme").persisted_grants.get("k") is not None
            with pytest.raises(NotFound, match="being deleted"):
                await keeper.for_tenant("acme").persisted_grants.store(a_grant("late"))
            connection.admin.command("grantRolesToUser", "keeper", roles=[{"role": "dbAdmin", "db": "identity_acme"}])
            await keeper.tenants.delete("acme")
            assert await keeper.tenants.list() == []
        assert "identity_acme" not in connection.list_database_names()

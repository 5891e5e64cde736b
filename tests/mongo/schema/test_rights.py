"""What a user without the rights is told; on a server of its own, with access control."""

import socket
import subprocess
from datetime import timedelta

import pytest
from pymongo import MongoClient

from mongostore.errors import ConfigurationError, StorageUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema, check_schema, plan_schema
from mongostore.testing.embedded import find_mongod

LIMIT = timedelta(seconds=30)
ROLES = {"nobody": [], "reader": ["read"], "writer": ["readWrite"], "deployer": ["readWrite", "dbAdmin"]}


@pytest.fixture(scope="module")
def guarded_port(tmp_path_factory):
    """A standalone server on which each of ROLES is a user, with the password "secret"."""
    try:
        mongod = find_mongod()
    except ConfigurationError as error:
        pytest.skip(str(error))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [mongod, "--auth", "--bind_ip", "127.0.0.1", "--nounixsocket", "--port", str(port), "--quiet"]
    command += ["--dbpath", tmp_path_factory.mktemp("guarded"), "--wiredTigerCacheSizeGB", "0.25"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            with MongoClient("127.0.0.1", port, directConnection=True) as first:
                first.admin.command("createUser", "root", pwd="secret", roles=["root"])
            with MongoClient(f"mongodb://root:secret@127.0.0.1:{port}/?directConnection=true") as root:
                for name, roles in ROLES.items():
                    granted = [{"role": role, "db": "identity"} for role in roles]
                    root.admin.command("createUser", name, pwd="secret", roles=granted)
            yield port
        finally:
            server.kill()


@pytest.fixture
async def bound_as(guarded_port):
    """Makes the binding of a user."""
    opened = []

    async def make(user, password="secret"):
        uri = f"mongodb://{user}:{password}@127.0.0.1:{guarded_port}/?directConnection=true"
        connection = Connection(uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
        opened.append(connection)
        await connection.open()
        return Binding(connection, "identity")

    yield make
    for connection in opened:
        await connection.close()


async def test_rights(bound_as, guarded_port):
    """Who may not is told which roles are needed; who may read can plan; a writer can deploy all but changes in place."""
    nobody, reader, writer = [await bound_as(user) for user in ("nobody", "reader", "writer")]
    with pytest.raises(StorageUnavailable, match="readWrite and dbAdmin on the database identity") as raised:
        await plan_schema(nobody)
    assert "secret" not in str(raised.value)
    assert (await plan_schema(reader)).changes
    with pytest.raises(StorageUnavailable, match="does not allow it to this user"):
        await apply_schema(reader)
    with pytest.raises(StorageUnavailable, match=r"set the validator of leases.*readWrite and dbAdmin"):
        await apply_schema(writer, on_progress=lambda _: None)
    deployer = await bound_as("deployer")
    # The deployer may not see the progress of index builds, and needs not.
    assert (await apply_schema(deployer, on_progress=lambda _: None)).left == ()
    assert await check_schema(reader) == ()


async def test_a_wrong_password(bound_as):
    """The error says what is wrong, without the password."""
    with pytest.raises(StorageUnavailable, match="refused the user or the password") as raised:
        await bound_as("writer", "hunter2")
    assert "hunter2" not in str(raised.value)

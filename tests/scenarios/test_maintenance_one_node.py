"""Of several processes that look after all tenants, one at a time does each job; what a killed one had begun is done."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mongostore import LocalMasterKey, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_session

TENANTS = ["default", "acme", "beta", "gamma"]
SESSIONS = 40
BATCH = 10
NODES = 2
LIMIT = timedelta(seconds=10)
PATIENCE_SECONDS = 60

WORKER = """
import asyncio, random, sys
from datetime import timedelta
from mongostore import LocalMasterKey, MongoStore

async def main(uri, database):
    key = LocalMasterKey.from_env("MONGOSTORE_MASTER_KEY")
    async with MongoStore(uri, database=database, master_key=key) as store:
        async def notify(session, tenant):
            print(tenant, session.session_id, flush=True)
            await asyncio.sleep(random.uniform(0, 0.01))
        await store.maintenance.run(on_expired_session=notify, interval=timedelta(milliseconds=20))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def master_key():
    return LocalMasterKey.generate()


@pytest.fixture
async def expired(mongo_uri, database_name, master_key):
    """What is to be told of: tenant and session id of the expired sessions in the database."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    over = datetime.now(UTC) - timedelta(minutes=1)
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key) as store:
        for tenant in TENANTS:
            sessions = store.for_tenant(tenant).server_side_sessions
            await asyncio.gather(
                *(
                    sessions.create_session(a_session(session_id=f"s{number}", expires=over))
                    for number in range(SESSIONS)
                )
            )
    return {f"{tenant} s{number}" for tenant in TENANTS for number in range(SESSIONS)}


@pytest.fixture
def node(mongo_uri, database_name, master_key, tmp_path):
    """Starts a process that looks after all tenants and writes down what it is told, until it is killed."""
    started = []

    def start():
        log = tmp_path / f"node-{len(started)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, mongo_uri, database_name],
                stdout=output,
                env={**os.environ, "MONGOSTORE_MASTER_KEY": master_key.export()},
            )
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait()


def told(*logs):
    """What was written down, in whole lines: a process may have died within the last."""
    return [line for log in logs for line in log.read_text().split("\n")[:-1]]


async def until(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def test_of_several_nodes_one_does_it(expired, node, mongo_connection, database_name):
    """Two processes look after four tenants all the time: each expired session is told of exactly once."""
    nodes = [node() for _ in range(NODES)]
    sessions = mongo_connection[database_name]["sessions"]
    await until(lambda: sessions.count_documents({}) == 0)
    lines = told(*(log for _, log in nodes))
    assert len(lines) == len(expired)
    assert set(lines) == expired


async def test_what_a_killed_node_had_begun_is_done_by_the_next(expired, node, mongo_connection, database_name):
    """A process is killed in the middle; another one goes on, and every session of every tenant was told of."""
    database = mongo_connection[database_name]
    process, first = node()
    await until(lambda: len(told(first)) >= 3 * BATCH + 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = database.sessions.count_documents({})
    assert left > 0, "the node was done before it was killed: this run has shown nothing"
    # In the place of the minute that its lease and its claims would still last.
    now = datetime.now(UTC)
    database.leases.update_many({"_id": "default|maintenance-sessions"}, {"$set": {"expires": now}})
    database.sessions.update_many({"claim": {"$exists": True}}, {"$set": {"due_at": now}})
    _, second = node()
    await until(lambda: database.sessions.count_documents({}) == 0)
    assert set(told(first, second)) == expired
    assert len(told(second)) == left
    assert len(told(first)) + left - len(expired) in range(BATCH + 1), "only the batch in work is told of twice"

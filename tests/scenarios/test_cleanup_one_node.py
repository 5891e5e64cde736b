"""Of several nodes that clean up, one at a time does it; and what a killed one was telling of is told again."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_grant

GRANTS = 200
BATCH = 10
NODES = 3
LIMIT = timedelta(seconds=30)
# The TTL must not be first: the processes have the machine's clock.
TTL_DELAY = timedelta(hours=1)
PATIENCE_SECONDS = 60

WORKER = """
import asyncio, random, sys
from datetime import timedelta
from mongostore import LocalMasterKey, MongoStore, StoreOptions, TokenCleanupOptions, TokenCleanupService

async def main(uri, database, batch_size, most):
    left = int(most)
    key = LocalMasterKey.from_env("MONGOSTORE_MASTER_KEY")
    options = StoreOptions(ttl_delay=timedelta(hours=1))
    async with MongoStore(uri, database=database, master_key=key, options=options) as store:
        async def tell(kind, grants):
            nonlocal left
            for grant in grants:
                print(grant.key, flush=True)
            left -= len(grants)
            if left < 0:
                await asyncio.Event().wait()
            await asyncio.sleep(random.uniform(0, 0.01))
        cleanup = TokenCleanupOptions(interval=timedelta(milliseconds=20), batch_size=int(batch_size))
        await TokenCleanupService(store, cleanup, tell).run()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def master_key():
    return LocalMasterKey.generate()


@pytest.fixture
async def expired(mongo_uri, database_name, master_key):
    """The keys of expired grants in the database."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name, ttl_delay=TTL_DELAY))
    await connection.close()
    over = datetime.now(UTC) - timedelta(minutes=1)
    keys = {f"g{number}" for number in range(GRANTS)}
    options = StoreOptions(ttl_delay=TTL_DELAY)
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key, options=options) as store:
        await asyncio.gather(
            *(store.persisted_grants.store(a_grant(key, creation_time=over, expiration=over)) for key in keys)
        )
    return keys


@pytest.fixture
def node(mongo_uri, database_name, master_key, tmp_path):
    """Starts a process that cleans up and writes down what it is told, until it is killed.

    With a number given, it never ends with the batch after so many: it is killed in the middle of that one.
    """
    started = []

    def start(most=100 * GRANTS):
        log = tmp_path / f"node-{len(started)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, mongo_uri, database_name, str(BATCH), str(most)],
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
    """Three processes clean up all the time: each grant is removed, and told of exactly once."""
    nodes = [node() for _ in range(NODES)]
    grants = mongo_connection[database_name]["grants"]
    await until(lambda: grants.count_documents({}) == 0)
    lines = told(*(log for _, log in nodes))
    assert len(lines) == GRANTS
    assert set(lines) == expired


async def test_what_a_killed_node_was_telling_of_is_told_again(expired, node, mongo_connection, database_name):
    """A node is killed in the middle; after its lease the next one goes on, and every grant was told of at least once."""
    database = mongo_connection[database_name]
    process, first = node(most=3 * BATCH)
    await until(lambda: len(told(first)) == 4 * BATCH)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert database.grants.count_documents({}) == GRANTS - 3 * BATCH
    lease = database.leases.find_one({"_id": "default|token-cleanup"})
    # In the place of the minute that the lease would still last.
    database.leases.update_one({"_id": lease["_id"]}, {"$set": {"expires": datetime.now(UTC)}})
    _, second = node()
    await until(lambda: database.grants.count_documents({}) == 0)
    assert set(told(first, second)) == expired
    assert len(told(second)) == GRANTS - 3 * BATCH, "only the batch in work is told of twice"

"""Expired sessions are processed at least once, whoever dies in the middle: real processes, killed for real."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from mongostore import LocalMasterKey, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_session

SESSIONS = 120
LIMIT = timedelta(seconds=30)
# Real time, since the processes have the machine's clock; nothing waits for it that did not have to.
LEASE_SECONDS = 0.3
PATIENCE_SECONDS = 60

WORKER = """
import asyncio, random, sys
from datetime import timedelta
from mongostore import LocalMasterKey, MongoStore

async def main(uri, database, lease_seconds, most):
    key = LocalMasterKey.from_env("MONGOSTORE_MASTER_KEY")
    left = int(most)
    async with MongoStore(uri, database=database, master_key=key) as store:
        async def process(session):
            nonlocal left
            left -= 1
            if left < 0:
                await asyncio.Event().wait()
            await asyncio.sleep(random.uniform(0, 0.01))
            print(session.session_id, flush=True)
        print("ready", flush=True)
        while True:
            if not await store.sessions.process_expired(process, count=7, lease=timedelta(seconds=float(lease_seconds))):
                await asyncio.sleep(0.02)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def master_key():
    return LocalMasterKey.generate()


@pytest.fixture
async def store(mongo_uri, database_name, master_key):
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key) as opened:
        yield opened


@pytest.fixture
def worker(mongo_uri, database_name, master_key, tmp_path):
    """Starts a process that works through expired sessions and writes down what it processed, until it is killed.

    With a number given, it never ends with the session after so many: it is killed in the middle of that one.
    """
    started = []

    def start(most=100 * SESSIONS):
        log = tmp_path / f"worker-{len(started)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, mongo_uri, database_name, str(LEASE_SECONDS), str(most)],
                stdout=output,
                env={**os.environ, "MONGOSTORE_MASTER_KEY": master_key.export()},
            )
        started.append(process)
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait()


def written(log):
    """The whole lines of a log: the process may have died within the last."""
    return log.read_text().split("\n")[:-1]


async def until(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_sigkill_between_claim_and_acknowledgement_loses_no_session(
    store, worker, mongo_connection, database_name
):
    """Two processes at a time work and are killed at random; when nothing is left, every session was processed."""
    expired = datetime.now(UTC) - timedelta(minutes=1)
    await asyncio.gather(
        *(
            store.server_side_sessions.create_session(a_session(session_id=f"n{number}", expires=expired))
            for number in range(SESSIONS)
        )
    )
    raw = mongo_connection[database_name]["sessions"]
    logs = []
    for _ in range(3):
        most = random.randint(8, 15)
        pair = [worker(most) for _ in range(2)]
        logs += [log for _, log in pair]
        await until(partial(each_has_processed, [log for _, log in pair], most))
        for process, _ in pair:
            process.send_signal(signal.SIGKILL)
            process.wait()
        claimed = raw.count_documents({"claim": {"$exists": True}})
        assert claimed, "no process was killed between claim and acknowledgement: this run has shown nothing"
    _, log = worker()
    logs.append(log)
    await until(lambda: raw.count_documents({}) == 0)
    assert processed(logs) == {f"n{number}" for number in range(SESSIONS)}


def each_has_processed(logs, count):
    return all(len(written(log)) > count for log in logs)  # The first line says that it is ready.


def processed(logs):
    """The session ids that the processes wrote down."""
    return {line for log in logs for line in written(log)} - {"ready"}

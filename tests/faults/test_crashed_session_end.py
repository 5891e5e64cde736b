"""A server's process is killed at every step of a session's end in turn; whoever processes expired sessions takes it up."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import mongostore
from mongostore import LocalMasterKey, MongoStore
from mongostore.models import PersistedGrantFilter
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.sessions.user_sessions import user_session
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_refresh_token, a_ticket

WORKER = Path(__file__).with_name("dying_worker.py")
MASTER_KEY = LocalMasterKey.generate()
LIMIT = timedelta(seconds=30)
# In their order; what revokes tokens, and then consents, is called before clients are told, afterwards, and in the end.
STEPS = [
    *(("end_sessions", 1), ("remove", 1), ("remove", 2), ("tell", 1), ("remove", 3), ("remove", 4)),
    *(("keep_logout", 1), ("remove", 5), ("remove", 6)),
]
PLACES = [(method, calls, when) for method, calls in STEPS for when in ("before", "during", "after")]
HERS = PersistedGrantFilter(subject_id="alice")


@pytest.fixture
async def store(mongo_uri, database_name):
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    async with MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY, clock=FakeClock()) as store:
        yield store


@pytest.fixture(scope="module")
def worker():
    environment = {**os.environ, "PYTHONPATH": str(Path(mongostore.__file__).parents[1])}
    with subprocess.Popen([sys.executable, str(WORKER)], stdin=-1, stdout=-1, text=True, env=environment) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def killed_while(worker, mongo_uri, database_name):
    """Lets another process end the session until it is killed at a step."""

    def work(method, calls, when):
        given = {"uri": mongo_uri, "database": database_name, "master_key": MASTER_KEY.export(), "work": "end session"}
        worker.stdin.write(json.dumps(given | {"method": method, "when": when, "calls": calls}) + "\n")
        worker.stdin.flush()
        assert int(worker.stdout.readline()) == -signal.SIGKILL

    return work


@pytest.mark.parametrize(("method", "calls", "when"), PLACES)
async def test_what_a_crash_leaves_of_an_end_is_done_later(store, killed_while, method, calls, when):
    """Once it was marked, the session is over; its tokens go, those too that were issued meanwhile; clients are told.

    Nothing at all has happened before the mark.
    """
    key = await store.tickets.store(a_ticket(client_ids=["web", "dead"]))
    await store.refresh_tokens.store_refresh_token(a_refresh_token())
    killed_while(method, calls, when)

    marked = await store.tickets.retrieve(key) is None
    if (method, when) == ("end_sessions", "before"):
        assert not marked
    elif (method, when) != ("end_sessions", "during"):
        assert marked
    if not marked:
        assert len(await store.persisted_grants.get_all(HERS)) == 1
        return
    told = []
    # The process that died had the machine's clock.
    store.clock.advance(datetime.now(UTC) - store.clock.now() + timedelta(minutes=1))
    assert await store.sessions.process_expired(lambda session: told.extend(user_session(session).client_ids)) == 1
    assert await store.persisted_grants.get_all(HERS) == []
    assert await store.tickets.retrieve(key) is None
    kept = PLACES.index((method, calls, when)) >= PLACES.index(("keep_logout", 1, "after"))
    if kept:
        assert told == ["dead"]
    elif (method, when) != ("keep_logout", "during"):
        assert told == ["web", "dead"]

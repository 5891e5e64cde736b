"""A server's process is killed at every write of a rotation in turn; then the client asks again."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import mongostore
from mongostore import LocalMasterKey, MongoStore
from mongostore.grants.refresh_tokens import PENDING_MARGIN
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_refresh_token, an_authorization_code

WORKER = Path(__file__).with_name("dying_worker.py")
MASTER_KEY = LocalMasterKey.generate()
LIMIT = timedelta(seconds=30)
GRACE = timedelta(seconds=60)
FAMILY = "family"
STEPS = [(method, when) for method in ("insert", "succeed", "make_live") for when in ("before", "during", "after")]


@pytest.fixture
async def store(mongo_uri, database_name):
    """An open store on a database with its schema applied. Its clock is behind that of the process that dies."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    async with MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY, clock=FakeClock()) as store:
        yield store


@pytest.fixture(scope="module")
def worker():
    path = str(Path(mongostore.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, str(WORKER)], stdin=-1, stdout=-1, text=True, env=environment) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def killed_while(worker, mongo_uri, database_name):
    """Lets another process work on a handle until it is killed at a step."""

    def work(work, handle, method, when, grace=timedelta(0)):
        given = {"uri": mongo_uri, "database": database_name, "master_key": MASTER_KEY.export(), "work": work}
        given |= {"handle": handle, "method": method, "when": when, "grace_seconds": grace.total_seconds()}
        worker.stdin.write(json.dumps(given) + "\n")
        worker.stdin.flush()
        assert int(worker.stdout.readline()) == -signal.SIGKILL

    return work


@pytest.fixture
def grants(mongo_connection, database_name):
    return mongo_connection[database_name]["grants"]


def live(grants):
    return list(grants.find({"family": FAMILY, "consumed_time": None, "pending": None}))


@pytest.mark.parametrize(("method", "when"), STEPS)
async def test_inside_the_grace_the_client_goes_on(store, killed_while, grants, method, when):
    """Wherever the process dies, the old handle leads to one successor, which works; nothing is lost or doubled."""
    tokens = store.refresh_tokens
    old = await tokens.store_refresh_token(a_refresh_token(), family=FAMILY)
    killed_while("rotate", old, method, when, GRACE)
    assert len(live(grants)) <= 1
    consumed = grants.count_documents({"family": FAMILY, "consumed_time": {"$exists": True}})
    again = await tokens.rotate_refresh_token(old, a_refresh_token(), grace=GRACE)
    assert again.outcome == ("retried" if consumed else "rotated")
    if when != "during":
        assert consumed == ((method, when) in STEPS[STEPS.index(("succeed", "after")) :])
    once_more = await tokens.rotate_refresh_token(old, a_refresh_token(), grace=GRACE)
    assert (once_more.outcome, once_more.handle) == ("retried", again.handle)
    assert len(live(grants)) == 1
    following = await tokens.rotate_refresh_token(again.handle, a_refresh_token(), grace=GRACE)
    assert following.outcome == "rotated"
    assert len(live(grants)) == 1
    for left in grants.find({"pending": True}):
        assert left["purge_at"].timestamp() <= (store.clock.now() + GRACE + PENDING_MARGIN).timestamp() + 60
    await store.grants.remove_family(FAMILY)
    assert grants.count_documents({"family": FAMILY}) == 0


@pytest.mark.parametrize(("method", "when"), STEPS)
async def test_without_a_grace_nothing_is_doubled(store, killed_while, grants, method, when):
    """Before the old token was used it works; afterwards its second use is a replay, which leaves nothing behind."""
    tokens = store.refresh_tokens
    old = await tokens.store_refresh_token(a_refresh_token(), family=FAMILY)
    killed_while("rotate", old, method, when)
    assert len(live(grants)) <= 1
    consumed = grants.count_documents({"family": FAMILY, "consumed_time": {"$exists": True}})
    again = await tokens.rotate_refresh_token(old, a_refresh_token())
    assert again.outcome == ("replayed" if consumed else "rotated")
    assert len(live(grants)) == (0 if consumed else 1)
    if consumed:
        assert grants.count_documents({"family": FAMILY}) == 0


@pytest.mark.parametrize(("method", "when"), STEPS)
async def test_what_a_crash_leaves_is_revoked_with_the_rest(store, killed_while, grants, method, when):
    """A revocation finds the pending record of a dead process as well: no retry brings the token back."""
    old = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family=FAMILY)
    killed_while("rotate", old, method, when, GRACE)
    await store.refresh_tokens.remove_refresh_tokens("alice", "web")
    assert grants.count_documents({"family": FAMILY}) == 0
    assert (await store.refresh_tokens.rotate_refresh_token(old, a_refresh_token(), grace=GRACE)).outcome == "unknown"


@pytest.mark.parametrize(("when", "outcomes"), [("before", ["redeemed", "replayed"]), ("after", ["replayed"] * 2)])
async def test_a_code_is_redeemed_or_not(store, killed_while, when, outcomes):
    """A redemption is one write: before it the code works, after it every use is a replay, with the code's family."""
    codes = store.authorization_codes
    handle = await codes.store_authorization_code(an_authorization_code())
    killed_while("redeem", handle, "take", when)
    found = [await codes.redeem_authorization_code(handle) for _ in range(2)]
    assert [redemption.outcome for redemption in found] == outcomes
    assert len({redemption.family for redemption in found} - {None}) == 1

"""Several nodes that sign: from their first moment on, and for more than a year."""

import asyncio
import json
import os
import random
import subprocess
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import jwt
import pytest

import mongostore
from mongostore import LocalMasterKey, MongoStore
from mongostore.options import StoreOptions
from mongostore.signing.options import SigningOptions
from mongostore.testing import FakeClock

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ALGORITHMS = ["RS256", "ES256", "ES384"]
PROCESSES = 8
DAYS = 400
TOKEN_LIFETIME = 14 * DAY
# One in 76 days, the one that is announced, and one for the rotation by hand. The server's time, by which keys are retired
# and deleted, stands still beside the nodes' year.
MOST_KEYS = DAYS // 76 + 3

# The processes are forks of one that has imported everything, so that they do start at once.
SERVERS = """
import asyncio, json, multiprocessing, sys
from mongostore import LocalMasterKey, MongoStore
from mongostore.options import StoreOptions
from mongostore.signing.options import SigningOptions

uri, database, master_key, processes, *algorithms = sys.argv[1:]
context = multiprocessing.get_context("fork")
barrier = context.Barrier(int(processes))

async def serve():
    options = StoreOptions(signing=SigningOptions(signing_algorithms=algorithms))
    key = LocalMasterKey.from_text(master_key)
    async with MongoStore(uri, database=database, master_key=key, options=options) as store:
        barrier.wait()
        keys = await asyncio.gather(*(store.signing.get_signing_credentials(each) for each in algorithms))
        published = [jwk["kid"] for jwk in (await store.signing.jwks())["keys"]]
        barrier.wait()
        return [key.key_id for key in keys], published, (await store.signing.rotate()).key_id

def server(_):
    return asyncio.run(serve())

with context.Pool(int(processes)) as pool:
    print(json.dumps(pool.map(server, range(int(processes)), chunksize=1)))
"""


def test_eight_processes_that_start_at_once_make_one_key_for_each_algorithm(mongo_uri, database_name, mongo_connection):
    """On an empty database all sign with the same keys at once and publish all of them; so when all rotate at once."""
    command = [sys.executable, "-W", "ignore", "-c", SERVERS, mongo_uri, database_name]
    command += [LocalMasterKey.generate().export(), str(PROCESSES), *ALGORITHMS]
    # The package under test, wherever it was imported from.
    environment = {**os.environ, "PYTHONPATH": str(Path(mongostore.__file__).parents[1])}
    answer = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, timeout=300).stdout
    signing, published, rotated = zip(*json.loads(answer), strict=True)
    assert len(signing) == PROCESSES
    assert all(sorted(each) == sorted(signing[0]) for each in (*signing, *published))
    assert len(set(rotated)) == 1
    stored = mongo_connection[database_name]["signing_keys"].find()
    assert sorted(key["algorithm"] for key in stored) == sorted([*ALGORITHMS, ALGORITHMS[0]])


@pytest.mark.filterwarnings("ignore:the schema")
async def test_for_more_than_a_year_every_token_validates_everywhere(mongo_uri, database_name):
    """Three nodes, asked at random hours of 400 days, one of them started anew now and then, one key rotated by hand:
    at any moment all sign with the same key, every token validates on every node until it expires, also for a client
    that took the keys from any node the day before; and no more keys are made than are due."""
    random_ = random.Random(4711)
    clock = FakeClock()
    options = StoreOptions(signing=SigningOptions(signing_algorithms=["ES256"]))
    master_key = LocalMasterKey.generate()
    async with AsyncExitStack() as stack:

        async def start():
            store = MongoStore(mongo_uri, database=database_name, master_key=master_key, options=options, clock=clock)
            return await stack.enter_async_context(store)

        nodes = [await start() for _ in range(3)]
        tokens = []
        signers = []
        keys_of_client = jwt.PyJWKSet.from_dict(await nodes[0].signing.jwks())
        for day in range(DAYS):
            moment = random_.randrange(24)
            clock.advance(moment * HOUR)
            if day % 50 == 25:
                nodes[random_.randrange(3)] = await start()
            if day == 200:
                await random_.choice(nodes).signing.rotate()

            # A node that nobody asks for a day has old keys at hand the next.
            asked = random_.sample(nodes, random_.choice([1, 2, 3, 3]))
            credentials = await asyncio.gather(*(node.signing.get_signing_credentials() for node in asked))
            assert len({each.key_id for each in credentials}) == 1, day
            signers.append(credentials[0].key_id)
            token = _sign(credentials[0])
            tokens.append((clock.now() + TOKEN_LIFETIME, token))
            tokens = [(expires, token) for expires, token in tokens if clock.now() < expires]
            published = [jwt.PyJWKSet.from_dict(await node.signing.jwks()) for node in asked]
            for keys in published:
                for _, each in tokens:
                    _validate(each, keys)
            _validate(token, keys_of_client)
            keys_of_client = random_.choice(published)
            assert len(await nodes[0].signing_keys.load_keys()) <= MOST_KEYS
            clock.advance((24 - moment) * HOUR)

    runs = [len(list(days)) for _, days in groupby(signers)]
    assert len(runs) == len(set(signers))  # None that has stopped signing signs again.
    # 90 days; 76 for a later one, which was announced for 14; the third is superseded 14 days after the rotation.
    assert runs[:3] == [90, 76, 214 - 166]


def _sign(credentials):
    return jwt.encode(
        {"sub": "alice"}, credentials.private_key, algorithm=credentials.algorithm, headers={"kid": credentials.key_id}
    )


def _validate(token, keys):
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["ES256"]) == {"sub": "alice"}

"""Several nodes that sign: from their first moment on, and for more than a year."""

import asyncio
import json
import os
import random
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
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
# One announced, one that signs, one that still validates, and one more for the rotation by hand.
MOST_KEYS = 4

PROCESS = """
import asyncio, json, sys
from mongostore import LocalMasterKey, MongoStore
from mongostore.options import StoreOptions
from mongostore.signing.options import SigningOptions

async def main(uri, database, master_key, *algorithms):
    options = StoreOptions(signing=SigningOptions(signing_algorithms=algorithms))
    master_key = LocalMasterKey.from_text(master_key)
    async with MongoStore(uri, database=database, master_key=master_key, options=options) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        keys = await asyncio.gather(*(store.signing.get_signing_credentials(each) for each in algorithms))
        published = [jwk["kid"] for jwk in (await store.signing.jwks())["keys"]]
        print(json.dumps([[key.key_id for key in keys], published]), flush=True)
        sys.stdin.readline()
        print((await store.signing.rotate()).key_id, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.filterwarnings("ignore:the schema")
async def test_eight_processes_that_start_at_once_make_one_key_for_each_algorithm(
    mongo_uri, database_name, mongo_connection
):
    """On an empty database all sign with the same keys at once and publish all of them; so when all rotate at once."""
    command = [sys.executable, "-W", "ignore", "-c", PROCESS, mongo_uri, database_name]
    command += [LocalMasterKey.generate().export(), *ALGORITHMS]
    # The package under test, wherever it was imported from.
    environment = {**os.environ, "PYTHONPATH": str(Path(mongostore.__file__).parents[1])}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment))
            for _ in range(PROCESSES)
        ]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * PROCESSES
        started = [json.loads(answer) for answer in _tell_all(processes)]
        rotated = _tell_all(processes)
        assert [process.wait() for process in processes] == [0] * PROCESSES
    signing, published = started[0]
    assert sorted(signing) == sorted(published)
    assert all((each[0], sorted(each[1])) == (signing, sorted(published)) for each in started)
    assert len(set(rotated)) == 1
    stored = list(mongo_connection[database_name]["signing_keys"].find())
    assert sorted(key["algorithm"] for key in stored) == sorted([*ALGORITHMS, ALGORITHMS[0]])


def _tell_all(processes):
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.stdout.readline().strip() for process in processes]


@pytest.mark.filterwarnings("ignore:the schema")
async def test_for_more_than_a_year_every_token_validates_everywhere(mongo_uri, database_name):
    """Three nodes, asked at random hours of 400 days, one of them started anew now and then, one key rotated by hand:
    at any moment all sign with the same key, every token validates on every node until it expires, also for a client
    that took the keys from any node the day before; and the keys stay few."""
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
        clients_keys = [jwt.PyJWKSet.from_dict(await nodes[0].signing.jwks())]
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
            clients_keys[0][credentials[0].key_id]
            tokens.append((clock.now() + TOKEN_LIFETIME, token))
            tokens = [(expires, token) for expires, token in tokens if clock.now() < expires]
            published = [jwt.PyJWKSet.from_dict(await node.signing.jwks()) for node in asked]
            for keys in published:
                for _, each in tokens:
                    _validate(each, keys)
            _validate(token, clients_keys[0])
            clients_keys[0] = random_.choice(published)
            assert len(await nodes[0].signing_keys.load_keys()) <= MOST_KEYS
            clock.advance((24 - moment) * HOUR)

    lives = {key_id: signers.count(key_id) for key_id in signers}
    assert list(lives) == list(dict.fromkeys(signers))
    assert all(
        signers.index(key_id) + count == len(signers) - signers[::-1].index(key_id) for key_id, count in lives.items()
    )
    # 90 days; 76 for every later one, which was announced for 14; one cut short by hand.
    assert list(lives.values())[:2] == [90, 76]
    assert max(lives.values()) == 90


def _sign(credentials):
    return jwt.encode(
        {"sub": "alice"}, credentials.private_key, algorithm=credentials.algorithm, headers={"kid": credentials.key_id}
    )


def _validate(token, keys):
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["ES256"]) == {"sub": "alice"}

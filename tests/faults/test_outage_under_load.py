"""A server that dies and comes back while many tasks work: none of them hangs, the store recovers, promises hold."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from mongostore import LocalMasterKey, MongoStore, StorageUnavailable, StoreOptions
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing import EmbeddedMongo
from mongostore.testing.factories import an_authorization_code

TASKS = 60
OUTAGES = 2
LIMIT = timedelta(seconds=1.5)
LONGEST_WAIT_SECONDS = 60


@pytest.fixture
def own_server():
    with EmbeddedMongo() as server:
        yield server


async def answered(call):
    """What a call gives once the server answers in time."""
    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
        while True:
            try:
                return await call()
            except StorageUnavailable:
                await asyncio.sleep(0.05)


async def grown(counts, by=1):
    """Wait until there are so many more."""
    enough = counts.total() + by
    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
        while counts.total() < enough:
            await asyncio.sleep(0.01)


async def test_every_task_ends_and_the_store_recovers(own_server):
    """Calls given up at the same moment, dozens at once, leave nothing locked; no code is redeemed twice or lost."""
    connection = Connection(
        own_server.uri, operation_timeout=timedelta(seconds=30), server_selection_timeout=timedelta(seconds=30)
    )
    await connection.open()
    await apply_schema(Binding(connection, "identity"))
    await connection.close()
    options = StoreOptions(operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    redeemed: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    async with MongoStore(
        own_server.uri, database="identity", master_key=LocalMasterKey.generate(), options=options
    ) as store:
        codes = store.authorization_codes
        kept = await answered(lambda: codes.store_authorization_code(an_authorization_code()))

        async def work() -> None:
            while not over.is_set():
                try:
                    code = await codes.store_authorization_code(an_authorization_code())
                    # As a client would that had no answer: also where the first try was carried out.
                    for _ in range(2):
                        outcome = (await codes.redeem_authorization_code(code)).outcome
                        assert outcome in ("redeemed", "replayed")
                        redeemed[code] += outcome == "redeemed"
                except StorageUnavailable:
                    refused["refused"] += 1
                    await asyncio.sleep(0.01)

        for _ in range(OUTAGES):
            over = asyncio.Event()
            tasks = [asyncio.create_task(work()) for _ in range(TASKS)]
            await grown(redeemed)
            await asyncio.to_thread(own_server.kill, 0)
            await grown(refused, by=TASKS)
            await asyncio.to_thread(own_server.start, 0)
            await grown(redeemed)
            over.set()
            _, hanging = await asyncio.wait(tasks, timeout=LONGEST_WAIT_SECONDS)
            assert not hanging
            for task in tasks:
                task.result()
            assert await answered(lambda: codes.get_authorization_code(kept)) is not None

    assert set(redeemed.values()) == {1}

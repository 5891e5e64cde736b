"""Two processes: what one saves, the other serves within a second."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from mongostore import LocalMasterKey, MongoStore
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_client

WORKER = Path(__file__).parent / "worker_cached_lookups.py"
TRIES = 200


@pytest.mark.needs_quiet_machine(
    "a second is the promise, of two processes that are given a processor when they need one"
)
async def test_a_client_saved_in_one_process_is_served_by_another_within_a_second(
    mongo_uri, database_name, record_property
):
    """Of 200 saves, at least 198 are served by another process within a second, from a cache that stays warm."""
    master_key = LocalMasterKey.generate()
    store = MongoStore(mongo_uri, database=database_name, master_key=master_key)
    await store._connection.open()
    await apply_schema(store._databases.main)
    await store._connection.close()
    async with store:
        await store.clients.save_client(a_client(client_name="-1"))
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            mongo_uri,
            database_name,
            master_key.export(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert (await asyncio.wait_for(worker.stdout.readline(), 30)).strip() == b"ready"
            delays = []
            for number in range(TRIES):
                await store.clients.save_client(a_client(client_name=str(number)))
                begun = time.perf_counter()
                worker.stdin.write(f"{number}\n".encode())
                assert (await asyncio.wait_for(worker.stdout.readline(), 30)).strip() == str(number).encode()
                delays.append(time.perf_counter() - begun)
        finally:
            worker.kill()
            await worker.wait()
    delays.sort()
    median, p99 = delays[TRIES // 2], delays[TRIES * 99 // 100 - 1]
    record_property("p99_ms", round(p99 * 1_000))
    print(f"\nserved by the other process after {median * 1_000:.0f} ms (median), {p99 * 1_000:.0f} ms (p99)")
    assert p99 < 1

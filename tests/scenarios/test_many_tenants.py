"""A thousand tenants in a shared database and 200 with a database each, in one process: what one costs."""

import asyncio
import json
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mongostore import DatabasePerTenant, LocalMasterKey, MongoStore, SharedDatabase, StoreOptions
from mongostore.schema import apply_schema
from mongostore.tenancy import DEFAULT_TENANT

WORKER = Path(__file__).parent / "worker_many_tenants.py"
SHARED = [f"shared-{number}" for number in range(1_001)]
APART = [f"apart-{number}" for number in range(201)]
MAX_OPEN = 50
KIB, MIB = 2**10, 2**20

# Two to three times what was measured.
SHARED_BOUND = 120 * KIB
APART_BOUND = 600 * KIB

INDEX_WORK = {"create", "createIndexes", "collMod", "dropIndexes", "listIndexes"}


async def prepare(uri: str, database: str, master_key: LocalMasterKey, placement, slugs: list[str]) -> None:
    """Do what a deploy step does, and bring the tenants into being."""
    options = StoreOptions(tenancy=placement, operation_timeout=timedelta(seconds=30))
    store = MongoStore(uri, database=database, master_key=master_key, options=options)
    await store._connection.open()
    for binding in store._databases.all([DEFAULT_TENANT]):
        await apply_schema(binding)
    await store._connection.close()
    async with store:
        for slug in slugs:
            await store.tenants.create(slug)


@pytest.mark.slow
async def test_many_tenants_in_one_process(mongo_uri, database_name, record_property):
    """Memory for a tenant is bounded and reported; opening one takes no index work, and no more the more there are."""
    master_key = LocalMasterKey.generate()
    await prepare(mongo_uri, f"{database_name}_shared", master_key, SharedDatabase(), SHARED)
    per_tenant = DatabasePerTenant(pattern=f"{database_name}_{{tenant}}")
    await prepare(mongo_uri, database_name, master_key, per_tenant, APART)

    settings = {"uri": mongo_uri, "database": database_name, "master_key": master_key.export()}
    settings |= {"shared": SHARED, "apart": APART, "max_open": MAX_OPEN}
    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        told, _ = await asyncio.wait_for(worker.communicate(json.dumps(settings).encode() + b"\n"), 600)
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert worker.returncode == 0
    figures = json.loads(told)

    for placement, bound in (("shared", SHARED_BOUND), ("apart", APART_BOUND)):
        costs = figures[placement]["costs"]
        memory = figures[placement]["bytes_per_tenant"]
        record_property(f"{placement}_kib_per_tenant", round(memory / KIB))
        print(f"\n{placement}: {memory / KIB:.0f} KiB and {costs[-1]} for a tenant")
        assert memory < bound
        assert INDEX_WORK.isdisjoint(set().union(*costs))
        # The first of a thousand costs what the last one does.
        assert all(cost == costs[0] for cost in costs)

    bounded = figures["bounded"]
    after = bounded["bytes_after_rounds"]
    grown = [later - earlier for earlier, later in pairwise(after)]
    print(f"bounded: {bounded['bindings']} bindings; rounds of {len(APART)} tenants add {grown} bytes")
    # Beside those of the tenants: the store's own database, and that of the default tenant.
    assert bounded["bindings"] <= MAX_OPEN + 2
    assert bounded["documents"] <= MAX_OPEN + 2
    assert INDEX_WORK.isdisjoint(bounded["commands"])
    # Without the bound it would be the documents of 150 tenants a round.
    assert after[-1] - after[1] < 10 * MIB

"""Deployments with tenants, in both placements and in memory. Makes `belongings` importable, as pytest does not."""

import sys
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from mongostore import (
    DatabasePerTenant,
    LocalMasterKey,
    MemoryStore,
    MongoStore,
    SharedDatabase,
    SigningOptions,
    StoreOptions,
)
from mongostore.schema import apply_schema
from mongostore.tenancy import DEFAULT_TENANT
from mongostore.testing import FakeClock

sys.path.append(str(Path(__file__).parent))

MASTER_KEY = LocalMasterKey.generate()
# What has expired is left alone, so that nothing vanishes from under a test; and keys that take no time to make.
OPTIONS = StoreOptions(
    operation_timeout=timedelta(seconds=30),
    ttl_delay=timedelta(days=1),
    signing=SigningOptions(signing_algorithms=("ES256",)),
)
BRIEF = timedelta(seconds=2)
PLACEMENTS = ["shared", "per tenant"]

OpenDeployment = Callable[..., AbstractAsyncContextManager[MongoStore]]


@pytest.fixture
def open_deployment(mongo_uri: str) -> OpenDeployment:
    """Opens a store on a database.

    Args: the database; "shared" or "per tenant", and the placement's options; `listener`: of its commands; `bare`: the
    schema is not applied; `brief`: with a short time limit, as a deletion waits for longer than that; `more`: for
    `MongoStore`.
    """

    @asynccontextmanager
    async def opened(
        database: str,
        placement: str = "shared",
        *,
        listener: CommandListener | None = None,
        bare: bool = False,
        brief: bool = False,
        more: dict[str, Any] | None = None,
        **placed: Any,
    ) -> AsyncIterator[MongoStore]:
        tenancy = (
            SharedDatabase(**placed)
            if placement == "shared"
            else DatabasePerTenant(**{"pattern": f"{database}_{{tenant}}", **placed})
        )
        options = replace(OPTIONS, tenancy=tenancy, operation_timeout=BRIEF if brief else OPTIONS.operation_timeout)
        async with AsyncMongoClient(mongo_uri, event_listeners=[listener] if listener else []) as client:
            store = MongoStore(
                client,
                database=database,
                **{"master_key": MASTER_KEY, "clock": FakeClock(), "options": options, **(more or {})},
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                await store.open()
            try:
                if not bare:
                    for binding in store._databases.all([DEFAULT_TENANT]):
                        await apply_schema(binding)
                yield store
            finally:
                await store.close()

    return opened


@pytest.fixture(params=[*PLACEMENTS, "memory"])
async def deployment(
    request: pytest.FixtureRequest, database_name: str, open_deployment: OpenDeployment
) -> AsyncIterator[MongoStore | MemoryStore]:
    if request.param == "memory":
        async with MemoryStore(options=OPTIONS, clock=FakeClock()) as store:
            yield store
        return
    async with open_deployment(database_name, request.param) as store:
        yield store


@pytest.fixture(params=[*PLACEMENTS, "memory"])
async def brief_deployment(
    request: pytest.FixtureRequest, database_name: str, open_deployment: OpenDeployment
) -> AsyncIterator[MongoStore | MemoryStore]:
    """One in which a deletion does not take long."""
    if request.param == "memory":
        async with MemoryStore(options=OPTIONS, clock=FakeClock()) as store:
            yield store
        return
    async with open_deployment(database_name, request.param, brief=True) as store:
        yield store

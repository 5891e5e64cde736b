"""What the tests of protection share: a clock that is moved by hand, and stores that count and fail on demand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import pytest

from mongostore.errors import StorageUnavailable
from mongostore.memory.data_keys import MemoryDataKeyStore
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.master_keys import LocalMasterKey
from mongostore.stores.data_keys import DataKeyRecord
from mongostore.testing.clock import FakeClock


class WatchedStore(MemoryDataKeyStore):
    """A store on a slow wire: every call suspends, so that tasks interleave; calls are counted and fail on demand.

    Attributes:
        loads: how often a ring was read.
        fail_loads: reading raises.
        lose_answers: inserting stores the record and raises, like a write whose acknowledgement timed out.
        lose_writes: inserting raises and stores nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.inserts = 0
        self.fail_loads = self.lose_answers = self.lose_writes = False

    async def load(self, tenant: str) -> list[DataKeyRecord]:
        self.loads += 1
        await asyncio.sleep(0)
        if self.fail_loads:
            raise StorageUnavailable("no primary")
        found = await super().load(tenant)
        # The answer is old by the time it arrives.
        for _ in range(5):
            await asyncio.sleep(0)
        return found

    async def insert(self, record: DataKeyRecord) -> bool:
        self.inserts += 1
        # Slower than a read, so that others read in the meantime and see nothing.
        for _ in range(20):
            await asyncio.sleep(0)
        if self.lose_writes:
            raise StorageUnavailable("timed out")
        inserted = await super().insert(record)
        await asyncio.sleep(0)
        if self.lose_answers:
            raise StorageUnavailable("timed out")
        return inserted

    async def destroy(self, tenant: str, at: datetime) -> int:
        await asyncio.sleep(0)
        return await super().destroy(tenant, at)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def master_key() -> LocalMasterKey:
    return LocalMasterKey.generate()


@pytest.fixture
async def new_node(
    store: WatchedStore, master_key: LocalMasterKey, clock: FakeClock
) -> AsyncIterator[Callable[..., KeyRing]]:
    """Make another node over the same store; all nodes are closed at the end."""
    nodes: list[KeyRing] = []

    def make(**options: object) -> KeyRing:
        arguments = {"store": store, "master_key": master_key, "clock": clock, **options}
        nodes.append(KeyRing(**arguments))
        return nodes[-1]

    yield make
    for node in nodes:
        await node.close()


@pytest.fixture
def settle() -> Callable[[], Awaitable[None]]:
    """Let what runs in the background come to its end."""

    async def run() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    return run

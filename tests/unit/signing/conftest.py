"""A manager over keys in memory, and a clock that stands."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mongostore.errors import KeyUnavailable
from mongostore.memory.signing_keys import MemorySigningKeyStore
from mongostore.signing.key_material import check_usable, generate, serialize
from mongostore.signing.manager import SigningManager
from mongostore.signing.options import SigningOptions
from mongostore.testing import FakeClock

DAY = timedelta(days=1)


class WatchedKeyStore(MemorySigningKeyStore):
    """Counts what is asked of it, and can lose keys and fail."""

    def __init__(self, clock):
        super().__init__(check_usable, clock)
        self.reads = 0
        self.additions = 0
        self.lost = set()
        self.failure = None
        self.before_add = None

    async def read(self):
        self.reads += 1
        if self.failure:
            raise self.failure
        found = await super().read()
        return replace(found, records=tuple(self._seen(record) for record in found.records))

    async def add(self, key, *, after, supersedes=False):
        self.additions += 1
        if self.before_add:
            await self.before_add()
        return await super().add(key, after=after, supersedes=supersedes)

    def _seen(self, record):
        if record.id not in self.lost and record.algorithm not in self.lost:
            return record
        damage = KeyUnavailable("the data key is not in the ring", key_id="00" * 16)
        return replace(record, key=None, damage=damage)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def keys(clock):
    return WatchedKeyStore(clock)


@pytest.fixture
def make_manager(keys, clock):
    """A node of its own, with small fast keys unless said otherwise."""

    def make(own_clock=clock, **options):
        return SigningManager(keys, SigningOptions(**{"signing_algorithms": ["ES256"], **options}), own_clock)

    return make


@pytest.fixture
def manager(make_manager):
    return make_manager()


@pytest.fixture
def store_key(keys, clock):
    """Stores a key that can sign, made so long ago."""

    async def store(key_id, age, algorithm="ES256"):
        await keys.store_key(serialize(generate(algorithm, key_id, 2048), clock.now() - age))

    return store

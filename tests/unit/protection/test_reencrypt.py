"""The run itself, over sealed values in a dict: which key it seals by, and what it does when something goes wrong."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from mongostore.errors import StorageUnavailable
from mongostore.protection.context import Context
from mongostore.protection.key_ring_service import KeyRingService
from mongostore.protection.protector import SealingProtector
from mongostore.protection.reencrypt import ReencryptionCounts
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.stores.sealed_records import SealedPage, SealedValue

DAY = timedelta(days=1)


class Records:
    """Sealed values of one collection, by record id; a write in between and a failure on demand.

    Attributes:
        write_before_replace: is stored over the first value of every page, as another node would.
        fail_after: how many pages are written before the database is gone.
    """

    labels = ("grants",)

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.write_before_replace: bytes | None = None
        self.fail_after: int | None = None
        self.held = 0
        self.pages = 0

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[None]:
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    async def find_stale(self, label: str, key_id: bytes, *, after: str, limit: int) -> SealedPage:
        looked_at = sorted(record for record in self.values if record > after)[:limit]
        stale = [record for record in looked_at if self.values[record][1:17] != key_id]
        found = [SealedValue(record, "payload", self.values[record]) for record in stale]
        return SealedPage(found, looked_at[-1] if looked_at else None)

    async def replace(self, label: str, changes: Sequence[tuple[SealedValue, bytes]]) -> int:
        assert self.held == 1
        if self.pages == self.fail_after:
            raise StorageUnavailable("no primary")
        self.pages += 1
        if self.write_before_replace is not None:
            self.values[changes[0][0].record_id] = self.write_before_replace
        unchanged = [(value, new) for value, new in changes if self.values[value.record_id] == value.envelope]
        self.values.update({value.record_id: new for value, new in unchanged})
        return len(unchanged)


def a_place(record: str) -> Context:
    return Context("default", "grants", record, "payload")


@pytest.fixture
def policy() -> KeyRotationPolicy:
    return KeyRotationPolicy(rotation_interval=10 * DAY, propagation=DAY)


@pytest.fixture
def ring(new_node, policy):
    return new_node(policy=policy)


@pytest.fixture
async def records(ring) -> Records:
    """Six values that a retired key sealed."""
    sealed, protector = Records(), SealingProtector(ring)
    for number in range(6):
        sealed.values[f"{number}"] = bytes(await protector.seal(b"%d" % number, a_place(f"{number}")))
    await ring.for_tenant("default").rotate()
    return sealed


async def opened(ring, records: Records) -> list[bytes]:
    return [await SealingProtector(ring).open(value, a_place(record)) for record, value in records.values.items()]


def keys_of(records: Records) -> set[bytes]:
    return {value[1:17] for value in records.values.values()}


async def test_key_that_activates_during_a_run_seals_the_rest(ring, records, clock, settle):
    """The key is asked for at each page: what comes after the activation is not sealed by a key that has retired."""
    first = await ring.for_tenant("default").sealing_key()
    clock.advance(10 * DAY - timedelta(minutes=1))
    await ring.for_tenant("default").sealing_key()
    await settle()

    def half_way(result) -> None:
        if result.total.reencrypted == 3:
            clock.advance(DAY)

    service = KeyRingService(ring, "default", [records])
    await service.reencrypt(batch_size=1, on_progress=half_way)
    second = await ring.for_tenant("default").sealing_key()
    assert second.key_id != first.key_id
    assert [value[1:17] for _, value in sorted(records.values.items())] == [first.key_id] * 3 + [second.key_id] * 3
    assert (await service.reencrypt()).total == ReencryptionCounts(reencrypted=3)
    assert keys_of(records) == {second.key_id}
    assert await opened(ring, records) == [b"%d" % number for number in range(6)]


async def test_cut_off_it_is_finished_by_another_run(ring, records):
    """What was written before the failure stays; the next run does the rest and nothing twice."""
    records.fail_after = 2
    service = KeyRingService(ring, "default", [records])
    with pytest.raises(StorageUnavailable):
        await service.reencrypt(batch_size=2)
    records.fail_after = None
    assert (await service.reencrypt(batch_size=2)).total == ReencryptionCounts(reencrypted=2)
    assert len(keys_of(records)) == 1
    assert await opened(ring, records) == [b"%d" % number for number in range(6)]


async def test_value_that_changed_meanwhile_is_left_and_counted(ring, records):
    """Another node's write wins; the run says how many it met."""
    records.write_before_replace = bytes(await SealingProtector(ring).seal(b"new", a_place("0")))
    result = await KeyRingService(ring, "default", [records]).reencrypt()
    assert result.collections == {"grants": ReencryptionCounts(reencrypted=5, changed=1)}
    assert records.values["0"] == records.write_before_replace


async def test_several_databases_are_done_one_after_the_other(ring, records):
    """Configuration may lie apart: counts of the same collection add up."""
    other = Records()
    other.values = dict(records.values)
    result = await KeyRingService(ring, "default", [records, other]).reencrypt()
    assert result.collections == {"grants": ReencryptionCounts(reencrypted=12)}


async def test_values_are_not_shown(records):
    """A repr names the record's field, not what it holds."""
    assert "envelope" not in repr(SealedValue("0", "payload", records.values["0"]))

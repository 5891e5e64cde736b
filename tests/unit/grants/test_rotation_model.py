"""No interleaving of rotations and revocations breaks a promise, and every change to the order of steps does."""

from dataclasses import replace
from datetime import timedelta

import pytest
from rotation_model import (
    CLOCK,
    FAMILY,
    GRACE,
    NO_GRACE,
    OLD,
    TOKEN,
    Broken,
    QuickSerializer,
    Scenario,
    SteppedRecords,
    explore,
)

from mongostore.grants import refresh_tokens as module
from mongostore.grants.outcomes import Rotation
from mongostore.grants.refresh_tokens import PENDING_MARGIN, RefreshTokens
from mongostore.memory.grant_records import MemoryGrantRecordStore
from mongostore.stores.grant_records import GrantRecord


def scenarios(grace: timedelta) -> list[Scenario]:
    found = [Scenario(grace), Scenario(grace, rotators=3, crashes=0), Scenario(grace, family=None)]
    for descending in (False, True):
        found += [
            Scenario(grace, revoke="family", descending=descending),
            Scenario(grace, revoke="handle", descending=descending),
            Scenario(grace, revoke="subject", descending=descending, crashes=0),
            Scenario(grace, rotators=1, chained=True, revoke="family", descending=descending),
            Scenario(grace, rotators=1, chained=True, revoke="subject", descending=descending),
            Scenario(grace, rotators=1, revoke="handle", family=None, descending=descending),
        ]
    return found


ALL = scenarios(GRACE) + scenarios(NO_GRACE)


@pytest.mark.parametrize("scenario", ALL, ids=str)
def test_no_interleaving_and_no_crash_breaks_a_promise(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    """Nothing is doubled, lost or brought back, whatever order the steps of all come in and wherever one of them dies."""
    assert explore(monkeypatch, scenario) > 20


class ConsumesFirst(RefreshTokens):
    """The old token is consumed before its successor is there."""

    async def rotate_refresh_token(self, handle, successor, *, grace=NO_GRACE):
        key = self._serializer.key(handle)
        old = await self._records.find(key)
        if old is None:
            return Rotation("unknown")
        new = module.new_handle()
        new_key = self._serializer.key(new)
        if old.grant.consumed_time is not None or not await self._records.succeed(
            key, successor_key=new_key, successor_handle=new
        ):
            old = await self._records.find(key)
            return await self._second_use(old, TOKEN, grace) if old else Rotation("unknown")
        pending = GrantRecord(self._grant(successor, new_key), family=FAMILY, predecessor=key)
        await self._records.insert(pending, pending_until=CLOCK.now() + grace + PENDING_MARGIN)
        if not await self._records.make_live(new_key):
            return Rotation("unknown")
        return Rotation("rotated", new, successor)


class InsertsLive(SteppedRecords):
    """The successor is visible from the start."""

    async def insert(self, record, *, pending_until=None):
        await super().insert(record)


class MakesLiveByUpsert(SteppedRecords):
    """Making live inserts what is not there."""

    async def make_live(self, key):
        return await self._told(self._upsert(key))

    async def _upsert(self, key):
        if key not in self._table.rows:
            self._table.put(GrantRecord(QuickSerializer.written[key], family=FAMILY, predecessor=OLD))
        return await MemoryGrantRecordStore.make_live(self, key)


class ConsumesAnyway(SteppedRecords):
    """Consuming the old token does not ask whether somebody did."""

    async def succeed(self, key, **link):
        return await self._told(self._consume_anyway(key, link))

    async def _consume_anyway(self, key, link):
        row = self._table.rows.get(key)
        if row is not None:
            fresh = row.record.grant.model_copy(update={"consumed_time": None})
            self._table.put(replace(row.record, grant=fresh))
        return await MemoryGrantRecordStore.succeed(self, key, **link)


class RemovesOnce(SteppedRecords):
    """Removal is one pass."""

    removal_passes = 1


class RemovesWhatIsVisible(SteppedRecords):
    """Removal leaves pending records alone."""

    removal_sees_pending = False


class KeepsLosers(SteppedRecords):
    """Who loses leaves its pending record behind."""

    async def discard_pending(self, key):
        await self.find(key)


class ForgetsTheLink(SteppedRecords):
    """The old token does not say what replaced it."""

    async def succeed(self, key, **link):
        return await super().succeed(key, successor_key="", successor_handle="")


class FoundersStayOutside(RefreshTokens):
    """A token that was stored raw is removed after its family, and that is all."""

    async def _revoke(self, record):
        await self._records.remove_family(module._family_of(record))
        if record.family is None:
            await self._grants.remove(record.grant.key)


MUTATIONS = [
    (ConsumesFirst, Scenario(GRACE), "lost"),
    (ConsumesFirst, Scenario(NO_GRACE, revoke="family", crashes=0), "survived"),
    (InsertsLive, Scenario(GRACE), "doubled"),
    (MakesLiveByUpsert, Scenario(GRACE, revoke="family", crashes=0), "survived"),
    (MakesLiveByUpsert, Scenario(NO_GRACE, crashes=0), "survived"),
    (ConsumesAnyway, Scenario(GRACE, crashes=0), "doubled"),
    (RemovesOnce, Scenario(GRACE, revoke="family", descending=True, crashes=0), "survived"),
    (RemovesOnce, Scenario(GRACE, revoke="subject", descending=True, crashes=0), "survived"),
    (RemovesWhatIsVisible, Scenario(NO_GRACE, revoke="family", crashes=0), "survived"),
    (KeepsLosers, Scenario(GRACE, crashes=0), "left over"),
    (ForgetsTheLink, Scenario(GRACE), "lost"),
    (FoundersStayOutside, Scenario(GRACE, rotators=1, revoke="handle", family=None, crashes=0), "survived"),
]


@pytest.mark.parametrize(("mutation", "scenario", "consequence"), MUTATIONS, ids=str)
def test_a_changed_order_of_steps_breaks_a_promise(monkeypatch, mutation, scenario, consequence):
    """Each step stands where it stands for a reason: moved or left out, some interleaving goes wrong."""
    variant = {"tokens_class" if issubclass(mutation, RefreshTokens) else "records_class": mutation}
    with pytest.raises(Broken, match=consequence):
        explore(monkeypatch, scenario, **variant)

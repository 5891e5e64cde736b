"""A tenant's key ring as it was read at one moment, its keys unwrapped. The next read makes another."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from mongostore.errors import KeyUnavailable, MongostoreError
from mongostore.protection.master_keys import MasterKey
from mongostore.protection.sealing_choice import SealingChoice, Unopened, choose_sealing_key
from mongostore.protection.wrapped_keys import destroyed, place, unwrap
from mongostore.protection.xaes_gcm import XAES256GCM
from mongostore.stores.data_keys import DataKeyRecord

_logger = logging.getLogger(__name__)

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key, ready for use."""

    key_id: bytes
    cipher: XAES256GCM


@dataclass(frozen=True, slots=True)
class RingSnapshot:
    """What one read of the ring found.

    A tenant with one destroyed key is destroyed, and the snapshot holds no key at all: one that another node was
    storing at that time does not revive it.

    Attributes:
        records: by ascending generation.
        opened: the data keys' ciphers and the key for keyed hashes, by the very record that holds them.
        ciphers: the data keys' ciphers by key id.
        unopened: the records whose keys are not there, and why.
        choice: which of them seals.
        sealing: the data key that seals, when there is one.
        fresh_from: when it was read.
        fresh_until: when it is to be read again: after the refresh interval, or when the next key activates.
    """

    tenant: str
    records: Sequence[DataKeyRecord] = ()
    opened: Mapping[DataKeyRecord, XAES256GCM | bytes] = field(default_factory=dict, repr=False)
    ciphers: Mapping[bytes, XAES256GCM] = field(default_factory=dict)
    unopened: Sequence[Unopened] = ()
    choice: SealingChoice = field(default_factory=SealingChoice)
    sealing: DataKey | None = None
    fresh_from: datetime = _NEVER
    fresh_until: datetime = _NEVER

    def is_fresh(self, now: datetime) -> bool:
        """True while it may be used without another read; false also when the clock has jumped back behind the read."""
        return self.fresh_from <= now < self.fresh_until

    @property
    def needs_key(self) -> bool:
        """Whether a new data key is to be made before anything can be sealed."""
        return not self.is_destroyed and self.choice.needs_key

    @property
    def is_destroyed(self) -> bool:
        """Whether the tenant's keys were destroyed."""
        return any(record.is_destroyed for record in self.records)

    def find(self, generation: int) -> DataKeyRecord | None:
        """The record of a generation."""
        return next((record for record in self.records if record.generation == generation), None)

    def require_sealing_key(self) -> DataKey:
        """The key that seals, or the error that tells why there is none."""
        self.raise_if_refused()
        if self.sealing is None:
            raise KeyUnavailable(f"tenant {self.tenant} has no data key that may seal; try again")
        return self.sealing

    def raise_if_refused(self) -> None:
        """Raise the error that tells why nothing can be sealed, where no new key would help."""
        self.raise_if_destroyed()
        if self.choice.refusal is not None:
            raise self.choice.refusal.with_traceback(None)

    def require_opening_key(self, key_id: bytes) -> XAES256GCM:
        """The cipher of a data key, or the error that tells why there is none."""
        cipher = self.ciphers.get(key_id)
        if cipher is not None:
            return cipher
        self.raise_if_destroyed()
        for each in self.unopened:
            if each.record.key_id == key_id:
                raise each.error.with_traceback(None)
        raise KeyUnavailable(
            f"data key {key_id.hex()} is not in the key ring of tenant {self.tenant}: if the ring was lost or restored "
            "from an older backup, restore the one that has it; nothing was deleted",
            key_id=key_id.hex(),
        )

    def hash_record(self) -> DataKeyRecord | None:
        """The record of the key for keyed hashes."""
        return next((record for record in self.records if record.purpose == "hash"), None)

    def require_hash_key(self) -> bytes:
        """The key for keyed hashes, or the error that tells why there is none."""
        self.raise_if_destroyed()
        for record, key in self.opened.items():
            if record.purpose == "hash" and isinstance(key, bytes):
                return key
        for each in self.unopened:
            if each.record.purpose == "hash" or each.record.generation == 0:
                raise each.error.with_traceback(None)
        raise KeyUnavailable(f"tenant {self.tenant} has no key for keyed hashes")

    def raise_if_destroyed(self) -> None:
        """Raise `KeyUnavailable` when the tenant's keys were destroyed."""
        for record in self.records:
            if record.is_destroyed:
                raise destroyed(record)


async def take_snapshot(
    records: Sequence[DataKeyRecord],
    master_key: MasterKey,
    *,
    now: datetime,
    refresh_interval: timedelta,
    previous: RingSnapshot,
) -> RingSnapshot:
    """Open what `previous` has not opened. A key that the master key does not open is logged and left out.

    Args:
        records: the ring's, by ascending generation.
        master_key: what opens them.
        now: when the records were read, at the latest.
        refresh_interval: for how long the snapshot is fresh.
        previous: the snapshot before. Its keys are taken for the same records only, byte for byte.
    """
    opened: dict[DataKeyRecord, XAES256GCM | bytes] = {}
    unopened: list[Unopened] = []
    is_destroyed = any(record.is_destroyed for record in records)
    for record in () if is_destroyed else records:
        try:
            known = previous.opened.get(record)
            opened[record] = known if known is not None else await _open(master_key, record)
        except MongostoreError as error:
            unopened.append(Unopened(record, error))
    for each in _of_one_id(list(opened)):
        del opened[each.record]
        unopened.append(each)
    for each in unopened:
        _logger.warning("A key of tenant %s is not usable: %s", each.record.tenant, each.error)

    choice = choose_sealing_key(
        now,
        list(opened),
        sorted(unopened, key=lambda each: each.record.generation),
        master_key_id=master_key.id,
        sealed_before=None if previous.sealing is None else previous.sealing.key_id,
    )
    ciphers = {record.key_id: key for record, key in opened.items() if isinstance(key, XAES256GCM)}
    active = choice.active
    next_activations = [record.activates_at for record in choice.sealable if record.activates_at > now]
    return RingSnapshot(
        tenant=previous.tenant,
        records=tuple(records),
        opened=opened,
        ciphers=ciphers,
        unopened=tuple(unopened),
        choice=choice,
        sealing=None if active is None else DataKey(active.key_id, ciphers[active.key_id]),
        fresh_from=now,
        fresh_until=min(now + refresh_interval, *next_activations) if next_activations else now + refresh_interval,
    )


async def _open(master_key: MasterKey, record: DataKeyRecord) -> XAES256GCM | bytes:
    key = await unwrap(master_key, record)
    return XAES256GCM(key) if record.purpose == "data" else key


def _of_one_id(records: Sequence[DataKeyRecord]) -> list[Unopened]:
    """Those that share an id, though all of them open: nobody can tell which one sealed what names it."""
    refused = []
    for record in records:
        others = [other for other in records if other.key_id == record.key_id and other is not record]
        if others:
            key_id = record.key_id.hex()
            error = KeyUnavailable(
                f"data key {key_id} stands twice in the key ring, in {place(record)} and in {place(others[0])}: neither is "
                "used. Remove the one that a backup of the ring has not; nothing was deleted",
                key_id=key_id,
            )
            refused.append(Unopened(record, error))
    return refused

"""A tenant's key ring as it was read at one moment, its keys unwrapped. The next read makes another."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from mongostore.errors import KeyUnavailable, MongostoreError
from mongostore.protection.master_keys import MasterKey
from mongostore.protection.rotation import active_data_key
from mongostore.protection.wrapped_keys import destroyed, unwrap
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
        ciphers: of the data keys that the master key opens, by key id.
        hash_keys: the key for keyed hashes, by key id; one or none.
        unopened: why the others are not there, by key id.
        sealing: the data key that seals, when it is there.
        fresh_from: when it was read.
        fresh_until: when it is to be read again: after the refresh interval, or when the next key activates.
    """

    tenant: str
    records: Sequence[DataKeyRecord] = ()
    ciphers: Mapping[bytes, XAES256GCM] = field(default_factory=dict)
    hash_keys: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    unopened: Mapping[bytes, MongostoreError] = field(default_factory=dict)
    sealing: DataKey | None = None
    fresh_from: datetime = _NEVER
    fresh_until: datetime = _NEVER

    def is_fresh(self, now: datetime) -> bool:
        """True while it may be used without another read; false also when the clock has jumped back behind the read."""
        return self.fresh_from <= now < self.fresh_until

    def find(self, generation: int) -> DataKeyRecord | None:
        """The record of a generation."""
        return next((record for record in self.records if record.generation == generation), None)

    def require_sealing_key(self) -> DataKey:
        """The key that seals, or the error that tells why there is none."""
        self.raise_if_destroyed()
        if self.sealing is not None:
            return self.sealing
        active = active_data_key(self.fresh_from, self.records)
        if active is None:
            raise KeyUnavailable(f"tenant {self.tenant} has no data key")
        raise self.unopened[active.key_id].with_traceback(None)

    def require_opening_key(self, key_id: bytes) -> XAES256GCM:
        """The cipher of a data key, or the error that tells why there is none."""
        cipher = self.ciphers.get(key_id)
        if cipher is not None:
            return cipher
        self.raise_if_destroyed()
        if key_id in self.unopened:
            raise self.unopened[key_id].with_traceback(None)
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
        record = self.hash_record()
        if record is None:
            raise KeyUnavailable(f"tenant {self.tenant} has no key for keyed hashes")
        if record.key_id in self.unopened:
            raise self.unopened[record.key_id].with_traceback(None)
        return self.hash_keys[record.key_id]

    def raise_if_destroyed(self) -> None:
        """Raise `KeyUnavailable` when the tenant's keys were destroyed."""
        for record in self.records:
            if record.wrapped is None:
                raise destroyed(record)


async def take_snapshot(
    records: Sequence[DataKeyRecord],
    master_key: MasterKey,
    *,
    now: datetime,
    refresh_interval: timedelta,
    previous: RingSnapshot,
) -> RingSnapshot:
    """Unwrap what `previous` has not unwrapped. A key that the master key does not open is logged and left out.

    Args:
        now: when the records were read, at the latest.
    """
    ciphers: dict[bytes, XAES256GCM] = {}
    hash_keys: dict[bytes, bytes] = {}
    unopened: dict[bytes, MongostoreError] = {}
    is_destroyed = any(record.wrapped is None for record in records)
    for record in () if is_destroyed else records:
        try:
            if record.purpose == "data":
                known = previous.ciphers.get(record.key_id)
                ciphers[record.key_id] = known or XAES256GCM(await unwrap(master_key, record))
            else:
                hash_keys[record.key_id] = previous.hash_keys.get(record.key_id) or await unwrap(master_key, record)
        except MongostoreError as error:
            _logger.warning("A key of tenant %s is not usable: %s", record.tenant, error)
            unopened[record.key_id] = error

    active = active_data_key(now, records)
    cipher = None if active is None else ciphers.get(active.key_id)
    next_activations = [record.activates_at for record in records if record.activates_at > now]
    return RingSnapshot(
        tenant=previous.tenant,
        records=tuple(records),
        ciphers=ciphers,
        hash_keys=hash_keys,
        unopened=unopened,
        sealing=None if active is None or cipher is None else DataKey(active.key_id, cipher),
        fresh_from=now,
        fresh_until=min(now + refresh_interval, *next_activations) if next_activations else now + refresh_interval,
    )

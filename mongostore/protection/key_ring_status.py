"""What an operator may see of a key ring: which keys there are and which one seals. No key material."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from mongostore.protection.ring_snapshot import RingSnapshot
from mongostore.protection.sealing_choice import may_seal
from mongostore.stores.data_keys import KeyPurpose


class DataKeyStatus(BaseModel):
    """One key of a ring.

    Attributes:
        key_id: 32 hex digits.
        age: since it was made.
        active: it is the one that seals.
        opens_only: it never seals: it was made under another master key than the current one.
    """

    model_config = ConfigDict(frozen=True)

    generation: int
    purpose: KeyPurpose
    key_id: str
    master_key_id: str
    created: datetime
    activates_at: datetime
    destroyed_at: datetime | None
    age: timedelta
    active: bool
    opens_only: bool


class KeyRingStatus(BaseModel):
    """The key ring of a tenant.

    Attributes:
        master_key_id: the current master key of this node; keys that name another are waiting for `rewrap`.
        active_key_id: the data key that seals, 32 hex digits; None before the first seal and after `destroy`.
        destroyed: the keys were destroyed, and nothing can be sealed for this tenant.
        keys: by ascending generation.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    master_key_id: str
    active_key_id: str | None
    destroyed: bool
    keys: tuple[DataKeyStatus, ...]


def describe_ring(now: datetime, ring: RingSnapshot, master_key_id: str) -> KeyRingStatus:
    """Describe the records of one tenant as they stand at `now`."""
    active = ring.choice.active
    return KeyRingStatus(
        tenant=ring.tenant,
        master_key_id=master_key_id,
        active_key_id=None if active is None else active.key_id.hex(),
        destroyed=ring.is_destroyed,
        keys=tuple(
            DataKeyStatus(
                generation=record.generation,
                purpose=record.purpose,
                key_id=record.key_id.hex(),
                master_key_id=record.master_key_id,
                created=record.created,
                activates_at=record.activates_at,
                destroyed_at=record.destroyed_at,
                age=now - record.created,
                active=record == active,
                opens_only=record.purpose == "data" and not may_seal(record, master_key_id),
            )
            for record in ring.records
        ),
    )

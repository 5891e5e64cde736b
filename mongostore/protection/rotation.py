"""When the next data key is due: decisions only, no input or output."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mongostore.stores.data_keys import DataKeyRecord

# Far more than makes sense, and little enough to be added to any instant of this time.
_LONGEST: Final = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class KeyRotationPolicy:
    """When data keys are replaced.

    Attributes:
        rotation_interval: how long a data key seals before its successor does.
        propagation: how long before it seals a successor is stored, so that every node has it by then.
    """

    rotation_interval: timedelta = timedelta(days=90)
    propagation: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Check that a successor can be announced before it is due.

        Raises:
            TypeError, ValueError: an interval has a wrong type or value.
        """
        for name in ("rotation_interval", "propagation"):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
            if value > _LONGEST:
                raise ValueError(f"{name} must not exceed {_LONGEST.days} days, but is {value.days} days")
        if not timedelta(0) <= self.propagation < self.rotation_interval:
            raise ValueError("propagation must not be negative and must be shorter than rotation_interval")


def newest_generation(records: Sequence[DataKeyRecord]) -> int:
    """The number of the newest data key, 0 when there is none."""
    return max((record.generation for record in records), default=0)


def active_data_key(now: datetime, records: Sequence[DataKeyRecord]) -> DataKeyRecord | None:
    """The record whose key seals at `now`: the newest that has activated, or None when there is none at all.

    On a node whose clock stands before every activation the oldest seals, so that a slow clock makes no key anew.
    """
    data_keys = sorted((record for record in records if record.purpose == "data"), key=lambda record: record.generation)
    activated = [record for record in data_keys if record.activates_at <= now]
    return next(iter(activated[-1:] or data_keys), None)


def decide_rotation(now: datetime, records: Sequence[DataKeyRecord], policy: KeyRotationPolicy) -> datetime | None:
    """Say whether the next data key is to be stored now, and when it activates.

    The first key is none of this: it is made by the first seal. A key announced for a time beyond `propagation` (by a
    node whose clock was ahead) does not count as the successor, or it would put rotation off until then.

    Args:
        now: the time.
        records: of the keys that may seal.
        policy: how often.
    """
    active = active_data_key(now, records)
    if active is None or any(record.is_destroyed for record in records):
        return None
    if now < active.activates_at + policy.rotation_interval - policy.propagation:
        return None
    activates_at = now + policy.propagation
    if any(now < record.activates_at <= activates_at for record in records):
        return None
    return activates_at

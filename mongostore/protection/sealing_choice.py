"""Which data key seals: a decision about keys that were opened, and about records that were not.

What does not open is believed in nothing but its generation: whoever changes a record must not make nodes seal under the
key before it, which may have leaked. So a younger record that does not open keeps older keys from sealing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mongostore.errors import KeyUnavailable, MongostoreError, StorageUnavailable
from mongostore.protection.rotation import active_data_key
from mongostore.stores.data_keys import DataKeyRecord


@dataclass(frozen=True, slots=True)
class Unopened:
    """A record whose key is not at hand."""

    record: DataKeyRecord
    error: MongostoreError


@dataclass(frozen=True, slots=True)
class SealingChoice:
    """What is to seal.

    Attributes:
        sealable: the records whose keys may seal, each in its time.
        active: the one of them that does; None when none may now.
        refusal: why none may; when there is none either, a new key is to be made.
    """

    sealable: tuple[DataKeyRecord, ...] = ()
    active: DataKeyRecord | None = None
    refusal: MongostoreError | None = None

    @property
    def needs_key(self) -> bool:
        """Whether a new key is to be made at once, younger than every record."""
        return self.active is None and self.refusal is None


def may_seal(record: DataKeyRecord, master_key_id: str) -> bool:
    """Whether a record, when it opens, is that of a key that seals: one made under the current master key."""
    return record.purpose == "data" and not record.opens_only and record.master_key_id == master_key_id


def choose_sealing_key(
    now: datetime,
    opened: Sequence[DataKeyRecord],
    unopened: Sequence[Unopened],
    *,
    master_key_id: str,
    sealed_before: bytes | None,
) -> SealingChoice:
    """Choose among the keys of a ring that is not destroyed.

    A new key is to be made when there is none yet, when all that open were made under other master keys, and when a
    younger record was damaged while others open, so that the master key is the right one. Where a younger key was wrapped
    by a master key that this node has not, it refuses: it would make keys against nodes that have another.

    Args:
        now: the time.
        opened: the records whose keys are at hand.
        unopened: all others.
        master_key_id: the current master key's.
        sealed_before: the id of the key that this node sealed by until now. It goes on while a younger one can't be
            opened because the service that keeps the master key does not answer.
    """
    sealable = tuple(record for record in opened if may_seal(record, master_key_id))
    active = active_data_key(now, sealable)
    data_keys = [record.generation for record in opened if record.purpose == "data"]
    known_to = active.generation if active is not None else max(data_keys, default=-1)
    younger = [each for each in unopened if each.record.generation > known_to]
    passing = all(isinstance(each.error, StorageUnavailable) for each in younger)
    if active is not None and passing and (not younger or active.key_id == sealed_before):
        return SealingChoice(sealable, active)
    damaged = all(
        each.record.damaged or (isinstance(each.error, KeyUnavailable) and each.record.master_key_id == master_key_id)
        for each in younger
    )
    if not younger or (damaged and opened):
        return SealingChoice(sealable)
    return SealingChoice(sealable, refusal=younger[-1].error)

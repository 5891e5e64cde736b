"""Ring records made and opened: the one place where data keys meet the master key. It holds no state."""

import os
from dataclasses import replace
from datetime import datetime
from typing import Final

from mongostore.errors import KeyUnavailable
from mongostore.protection.context import length_prefixed
from mongostore.protection.master_keys import MasterKey
from mongostore.stores.data_keys import DataKeyRecord, KeyPurpose

_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 16
# Frozen: wrapped keys are bound to contexts that begin so.
_LABEL: Final = b"mongostore/data-key/v1"


def wrapping_context(record: DataKeyRecord) -> bytes:
    """What a wrapped key is bound to, so that nobody who writes to the database can move it to another record.

    Layout (frozen): "mongostore/data-key/v1", then tenant, generation in decimal, purpose, and key id in lower-case
    hex, each as its length in bytes (4 bytes big-endian) and its UTF-8 text.
    """
    return _LABEL + length_prefixed(record.tenant, str(record.generation), record.purpose, record.key_id.hex())


async def new_record(
    master_key: MasterKey,
    *,
    tenant: str,
    generation: int,
    purpose: KeyPurpose,
    created: datetime,
    activates_at: datetime,
) -> DataKeyRecord:
    """Make a random key, wrapped; its clear form is not kept: it comes into use by being read back."""
    record = DataKeyRecord(
        tenant=tenant,
        generation=generation,
        purpose=purpose,
        key_id=os.urandom(_KEY_ID_BYTES),
        wrapped=None,
        master_key_id=master_key.id,
        created=_milliseconds(created),
        activates_at=_milliseconds(activates_at),
        destroyed_at=None,
    )
    return replace(record, wrapped=await master_key.wrap(os.urandom(_KEY_BYTES), wrapping_context(record)))


async def unwrap(master_key: MasterKey, record: DataKeyRecord) -> bytes:
    """Give the key of a record, 32 bytes.

    Raises:
        KeyUnavailable: it was destroyed, or the master key does not open it.
    """
    if record.wrapped is None:
        raise destroyed(record)
    key_id = record.key_id.hex()
    try:
        key = await master_key.unwrap(record.wrapped, wrapping_context(record), record.master_key_id)
    except KeyUnavailable as error:
        raise KeyUnavailable(
            f"data key {key_id} of tenant {record.tenant} was wrapped by master key {record.master_key_id} and is not "
            f"opened by the one given, {master_key.id} ({error}): give the store the master key that wrapped it, or "
            "MasterKeyChain(current, previous) with both; nothing was deleted",
            key_id=key_id,
        ) from error
    if len(key) != _KEY_BYTES:
        raise KeyUnavailable(
            f"master key {master_key.id} unwraps data key {key_id} of tenant {record.tenant} to {len(key)} bytes "
            f"instead of {_KEY_BYTES}: its unwrap() is at fault",
            key_id=key_id,
        )
    return key


async def rewrap(master_key: MasterKey, record: DataKeyRecord) -> DataKeyRecord:
    """Wrap the key of a record anew, by the current master key.

    Raises:
        KeyUnavailable: the master key does not open the record, or does not open what it has just wrapped.
    """
    key = await unwrap(master_key, record)
    rewrapped = replace(
        record, master_key_id=master_key.id, wrapped=await master_key.wrap(key, wrapping_context(record))
    )
    # The old form is about to be overwritten: a master key that can't read back what it writes would lose the key.
    if await unwrap(master_key, rewrapped) != key:
        raise KeyUnavailable(
            f"master key {master_key.id} does not give back data key {record.key_id.hex()} as it wrapped it; "
            "the record was left as it was",
            key_id=record.key_id.hex(),
        )
    return rewrapped


def destroyed(record: DataKeyRecord) -> KeyUnavailable:
    """Make the error for a tombstone."""
    when = "" if record.destroyed_at is None else f" at {record.destroyed_at.isoformat()}"
    return KeyUnavailable(
        f"the keys of tenant {record.tenant} were destroyed{when}: what they sealed can't be read again, and nothing "
        "new can be stored for this tenant",
        key_id=record.key_id.hex(),
    )


def _milliseconds(instant: datetime) -> datetime:
    """Cut to what the database keeps, so that a record reads back as it was written."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)

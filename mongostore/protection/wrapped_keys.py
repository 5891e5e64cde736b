"""Ring records made and opened: the one place where data keys meet the master key. It holds no state."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from mongostore.errors import KeyUnavailable
from mongostore.protection.context import length_prefixed
from mongostore.protection.master_keys import MasterKey
from mongostore.stores.data_keys import DataKeyRecord, KeyPurpose

_REMEDY: Final = "Restore it from a backup of the ring, or remove it if nothing was sealed by it; nothing was deleted"
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 16
CONTEXT_VERSION: Final = 2
# Frozen: wrapped keys are bound to contexts that begin so.
_LABEL_1: Final = b"mongostore/data-key/v1"
_LABEL_2: Final = b"mongostore/data-key/v2"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def wrapping_context(record: DataKeyRecord) -> bytes:
    """What a wrapped key is bound to, so that nobody who writes to the database can move it, or change when it seals.

    Layout (frozen): "mongostore/data-key/v2", then tenant, generation in decimal, purpose, key id in lower-case hex,
    master key id, creation and activation in milliseconds since 1970 in decimal, and "opens" for a key that opens
    only or "seals" for every other; each as its length in bytes (4 bytes big-endian) and its UTF-8 text.

    Version 1 (frozen) begins with "mongostore/data-key/v1", and ends behind the key id.

    Raises:
        KeyUnavailable: it is of a version that is not known here.
    """
    identity = (record.tenant, str(record.generation), record.purpose, record.key_id.hex())
    if record.context_version == 1:
        return _LABEL_1 + length_prefixed(*identity)
    if record.context_version != CONTEXT_VERSION:
        raise KeyUnavailable(
            f"data key {record.key_id.hex()} of tenant {record.tenant} was wrapped by a newer version of mongostore "
            f"(context version {record.context_version}): update this node",
            key_id=record.key_id.hex(),
        )
    lifecycle = (
        record.master_key_id,
        _since_epoch(record.created),
        _since_epoch(record.activates_at),
        "opens" if record.opens_only else "seals",
    )
    return _LABEL_2 + length_prefixed(*identity, *lifecycle)


async def new_record(
    master_key: MasterKey,
    *,
    tenant: str,
    generation: int,
    purpose: KeyPurpose,
    created: datetime,
    activates_at: datetime,
) -> DataKeyRecord:
    """Make a random key, wrapped; its clear form is not kept: it comes into use by being read back.

    Raises:
        KeyUnavailable: the master key does not open what it has just wrapped.
    """
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
    return await _wrapped(master_key, record, os.urandom(_KEY_BYTES))


async def unwrap(master_key: MasterKey, record: DataKeyRecord) -> bytes:
    """Give the key of a record, 32 bytes.

    Raises:
        KeyUnavailable: it was destroyed, or the master key does not open it.
    """
    if record.is_destroyed or record.wrapped is None:
        raise destroyed(record)
    key_id = record.key_id.hex()
    if record.damaged:
        raise KeyUnavailable(f"{place(record)} was changed from outside, and is no data key any more: {_REMEDY}")
    try:
        key = await master_key.unwrap(record.wrapped, wrapping_context(record), record.master_key_id)
    except KeyUnavailable as error:
        if record.master_key_id == master_key.id:
            raise KeyUnavailable(
                f"data key {key_id} in {place(record)} is not opened by master key {master_key.id}, which is said to have "
                f"wrapped it ({error}): the record was changed from outside. {_REMEDY}",
                key_id=key_id,
            ) from error
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
    """Wrap the key of a record anew, by the current master key, bound to all that the record says of it.

    A data key that another master key wrapped opens only from then on: whoever had that one could have put it there.

    Raises:
        KeyUnavailable: the master key does not open the record, or does not open what it has just wrapped.
    """
    key = await unwrap(master_key, record)
    is_foreign = record.purpose == "data" and record.master_key_id != master_key.id
    renewed = replace(
        record,
        master_key_id=master_key.id,
        opens_only=record.opens_only or is_foreign,
        context_version=CONTEXT_VERSION,
    )
    return await _wrapped(master_key, renewed, key)


async def _wrapped(master_key: MasterKey, record: DataKeyRecord, key: bytes) -> DataKeyRecord:
    wrapped = replace(record, wrapped=await master_key.wrap(key, wrapping_context(record)))
    # A master key that can't read back what it writes would lose the key, or block the ring.
    if await unwrap(master_key, wrapped) != key:
        raise KeyUnavailable(
            f"master key {master_key.id} does not give back data key {record.key_id.hex()} as it wrapped it; "
            "the ring was left as it was",
            key_id=record.key_id.hex(),
        )
    return wrapped


def place(record: DataKeyRecord) -> str:
    """Name a record to who has to look at it."""
    return f"the record {record.tenant}|{record.generation} of the key ring"


def destroyed(record: DataKeyRecord) -> KeyUnavailable:
    """Make the error for a tombstone."""
    when = "" if record.destroyed_at is None else f" at {record.destroyed_at.isoformat()}"
    return KeyUnavailable(
        f"the keys of tenant {record.tenant} were destroyed{when}: what they sealed can't be read again, and nothing "
        "new can be stored for this tenant",
        key_id=record.key_id.hex(),
    )


def _since_epoch(instant: datetime) -> str:
    return str((instant - _EPOCH) // timedelta(milliseconds=1))


def _milliseconds(instant: datetime) -> datetime:
    """Cut to what the database keeps, so that a record reads back as it was written."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)

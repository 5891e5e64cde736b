"""`SigningKeyRecords` without a database."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from mongostore.clock import Clock
from mongostore.models import SerializedKey
from mongostore.models.identifiers import is_identifier
from mongostore.stores.signing_keys import (
    SigningKeyRecord,
    SigningKeySnapshot,
    check_signing_key,
    signing_key_exists,
)


class MemorySigningKeyStore:
    """Signing keys of one tenant in a dictionary. What changes it does not suspend, so each change is atomic."""

    def __init__(self, check: Callable[[SerializedKey], None], clock: Clock) -> None:
        """Make it empty.

        Args:
            check: raises `ValueError` for a key that could not sign.
            clock: the store's own time.
        """
        self._check = check
        self._clock = clock
        self._generation = 0
        self._records: dict[str, SigningKeyRecord] = {}

    async def load_keys(self) -> list[SerializedKey]:
        """See `SigningKeyStore.load_keys`."""
        return [record.key for record in self._records.values() if record.key is not None]

    async def store_key(self, key: SerializedKey) -> None:
        """See `SigningKeyStore.store_key`."""
        key = check_signing_key(key)
        await asyncio.to_thread(self._check, key)
        if key.id in self._records:
            raise signing_key_exists(key.id)
        self._append(key, supersedes=False)

    async def delete_key(self, id: str) -> bool:  # noqa: A002 - the reference's name
        """See `SigningKeyStore.delete_key`."""
        return is_identifier(id) and self._records.pop(id, None) is not None

    async def read(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read`."""
        return SigningKeySnapshot(self._generation, tuple(self._records.values()), self._clock.now())

    async def read_unopened(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read_unopened`."""
        return SigningKeySnapshot(
            self._generation, tuple(replace(record, key=None) for record in self._records.values()), self._clock.now()
        )

    async def add(self, key: SerializedKey, *, after: int, supersedes: bool = False) -> bool:
        """See `SigningKeyRecords.add`."""
        key = check_signing_key(key)
        if after != self._generation:
            return False
        self._append(key, supersedes=supersedes)
        return True

    async def retire(self, generation: int, at: datetime) -> bool:
        """See `SigningKeyRecords.retire`."""
        found = [record.id for record in self._records.values() if record.generation == generation]
        return bool(found) and self._clock.now() >= at and await self.delete_key(found[0])

    def _append(self, key: SerializedKey, *, supersedes: bool) -> None:
        self._generation += 1
        self._records[key.id] = SigningKeyRecord(
            self._generation,
            key.id,
            key.algorithm,
            key.created,
            supersedes=supersedes,
            stored=self._clock.now(),
            key=key,
        )

"""`SigningKeyRecords` without a database."""

from dataclasses import replace

from mongostore.models import SerializedKey
from mongostore.models.identifiers import is_identifier
from mongostore.stores.signing_keys import (
    SigningKeyRecord,
    SigningKeySnapshot,
    check_signing_key,
    signing_key_exists,
)


class MemorySigningKeyStore:
    """Signing keys of one tenant in a dictionary. No method suspends, so each is atomic."""

    def __init__(self) -> None:
        self._generation = 0
        self._records: dict[str, SigningKeyRecord] = {}

    async def load_keys(self) -> list[SerializedKey]:
        """See `SigningKeyStore.load_keys`."""
        return [record.key for record in self._records.values() if record.key is not None]

    async def store_key(self, key: SerializedKey) -> None:
        """See `SigningKeyStore.store_key`."""
        check_signing_key(key)
        if key.id in self._records:
            raise signing_key_exists(key.id)
        self._append(key, supersedes=False)

    async def delete_key(self, id: str) -> bool:  # noqa: A002 - the reference's name
        """See `SigningKeyStore.delete_key`."""
        return is_identifier(id) and self._records.pop(id, None) is not None

    async def read(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read`."""
        return SigningKeySnapshot(self._generation, tuple(self._records.values()))

    async def read_unopened(self) -> SigningKeySnapshot:
        """See `SigningKeyRecords.read_unopened`."""
        return SigningKeySnapshot(
            self._generation, tuple(replace(record, key=None) for record in self._records.values())
        )

    async def add(self, key: SerializedKey, *, after: int, supersedes: bool = False) -> bool:
        """See `SigningKeyRecords.add`."""
        check_signing_key(key)
        if after != self._generation:
            return False
        self._append(key, supersedes=supersedes)
        return True

    def _append(self, key: SerializedKey, *, supersedes: bool) -> None:
        self._generation += 1
        self._records[key.id] = SigningKeyRecord(
            self._generation, key.id, key.algorithm, key.created, supersedes=supersedes, key=key
        )

"""Where data keys are kept, wrapped. What a wrapped key means is the key ring's business, not the store's."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

KeyPurpose = Literal["data", "hash"]


@dataclass(frozen=True, slots=True)
class DataKeyRecord:
    """One generation of a tenant's keys, as stored. The fields are frozen.

    Attributes:
        tenant: the tenant's slug.
        generation: with the tenant, the record's identity. Data keys count from 1; 0 is the key for keyed hashes.
        purpose: "data" seals payloads and is replaced by rotation; "hash" is for keyed hashes and stays.
        key_id: 16 random bytes; sealed values name their key by it.
        wrapped: the key, wrapped by a master key; None once destroyed: what remains is the tombstone.
        master_key_id: the id of the master key that wrapped it.
        created: when it was made, in milliseconds.
        activates_at: from when on it seals, in milliseconds.
        destroyed_at: when it was destroyed, in milliseconds, or None.
        opens_only: it never seals, because it was made under another master key than the one that wraps it now.
        context_version: what `wrapped` is bound to: all of the fields above (2), or not its times and master key (1, as
            former versions wrote).
        damaged: something wrote to the record what no key has: it can't be opened. The generation alone is certain.
    """

    tenant: str
    generation: int
    purpose: KeyPurpose
    key_id: bytes
    wrapped: bytes | None
    master_key_id: str
    created: datetime
    activates_at: datetime
    destroyed_at: datetime | None
    opens_only: bool = False
    context_version: int = 2
    damaged: bool = False

    @property
    def is_destroyed(self) -> bool:
        """True for a tombstone."""
        return self.wrapped is None or self.destroyed_at is not None


class DataKeyStore(Protocol):
    """Keeps the key ring of every tenant. All methods raise `StorageUnavailable` when the database does not answer."""

    async def load(self, tenant: str) -> list[DataKeyRecord]:
        """All records of a tenant, tombstones and damaged ones included, by ascending generation.

        Reads what a majority of the replica set holds, from the primary: what `insert` acknowledged is there.
        """

    async def insert(self, record: DataKeyRecord) -> bool:
        """Store a new generation, unless it exists: of any number of callers, one inserts a generation.

        Returns:
            True once a majority has it; False when that generation of the tenant exists, tombstones included.

        Raises:
            StorageUnavailable: it is not known whether the record was stored; load to see.
        """

    async def replace_wrapped(self, record: DataKeyRecord, expected: DataKeyRecord) -> bool:
        """Replace `wrapped`, `master_key_id`, `opens_only` and `context_version` of a generation, one conditional write.

        Args:
            record: as it is to be.
            expected: as it was read.

        Returns:
            False, with nothing changed, when the stored record is not `expected` any more. So a destroyed key is never
            brought back.
        """

    async def destroy(self, tenant: str, at: datetime) -> int:
        """Erase `wrapped` of every key of a tenant and set `destroyed_at`; the records stay, as tombstones.

        Returns:
            How many records were changed, once a majority has the change; those destroyed before don't count.
        """

    async def tenants(self) -> list[str]:
        """Every tenant that has a record, tombstones included, in ascending order."""

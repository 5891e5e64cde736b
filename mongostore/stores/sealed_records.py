"""Where sealed values lie, whatever their noun: what re-encryption needs to know of a database."""

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class SealedValue:
    """One sealed value, with its place.

    Attributes:
        record_id: what the record is found by, without the tenant.
        field: the field that holds it.
        envelope: as it was read; whether it is one is not known.
        sealed_to: what it is bound to where that is not `record_id`.
    """

    record_id: str
    field: str
    envelope: bytes = dataclasses.field(repr=False)
    sealed_to: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SealedPage:
    """What one look into a collection found.

    Attributes:
        values: in the order of their records.
        last: where the next look begins; None when there is nothing behind.
    """

    values: Sequence[SealedValue]
    last: str | None


class SealedRecordStore(Protocol):
    """The sealed values of one tenant. All methods raise `StorageUnavailable` when the database does not answer."""

    @property
    def labels(self) -> Sequence[str]:
        """The frozen labels of the collections that have sealed fields."""

    def exclusively(self) -> AbstractAsyncContextManager[object]:
        """Run the block in one place at a time; it is cancelled when that can't be promised any longer.

        Raises:
            StorageUnavailable: another one did not finish while this one waited, or the block lost its right.
        """

    async def find_stale(self, label: str, key_id: bytes, *, after: str, limit: int) -> SealedPage:
        """Find values that another data key sealed, or that no key did.

        Args:
            key_id: the data key whose values are left out.
            after: the record to begin behind; "" begins at the first.
            limit: how many records are looked at, at most. How large they are doesn't matter: a page is cut at 16 MiB.
        """

    async def replace(self, label: str, changes: Sequence[tuple[SealedValue, bytes]]) -> int:
        """Replace each value by a new envelope, if it is still what was read: one conditional write for each.

        Returns:
            How many were replaced; the others were changed or removed meanwhile, and are left as they are.
        """

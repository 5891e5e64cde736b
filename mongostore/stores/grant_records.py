"""What the typed grant stores need beside `PersistedGrantStore`: families, successors, changes that never resurrect."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mongostore.models import PersistedGrant

# Between the redemption of a code and the storing of what is issued for it lies the work of one request.
CLOSED_FAMILY_KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant and what only the typed stores know of it.

    Attributes:
        grant: the grant, data in clear.
        family: what it and all that was issued from it have in common.
        predecessor: grant key of the token that it replaced.
        successor_key: grant key of the token that replaced it.
        successor_handle: that token's handle: a secret.
        completed: whether what the grant asked for has been answered; False where nothing is asked.
    """

    grant: PersistedGrant
    family: str | None = None
    predecessor: str | None = None
    successor_key: str | None = None
    successor_handle: str | None = None
    completed: bool = False

    def __repr__(self) -> str:
        """Without the handle."""
        return f"GrantRecord({self.grant!r}, family={self.family!r})"


class GrantRecordStore(Protocol):
    """Single grants and their transitions. Each method is one conditional operation on one record.

    A pending record is invisible to every read and list, here and in `PersistedGrantStore`, but not to removal.
    """

    async def insert(self, record: GrantRecord, *, pending_until: datetime | None = None) -> None:
        """Add a record that is not there yet.

        Args:
            record: what to add.
            pending_until: when given, the record stays invisible until `make_live`, and is purged at that instant.

        Raises:
            AlreadyExists: its key is taken.
        """

    async def insert_into_family(self, record: GrantRecord) -> bool:
        """Add a record to a family that may be removed at the same time: then nothing of it is left.

        Returns:
            False when the family was closed, by `close_family`, within the last `CLOSED_FAMILY_KEPT`.

        Raises:
            AlreadyExists: its key is taken.
        """

    async def close_family(self, family: str) -> None:
        """Let nothing be inserted into a family any more; what is in it stays until `remove_family`."""

    async def find(self, key: str) -> GrantRecord | None:
        """Read a record that is present, consumed or not."""

    async def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """Consume the grant: its record as it was, to exactly one caller; None when absent or already consumed.

        Args:
            key: the grant's.
            completed: take it only if it is completed; None otherwise.
        """

    async def update(self, grant: PersistedGrant, *, completed: bool = False) -> bool:
        """Change what a live, not yet consumed grant of the same type and client says. Never brings one back.

        Args:
            grant: what it says from now on, under its key.
            completed: whether what it asked for has been answered.

        Returns:
            False when there is no such grant.
        """

    async def succeed(self, key: str, *, successor_key: str, successor_handle: str) -> bool:
        """Consume the grant for a successor, and keep it until its own expiration; False when it is not live."""

    async def make_live(self, key: str) -> bool:
        """Make a pending record visible; also True when it is live already. False when consumed or gone."""

    async def discard_pending(self, key: str) -> None:
        """Remove a record that never became live."""

    async def remove_family(self, family: str) -> int:
        """Remove every record of a family, those included that a concurrent rotation adds; give their number."""


def purge_time(expiration: datetime | None, consumed_time: datetime | None, retention: timedelta) -> datetime | None:
    """From when on a record serves nobody; None: never."""
    if consumed_time is None:
        return expiration
    kept_until = consumed_time + retention
    return kept_until if expiration is None else min(expiration, kept_until)

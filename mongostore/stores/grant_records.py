"""What the typed grant stores need beside `PersistedGrantStore`: families, successors, changes that never resurrect."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from mongostore.models import PersistedGrant, PersistedGrantFilter, PersistedGrantType

CODE: Final = PersistedGrantType.AuthorizationCode.value
REFRESH: Final = PersistedGrantType.RefreshToken.value
REFERENCE: Final = PersistedGrantType.ReferenceToken.value

# Between the redemption of a code and the storing of what is issued for it lies the work of one request.
CODE_KEPT: Final = timedelta(hours=1)
"""How long a redeemed code is kept at least, whatever its lifetime: so long may tokens be issued from it."""

CLOSED_FAMILY_KEPT: Final = timedelta(hours=1)
"""How long a family that the caller has named takes nothing in after it was removed."""

# A caller that uses such a name by chance would have to have our random part: nobody names a family so.
_ANCHORED_FAMILY: Final = re.compile(r"code-[0-9a-f]{32}|[0-9A-F]{64}")


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant and what only the typed stores know of it.

    Attributes:
        grant: the grant, data in clear.
        family: what it and all that was issued from it have in common.
        predecessor: grant key of the token that it replaced.
        successor_key: grant key of the token that replaced it.
        successor_handle: that token's handle: a secret.
        successor_expiration: when that token expires; None when it never does, or that is not known.
        completed: whether what the grant asked for has been answered; False where nothing is asked.
        is_bound: False for a record of the form in which nothing vouched for what stood beside the data: the data must.
    """

    grant: PersistedGrant
    family: str | None = None
    predecessor: str | None = None
    successor_key: str | None = None
    successor_handle: str | None = None
    successor_expiration: datetime | None = None
    completed: bool = False
    is_bound: bool = True

    def __repr__(self) -> str:
        """Without the handle."""
        return f"GrantRecord({self.grant!r}, family={self.family!r})"


class GrantRecordStore(Protocol):
    """Single grants and their transitions. Each method but the last is one conditional operation on one record.

    A pending record is invisible to every read and list, here and in `PersistedGrantStore`, but not to removal.

    An *anchor* is a record for whose sake tokens may still be issued into its family: a redeemed code, and a refresh token
    that founded the family or was made by a rotation. What is to be removed is closed first, so that nothing is issued
    from it or succeeds it any more, and then removed.
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

        A family that is named after a code or a token (`is_anchored`) takes it in while there is an anchor; a refresh
        token, while that is a code: later ones come by rotation. One that the caller has named does so unless it was
        removed within the last `CLOSED_FAMILY_KEPT`.

        Returns:
            False when the family does not take it in.

        Raises:
            AlreadyExists: its key is taken.
        """

    async def find(self, key: str, *, kept: bool = False) -> GrantRecord | None:
        """Read a record that is present, consumed or not.

        Args:
            key: the grant's.
            kept: also give a consumed one that has expired, as long as it is kept.
        """

    async def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """Consume the grant: its record as it was, to exactly one caller; None when absent or already consumed.

        A code becomes an anchor by it.

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

    async def succeed(
        self, record: GrantRecord, *, successor: PersistedGrant, successor_handle: str, grace: timedelta
    ) -> bool:
        """Consume a grant for a successor, and keep it until the later of its expiration and the end of the grace.

        Args:
            record: the grant's, as it was read.
            successor: the grant that replaces it.
            successor_handle: that one's handle.
            grace: for how long a second use may be a retry.

        Returns:
            False when it is not live.
        """

    async def make_live(self, key: str) -> bool:
        """Make a pending record visible; also True when it is live already. False when consumed or gone."""

    async def count_retry(self, key: str) -> int:
        """Count that a used token was presented again within its grace: how often it has been; 0 when it is gone."""

    async def discard_pending(self, key: str) -> None:
        """Remove a record that never became live."""

    async def remove_family(self, family: str, *, last: str | None = None) -> int:
        """Close a family, then remove every record of it; give their number.

        Args:
            family: which.
            last: the key of the record that the caller found it by: it goes when all others are gone, so that a call
                that is repeated after a failure finds the family again.

        Those included that a concurrent rotation adds. Once this has returned, nothing is issued into the family: for
        good where it is named after a code or a token, for `CLOSED_FAMILY_KEPT` where the caller has named it.
        """


def is_anchored(family: str) -> bool:
    """Whether a family is named after a code or a token, so that it takes in nothing without an anchor."""
    return _ANCHORED_FAMILY.fullmatch(family) is not None


def is_issuing(grant: PersistedGrant, family: str | None) -> bool:
    """Whether tokens may be issued into a family from a grant that is stored now: a refresh token that founds it.

    One that joins a family is no anchor: while it is being added, nobody knows yet whether the family takes it in.
    """
    return family == grant.key and grant.type == REFRESH and grant.consumed_time is None


def is_kept_in_use(grant: PersistedGrant, family: str | None) -> bool:
    """Whether tokens may be issued into a family from a grant that is updated now: a live refresh token."""
    return family is not None and grant.type == REFRESH and grant.consumed_time is None


def removed_types(wanted: PersistedGrantFilter) -> tuple[frozenset[str], frozenset[str]]:
    """What a removal does to the types of grants that tokens are issued from.

    Returns:
        The types whose grants go, and are closed before; and those whose grants stay, but are no anchors any more, since
        what is issued from them goes.
    """
    issuing = frozenset({CODE, REFRESH})
    types = wanted.effective_types
    if types is None:
        return issuing, frozenset()
    closed = issuing & types
    return closed, issuing - closed if types & {REFRESH, REFERENCE} else frozenset()


def purge_time(grant: PersistedGrant, retention: timedelta) -> datetime | None:
    """When a grant's record may be deleted; None: never.

    A used refresh token is kept until it expires, so that its replay is seen; a redeemed code for `CODE_KEPT` at least.
    """
    if grant.consumed_time is None or (grant.type == REFRESH and grant.expiration is not None):
        return grant.expiration
    kept_until = later(grant.consumed_time, retention)
    purge_at = kept_until if grant.expiration is None else min(grant.expiration, kept_until)
    return max(purge_at, later(grant.consumed_time, CODE_KEPT)) if grant.type == CODE else purge_at


def later(instant: datetime, delay: timedelta) -> datetime:
    """An instant after a delay; the last one of the calendar where that lies beyond it."""
    try:
        return instant + delay
    except OverflowError:
        return datetime.max.replace(microsecond=999_000, tzinfo=instant.tzinfo)

"""Where grants are kept: codes, refresh and reference tokens, consents, by key and by filter."""

from datetime import datetime
from typing import Protocol

from mongostore.models import PersistedGrant, PersistedGrantFilter


class PersistedGrantStore(Protocol):
    """Grants by their key.

    A grant is absent for reads and consumption once it is expired (`expiration <= now`), or consumed and no longer
    retained, whether or not the record is physically gone. Storing over and removing act on what is physically there.
    The data of a grant is in clear here and sealed below.
    """

    async def store(self, grant: PersistedGrant) -> None:
        """Insert the grant, or replace whatever is stored under its key, all fields included: one atomic operation.

        MongoDB is sent an insert first when nobody has set `consumed_time`, not even to None; for what was read before,
        a replacement. Each does what the other would, by one more command where a key is taken after all.

        Raises:
            TypeError, ValueError: the grant holds what can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """

    async def get(self, key: str) -> PersistedGrant | None:
        """Read a grant; a consumed one comes with its `consumed_time`.

        Raises:
            PayloadUnreadable: the stored record is damaged.
            KeyUnavailable: the data key that sealed it is missing.
        """

    async def get_all(self, filter: PersistedGrantFilter) -> list[PersistedGrant]:  # noqa: A002 - the reference's name
        """Read every grant that the filter matches, consumed ones included, in no particular order.

        Unreadable ones are logged and left out.

        Raises:
            ValueError: nothing is set in the filter.
            PayloadUnreadable, KeyUnavailable: not one of those found could be read.
        """

    async def remove(self, key: str) -> bool:
        """Remove a grant: True when there was one, False otherwise."""

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - the reference's name
        """Remove every grant that the filter matches, pending and expired ones included, and give their number.

        What a concurrent rotation makes of a matching token is removed as well. After a fail-over during the call the
        number is a lower bound.

        Raises:
            ValueError: nothing is set in the filter.
        """

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove every grant that was created before an instant, whatever its state; give their number.

        It reads all of the tenant's. For after a restore; see `GrantService.revoke_before`.
        """

    async def consume(self, key: str) -> PersistedGrant | None:
        """Take the grant if nobody has: exactly one of any number of callers gets it.

        Args:
            key: SHA-256 of handle and grant type, upper-case hex, 64 characters, for the typed grants.

        Returns:
            The grant as it was before, or None when absent, expired or already consumed.

        One atomic operation on every backend. See RFC 6749 §4.1.2 (single use), RFC 9700 §4.14 (replay).
        """

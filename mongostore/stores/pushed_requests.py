"""Pushed authorization requests, found by the hash of their reference value (RFC 9126)."""

from typing import Protocol

from mongostore.models import PersistedGrantFilter, PushedAuthorizationRequest

LABEL = "pushed_authorization_requests"


class PushedAuthorizationRequestStore(Protocol):
    """The pushed authorization requests of one tenant.

    A request is absent for reads and consumption once it is expired (`expires_at_utc <= now`) or consumed, whether or
    not the record is physically gone. An expired one never blocks its hash; a consumed one does until it expires or
    the retention is over. The hash is text of any form, compared byte for byte, and is itself stored as a hash only.
    """

    async def store(self, par: PushedAuthorizationRequest) -> None:
        """Keep a new request.

        Raises:
            AlreadyExists: there is one under this hash. Of two callers with the same hash, one is told.
            TypeError, ValueError: the request can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """

    async def get_by_hash(self, hash: str) -> PushedAuthorizationRequest | None:  # noqa: A002 - the reference's name
        """Look a request up without consuming it.

        Raises:
            PayloadUnreadable, KeyUnavailable: the stored record can't be read.
        """

    async def consume_by_hash(self, hash: str) -> PushedAuthorizationRequest | None:  # noqa: A002 - as above
        """Take a request: exactly one of any number of callers gets it, the others None (RFC 9126 §4).

        One atomic operation on every backend.
        """

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - as in `PersistedGrantStore`
        """Remove the requests of a subject, a session or clients, whatever their state, and give their number.

        Args:
            filter: what is given must all hold; types do not matter here.

        Raises:
            ValueError: nothing is set in the filter.
        """

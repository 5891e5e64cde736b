"""`PushedAuthorizationRequestStore` without a database."""

from datetime import timedelta

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists
from mongostore.memory.expiring_table import ExpiringTable
from mongostore.models import PersistedGrantFilter, PushedAuthorizationRequest
from mongostore.models.grants import check_filter, owns
from mongostore.models.identifiers import is_identifier
from mongostore.models.revalidation import revalidated
from mongostore.stores.payloads import payload_of, value_of
from mongostore.stores.pushed_requests import LABEL, PushedAuthorizationRequestStore


class MemoryPushedAuthorizationRequestStore(PushedAuthorizationRequestStore):
    """The pushed authorization requests of one tenant in a dictionary.

    Attributes:
        table: where they lie, for the cleanup.
    """

    def __init__(self, clock: Clock, consumed_retention: timedelta) -> None:
        """Args: the time, and how long consumed requests are kept."""
        self.table: ExpiringTable[bytes] = ExpiringTable(clock)
        self._consumed_retention = consumed_retention

    async def store(self, par: PushedAuthorizationRequest) -> None:
        """See `PushedAuthorizationRequestStore.store`."""
        par = revalidated(par, PushedAuthorizationRequest)
        payload = payload_of(par, PushedAuthorizationRequest)
        if not self.table.insert_over_expired(par.reference_value_hash, payload, par.expires_at_utc):
            raise AlreadyExists(
                "a pushed authorization request with this hash exists already; make a new reference value"
            )

    async def get_by_hash(self, hash: str) -> PushedAuthorizationRequest | None:  # noqa: A002 - the reference's name
        """See `PushedAuthorizationRequestStore.get_by_hash`."""
        return _value(self.table.find(hash)) if is_identifier(hash) else None

    async def consume_by_hash(self, hash: str) -> PushedAuthorizationRequest | None:  # noqa: A002 - as above
        """See `PushedAuthorizationRequestStore.consume_by_hash`."""
        return _value(self.table.take(hash, self._consumed_retention)) if is_identifier(hash) else None

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - as in `PersistedGrantStore`
        """Remove the requests of a subject, session or clients; see `PushedAuthorizationRequestStore.remove_all`."""
        wanted = check_filter(filter)
        return self.table.remove_all(lambda payload: owns(wanted, value_of(payload, PushedAuthorizationRequest, LABEL)))


def _value(payload: bytes | None) -> PushedAuthorizationRequest | None:
    return value_of(payload, PushedAuthorizationRequest, LABEL) if payload else None

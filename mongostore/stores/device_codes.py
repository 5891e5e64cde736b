"""Device authorization requests, found by their device code or by their user code (RFC 8628)."""

from datetime import datetime, timedelta
from typing import Protocol

from mongostore.models import DeviceCode, PersistedGrantFilter
from mongostore.stores.arguments import check_duration

LABEL = "device_codes"


class DeviceFlowStore(Protocol):
    """The device authorization requests of one tenant.

    A request is absent for reads, updates and consumption once it is expired (creation and lifetime) or consumed,
    whether or not the record is physically gone. An expired one never blocks its codes. Neither code is stored: the
    device code is hashed, the user code, which is short, with a key. Codes are compared byte for byte.
    """

    async def store_device_authorization(self, device_code: str, user_code: str, data: DeviceCode) -> None:
        """Keep a new request under both of its codes.

        Raises:
            AlreadyExists: one of the codes is taken; draw new ones. Of two callers with the same code, one is told.
            TypeError, ValueError: a code or the data can't be stored.
            ConfigurationError: the index that keeps user codes unique is missing.
            StorageUnavailable: no majority confirmed it in time.
        """

    async def find_by_user_code(self, user_code: str) -> DeviceCode | None:
        """Look a request up for the user who typed the code.

        Raises:
            PayloadUnreadable, KeyUnavailable: the stored record can't be read.
        """

    async def find_by_device_code(self, device_code: str) -> DeviceCode | None:
        """Look a request up for the device that polls. Raises as `find_by_user_code`."""

    async def update_by_user_code(self, user_code: str, data: DeviceCode) -> None:
        """Write down the user's answer. The record expires when it always would have, whatever `data` says.

        Raises:
            NotFound: there is no such request, or it has expired or been consumed: it is not brought back.
            TypeError, ValueError: the data can't be stored.
        """

    async def remove_by_device_code(self, device_code: str) -> bool:
        """Remove a request: True when there was one, expired and consumed ones included."""

    async def consume_by_device_code(self, device_code: str) -> DeviceCode | None:
        """Take a request that the user has answered: exactly one of any number of callers gets it.

        Returns:
            The request, or None when absent, expired, consumed, or not yet answered (`is_authorized`). A request that
            was denied is answered as well: authorized for no scopes.

        One atomic operation on every backend.
        """

    async def register_poll(self, device_code: str, interval: timedelta) -> bool:
        """Note that the device polls, and tell whether it may (RFC 8628 §3.5).

        Args:
            device_code: whose poll; an unknown one is not slowed.
            interval: what must lie between two polls. One that comes too early counts: the interval begins anew.

        Returns:
            False when it must be told slow_down.

        One atomic operation on every backend: of polls at the same time, one is told True.
        """

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - as in `PersistedGrantStore`
        """Remove the requests of a subject, a session or clients, whatever their state, and give their number.

        Args:
            filter: what is given must all hold; types do not matter here.

        Raises:
            ValueError: nothing is set in the filter.
        """

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove every request that was created before an instant, whatever its state; give their number.

        It reads all of the tenant's. For after a restore; see `GrantService.revoke_before`.
        """


def check_interval(interval: object) -> timedelta:
    """Give the interval between polls back.

    Raises:
        TypeError: it is no duration.
        ValueError: it is negative, or longer than ten years.
    """
    return check_duration("interval", interval, may_be_zero=True)

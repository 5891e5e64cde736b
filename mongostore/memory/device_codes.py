"""`DeviceFlowStore` without a database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists, NotFound
from mongostore.memory.expiring_table import ExpiringTable
from mongostore.models import DeviceCode, PersistedGrantFilter
from mongostore.models.grants import check_filter, owns
from mongostore.models.instants import cut_to_milliseconds, expiration_of
from mongostore.models.revalidation import revalidated
from mongostore.stores.arguments import check_instant
from mongostore.stores.device_codes import LABEL, DeviceFlowStore, check_interval
from mongostore.stores.handles import check_handle, is_handle
from mongostore.stores.payloads import payload_of, value_of


@dataclass(slots=True)
class DeviceRequest:
    """A request as it lies in the table."""

    data: DeviceCode
    user_code: str
    is_authorized: bool
    payload: bytes
    last_poll: datetime | None = None


class MemoryDeviceFlowStore(DeviceFlowStore):
    """The device authorization requests of one tenant in a dictionary, by device code.

    Attributes:
        table: where they lie, for the cleanup.
    """

    def __init__(self, clock: Clock, consumed_retention: timedelta) -> None:
        """Args: the time, and how long consumed requests are kept."""
        self.table: ExpiringTable[DeviceRequest] = ExpiringTable(clock)
        self._consumed_retention = consumed_retention

    async def store_device_authorization(self, device_code: str, user_code: str, data: DeviceCode) -> None:
        """See `DeviceFlowStore.store_device_authorization`."""
        check_handle("device_code", device_code)
        check_handle("user_code", user_code)
        data = revalidated(data, DeviceCode)
        payload = payload_of(data, DeviceCode)
        purge_at = expiration_of(data.creation_time, data.lifetime)
        rival = self._device_code_of(user_code)
        if rival is not None and self.table.rows[rival].purge_at <= self.table.clock.now():
            self.table.remove(rival)
            rival = None
        request = DeviceRequest(data, user_code, data.is_authorized, payload)
        if rival is not None or not self.table.insert_over_expired(device_code, request, purge_at):
            raise AlreadyExists(
                "a device authorization with this device code or this user code exists already; draw new codes"
            )

    async def find_by_user_code(self, user_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.find_by_user_code`."""
        device_code = self._device_code_of(user_code) if is_handle("user_code", user_code) else None
        return _value(self.table.find(device_code)) if device_code else None

    async def find_by_device_code(self, device_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.find_by_device_code`."""
        return _value(self.table.find(device_code)) if is_handle("device_code", device_code) else None

    async def update_by_user_code(self, user_code: str, data: DeviceCode) -> None:
        """See `DeviceFlowStore.update_by_user_code`."""
        data = revalidated(data, DeviceCode)
        payload = payload_of(data, DeviceCode)
        device_code = self._device_code_of(user_code) if is_handle("user_code", user_code) else None
        request = self.table.find(device_code) if device_code else None
        if request is None:
            raise NotFound("there is no device authorization with this user code any more: it was not updated")
        request.data, request.is_authorized, request.payload = data, data.is_authorized, payload

    async def remove_by_device_code(self, device_code: str) -> bool:
        """See `DeviceFlowStore.remove_by_device_code`."""
        return is_handle("device_code", device_code) and self.table.remove(device_code)

    async def consume_by_device_code(self, device_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.consume_by_device_code`."""
        if not is_handle("device_code", device_code):
            return None
        return _value(self.table.take(device_code, self._consumed_retention, lambda each: each.is_authorized))

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - as in `PersistedGrantStore`
        """Remove the requests of a subject, session or clients; see `DeviceFlowStore.remove_all`."""
        wanted = check_filter(filter)
        return self.table.remove_all(lambda request: owns(wanted, request.data))

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove requests of before an instant; see `DeviceFlowStore.remove_created_before`."""
        earliest_kept = check_instant("instant", instant)
        return self.table.remove_all(lambda request: request.data.creation_time < earliest_kept)

    async def register_poll(self, device_code: str, interval: timedelta) -> bool:
        """See `DeviceFlowStore.register_poll`."""
        check_interval(interval)
        request = self.table.find(device_code) if is_handle("device_code", device_code) else None
        if request is None:
            return True
        now = cut_to_milliseconds(self.table.clock.now())
        before, request.last_poll = request.last_poll, now
        return before is None or now - before >= interval

    def _device_code_of(self, user_code: str) -> str | None:
        return next((code for code, row in self.table.rows.items() if row.value.user_code == user_code), None)


def _value(request: DeviceRequest | None) -> DeviceCode | None:
    return value_of(request.payload, DeviceCode, LABEL) if request else None

"""`DeviceFlowStore` without a database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists, NotFound
from mongostore.memory.expiring_table import ExpiringTable
from mongostore.models import DeviceCode
from mongostore.models.instants import cut_to_milliseconds
from mongostore.stores.device_codes import LABEL, check_interval, expiration_of
from mongostore.stores.handles import check_handle, is_handle
from mongostore.stores.payloads import payload_of, value_of


@dataclass(slots=True)
class _Request:
    user_code: str
    is_authorized: bool
    payload: bytes
    last_poll: datetime | None = None


class MemoryDeviceFlowStore:
    """The device authorization requests of one tenant in a dictionary, by device code."""

    def __init__(self, clock: Clock, consumed_retention: timedelta) -> None:
        """Args: the time, and how long consumed requests are kept."""
        self._table: ExpiringTable[_Request] = ExpiringTable(clock)
        self._consumed_retention = consumed_retention

    async def store_device_authorization(self, device_code: str, user_code: str, data: DeviceCode) -> None:
        """See `DeviceFlowStore.store_device_authorization`."""
        check_handle("device_code", device_code)
        check_handle("user_code", user_code)
        payload = payload_of(data, DeviceCode)
        purge_at = expiration_of(data)
        rival = self._device_code_of(user_code)
        if rival is not None and self._table.rows[rival].purge_at <= self._table.clock.now():
            self._table.remove(rival)
            rival = None
        request = _Request(user_code, data.is_authorized, payload)
        if rival is not None or not self._table.insert_over_expired(device_code, request, purge_at):
            raise AlreadyExists(
                "a device authorization with this device code or this user code exists already; draw new codes"
            )

    async def find_by_user_code(self, user_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.find_by_user_code`."""
        device_code = self._device_code_of(user_code) if is_handle("user_code", user_code) else None
        return _value(self._table.find(device_code)) if device_code else None

    async def find_by_device_code(self, device_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.find_by_device_code`."""
        return _value(self._table.find(device_code)) if is_handle("device_code", device_code) else None

    async def update_by_user_code(self, user_code: str, data: DeviceCode) -> None:
        """See `DeviceFlowStore.update_by_user_code`."""
        payload = payload_of(data, DeviceCode)
        device_code = self._device_code_of(user_code) if is_handle("user_code", user_code) else None
        request = self._table.find(device_code) if device_code else None
        if request is None:
            raise NotFound("there is no device authorization with this user code any more: it was not updated")
        request.is_authorized, request.payload = data.is_authorized, payload

    async def remove_by_device_code(self, device_code: str) -> bool:
        """See `DeviceFlowStore.remove_by_device_code`."""
        return is_handle("device_code", device_code) and self._table.remove(device_code)

    async def consume_by_device_code(self, device_code: str) -> DeviceCode | None:
        """See `DeviceFlowStore.consume_by_device_code`."""
        if not is_handle("device_code", device_code):
            return None
        return _value(self._table.take(device_code, self._consumed_retention, lambda each: each.is_authorized))

    async def register_poll(self, device_code: str, interval: timedelta) -> bool:
        """See `DeviceFlowStore.register_poll`."""
        check_interval(interval)
        request = self._table.find(device_code) if is_handle("device_code", device_code) else None
        if request is None:
            return True
        now = cut_to_milliseconds(self._table.clock.now())
        before, request.last_poll = request.last_poll, now
        return before is None or now - before >= interval

    def _device_code_of(self, user_code: str) -> str | None:
        return next((code for code, row in self._table.rows.items() if row.value.user_code == user_code), None)


def _value(request: _Request | None) -> DeviceCode | None:
    return value_of(request.payload, DeviceCode, LABEL) if request else None

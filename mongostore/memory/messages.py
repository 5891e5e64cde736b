"""`MessageStore` without a database."""

from datetime import timedelta

from mongostore.clock import Clock
from mongostore.memory.expiring_table import ExpiringTable
from mongostore.models import Message
from mongostore.models.instants import cut_to_milliseconds
from mongostore.stores.handles import is_handle
from mongostore.stores.messages import LABEL, new_message_id
from mongostore.stores.payloads import payload_of, value_of


class MemoryMessageStore:
    """The messages of one tenant and kind in a dictionary."""

    def __init__(self, clock: Clock, lifetime: timedelta) -> None:
        """Args: the time, and how long a message lives."""
        self._table: ExpiringTable[bytes] = ExpiringTable(clock)
        self._lifetime = lifetime

    async def write(self, message: Message) -> str:
        """See `MessageStore.write`."""
        message_id, payload = new_message_id(), payload_of(message, Message)
        purge_at = cut_to_milliseconds(self._table.clock.now() + self._lifetime)
        self._table.insert_over_expired(message_id, payload, purge_at)
        return message_id

    async def read(self, id: str) -> Message | None:  # noqa: A002 - the reference's name
        """See `MessageStore.read`."""
        payload = self._table.find(id) if is_handle("id", id) else None
        return value_of(payload, Message, LABEL) if payload else None

    async def delete(self, id: str) -> None:  # noqa: A002 - the reference's name
        """See `MessageStore.delete`."""
        if is_handle("id", id):
            self._table.remove(id)

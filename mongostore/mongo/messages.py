"""`MessageStore` on MongoDB: every operation is one command."""

from datetime import timedelta
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from mongostore.clock import Clock
from mongostore.models import Message
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.messages import MessageCodec, MessageFields
from mongostore.mongo.expiring import is_present
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.writes import sent
from mongostore.stores.messages import new_message_id


class MongoMessageStore:
    """The messages of one tenant and kind in MongoDB."""

    def __init__(self, binding: Binding, codec: MessageCodec, clock: Clock, lifetime: timedelta) -> None:
        """Args: the database, what seals and opens, the time, and how long a message lives."""
        self._binding = binding
        self._codec = codec
        self._clock = clock
        self._lifetime = lifetime

    async def write(self, message: Message) -> str:
        """See `MessageStore.write`."""
        message_id = new_message_id()
        document = await self._codec.document(message_id, message, self._clock.now() + self._lifetime)
        with self._binding.call("write a message") as own:
            await sent(lambda: self._messages.insert_one(document, session=own))
        return message_id

    async def read(self, id: str) -> Message | None:  # noqa: A002 - the reference's name
        """See `MessageStore.read`."""
        stored_id = self._codec.id_of(id)
        if stored_id is None:
            return None
        found = await find_by_id(self._binding, "read a message", self._messages, stored_id)
        return await self._codec.value(found) if found and is_present(found, self._clock.now()) else None

    async def delete(self, id: str) -> None:  # noqa: A002 - the reference's name
        """See `MessageStore.delete`."""
        stored_id = self._codec.id_of(id)
        if stored_id is not None:
            with self._binding.call("delete a message") as own:
                await sent(lambda: self._messages.delete_one({"_id": stored_id}, session=own))

    @property
    def _messages(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(MessageFields)

"""Messages that a server leaves for its own next page: errors, logout, consent."""

import secrets
from enum import StrEnum
from typing import Protocol

from mongostore.models import Message

LABEL = "messages"
_ID_BYTES = 32


class MessageKind(StrEnum):
    """What the messages of one store are about: an id of one kind finds nothing in another. The values are frozen."""

    GENERAL = "message"
    CONSENT = "consent"


class MessageStore(Protocol):
    """The messages of one tenant and kind.

    A message lives for the option `message_lifetime` from when it is written, by the store's clock; what it says of its
    own creation does not matter. It may be read any number of times.
    """

    async def write(self, message: Message) -> str:
        """Keep a message.

        Returns:
            An id that nobody can guess: 43 characters that a URL takes as they are. It is not stored and can't be had again.

        Raises:
            TypeError, ValueError: not a message, or one that can't be stored.
            StorageUnavailable: no majority confirmed it in time.
        """

    async def read(self, id: str) -> Message | None:  # noqa: A002 - the reference's name
        """Read a message; None when there is none, or its time is over.

        Raises:
            PayloadUnreadable, KeyUnavailable: the stored record can't be read.
        """

    async def delete(self, id: str) -> None:  # noqa: A002 - the reference's name
        """Delete a message; nothing happens when there is none."""


def new_message_id() -> str:
    """Make an id that nobody can guess."""
    return secrets.token_urlsafe(_ID_BYTES)

"""What must be accepted once only: the ids of client assertions, DPoP proofs, and the like."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from mongostore.models.instants import cut_to_milliseconds
from mongostore.stores.arguments import check_instant

LABEL = "replay_cache"

# As long as servers commonly go on accepting what has just expired, for the sake of wrong clocks.
LATE_ENTRY_LIFETIME: Final = timedelta(minutes=5)


class ReplayCache(Protocol):
    """The handles that one tenant has seen, each for one purpose. They may be of any length, and only a hash is stored."""

    async def add(self, purpose: str, handle: str, expires_at: datetime) -> bool:
        """Remember a handle: True for the first caller, False for every other one until `expires_at`.

        Args:
            purpose: what the handle is of; the same handle for another purpose is another one.
            handle: the id; join it with the client's where clients choose ids for themselves.
            expires_at: until when to remember it: as long as the server would accept what carries it. From that
                instant on, the next caller is the first again. An instant that has passed already has the handle
                remembered for five minutes, so that here, too, one caller alone is told True.

        Raises:
            TypeError, ValueError: purpose or handle can't be stored, or the instant is naive.
            StorageUnavailable: no majority confirmed it in time; the caller can't know, and must refuse.

        One atomic operation on every backend. See RFC 7523 §3 (`jti`), RFC 9449 §11.1.
        """

    async def exists(self, purpose: str, handle: str) -> bool:
        """Tell whether a handle is remembered. To decide on it, use `add`: between two calls others may come."""


def remembered_until(expires_at: object, now: datetime) -> datetime:
    """From when on an entry serves nobody.

    Raises:
        TypeError: it is no datetime.
        ValueError: it is naive.
    """
    until = check_instant("expires_at", expires_at)
    return until if until > now else cut_to_milliseconds(now + LATE_ENTRY_LIFETIME)

"""Signing keys as they were read at one moment, and for how long they may be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.signing.key_material import SigningCredentials
from mongostore.signing.policy import KnownKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """What one read found.

    Attributes:
        read_at: when, by the node's clock.
        store_time: when, by the store's.
        generation: the newest one ever stored.
        keys: all that are there.
        credentials: of the readable ones, by id.
        damage: why the others can't be used, those that can't be opened first.
    """

    read_at: datetime
    store_time: datetime
    generation: int
    keys: tuple[KnownKey, ...]
    credentials: Mapping[str, SigningCredentials]
    damage: tuple[PayloadUnreadable | KeyUnavailable, ...] = ()

    def store_time_at(self, now: datetime) -> datetime:
        """What the store's clock shows when the node's shows `now`."""
        return self.store_time + (now - self.read_at)


class KeyCache:
    """Holds one `KeySet` for a time."""

    def __init__(self) -> None:
        self._held: KeySet | None = None
        self._duration = timedelta(0)

    def put(self, keys: KeySet, duration: timedelta) -> None:
        """Hold keys until `duration` after they were read."""
        self._held, self._duration = keys, duration

    def get(self, now: datetime) -> KeySet | None:
        """What is held, until its time is over, or the clock has jumped back behind it."""
        held = self._held
        return held if held is not None and held.read_at <= now < held.read_at + self._duration else None

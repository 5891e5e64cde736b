"""The time, from one place: nothing else in mongostore asks the system for it."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Tests pass `mongostore.testing.FakeClock`."""

    def now(self) -> datetime:
        """The present instant: an aware datetime in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant: an aware datetime in UTC."""
        return datetime.now(UTC)

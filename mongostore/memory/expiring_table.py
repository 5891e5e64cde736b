"""Rows of one tenant that serve until an instant, in a dictionary: what the memory stores of one-time records work on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from mongostore.clock import Clock

# Rows are swept when the table has doubled since the last sweep, and only long after their time: like a database, the
# table still counts the removal of a record that expired a moment ago.
_SWEEP_FROM_ROWS = 1_000
_SWEEP_AFTER = timedelta(hours=1)

T = TypeVar("T")


@dataclass(slots=True)
class ExpiringRow(Generic[T]):
    """A value as it lies in the table."""

    value: T
    purge_at: datetime
    consumed: bool = False


class ExpiringTable(Generic[T]):
    """Rows by key. Nothing here awaits, so every method is atomic among the tasks of a loop."""

    def __init__(self, clock: Clock) -> None:
        """Args: the time."""
        self.clock = clock
        self.rows: dict[str, ExpiringRow[T]] = {}
        self._sweep_at_rows = _SWEEP_FROM_ROWS

    def insert_over_expired(self, key: str, value: T, purge_at: datetime) -> bool:
        """Add a row, in place of one whose time is over; False when there is one, consumed or not."""
        row = self.rows.get(key)
        if row is not None and row.purge_at > self.clock.now():
            return False
        self.rows[key] = ExpiringRow(value, purge_at)
        if len(self.rows) >= self._sweep_at_rows:
            self._sweep()
        return True

    def find(self, key: str) -> T | None:
        """The value of a row that is neither consumed nor over."""
        row = self.rows.get(key)
        return row.value if row is not None and not row.consumed and row.purge_at > self.clock.now() else None

    def take(self, key: str, retention: timedelta, condition: Callable[[T], bool] = lambda _: True) -> T | None:
        """Consume a row whose value fulfils the condition: the value, to one caller."""
        value = self.find(key)
        if value is None or not condition(value):
            return None
        row = self.rows[key]
        row.consumed = True
        row.purge_at = min(row.purge_at, self.clock.now() + retention)
        return value

    def remove(self, key: str) -> bool:
        """Remove a row: True when there was one, whatever its state."""
        return self.rows.pop(key, None) is not None

    def remove_all(self, wanted: Callable[[T], bool]) -> int:
        """Remove the rows whose value is wanted, whatever their state; give their number."""
        keys = [key for key, row in self.rows.items() if wanted(row.value)]
        for key in keys:
            del self.rows[key]
        return len(keys)

    def _sweep(self) -> None:
        over = self.clock.now() - _SWEEP_AFTER
        self.rows = {key: row for key, row in self.rows.items() if row.purge_at > over}
        self._sweep_at_rows = max(_SWEEP_FROM_ROWS, 2 * len(self.rows))

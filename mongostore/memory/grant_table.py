"""The grants of one tenant in a dictionary: what both memory stores of grants work on."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mongostore.clock import Clock
from mongostore.models.identifiers import is_identifier
from mongostore.models.instants import cut_to_milliseconds
from mongostore.stores.grant_records import CLOSED_FAMILY_KEPT, CODE, GrantRecord, purge_time

# Purged rows are swept when the table has doubled since the last sweep, and only long after their time: like a database,
# the table still counts the removal of a record that expired a moment ago.
_SWEEP_FROM_ROWS = 1_000
_SWEEP_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it lies in the table. `anchor` is as in MongoDB, with None for absent."""

    record: GrantRecord
    purge_at: datetime | None
    pending: bool = False
    anchor: bool | None = None
    retries: int = 0

    def is_present(self, now: datetime) -> bool:
        """Whether readers may see it."""
        expiration = self.record.grant.expiration
        return self.is_kept(now) and (expiration is None or expiration > now)

    def is_kept(self, now: datetime) -> bool:
        """Whether it is there for those who ask what became of it."""
        return not self.pending and not self.is_purged(now)

    def is_live(self, now: datetime) -> bool:
        """Whether a transition may begin from it, pending or not."""
        grant = self.record.grant
        is_over = grant.expiration is not None and grant.expiration <= now
        return grant.consumed_time is None and not is_over and not self.is_purged(now)

    def is_purged(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.purge_at is not None and self.purge_at <= now


class GrantTable:
    """Rows by grant key. Nothing here awaits, so every method is atomic among the tasks of a loop."""

    def __init__(self, clock: Clock, consumed_retention: timedelta) -> None:
        """Args: the time, and how long consumed grants are kept."""
        self.clock = clock
        self.rows: dict[str, Row] = {}
        self._closed: dict[str, datetime] = {}
        self._consumed_retention = consumed_retention
        self._sweep_at_rows = _SWEEP_FROM_ROWS

    def put(
        self,
        record: GrantRecord,
        *,
        purge_at: datetime | None = None,
        pending: bool = False,
        anchor: bool | None = None,
    ) -> None:
        """Store a row over whatever is there.

        Args:
            record: the record.
            purge_at: when the row's time is over, if that does not follow from the grant.
            pending: hide it from readers.
            anchor: whether tokens may be issued from it.
        """
        grant = record.grant
        if purge_at is None:
            purge_at = purge_time(grant, self._consumed_retention)
        self.rows[grant.key] = Row(record, purge_at, pending, anchor)
        if len(self.rows) >= self._sweep_at_rows:
            self._sweep()

    def row(self, key: str) -> Row | None:
        """The row of a key, whatever its state; nothing for what can't be one."""
        return self.rows.get(key) if is_identifier(key) else None

    def live(self, key: str) -> Row | None:
        """The row that a transition may begin from."""
        row = self.row(key)
        return row if row is not None and not row.pending and row.is_live(self.clock.now()) else None

    def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """Consume a live grant, if need be only a completed one: its record as it was."""
        row = self.live(key)
        if row is None or (completed and not row.record.completed):
            return None
        now = self.clock.now()
        if not row.is_present(now):
            return None
        grant = row.record.grant.model_copy(update={"consumed_time": cut_to_milliseconds(now)})
        anchor = row.anchor is not False if grant.type == CODE else None
        self.put(replace(row.record, grant=grant), anchor=anchor)
        return row.record

    def has_anchor(self, family: str, *, by_code: bool) -> bool:
        """Whether tokens may be issued into a family that is named after a code or token; `by_code`: from a code."""
        now = self.clock.now()
        anchors = [row for row in self.rows.values() if row.record.family == family and row.anchor]
        return any(not row.is_purged(now) and not (by_code and row.record.grant.type != CODE) for row in anchors)

    def close(self, family: str) -> None:
        """Remember that a family takes nobody in, for `CLOSED_FAMILY_KEPT`."""
        now = self.clock.now()
        # In the order in which they were closed, so that the oldest come first.
        self._closed.pop(family, None)
        self._closed[family] = now + CLOSED_FAMILY_KEPT
        while (oldest := next(iter(self._closed))) and self._closed[oldest] <= now:
            del self._closed[oldest]

    def is_closed(self, family: str) -> bool:
        """Whether a family takes nobody in."""
        until = self._closed.get(family)
        return until is not None and self.clock.now() < until

    def _sweep(self) -> None:
        over = self.clock.now() - _SWEEP_AFTER
        self.rows = {key: row for key, row in self.rows.items() if not row.is_purged(over)}
        self._sweep_at_rows = max(_SWEEP_FROM_ROWS, 2 * len(self.rows))

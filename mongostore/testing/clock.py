"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Pass it as `clock=`, and move the time with `advance`.

    Args:
        start: an aware datetime; by default the real now, cut to milliseconds as MongoDB keeps them. A start in the
            past lets the real TTL monitor remove what the tests store.

    Raises:
        ValueError: the start is naive.
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is None:
            now = datetime.now(UTC)
            start = now.replace(microsecond=now.microsecond // 1000 * 1000)
        if start.utcoffset() is None:
            raise ValueError("FakeClock needs an aware start, such as datetime(2030, 1, 1, tzinfo=UTC).")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The instant at which the clock stands, in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move the clock; a negative duration moves it back, as a badly set machine does."""
        self._now += by

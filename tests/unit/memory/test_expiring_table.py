"""The table under the memory stores of one-time records does not grow for ever."""

from datetime import timedelta

from mongostore.memory.expiring_table import ExpiringTable
from mongostore.testing import FakeClock

MINUTE = timedelta(minutes=1)


def test_what_is_long_over_is_swept():
    """A server that adds entries all day holds those of the last hours, and none that is live is ever lost."""
    clock = FakeClock()
    table = ExpiringTable(clock)
    assert table.insert_over_expired("kept", "value", clock.now() + timedelta(days=2))
    for number in range(24 * 60):
        for each in range(5):
            assert table.insert_over_expired(f"{number} {each}", "value", clock.now() + MINUTE)
        clock.advance(MINUTE)
    assert len(table.rows) < 2_000
    assert table.find("kept") == "value"
    assert table.find("1439 0") is None
    assert table.remove("1439 0") is True

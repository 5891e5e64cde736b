"""How far a session slides."""

from datetime import UTC, datetime, timedelta

from mongostore.models.sessions import LATEST_EXPIRY
from mongostore.stores.sessions import slid_expiry

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_session_slides_no_further_than_it_may_be_created() -> None:
    """One of thousands of years, in use since the year 1, does not overflow the calendar."""
    first, hour = datetime(1, 1, 1, tzinfo=UTC), timedelta(hours=1)
    assert slid_expiry(NOW - hour, NOW + hour, NOW) == NOW + 2 * hour
    assert slid_expiry(NOW - hour, LATEST_EXPIRY, NOW) is None
    assert slid_expiry(first, LATEST_EXPIRY, NOW) == LATEST_EXPIRY

"""Lifetimes that end after the last day that there is."""

from datetime import UTC, datetime

import pytest

from mongostore import MemoryStore
from mongostore.testing.factories import (
    a_backchannel_request,
    a_reference_token,
    a_refresh_token,
    an_authorization_code,
)

LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("noun", "method", "make"),
    [
        ("authorization_codes", "store_authorization_code", an_authorization_code),
        ("refresh_tokens", "store_refresh_token", a_refresh_token),
        ("reference_tokens", "store_reference_token", a_reference_token),
        ("backchannel_authentication_requests", "create_request", a_backchannel_request),
    ],
)
async def test_a_lifetime_beyond_the_calendar_is_refused(noun, method, make):
    """The message names the limit; what ends on the last second is kept."""
    async with MemoryStore() as store:
        save = getattr(getattr(store, noun), method)
        with pytest.raises(ValueError, match="lifetime must end within the years 1 to 9999"):
            await save(make(creation_time=LAST, lifetime=1))
        assert await save(make(creation_time=LAST, lifetime=0))

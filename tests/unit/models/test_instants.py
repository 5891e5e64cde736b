"""Instants and durations."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongostore.models import Client, Consent, Message, PersistedGrant
from mongostore.models.grants import check_grant
from mongostore.models.instants import cut_to_milliseconds, expiration_of, write_time_span


def consent(creation_time: object) -> Consent:
    return Consent.model_validate({"subject_id": "s", "client_id": "c", "creation_time": creation_time})


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_instants_are_cut_down_to_milliseconds_in_utc(instant: datetime) -> None:
    """What a model holds is what BSON can hold, never later than what was given, and cutting again changes nothing."""
    cut = consent(instant).creation_time
    assert cut.tzinfo is UTC
    assert timedelta(0) <= instant.astimezone(UTC) - cut < timedelta(milliseconds=1)
    assert cut.microsecond % 1000 == 0
    assert cut_to_milliseconds(cut) is cut


def test_naive_instants_are_refused_by_name() -> None:
    """The message says which field and what to do."""
    with pytest.raises(ValueError, match=r"creation_time must be an aware datetime.*datetime\.now\(UTC\)"):
        consent(datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        consent("2024-01-01T00:00:00")


@pytest.mark.parametrize("wrong", [1_700_000_000, 1.5, None, "yesterday", "", b"2024-01-01T00:00:00Z", "1700000000"])
def test_what_is_no_instant_is_refused(wrong: object) -> None:
    """A bare number could be seconds, milliseconds or ticks: none is guessed."""
    with pytest.raises(ValueError, match="creation_time"):
        consent(wrong)


def test_an_instant_outside_the_calendar_is_refused() -> None:
    """The last hours of 9999 west of Greenwich have no UTC datetime."""
    with pytest.raises(ValueError, match="years 1 to 9999"):
        consent(datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))))


def test_a_lifetime_that_ends_outside_the_calendar_is_refused() -> None:
    """The message says what must end where; the last second that there is can be had."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert expiration_of(last - timedelta(days=1), 86_400) == last
    for creation_time, lifetime in ((last, 1), (datetime(1, 1, 1, tzinfo=UTC), -1), (last, 2**40)):
        with pytest.raises(ValueError, match="lifetime must end within the years 1 to 9999"):
            expiration_of(creation_time, lifetime)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01T00:00:00.1234567Z", datetime(2024, 1, 1, 0, 0, 0, 123000, UTC)),
        ("2024-01-01T00:00:00.9999999Z", datetime(2024, 1, 1, 0, 0, 0, 999000, UTC)),
        ("2024-01-01T02:00:00+02:00", datetime(2024, 1, 1, tzinfo=UTC)),
    ],
)
def test_dotnet_instants_are_read(text: str, expected: datetime) -> None:
    """Seven fraction digits, as .NET writes them, are read and cut."""
    assert consent(text).creation_time == expected
    assert consent(text).model_dump(mode="json")["creation_time"].endswith("Z")


def test_a_message_knows_when_it_was_made() -> None:
    """A message without a time gets the present one, at the precision of all instants."""
    before = cut_to_milliseconds(datetime.now(UTC))
    message = Message({"a": None})
    assert before <= message.created <= datetime.now(UTC)
    assert message.created.microsecond % 1000 == 0
    assert Message.model_validate_json(message.model_dump_json(by_alias=True)) == message
    assert message.data == {"a": None}
    with pytest.raises(ValueError, match="data"):
        Message(object())  # type: ignore[arg-type]


@given(st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)))
def test_durations_survive_the_dotnet_form(span: timedelta) -> None:
    """What is written as [-][d.]hh:mm:ss[.fffffff] is read as the same duration."""
    client = Client(client_id="c", dpop_clock_skew=span)
    assert Client.model_validate_json(client.model_dump_json(by_alias=True)).dpop_clock_skew == span


@pytest.mark.parametrize(
    ("written", "span"),
    [
        ("00:05:00", timedelta(minutes=5)),
        ("1.02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("-00:00:01.5000000", timedelta(seconds=-1.5)),
    ],
)
def test_durations_are_written_as_dotnet_does(written: str, span: timedelta) -> None:
    """The reference's form, exactly."""
    assert write_time_span(span) == written
    assert Client.model_validate({"ClientId": "c", "DPoPClockSkew": written}).dpop_clock_skew == span


@pytest.mark.parametrize("ticks", [2**63 - 1, -(2**63)])
def test_durations_are_bounded_as_dotnets(ticks: int) -> None:
    """The longest that .NET has survive; what is longer could not be read again, and is refused."""
    longest = timedelta(microseconds=abs(ticks) // 10) * (1 if ticks > 0 else -1)
    client = Client(client_id="c", dpop_clock_skew=longest)
    assert Client.model_validate_json(client.model_dump_json(by_alias=True)) == client
    for longer in (longest + longest / 10**15, timedelta.max, timedelta.min):
        with pytest.raises(ValueError, match="dpop_clock_skew"):
            Client(client_id="c", dpop_clock_skew=longer)


def test_durations_are_read_from_iso_8601_and_seconds() -> None:
    """Other usual forms are read as well; nonsense is not."""
    for form in ("PT5M", 300, timedelta(minutes=5)):
        assert Client.model_validate({"client_id": "c", "dpop_clock_skew": form}).dpop_clock_skew == timedelta(
            minutes=5
        )
    for wrong in ("five", math.inf, "00:61:00"):
        with pytest.raises(ValueError, match="dpop_clock_skew"):
            Client.model_validate({"client_id": "c", "dpop_clock_skew": wrong})


def test_a_copy_with_a_naive_instant_is_seen() -> None:
    """`model_copy` checks nothing, so the stores' own check must."""
    grant = PersistedGrant(key="k", type="t", client_id="c", creation_time=datetime.now(UTC), data="")
    check_grant(grant)
    with pytest.raises(ValueError, match="expiration"):
        check_grant(grant.model_copy(update={"expiration": datetime(2024, 1, 1)}))  # noqa: DTZ001
    with pytest.raises(TypeError, match="creation_time"):
        check_grant(grant.model_copy(update={"creation_time": "2024"}))

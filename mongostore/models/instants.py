"""Instants and durations: aware UTC datetimes cut to milliseconds, and the reference's ways of writing both."""

import contextlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

_TIME_SPAN = re.compile(r"(-)?(?:(\d{1,8})\.)?(\d{1,2}):([0-5]\d):([0-5]\d)(?:\.(\d{1,7}))?", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_TIME_SPAN = timedelta(microseconds=2**63 // 10)


def cut_to_milliseconds(instant: datetime) -> datetime:
    """Give the instant in UTC, cut to milliseconds: BSON's precision, so that what is read equals what was stored.

    Raises:
        ValueError: it is naive, or lies outside the years 1 to 9999 in UTC.
    """
    if instant.tzinfo is not UTC:
        if instant.utcoffset() is None:
            raise ValueError(
                "must be an aware datetime, but it has no time zone: use datetime.now(UTC) or .replace(tzinfo=UTC)"
            )
        try:
            instant = instant.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("must lie within the years 1 to 9999 in UTC") from error
    excess = instant.microsecond % 1000
    return instant.replace(microsecond=instant.microsecond - excess) if excess else instant


def expiration_of(creation_time: datetime, lifetime_seconds: int) -> datetime:
    """When something of a lifetime in seconds expires.

    Raises:
        ValueError: that lies outside the years 1 to 9999.
    """
    try:
        return creation_time + timedelta(seconds=lifetime_seconds)
    except OverflowError as error:
        raise ValueError("lifetime must end within the years 1 to 9999") from error


def _from_iso_format(text: str) -> datetime | None:
    # Python's error repeats the text, so none is raised while that is handled.
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    return None


def _read_instant(value: object, info: ValidationInfo) -> datetime:
    name = info.field_name or "the instant"
    if isinstance(value, str):
        value = _from_iso_format(value)
        if value is None:
            told = "{name} must be an aware datetime, or a text as in ISO 8601 such as 2024-01-31T12:00:00Z"
            raise PydanticCustomError("instant_type", told, {"name": name})
    if not isinstance(value, datetime):
        # Told as a wrong type, which a ValueError would not be.
        kind = type(value).__name__
        raise PydanticCustomError(
            "instant_type", "{name} must be an aware datetime, not {kind}", {"name": name, "kind": kind}
        )
    try:
        return cut_to_milliseconds(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def _read_time_span(value: object) -> object:
    match = _TIME_SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    sign, days, hours, minutes, seconds, fraction = match.groups()
    span = timedelta(
        days=int(days or 0),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int((fraction or "").ljust(6, "0")[:6]),
    )
    return -span if sign else span


def write_time_span(span: timedelta) -> str:
    """Write a duration as .NET does: `[-][d.]hh:mm:ss[.fffffff]`."""
    sign = "-" if span < timedelta(0) else ""
    seconds, fraction = divmod(abs(span) // _MICROSECOND, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    whole = f"{sign}{f'{days}.' if days else ''}{hours:02}:{minutes:02}:{seconds:02}"
    return f"{whole}.{fraction:06}0" if fraction else whole


Instant = Annotated[datetime, BeforeValidator(_read_instant)]
"""An aware datetime, kept in UTC and cut to milliseconds; reads ISO 8601 with any number of fraction digits."""

TimeSpan = Annotated[
    timedelta,
    Field(ge=-_LONGEST_TIME_SPAN, le=_LONGEST_TIME_SPAN),
    BeforeValidator(_read_time_span),
    PlainSerializer(write_time_span, return_type=str, when_used="json"),
]
"""A duration within the reference's 64-bit integer of 100 ns; reads seconds, ISO 8601 and .NET's
`[d.]hh:mm:ss[.fffffff]`, writes the latter."""

"""Durations, numbers and collections that callers give: checked alike by every store, and bounded.

Without a bound, an instant or a number would overflow somewhere below, and an iterator without end be read for ever.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from mongostore.models.identifiers import MAX_NAMED
from mongostore.models.instants import cut_to_milliseconds

LONGEST = timedelta(days=3_653)
"""Ten years."""

_LARGEST_COUNT = 2**31 - 1


def check_duration(name: str, value: object, *, may_be_zero: bool = False) -> timedelta:
    """Give a duration back: more than nothing, or nothing if it may be; at most ten years.

    Raises:
        TypeError: it is no timedelta.
        ValueError: it is negative or too long.
    """
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
    if value < timedelta(0) or (value == timedelta(0) and not may_be_zero):
        raise ValueError(f"{name} must {'not be negative' if may_be_zero else 'be positive'}, but is {value}")
    if value > LONGEST:
        raise ValueError(f"{name} must not be longer than ten years ({LONGEST.days:,} days), but is {value}")
    return value


def check_count(name: str, value: object) -> int:
    """Give a number of things back.

    Raises:
        TypeError: it is no int.
        ValueError: it is not from 1 to 2³¹ - 1.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} must be positive")
    if value > _LARGEST_COUNT:
        raise ValueError(f"{name} must be at most {_LARGEST_COUNT:,}")
    return value


def check_instant(name: str, value: object) -> datetime:
    """Give an instant in UTC, cut to milliseconds.

    Raises:
        TypeError: it is no datetime.
        ValueError: it is naive.
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be an aware datetime, not {type(value).__name__}")
    try:
        return cut_to_milliseconds(value)
    except ValueError as error:
        problem = str(error)
    raise ValueError(f"{name} {problem}")


def check_text(name: str, value: object) -> str:
    """Give a text back; whether it can be what it is for is another question.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def check_callback(name: str, value: object, *, optional: bool = False) -> None:
    """Refuse what can't be called, and None unless it is optional.

    Raises:
        TypeError: it can't.
    """
    if not callable(value) and not (optional and value is None):
        raise TypeError(f"{name} must be a function or coroutine function, not {type(value).__name__}")


def several(name: str, values: Iterable[Any]) -> list[Any]:
    """Give the members of a collection; a text's would be its characters.

    Raises:
        TypeError: it is one text, or nothing that can be iterated over.
        ValueError: there are more than 10,000.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be several str, such as a list of them, not {type(values).__name__}")
    found = list(islice(values, MAX_NAMED + 1))
    if len(found) > MAX_NAMED:
        raise ValueError(f"{name} must not name more than {MAX_NAMED:,} at once: ask in parts")
    return found

"""What stands in clear beside a sealed value, bound to it: the same columns lie inside and are compared when it is opened.

So a writer without keys can't change what a record says of itself: whose it is, until when it holds, what it belongs to.
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic_core import PydanticSerializationError, from_json, to_json

# Frozen. No plaintext of before began so: those begin with "t", "b", "{" or NUL.
_MARK: Final = b"c"
_LENGTH_BYTES: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_BEGINS_AT: Final = len(_MARK) + _LENGTH_BYTES

Columns = Mapping[str, object]
"""Names and values. A column without value is named too, with None: otherwise nobody would see that it was added."""


class Unbound(bytes):
    """An opened plaintext that was sealed before columns were bound: nothing vouches for what stands beside it."""


def with_columns(plaintext: bytes, columns: Columns) -> bytes:
    """Put columns in front of a plaintext.

    Layout (frozen), in bytes::

        "c"                           1
        length of the columns         4, big-endian
        the columns as `encoded`      n
        the plaintext                 the rest
    """
    inside = encoded(columns)
    return b"%b%b%b%b" % (_MARK, len(inside).to_bytes(_LENGTH_BYTES, "big"), inside, plaintext)


def without_columns(plaintext: bytes) -> tuple[bytes | None, bytes]:
    """Take them off again: the encoded columns, None where a plaintext of the old form has none, and the plaintext."""
    if not plaintext.startswith(_MARK):
        return None, plaintext
    ends_at = _BEGINS_AT + int.from_bytes(plaintext[len(_MARK) : _BEGINS_AT], "big")
    return plaintext[_BEGINS_AT:ends_at], plaintext[ends_at:]


def encoded(columns: Columns) -> bytes:
    """Encode columns as compact JSON, in the order given (frozen).

    An instant is its number of milliseconds since 1970, bytes are `{"hex": …}`, everything else is what JSON has for it.
    """
    return to_json({name: _plain(value) for name, value in columns.items()})


def differing(inside: bytes, columns: Columns) -> list[str]:
    """Name the columns that differ from those inside.

    A column that is not known inside is not compared: a version that writes one more must still read older records.
    """
    with contextlib.suppress(PydanticSerializationError):
        if encoded(columns) == inside:
            return []
    shown = {name: _encoded(value) for name, value in columns.items()}
    return [name for name, value in from_json(inside).items() if shown.get(name) != to_json(value)]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        # Cut to milliseconds as BSON does it.
        return (value - _EPOCH) // _MILLISECOND
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return value


def _encoded(value: object) -> bytes | None:
    try:
        return to_json(_plain(value))
    except PydanticSerializationError:
        # Of a kind that is never stored.
        return None

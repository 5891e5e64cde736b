"""Persisted grants: what is remembered of codes, tokens, consents and backchannel requests, whatever their kind."""

from datetime import datetime
from enum import StrEnum
from types import NoneType
from typing import Any, Self

from pydantic import Field, model_validator

from mongostore.models.base import Model, TextOrBytes
from mongostore.models.identifiers import check_identifier
from mongostore.models.instants import Instant

MAX_DATA_BYTES = 1_048_576
MAX_DESCRIPTION_LENGTH = 4_000


class PersistedGrantType(StrEnum):
    """The reference's values of a grant's `type`."""

    AuthorizationCode = "authorization_code"
    BackChannelAuthenticationRequest = "ciba"
    ReferenceToken = "reference_token"
    RefreshToken = "refresh_token"
    UserConsent = "user_consent"
    DeviceCode = "device_code"
    UserCode = "user_code"


class PersistedGrant(Model):
    """One grant. Key and data are never shown in a repr."""

    key: str = Field(repr=False)
    type: str
    subject_id: str | None = None
    session_id: str | None = None
    client_id: str
    description: str | None = None
    creation_time: Instant
    expiration: Instant | None = None
    consumed_time: Instant | None = None
    data: TextOrBytes = Field(repr=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_grant(self)
        return self


class PersistedGrantFilter(Model):
    """Which grants are meant: what is given must all hold. None is unset; an empty list is set and matches nothing."""

    subject_id: str | None = None
    session_id: str | None = None
    client_id: str | None = None
    client_ids: list[str] | None = None
    type: str | None = None
    types: list[str] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_filter(self)
        return self

    @property
    def effective_client_ids(self) -> frozenset[str] | None:
        """`client_ids` joined by `client_id`; None when neither is set."""
        return _joined(self.client_id, self.client_ids)

    @property
    def effective_types(self) -> frozenset[str] | None:
        """`types` joined by `type`; None when neither is set."""
        return _joined(self.type, self.types)

    def matches(self, grant: PersistedGrant) -> bool:
        """Tell whether the filter means this grant, by its identifiers alone."""
        if self.subject_id is not None and grant.subject_id != self.subject_id:
            return False
        if self.session_id is not None and grant.session_id != self.session_id:
            return False
        client_ids = self.effective_client_ids
        if client_ids is not None and grant.client_id not in client_ids:
            return False
        types = self.effective_types
        return types is None or grant.type in types


def _joined(one: str | None, many: list[str] | None) -> frozenset[str] | None:
    if one is None:
        return None if many is None else frozenset(many)
    return frozenset((one, *(many or ())))


_TEXT_OR_ABSENT: frozenset[type] = frozenset({str, NoneType})
_INSTANT_OR_ABSENT: frozenset[type] = frozenset({datetime, NoneType})
_STORED_TYPES: tuple[tuple[str, frozenset[type]], ...] = (
    ("key", frozenset({str})),
    ("type", frozenset({str})),
    ("subject_id", _TEXT_OR_ABSENT),
    ("session_id", _TEXT_OR_ABSENT),
    ("client_id", frozenset({str})),
    ("description", _TEXT_OR_ABSENT),
    ("creation_time", frozenset({datetime})),
    ("expiration", _INSTANT_OR_ABSENT),
    ("consumed_time", _INSTANT_OR_ABSENT),
    ("data", frozenset({str, bytes})),
)
_set = object.__setattr__
_ALL_FIELDS = {name for name, _ in _STORED_TYPES}
# The types of all fields in their order, as they were found good: a few dozen at the most.
_known_shapes: set[tuple[type, ...]] = set()


def stored_grant(fields: dict[str, Any]) -> PersistedGrant:
    """Make a grant of what was checked when it was stored: types are looked at, nothing is validated again.

    Reading a grant is the hottest path of all, and pydantic's validation a quarter of its cost beside the driver's.

    Args:
        fields: every field of the model, in its order, instants in UTC and cut to milliseconds. The grant takes the
            dictionary over.

    Raises:
        TypeError: a field has a type that was never stored.
    """
    shape = tuple(map(type, fields.values()))
    if shape not in _known_shapes:
        for name, types in _STORED_TYPES:
            if type(fields[name]) not in types:
                raise TypeError(f"{name} of a stored grant is {type(fields[name]).__name__}")
        _known_shapes.add(shape)
    grant = PersistedGrant.__new__(PersistedGrant)
    # What `model_construct` does, without its search for aliases and defaults.
    _set(grant, "__dict__", fields)
    _set(grant, "__pydantic_fields_set__", _ALL_FIELDS.copy())
    _set(grant, "__pydantic_extra__", None)
    _set(grant, "__pydantic_private__", None)
    return grant


def check_grant(grant: PersistedGrant) -> None:
    """Refuse a grant that can't be stored; `model_copy(update=…)` can make one.

    Raises:
        TypeError: a field holds the wrong type.
        ValueError: an identifier is impossible, an instant is naive, or the data exceed 1 MiB.
    """
    if not isinstance(grant, PersistedGrant):
        raise TypeError(f"a PersistedGrant is needed, not {type(grant).__name__}")
    check_identifier("key", grant.key)
    check_identifier("type", grant.type)
    check_identifier("client_id", grant.client_id)
    if grant.subject_id is not None:
        check_identifier("subject_id", grant.subject_id)
    if grant.session_id is not None:
        check_identifier("session_id", grant.session_id)
    if grant.description is not None:
        _check_description(grant.description)
    _check_instant("creation_time", grant.creation_time)
    if grant.expiration is not None:
        _check_instant("expiration", grant.expiration)
    if grant.consumed_time is not None:
        _check_instant("consumed_time", grant.consumed_time)
    _check_data(grant.data)


def check_filter(filter: PersistedGrantFilter) -> None:  # noqa: A002  (the reference's word)
    """Refuse a filter that sets nothing, or sets something to nothing: it must never widen what is removed.

    Raises:
        TypeError: a field holds the wrong type; a text where a list is due, for example.
        ValueError: nothing is set, or an identifier is empty.
    """
    if not isinstance(filter, PersistedGrantFilter):
        raise TypeError(f"a PersistedGrantFilter is needed, not {type(filter).__name__}")
    scalars = {name: getattr(filter, name) for name in ("subject_id", "session_id", "client_id", "type")}
    lists = {name: getattr(filter, name) for name in ("client_ids", "types")}
    for name, value in scalars.items():
        if value is not None:
            check_filter_text(name, value)
    for name, values in lists.items():
        if values is not None:
            _check_texts(name, values)
    if all(value is None for value in (*scalars.values(), *lists.values())):
        raise ValueError("no filter values: set at least one of subject_id, session_id, client_id(s), type(s)")


def check_filter_text(name: str, value: object) -> None:
    """Refuse what no filter may hold. An impossible identifier may stand there: it matches nothing.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty: leave it out, or None, when it is not to be filtered by")


def _check_texts(name: str, values: object) -> None:
    if not isinstance(values, list | tuple | set | frozenset):
        raise TypeError(f"{name} must be a list of str, not {type(values).__name__}")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a list of str, but holds {type(value).__name__}")


def _check_description(description: object) -> None:
    if not isinstance(description, str):
        raise TypeError(f"description must be a str, not {type(description).__name__}")
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise ValueError(f"description must not be longer than {MAX_DESCRIPTION_LENGTH:,} characters")
    if not description.isascii():
        _utf8_length("description", description)


def _check_instant(name: str, value: object) -> None:
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be an aware datetime, not {type(value).__name__}")
    if value.tzinfo is None:
        raise ValueError(f"{name} must be an aware datetime: it has no time zone")


def _check_data(data: object) -> None:
    if isinstance(data, str):
        size = len(data) if data.isascii() or len(data) > MAX_DATA_BYTES else _utf8_length("data", data)
    elif isinstance(data, bytes):
        size = len(data)
    else:
        raise TypeError(f"data must be a str or bytes, not {type(data).__name__}")
    if size > MAX_DATA_BYTES:
        raise ValueError(f"data must not exceed 1 MiB ({MAX_DATA_BYTES:,} bytes in UTF-8); it has {size:,} or more")


def _utf8_length(name: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        # Not chained: that error carries the text.
        raise ValueError(f"{name} must be text that UTF-8 can encode (it has a lone surrogate)") from None

"""Persisted grants: what is remembered of codes, tokens, consents and backchannel requests, whatever their kind."""

from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from mongostore.models.base import Model, Several, TextOrBytes
from mongostore.models.identifiers import check_identifier, utf8_length
from mongostore.models.instants import Instant
from mongostore.models.revalidation import revalidated

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
        _check_rules(self)
        return self


class PersistedGrantFilter(Model):
    """Which grants are meant: what is given must all hold. None is unset; an empty list is set and matches nothing."""

    subject_id: str | None = None
    session_id: str | None = None
    client_id: str | None = None
    client_ids: Several[str] | None = None
    type: str | None = None
    types: Several[str] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        scalars = ("subject_id", "session_id", "client_id", "type")
        for name in scalars:
            if getattr(self, name) is not None:
                check_filter_text(name, getattr(self, name))
        if all(getattr(self, name) is None for name in (*scalars, "client_ids", "types")):
            raise ValueError("no filter values: set at least one of subject_id, session_id, client_id(s), type(s)")
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
        types = self.effective_types
        return owns(self, grant) and (types is None or grant.type in types)


class Owned(Protocol):
    """What belongs to a subject, a session and a client, as far as they are known."""

    @property
    def subject_id(self) -> str | None:
        """Whose it is."""

    @property
    def session_id(self) -> str | None:
        """In which session it was asked for."""

    @property
    def client_id(self) -> str | None:
        """By which client."""


def owns(wanted: PersistedGrantFilter, owned: Owned) -> bool:
    """Tell whether a filter means something by its subject, session and client, whatever its type."""
    if wanted.subject_id is not None and owned.subject_id != wanted.subject_id:
        return False
    if wanted.session_id is not None and owned.session_id != wanted.session_id:
        return False
    client_ids = wanted.effective_client_ids
    return client_ids is None or owned.client_id in client_ids


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
_FIELDS = tuple(name for name, _ in _STORED_TYPES)
_ALL_FIELDS = set(_FIELDS)
_INSTANTS = ("creation_time", "expiration", "consumed_time")
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
    if (wrong := _wrongly_typed(fields)) is not None:
        raise TypeError(f"{wrong} of a stored grant is {type(fields[wrong]).__name__}")
    grant = PersistedGrant.__new__(PersistedGrant)
    # What `model_construct` does, without its search for aliases and defaults.
    _set(grant, "__dict__", fields)
    _set(grant, "__pydantic_fields_set__", _ALL_FIELDS.copy())
    _set(grant, "__pydantic_extra__", None)
    _set(grant, "__pydantic_private__", None)
    return grant


def check_grant(grant: PersistedGrant) -> PersistedGrant:
    """Give a grant as it is to be stored; `model_copy(update=…)` can make one that can't be.

    Raises:
        TypeError: a property holds the wrong type.
        ValueError: an identifier is impossible, an instant is naive, or the data exceed 1 MiB.
    """
    # Nearly every grant is as validation left it, which costs a third of validating it.
    if type(grant) is PersistedGrant and _is_as_validated(grant.__dict__):
        _check_rules(grant)
        return grant
    return revalidated(grant, PersistedGrant)


def _wrongly_typed(fields: dict[str, Any]) -> str | None:
    """The field, of all in their order, that has another type than is stored."""
    shape = tuple(map(type, fields.values()))
    if shape not in _known_shapes:
        for name, types in _STORED_TYPES:
            if type(fields[name]) not in types:
                return name
        _known_shapes.add(shape)
    return None


def _is_as_validated(fields: dict[str, Any]) -> bool:
    """Whether all fields are there, of exact types, and instants in UTC and cut to milliseconds."""
    if tuple(fields) != _FIELDS or _wrongly_typed(fields) is not None:
        return False
    for name in _INSTANTS:
        instant = fields[name]
        if instant is not None and (instant.tzinfo is not UTC or instant.microsecond % 1000):
            return False
    return True


def _check_rules(grant: PersistedGrant) -> None:
    """Refuse values that can't be stored, of the right types."""
    check_identifier("key", grant.key)
    check_identifier("type", grant.type)
    check_identifier("client_id", grant.client_id)
    if grant.subject_id is not None:
        check_identifier("subject_id", grant.subject_id)
    if grant.session_id is not None:
        check_identifier("session_id", grant.session_id)
    if grant.description is not None:
        _check_description(grant.description)
    _check_data(grant.data)


def check_filter(filter: PersistedGrantFilter) -> PersistedGrantFilter:  # noqa: A002  (the reference's word)
    """Give a filter as it is meant. One that sets nothing, or sets something to nothing, must never widen what is removed.

    Raises:
        TypeError: a field holds the wrong type; a text where a list is due, for example.
        ValueError: nothing is set, or an identifier is empty.
    """
    return revalidated(filter, PersistedGrantFilter)


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


def _check_description(description: str) -> None:
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise ValueError(f"description must not be longer than {MAX_DESCRIPTION_LENGTH:,} characters")
    if not description.isascii():
        utf8_length("description", description)


def _check_data(data: str | bytes) -> None:
    if isinstance(data, str):
        size = len(data) if data.isascii() or len(data) > MAX_DATA_BYTES else utf8_length("data", data)
    else:
        size = len(data)
    if size > MAX_DATA_BYTES:
        raise ValueError(f"data must not exceed 1 MiB ({MAX_DATA_BYTES:,} bytes in UTF-8); it has {size:,} or more")

"""Server-side sessions: what users' sign-ins are remembered by."""

from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from mongostore.models.base import Identifier, Model, PropertyName, Several, TextOrBytes
from mongostore.models.grants import MAX_DATA_BYTES, check_filter_text
from mongostore.models.identifiers import MAX_IDENTIFIER_LENGTH, check_identifier, utf8_length
from mongostore.models.instants import Instant
from mongostore.models.principal import Principal
from mongostore.models.revalidation import revalidated

DEFAULT_PAGE_SIZE = 25
# The grace and the sliding of a session end later still, and no datetime lies beyond the year 9999.
_EXPIRES_BEFORE = datetime(9000, 1, 1, tzinfo=UTC)
LATEST_EXPIRY = _EXPIRES_BEFORE - timedelta(milliseconds=1)
"""No session slides beyond it."""


class ServerSideSession(Model):
    """One session. The key is what the cookie refers to, the ticket what signs the user in: neither shows in a repr."""

    key: str = Field(repr=False)
    scheme: str
    subject_id: str
    session_id: str
    display_name: str | None = None
    created: Instant
    renewed: Instant
    expires: Instant | None = None
    ticket: TextOrBytes = Field(repr=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("key", "scheme", "subject_id", "session_id"):
            check_identifier(name, getattr(self, name))
        _check_display_name(self.display_name)
        if self.expires is not None and self.expires >= _EXPIRES_BEFORE:
            raise ValueError("expires must lie before the year 9000: leave it out, or None, for a session without end")
        _check_ticket(self.ticket)
        return self


class AuthenticationTicket(Model):
    """What signs a user in: who it is, since when, and for which clients. It never shows in a repr of a session.

    Attributes:
        scheme: the authentication scheme that signed the user in.
        principal: the user, with the claims `sub` and `sid`.
        issued: when the user signed in, or the ticket was last renewed; None: when it is stored.
        expires: when the sign-in is over; None: never by itself.
        issuer: the issuer of the tokens given in this session.
        client_ids: the clients that the user has signed in to, who want to hear of the logout.
        items: whatever else the server keeps with the sign-in.
    """

    scheme: str
    principal: Principal
    issued: Instant | None = None
    expires: Instant | None = None
    issuer: str | None = None
    client_ids: Several[str] = Field(default_factory=list)
    items: dict[PropertyName, str] = Field(default_factory=dict, repr=False)


class SessionFilter(Model):
    """Which sessions are meant: by subject, by session id, or by both."""

    subject_id: str | None = None
    session_id: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_something_is_set(self.subject_id, self.session_id)
        return self


class SessionQuery(Model):
    """A page of sessions. Identifiers match exactly, `display_name` by prefix; empty texts count as unset."""

    results_token: str | None = Field(default=None, repr=False)
    request_prior_results: bool = False
    count_requested: int = DEFAULT_PAGE_SIZE
    subject_id: str | None = None
    session_id: str | None = None
    display_name: str | None = None
    match: Literal["prefix", "substring"] = "prefix"

    @field_validator("count_requested")
    @classmethod
    def _page_size(cls, count: int) -> int:
        return count if count > 0 else DEFAULT_PAGE_SIZE

    @field_validator("subject_id", "session_id", "display_name")
    @classmethod
    def _empty_is_unset(cls, text: str | None) -> str | None:
        return text or None


class UserSession(Model):
    """A session with what its ticket says, for those who manage sessions."""

    subject_id: str
    session_id: str
    display_name: str | None = None
    created: Instant
    renewed: Instant
    expires: Instant | None = None
    issuer: str | None = None
    client_ids: list[str] = Field(default_factory=list)
    authentication_ticket: TextOrBytes = Field(repr=False)


class RemoveSessionsContext(Model):
    """Which sessions to end, and what to end with them."""

    subject_id: str | None = None
    session_id: str | None = None
    client_ids: Several[Identifier] | None = None
    remove_server_side_session: bool = True
    send_backchannel_logout_notification: bool = True
    revoke_tokens: bool = True
    revoke_consents: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_something_is_set(self.subject_id, self.session_id)
        return self


def check_session(session: ServerSideSession) -> ServerSideSession:
    """Give a session as it is to be stored; `model_copy(update=…)` can make one that can't be.

    Raises:
        TypeError: a field holds the wrong type.
        ValueError: an identifier is impossible, an instant is naive, `expires` lies too far away, or name or ticket is
            too long.
    """
    return revalidated(session, ServerSideSession)


def check_session_filter(filter: SessionFilter) -> SessionFilter:  # noqa: A002  (the reference's word)
    """Give a filter as it is meant. One that sets nothing, or sets something to nothing, must never widen what is removed.

    Raises:
        TypeError: a field is no text.
        ValueError: neither subject_id nor session_id is set, or one is empty.
    """
    return revalidated(filter, SessionFilter)


def _check_something_is_set(subject_id: str | None, session_id: str | None) -> None:
    for name, value in (("subject_id", subject_id), ("session_id", session_id)):
        if value is not None:
            check_filter_text(name, value)
    if subject_id is None and session_id is None:
        raise ValueError("no filter values: set subject_id, session_id or both")


def _check_display_name(name: str | None) -> None:
    if name is None:
        return
    if len(name) > MAX_IDENTIFIER_LENGTH:
        raise ValueError(f"display_name must not be longer than {MAX_IDENTIFIER_LENGTH:,} characters")
    utf8_length("display_name", name)


def _check_ticket(ticket: str | bytes) -> None:
    if (utf8_length("ticket", ticket) if isinstance(ticket, str) else len(ticket)) > MAX_DATA_BYTES:
        raise ValueError(f"ticket must not exceed 1 MiB ({MAX_DATA_BYTES:,} bytes)")

"""Device authorization: RFC 8628."""

from pydantic import Field

from mongostore.models.base import Identifier, Json, Model, PropertyName, Seconds, is_empty
from mongostore.models.instants import Instant
from mongostore.models.principal import Principal


class DeviceCode(Model):
    """A device's request for authorization. `lifetime` is seconds; the subject is set when a user has answered."""

    creation_time: Instant
    lifetime: Seconds
    client_id: Identifier
    description: str | None = None
    is_open_id: bool = False
    is_authorized: bool = False
    requested_scopes: list[str] = Field(default_factory=list)
    authorized_scopes: list[str] | None = None
    subject: Principal | None = None
    session_id: str | None = None
    properties: dict[PropertyName, Json] = Field(default_factory=dict, repr=False, exclude_if=is_empty)

    @property
    def subject_id(self) -> str | None:
        """The value of the subject's `sub` claim."""
        return None if self.subject is None else self.subject.subject_id

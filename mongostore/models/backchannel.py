"""Client-initiated backchannel authentication (CIBA)."""

from pydantic import Field

from mongostore.models.base import Identifier, Json, PropertyName, Seconds
from mongostore.models.instants import Instant
from mongostore.models.principal import SubjectModel


class BackChannelAuthenticationRequest(SubjectModel):
    """A request that the user answers elsewhere. `lifetime` is seconds; the store sets `internal_id`."""

    internal_id: str | None = Field(default=None, repr=False)
    creation_time: Instant
    lifetime: Seconds
    client_id: Identifier
    requested_scopes: list[str] = Field(default_factory=list)
    requested_resource_indicators: list[str] | None = None
    authentication_context_reference_classes: list[str] | None = None
    tenant: str | None = None
    idp: str | None = None
    binding_message: str | None = None
    is_complete: bool = False
    authorized_scopes: list[str] | None = None
    session_id: str | None = None
    description: str | None = None
    properties: dict[PropertyName, Json] = Field(default_factory=dict, repr=False)

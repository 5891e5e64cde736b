"""Pushed authorization requests: RFC 9126."""

from pydantic import Field

from mongostore.models.base import Identifier, Model, PropertyName
from mongostore.models.instants import Instant


class PushedAuthorizationRequest(Model):
    """Parameters that a client pushed. The reference value itself is never kept: only its hash."""

    reference_value_hash: Identifier = Field(repr=False)
    expires_at_utc: Instant
    parameters: dict[PropertyName, list[str]] = Field(repr=False)

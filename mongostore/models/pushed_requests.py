"""Pushed authorization requests: RFC 9126."""

from typing import Any

from pydantic import Field, model_validator

from mongostore.models.base import Identifier, Model, PropertyName
from mongostore.models.identifiers import is_identifier
from mongostore.models.instants import Instant


class PushedAuthorizationRequest(Model):
    """Parameters that a client pushed. The reference value itself is never kept: only its hash.

    Attributes:
        client_id: who pushed; when not given, the single value of the parameter `client_id`.
        subject_id, session_id: the user and the sign-in that the request belongs to, where that is known already.
    """

    reference_value_hash: Identifier = Field(repr=False)
    expires_at_utc: Instant
    parameters: dict[PropertyName, list[str]] = Field(repr=False)
    client_id: Identifier | None = None
    subject_id: Identifier | None = None
    session_id: Identifier | None = None

    @model_validator(mode="before")
    @classmethod
    def _client_of_the_parameters(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("client_id", given.get("ClientId")) is not None:
            return given
        parameters = given.get("parameters", given.get("Parameters"))
        values = parameters.get("client_id") if isinstance(parameters, dict) else None
        if not isinstance(values, list | tuple) or len(values) != 1 or not is_identifier(values[0]):
            return given
        rest = {name: value for name, value in given.items() if name != "ClientId"}
        return {**rest, "client_id": values[0]}

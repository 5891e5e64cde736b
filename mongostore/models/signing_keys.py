"""Signing keys as they are stored."""

from pydantic import Field

from mongostore.models.base import Identifier, Model, Number
from mongostore.models.instants import Instant


class SerializedKey(Model):
    """A signing key; `id` is its `kid`."""

    version: Number = 1
    id: Identifier
    created: Instant
    algorithm: str
    is_x509_certificate: bool = False
    data: str = Field(repr=False)
    data_protected: bool = False

"""Secrets of clients and API resources: hashed, never shown."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, PlainSerializer

from mongostore.models.base import ConfigurationModel, SetOf
from mongostore.models.identifiers import utf8_length
from mongostore.models.instants import Instant

_DIGEST_SIZES = (hashlib.sha256().digest_size, hashlib.sha512().digest_size)


class SecretType(StrEnum):
    """The reference's kinds of secrets."""

    SharedSecret = "SharedSecret"
    X509CertificateThumbprint = "X509Thumbprint"
    X509CertificateName = "X509Name"
    X509CertificateBase64 = "X509CertificateBase64"
    JsonWebKey = "JWK"


class Secret(ConfigurationModel):
    """A secret as it is stored. Two secrets are equal when type and value are."""

    description: str | None = None
    value: str = Field(repr=False)
    expiration: Instant | None = None
    type: str = SecretType.SharedSecret.value

    @classmethod
    def sha256(
        cls,
        plaintext: str,
        *,
        description: str | None = None,
        expiration: datetime | None = None,
        type: str = SecretType.SharedSecret.value,  # noqa: A002  (the reference's word)
    ) -> Self:
        """Make a secret from its plain text, as the reference stores it: base64 of the SHA-256 of its UTF-8 bytes."""
        value = base64.b64encode(hashlib.sha256(_utf8(plaintext)).digest()).decode()
        return cls(value=value, description=description, expiration=expiration, type=type)

    @classmethod
    def sha512(
        cls,
        plaintext: str,
        *,
        description: str | None = None,
        expiration: datetime | None = None,
        type: str = SecretType.SharedSecret.value,  # noqa: A002  (the reference's word)
    ) -> Self:
        """Make a secret from its plain text: base64 of the SHA-512 of its UTF-8 bytes."""
        value = base64.b64encode(hashlib.sha512(_utf8(plaintext)).digest()).decode()
        return cls(value=value, description=description, expiration=expiration, type=type)

    def __eq__(self, other: object) -> bool:
        """Compare type and value, as the reference's sets do."""
        return isinstance(other, Secret) and (self.type, self.value) == (other.type, other.value)

    def __hash__(self) -> int:
        """Agree with `__eq__`."""
        return hash((self.type, self.value))


def _utf8(plaintext: str) -> bytes:
    if not isinstance(plaintext, str):
        raise TypeError(f"plaintext must be a str, not {type(plaintext).__name__}")
    if not plaintext:
        raise ValueError("plaintext must not be empty")
    utf8_length("plaintext", plaintext)
    return plaintext.encode()


def _sorted_secrets(secrets: frozenset[Secret]) -> list[Secret]:
    return sorted(secrets, key=lambda secret: (secret.type, secret.value))


SecretSet = Annotated[SetOf[Secret], PlainSerializer(_sorted_secrets, return_type=list[Secret])]
"""A set of secrets, made from any collection; written as a list sorted by type and value."""


def secret_problems(name: str, secrets: Iterable[Secret]) -> list[str]:
    """Say what keeps secrets from being stored. Values are never repeated; descriptions tell which one is meant.

    Args:
        name: the property that holds them ("client_secrets").
    """
    problems = []
    for secret in sorted(secrets, key=lambda secret: (secret.type, secret.value)):
        which = f"{name}: a secret ({secret.description or 'without description'})"
        if not secret.type.strip():
            problems.append(f"{which} has no type")
        if not secret.value.strip():
            problems.append(f"{which} has no value")
        elif secret.type == SecretType.SharedSecret and not is_digest(secret.value):
            problems.append(f"{which} is no hash: make it with Secret.sha256(…) or Secret.sha512(…)")
    return problems


def is_digest(value: str) -> bool:
    """Tell whether a value is base64 of what SHA-256 or SHA-512 gives."""
    try:
        return len(base64.b64decode(value, validate=True)) in _DIGEST_SIZES
    except (binascii.Error, ValueError):
        return False

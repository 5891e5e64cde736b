"""How models with secrets lie in MongoDB: what must not be read there is sealed, all of a record's in one payload.

In clear stay digests and what is public. The others, symmetric keys above all, keep their place among the secrets, with
the value left out.
"""

import contextlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from mongostore.models import ApiResource, Client
from mongostore.models.secrets import SecretType, is_digest
from mongostore.mongo.documents.base import natural_key
from mongostore.mongo.documents.clients import CLIENTS
from mongostore.mongo.documents.configuration import ConfigurationCodec, StoredDocument, readable, unreadable
from mongostore.mongo.documents.resources import API_RESOURCES
from mongostore.protection.columns import Columns
from mongostore.protection.context import Context
from mongostore.protection.protector import Protector
from mongostore.tenancy import Tenant

ModelT = TypeVar("ModelT", bound=Client | ApiResource)

_FIELD: Final = "payload"

_PUBLIC_TYPES: Final = frozenset(
    {SecretType.X509CertificateThumbprint, SecretType.X509CertificateName, SecretType.X509CertificateBase64}
)
# RFC 7517 §4, RFC 7518 §6.2.1 and §6.3.1, RFC 8037 §2: what a public key has. Everything else may be a private part.
_PUBLIC_KEY_TYPES: Final = frozenset({"EC", "RSA", "OKP"})
_PUBLIC_MEMBERS: Final = frozenset(
    {"kty", "use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256", "crv", "x", "y", "n", "e"}
)


def is_sensitive(secret_type: str, value: str) -> bool:
    """Tell whether a secret's value must not lie in clear.

    Args:
        secret_type: what kind of secret it is.
        value: a digest, a certificate, a key, or whatever a server stores under a type of its own.
    """
    if secret_type == SecretType.SharedSecret:
        return not is_digest(value)
    if secret_type == SecretType.JsonWebKey:
        return not _is_public_key(value)
    return secret_type not in _PUBLIC_TYPES


def _is_public_key(value: str) -> bool:
    try:
        key = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(key, dict) and key.get("kty") in _PUBLIC_KEY_TYPES and key.keys() <= _PUBLIC_MEMBERS


class SecretsCodec(Generic[ModelT]):
    """Turns a tenant's models with secrets into documents and back: the only place where those are sealed and opened.

    The payload is a JSON object without blanks, names ascending, in UTF-8: the sealed secrets' values by their place in
    the array ("0", "1", …) under the array's name, and each other sealed text under its own. A record without anything
    to seal has no payload; neither has one of before, with everything in clear.
    """

    def __init__(
        self,
        tenant: Tenant,
        protector: Protector,
        codec: ConfigurationCodec[ModelT],
        secrets: str,
        texts: Sequence[str] = (),
    ) -> None:
        """Say what of which models is sealed.

        Args:
            tenant: whose they are.
            protector: what seals.
            codec: turns them into documents and back with everything in clear.
            secrets: the field that holds the secrets.
            texts: the fields that are sealed whenever they are set.
        """
        self.codec = codec
        self._tenant = tenant
        self._protector = protector
        self._secrets = secrets
        self._texts = tuple(texts)

    async def fields(self, model: ModelT) -> dict[str, Any]:
        """The fields of a model's document, all but its revision, with what must not lie in clear sealed."""
        fields = self.codec.fields(self._tenant, model)
        secrets = [dict(each) for each in fields[self._secrets]]
        values: dict[str, str] = {}
        for place, secret in enumerate(secrets):
            if is_sensitive(secret["type"], secret["value"]):
                values[str(place)] = secret.pop("value")
        texts = {name: fields[name] for name in self._texts if fields[name] is not None}
        if not values and not texts:
            return fields
        document = {**fields, **dict.fromkeys(texts), self._secrets: secrets}
        plaintext = json.dumps(
            {self._secrets: values, **texts}, ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )
        context = self._context(natural_key(fields["id"]))
        document[_FIELD] = await self._protector.seal(plaintext.encode(), context, self._columns(document))
        return document

    async def model(self, document: StoredDocument) -> ModelT:
        """What a stored document says.

        Raises:
            PayloadUnreadable: it is damaged, its payload belongs elsewhere, or its secrets were changed beside it.
            KeyUnavailable: the data key that sealed it is missing.
        """
        payload = document.get(_FIELD)
        if payload is None:
            return self.codec.model(document)
        key = natural_key(document["_id"])
        plaintext = await self._protector.open(payload, self._context(key), self._columns(document))
        opened = self._opened(document, plaintext)
        if opened is None:
            raise unreadable(self.codec.label, self.codec.what(key), [_FIELD])
        return self.codec.model({**document, **opened})

    async def models(self, documents: Sequence[StoredDocument]) -> list[ModelT]:
        """What stored documents say; see `readable`."""
        return await readable(documents, self.model)

    def _opened(self, document: StoredDocument, plaintext: bytes) -> dict[str, Any] | None:
        """The fields that are sealed; None when the plaintext is of another version's form."""
        with contextlib.suppress(ValueError):
            opened = json.loads(plaintext)
            values = opened.get(self._secrets) if isinstance(opened, dict) else None
            if isinstance(values, dict):
                return {
                    self._secrets: [
                        {**secret, "value": values[str(place)]} if str(place) in values else secret
                        for place, secret in enumerate(document[self._secrets])
                    ],
                    **{name: opened.get(name) for name in self._texts},
                }
        return None

    def _columns(self, document: StoredDocument) -> Columns:
        """What stands beside the payload and says which secrets there are, and until when; frozen."""
        stored = document.get(self._secrets)
        secrets = [each if isinstance(each, dict) else {} for each in stored] if isinstance(stored, list) else []
        return {
            **{f"{self._secrets}.{name}": [each.get(name) for each in secrets] for name in ("type", "value")},
            f"{self._secrets}.expiration": [_milliseconds(each.get("expiration")) for each in secrets],
            **{name: document.get(name) for name in self._texts},
        }

    def _context(self, key: str) -> Context:
        return Context(self._tenant, self.codec.label, key, _FIELD)


def _milliseconds(instant: object) -> object:
    return round(instant.timestamp() * 1000) if isinstance(instant, datetime) else instant


def client_codec(tenant: Tenant, protector: Protector) -> SecretsCodec[Client]:
    """What turns a tenant's clients into documents and back."""
    return SecretsCodec(tenant, protector, CLIENTS, "client_secrets", ["pair_wise_subject_salt"])


def api_resource_codec(tenant: Tenant, protector: Protector) -> SecretsCodec[ApiResource]:
    """What turns a tenant's API resources into documents and back."""
    return SecretsCodec(tenant, protector, API_RESOURCES, "api_secrets")

"""How identity providers lie in MongoDB: their properties, which hold secrets, sealed as a whole."""

import json
from typing import Any, ClassVar

from pydantic import ValidationError

from mongostore.models import IdentityProvider
from mongostore.mongo.documents.base import natural_key, record_id
from mongostore.mongo.documents.configuration import RevisedFields, StoredDocument, damaged_fields, unreadable
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector
from mongostore.stores.configuration import named
from mongostore.stores.identity_providers import typed_provider
from mongostore.tenancy import Tenant

# Frozen: what stands beside the properties and is bound to them, in this order.
_COLUMNS = ("type", "scheme", "display_name", "enabled")


class IdentityProviderFields(RevisedFields):
    """One identity provider; `_id` is `tenant|scheme`.

    Attributes:
        payload: the properties, as a JSON object with ascending names, without blanks, in UTF-8.
    """

    label: ClassVar[str] = "identity_providers"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)

    type: str
    scheme: str
    display_name: str | None = None
    enabled: bool
    payload: Sealed


class IdentityProviderCodec:
    """Turns a tenant's providers into documents and back: the only place where their properties are sealed and opened."""

    def __init__(self, tenant: Tenant, protector: Protector) -> None:
        self._tenant = tenant
        self._protector = protector

    async def fields(self, provider: IdentityProvider) -> dict[str, Any]:
        """The fields of a provider's document, all but its revision."""
        plaintext = json.dumps(provider.properties, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        columns = {name: getattr(provider, name) for name in _COLUMNS}
        return {
            "id": record_id(self._tenant, provider.scheme),
            "tenant": self._tenant,
            **columns,
            "payload": await self._protector.seal(plaintext.encode(), self._context(provider.scheme), columns),
        }

    async def provider(self, document: StoredDocument) -> IdentityProvider:
        """What a stored document says.

        Raises:
            PayloadUnreadable: it is damaged, its payload belongs elsewhere, or a field beside it was changed.
            KeyUnavailable: the data key that sealed it is missing.
        """
        scheme = natural_key(document["_id"])
        # What is missing opens no better than what is no envelope.
        columns = {name: document.get(name) for name in _COLUMNS}
        plaintext = await self._protector.open(document.get("payload") or b"", self._context(scheme), columns)
        try:
            provider = IdentityProvider.model_validate({**columns, "scheme": scheme, "properties": _json(plaintext)})
            return typed_provider(provider)
        except ValidationError as error:
            damaged = damaged_fields(error)
        # Outside of the handler: the error keeps what it was given, which holds secrets.
        raise unreadable(IdentityProviderFields.label, what(scheme), damaged)

    def _context(self, scheme: str) -> Context:
        return Context(self._tenant, IdentityProviderFields.label, scheme, "payload")


def _json(plaintext: bytes) -> object:
    try:
        return json.loads(plaintext)
    except ValueError:
        # Sealed by us, so it is another version's form: the model refuses None.
        return None


def what(scheme: str) -> str:
    """What a provider is called in a message."""
    return named("identity provider", scheme)

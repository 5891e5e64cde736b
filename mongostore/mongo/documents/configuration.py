"""How models of configuration become documents and back, whatever their noun."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models.base import Model
from mongostore.models.instants import write_time_span
from mongostore.mongo.documents.base import StoredFields, natural_key, record_id
from mongostore.stores.configuration import named
from mongostore.tenancy import Tenant

_log = logging.getLogger("mongostore")

ModelT = TypeVar("ModelT", bound=Model)
ReadT = TypeVar("ReadT")

StoredDocument = Mapping[str, Any]


class RevisedFields(StoredFields):
    """A document that is replaced as a whole, under a revision."""

    revision: int


class StoredProperty(BaseModel):
    """One of a model's `properties`. Not a field of its own: a field's name can't hold all that a property's may."""

    name: str
    value: str


class ConfigurationCodec(Generic[ModelT]):
    """Turns models of one class into the fields of documents and back.

    A field that the stored class has no default for must be there. One with the default None is null when absent; one
    with another default was added later, and older records have the model's. Unknown fields are a newer version's.
    """

    def __init__(
        self,
        model: type[ModelT],
        fields: type[RevisedFields],
        *,
        key: str,
        noun: str,
        embedded: Mapping[str, type[Model]],
    ) -> None:
        """Say what is turned into what.

        Args:
            model: the model.
            fields: its document's fields; those that the model has too are called the same.
            key: the field that is the natural key.
            noun: what the model is called in messages.
            embedded: the model's fields that hold models, and which.
        """
        self._model = model
        self.label = fields.label
        self._key = key
        self._noun = noun
        self._embedded = {name: frozenset(each.model_fields) for name, each in embedded.items()}
        stored = {name: field for name, field in fields.model_fields.items() if name in model.model_fields}
        self._names = tuple(stored)
        self._required = frozenset(name for name, field in stored.items() if field.is_required())
        self._nulls = {name: None for name, field in stored.items() if field.default is None}

    def what(self, key: str) -> str:
        """What a record is called in a message."""
        return named(self._noun, key)

    def fields(self, tenant: Tenant, model: ModelT) -> dict[str, Any]:
        """The fields of a model's document, all but its revision."""
        return {
            "id": record_id(tenant, getattr(model, self._key)),
            "tenant": tenant,
            **{name: _stored(getattr(model, name)) for name in self._names},
        }

    def model(self, document: StoredDocument) -> ModelT:
        """What a stored document says.

        Raises:
            PayloadUnreadable: it is damaged; the message names the fields.
        """
        key = natural_key(document["_id"])
        if not self._required <= document.keys():
            raise unreadable(self.label, self.what(key), self._required - document.keys())
        values = self._nulls | {name: document[name] for name in self._names if name in document}
        values[self._key] = key
        values["properties"] = _properties(values["properties"])
        for name, known in self._embedded.items():
            values[name] = _without_unknown(values[name], known)
        try:
            return self._model.model_validate(values)
        except ValidationError as error:
            damaged = damaged_fields(error)
        # Outside of the handler: the error keeps what it was given, which holds secrets.
        raise unreadable(self.label, self.what(key), damaged)

    def revision(self, document: StoredDocument) -> int:
        """The revision that a stored document is at; see `stored_revision`."""
        return stored_revision(document, self.label, self.what(natural_key(document["_id"])))

    async def models(self, documents: Sequence[StoredDocument]) -> list[ModelT]:
        """What stored documents say; see `readable`."""

        async def read(document: StoredDocument) -> ModelT:
            return self.model(document)

        return await readable(documents, read)


async def readable(
    documents: Sequence[StoredDocument], read: Callable[[StoredDocument], Awaitable[ReadT]]
) -> list[ReadT]:
    """Read documents; those that can't be read are logged and left out.

    Raises:
        PayloadUnreadable, KeyUnavailable: there are documents, and not one can be read.
    """
    found: list[ReadT] = []
    damage: list[PayloadUnreadable | KeyUnavailable] = []
    for document in documents:
        try:
            found.append(await read(document))
        except (PayloadUnreadable, KeyUnavailable) as error:
            damage.append(error)
    if damage:
        _log.error("%d of %d records can't be read and are left out: %s", len(damage), len(documents), damage[0])
        if not found:
            raise damage[0]
    return found


def stored_revision(document: StoredDocument, label: str, what: str) -> int:
    """The revision that a stored document is at.

    Raises:
        PayloadUnreadable: it has none.
    """
    revision = document.get("revision")
    if not isinstance(revision, int):
        raise unreadable(label, what, ["revision"])
    return revision


def unreadable(label: str, what: str, damaged: Iterable[str]) -> PayloadUnreadable:
    """Make the error for a record whose fields are missing, or not of the expected form."""
    return PayloadUnreadable(
        f"{what} can't be read: {', '.join(sorted(damaged))} missing or not of the expected form. "
        f"The record in {label} was changed from outside: save it anew, or restore it from a backup",
        collection=label,
    )


def damaged_fields(error: ValidationError) -> set[str]:
    """The fields that an error is about, without what they hold."""
    return {str(problem["loc"][0]) for problem in error.errors(include_url=False, include_input=False)}


def tenant_ids(tenant: Tenant, after: str | None = None) -> dict[str, str]:
    """The condition on `_id` for everything of a tenant, or what comes after one `_id` of it."""
    # "}" is the character after "|".
    return {"$gt": after or f"{tenant}|", "$lt": f"{tenant}}}"}


def _stored(value: object) -> object:
    """Give a model's value as BSON has it. Sets have no order: sorted, so that equal models make equal documents."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: _stored(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, frozenset):
        return sorted(map(_stored, value), key=str)
    if isinstance(value, dict):
        return [{"name": name, "value": each} for name, each in sorted(value.items())]
    if isinstance(value, timedelta):
        return write_time_span(value)
    return value


def _properties(value: object) -> dict[str, Any] | None:
    if isinstance(value, list) and all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in value):
        properties = {each["name"]: each.get("value") for each in value}
        if len(properties) == len(value):
            return properties
    # Not as we write it, or one name twice: the model refuses None.
    return None


def _without_unknown(value: object, known: frozenset[str]) -> object:
    if not isinstance(value, list):
        return value
    return [{name: each[name] for name in each.keys() & known} if isinstance(each, dict) else each for each in value]

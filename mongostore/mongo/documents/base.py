"""What every stored document has in common, and how Beanie classes are made from it.

The fields of a collection are a plain pydantic class. A Beanie `Document` class can belong to one database only, for
its whole life, so each binding makes its own from those fields; nothing ever inherits from one that is already bound.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from beanie import Document, Insert, Replace, Save, SaveChanges, Update, before_event
from pydantic import BaseModel, ConfigDict
from pymongo import ASCENDING, IndexModel

from mongostore.models import PersistedGrantFilter
from mongostore.models.identifiers import is_identifier
from mongostore.protection.envelope import Sealed


class StoredFields(BaseModel):
    """The fields that every collection has.

    Attributes:
        label: the noun's frozen name: the collection's name without prefix, and part of the associated data.
        indexes: the desired indexes, by name.
        sealed_fields: the fields that may only hold envelopes, each sealed for `Context(tenant, label,
            sealed_to(_id), field)`: so re-encryption can open and seal them anew, whatever the noun.
        id: `tenant|natural key`.
    """

    model_config = ConfigDict(extra="ignore", frozen=False)

    label: ClassVar[str]
    indexes: ClassVar[tuple[IndexModel, ...]] = ()
    sealed_fields: ClassVar[tuple[str, ...]] = ()

    id: str
    tenant: str

    @classmethod
    def sealed_to(cls, stored_id: str) -> str:
        """What the sealed fields of the record with this `_id` are bound to: the natural key, unless a noun has another."""
        return natural_key(stored_id)

    @before_event(Insert, Replace, Save, SaveChanges, Update)
    def refuse_unsealed(self) -> None:
        """Stop a document whose payload is not sealed, whichever of Beanie's writes it came by."""
        for name in self.sealed_fields:
            value = getattr(self, name, None)
            if value is not None and not isinstance(value, Sealed):
                raise TypeError(
                    f"{name} of a document in {self.label} is not sealed: only a protector makes sealed values"
                )


def record_id(tenant: str, key: str) -> str:
    """The `_id` of a record that is found by one value. Frozen: `tenant|key`; a tenant has no `|`."""
    return f"{tenant}|{key}"


def natural_key(stored_id: str) -> str:
    """The key within its tenant, of an `_id`."""
    return stored_id.partition("|")[2]


def index(name: str, *fields: str, **options: Any) -> IndexModel:
    """An ascending index with a name of its own, so that a drift can be named too."""
    return IndexModel([(field, ASCENDING) for field in fields], name=name, **options)


def expiry_index(field: str = "purge_at") -> IndexModel:
    """The TTL index: MongoDB removes a record once this instant has passed."""
    return index("expiry", field, expireAfterSeconds=0)


def ownership_indexes() -> tuple[IndexModel, ...]:
    """What records are revoked by: subject, session and client, where they are known. Partial, so that they are small."""
    return tuple(
        index(f"by_{name}", "tenant", field, *more, partialFilterExpression={field: {"$exists": True}})
        for name, field, more in (
            ("subject", "subject_id", ("client_id",)),
            ("session", "session_id", ()),
            ("client", "client_id", ()),
        )
    )


def ownership_query(tenant: str, wanted: PersistedGrantFilter) -> dict[str, Any] | None:
    """The query for the records of a subject, session or clients, whatever their type; None when nothing can match."""
    query: dict[str, Any] = {"tenant": tenant}
    for field, value in (("subject_id", wanted.subject_id), ("session_id", wanted.session_id)):
        if value is not None:
            if not is_identifier(value):
                return None
            query[field] = value
    client_ids = wanted.effective_client_ids
    if client_ids is not None:
        query["client_id"] = {"$in": sorted(filter(is_identifier, client_ids))}
    return query


def columns(document: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What stands in clear, by these names; None where nothing does."""
    return {name: document.get(name) for name in names}


def without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """What is stored: an absent field and null mean the same, and absent is smaller."""
    return {name: value for name, value in document.items() if value is not None}


def bound_document(fields: type[StoredFields], prefix: str) -> type[Document]:
    """Make the Beanie class of a collection, to be initialised once, for one database.

    Args:
        fields: the collection's fields.
        prefix: put before the collection's name.
    """

    class Bound(fields, Document):  # type: ignore[valid-type,misc]  # the base is chosen at run time
        class Settings:
            name = prefix + fields.label
            indexes: ClassVar[list[IndexModel]] = list(fields.indexes)
            keep_nulls = False

    Bound.__name__ = Bound.__qualname__ = fields.__name__.removesuffix("Fields") + "Document"
    return Bound

"""Saves, reads and deletes documents under revisions: by one conditional write each, numbered by the tenant's counter."""

from collections.abc import Mapping
from typing import Any

from beanie import Document, Replace
from beanie.exceptions import DocumentNotFound
from beanie.odm.actions import wrap_with_actions
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from mongostore.models.identifiers import is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
from mongostore.mongo.documents.configuration import RevisedFields, StoredDocument
from mongostore.mongo.documents.revisions import RevisionFields
from mongostore.mongo.lookups import find_by_id
from mongostore.stores.configuration import (
    already_exists,
    check_revision_to_delete,
    name_in_use,
    stale_revision,
)
from mongostore.tenancy import Tenant

# Frozen: the key of the counter of all configuration.
_COUNTER = "configuration"


class RevisedRecords:
    """Writes, reads and deletes the documents of one tenant, each under a number that was never given before.

    Writers may come in another order than their numbers, so nobody replaces a larger number by a smaller one: who was
    overtaken draws again.
    """

    def __init__(self, binding: Binding, tenant: Tenant) -> None:
        self._binding = binding
        self._tenant = tenant

    async def save(
        self,
        fields_class: type[RevisedFields],
        fields: Mapping[str, Any],
        what: str,
        expected_revision: int | None,
        *,
        same: Mapping[str, Any] | None = None,
    ) -> int:
        """Insert or replace a document with its hooks live; see `ClientStore.save_client`.

        Args:
            fields_class: the fields of which collection.
            fields: the document's, all but its revision.
            what: what is saved, for messages ("the client 'web'").
            expected_revision: None, 0, or the revision to replace.
            same: what a stored document must hold as well to be replaced: otherwise it is another kind of thing.

        Raises:
            AlreadyExists: it was to be new and is not, or another kind of thing has its name.
            StaleRevision: it is at another revision, or gone.
        """
        document_class = await self._binding.document(fields_class)
        same = same or {}
        with self._binding.call(f"save {what}") as own:
            beyond = 0
            while True:
                document = document_class(**fields, revision=await self._draw(beyond, own))
                if await _write(document, expected_revision, same, own):
                    return int(document.revision)
                stored = await self._binding.collection(fields_class).find_one(
                    {"_id": document.id}, ["revision", *same], session=own
                )
                beyond = _revision_to_exceed(stored, what, expected_revision, same)

    async def read(self, fields_class: type[RevisedFields], key: str, action: str) -> StoredDocument | None:
        """Read a document with its revision from the primary, whatever other reads prefer; see `ClientStore.read_client`.

        Args:
            fields_class: the fields of which collection.
            key: the document's natural key; one that can't be stored finds nothing.
            action: for messages ("read a client").
        """
        if not is_identifier(key):
            return None
        collection = self._binding.collection(fields_class)
        return await find_by_id(self._binding, action, collection, record_id(self._tenant, key))

    async def delete(
        self,
        fields_class: type[RevisedFields],
        key: str,
        what: str,
        expected_revision: int | None,
        *,
        same: Mapping[str, Any] | None = None,
    ) -> bool:
        """Delete a document; see `ClientStore.delete_client`.

        Args:
            fields_class: the fields of which collection.
            key: the document's natural key; one that can't be stored finds nothing.
            what: what is deleted, for messages ("the client 'web'").
            expected_revision: None, or the revision to delete.
            same: what the document must hold as well: otherwise it is another kind of thing, and absent.

        Raises:
            StaleRevision: it is at another revision.
        """
        check_revision_to_delete(expected_revision)
        if not is_identifier(key):
            return False
        wanted: dict[str, Any] = {"_id": record_id(self._tenant, key), **(same or {})}
        condition = wanted if expected_revision is None else {**wanted, "revision": expected_revision}
        collection = self._binding.collection(fields_class)
        with self._binding.call(f"delete {what}") as own:
            result = await collection.delete_one(condition, session=own)
            if result.deleted_count or expected_revision is None:
                return result.deleted_count == 1
            stored = await collection.find_one(wanted, ["revision"], session=own)
        if stored is None:
            return False
        raise stale_revision(what, expected=expected_revision, actual=stored.get("revision"))

    async def _draw(self, beyond: int, session: AsyncClientSession | None) -> int:
        """A number larger than all before it, and than `beyond`: a counter that was lost must not give them again."""
        try:
            return await self._increment(beyond, session)
        except DuplicateKeyError:
            # Two first writers: the other has made the counter.
            return await self._increment(beyond, session)

    async def _increment(self, beyond: int, session: AsyncClientSession | None) -> int:
        counter: Any = await self._binding.collection(RevisionFields).find_one_and_update(
            {"_id": record_id(self._tenant, _COUNTER)},
            [{"$set": {"tenant": self._tenant, "value": {"$add": [{"$max": ["$value", beyond]}, 1]}}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return int(counter["value"])


async def _write(
    document: Document, expected_revision: int | None, same: Mapping[str, Any], session: AsyncClientSession | None
) -> bool:
    """Write the document if what is stored allows it; False when it does not."""
    revision: dict[str, Any] = {"$not": {"$gte": document.revision}}
    if expected_revision:
        revision["$eq"] = expected_revision
    condition = {"_id": document.id, "revision": revision, **same}
    if expected_revision != 0 and await _replace(document, condition, session):
        return True
    if expected_revision:
        return False
    try:
        await document.insert(session=session)
    except DuplicateKeyError:
        return False
    return True


@wrap_with_actions(Replace)
async def _replace(document: Document, condition: Mapping[str, Any], session: AsyncClientSession | None) -> bool:
    # Beanie's own `replace` has no condition but the `_id`.
    try:
        await type(document).find_one(condition).replace_one(document, session=session)
    except DocumentNotFound:
        return False
    return True


def _revision_to_exceed(
    stored: StoredDocument | None, what: str, expected_revision: int | None, same: Mapping[str, Any]
) -> int:
    """Tell what the next attempt of a refused writer has to exceed, or that there is none to make."""
    if stored is None:
        # It was there, or was not where one was expected: deleted meanwhile.
        if expected_revision:
            raise stale_revision(what, expected=expected_revision, actual=None)
        return 0
    if any(stored.get(name) != value for name, value in same.items()):
        raise name_in_use(what)
    if expected_revision == 0:
        raise already_exists(what)
    revision = stored.get("revision")
    if expected_revision is not None and revision != expected_revision:
        raise stale_revision(what, expected=expected_revision, actual=revision)
    return int(revision or 0)

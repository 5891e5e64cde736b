"""The collections of one database under one prefix: what the MongoDB stores work on."""

import asyncio
import weakref
from collections.abc import Sequence
from contextvars import Context
from datetime import timedelta
from typing import Any

from beanie import Document, init_beanie
from beanie.odm.actions import ActionRegistry
from pymongo import ReadPreference
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from mongostore.mongo.connection import Connection
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.base import StoredFields, bound_document
from mongostore.mongo.driver_errors import DriverCall


class Binding:
    """One database of a connection, as seen by the stores. Making one does no I/O.

    Attributes:
        connection: where the database is.
        database_name: its name.
        prefix: of the collections' names.
        nouns: the fields of the collections that lie in this database.
        ttl_delay: how long the TTL leaves grants and device codes to who tells of their removal.
    """

    def __init__(
        self,
        connection: Connection,
        database: str,
        prefix: str = "",
        nouns: Sequence[type[StoredFields]] = DOCUMENTS,
        ttl_delay: timedelta = timedelta(0),
    ) -> None:
        """Args: a connection, opened by the time of first use; the database; the others as the attributes."""
        self.connection = connection
        self.database_name = database
        self.prefix = prefix
        self.nouns = tuple(nouns)
        self.ttl_delay = ttl_delay
        self._client: object = None
        self._collections: dict[type[StoredFields], AsyncCollection[dict[str, Any]]] = {}
        self._preferred: dict[type[StoredFields], AsyncCollection[dict[str, Any]]] = {}
        self._documents: dict[type[StoredFields], type[Document]] = {}
        self._initialising = asyncio.Lock()

    @property
    def database(self) -> AsyncDatabase[dict[str, Any]]:
        """The driver's database, with the connection's guarantees."""
        return self.connection.database(self.database_name)

    def call(self, action: str) -> DriverCall:
        """What every call of the driver is made in."""
        connection = self.connection
        return DriverCall(action, connection.operation_seconds, connection)

    def collection(self, fields: type[StoredFields]) -> AsyncCollection[dict[str, Any]]:
        """The driver's collection of a noun: the raw path, for operational records and for reads."""
        if self._client is not self.connection.client:
            self._forget()
        found = self._collections.get(fields)
        if found is None:
            found = self._collections[fields] = self.database[self.prefix + fields.label]
        return found

    def preferred(self, fields: type[StoredFields]) -> AsyncCollection[dict[str, Any]]:
        """The same, for reading configuration: while there is no primary, a secondary answers."""
        if self._client is not self.connection.client:
            self._forget()
        found = self._preferred.get(fields)
        if found is None:
            found = self._preferred[fields] = self.collection(fields).with_options(
                read_preference=ReadPreference.PRIMARY_PREFERRED
            )
        return found

    async def document(self, fields: type[StoredFields]) -> type[Document]:
        """The Beanie class of a noun in this database, its hooks live; indexes are never touched."""
        if self._client is not self.connection.client:
            self._forget()
        async with self._initialising:
            if fields not in self._documents:
                document = bound_document(fields, self.prefix)
                await asyncio.create_task(self._initialise(document), context=Context())
                self._documents[fields] = document
                # Beanie's registry of hooks holds a class for ever; it is of use for as long as the binding is there.
                weakref.finalize(self, ActionRegistry.clean_actions, document).atexit = False
        return self._documents[fields]

    async def _initialise(self, document: type[Document]) -> None:
        """Beanie asks for the server's version, in whatever session is bound in its context: so it has its own."""
        with self.call("prepare the documents"):
            await init_beanie(database=self.database, document_models=[document], skip_indexes=True)

    def _forget(self) -> None:
        """Begin anew: the connection was opened again since, and everything belongs to the one before."""
        self._client = self.connection.client
        self._collections = {}
        self._preferred = {}
        self._documents = {}
        self._initialising = asyncio.Lock()

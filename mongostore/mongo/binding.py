"""The collections of one database under one prefix: what the MongoDB stores work on."""

import asyncio
from typing import Any

from beanie import Document, init_beanie
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from mongostore.mongo.connection import Connection
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.base import StoredFields, bound_document
from mongostore.mongo.driver_errors import DriverCall


class Binding:
    """One database of a connection, as seen by the stores. Making one does no I/O."""

    def __init__(self, connection: Connection, database: str, prefix: str = "") -> None:
        """Args: an opened connection (by the time of first use), the database's name, the collections' prefix."""
        self.connection = connection
        self.database_name = database
        self.prefix = prefix
        self.reset()

    def reset(self) -> None:
        """Forget what belongs to an earlier opening of the connection."""
        self._collections: dict[type[StoredFields], AsyncCollection[dict[str, Any]]] = {}
        self._documents: dict[type[StoredFields], type[Document]] = {}
        self._initialising = asyncio.Lock()

    @property
    def database(self) -> AsyncDatabase[dict[str, Any]]:
        """The driver's database, with the connection's guarantees."""
        return self.connection.database(self.database_name)

    def call(self, action: str) -> DriverCall:
        """What every call of the driver is made in."""
        return self.connection.call(action)

    def collection(self, fields: type[StoredFields]) -> AsyncCollection[dict[str, Any]]:
        """The driver's collection of a noun: the raw path, for operational records and for reads."""
        found = self._collections.get(fields)
        if found is None:
            found = self._collections[fields] = self.database[self.prefix + fields.label]
        return found

    async def document(self, fields: type[StoredFields]) -> type[Document]:
        """The Beanie class of a noun in this database, its hooks live; indexes are never touched."""
        async with self._initialising:
            if not self._documents:
                documents = {each: bound_document(each, self.prefix) for each in DOCUMENTS}
                with self.call("prepare the documents"):
                    await init_beanie(
                        database=self.database, document_models=list(documents.values()), skip_indexes=True
                    )
                self._documents = documents
        return self._documents[fields]

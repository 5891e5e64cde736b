"""Looks for secrets in a database as somebody would who has stolen its files: in all forms, in all that was written."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from bson import CodecOptions, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection

# Below, a secret could be found where it is not.
SHORTEST_BYTES = 8


def forms(secret: str | bytes) -> Iterator[bytes]:
    """The bytes of a secret as they may lie in a database: as text of either case, in hex, in base64 at any offset."""
    if isinstance(secret, str):
        yield secret.encode("utf-16-le")
        texts = {secret, secret.lower(), secret.upper(), secret.casefold()}
        octets = [text.encode() for text in texts]
    else:
        octets = [secret]
    for raw in octets:
        assert len(raw) >= SHORTEST_BYTES
        yield raw
        for encoded in (raw.hex(), raw.hex().upper()):
            yield encoded.encode()
        for offset in range(3):
            for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
                # What the neighbours have a part in is cut off.
                yield alphabet(bytes(offset) + raw)[4 if offset else 0 : -4].rstrip(b"=")


class Search:
    """Everything that a database holds, and everything that was ever written to it, as it lies on the disk.

    What was written is in the oplog, from when on the search was made, and in the images that the server keeps of what
    `findAndModify` has changed.

    Attributes:
        database: which one.
    """

    def __init__(self, connection: MongoClient[dict[str, Any]], database_name: str) -> None:
        self._connection = connection
        self.database = connection[database_name]
        (newest,) = connection["local"]["oplog.rs"].find().sort("$natural", -1).limit(1)
        self._begin: Timestamp = newest["ts"]

    def places_of(self, *secrets: str | bytes) -> set[str]:
        """Where any of the secrets lies in clear, in any form: names of collections, "the oplog", "the images"."""
        wanted = {form for secret in secrets for form in forms(secret)}
        return {place for place, raw in self._documents() if any(form in raw for form in wanted)}

    def _documents(self) -> Iterator[tuple[str, bytes]]:
        for name in self.database.list_collection_names():
            yield from _raw(name, self.database[name], {})
        of_database = {"$regex": f"^{self.database.name}\\."}
        # Some versions of MongoDB write what comes together in one entry of the database `admin`.
        written = {"ts": {"$gt": self._begin}, "$or": [{"ns": of_database}, {"o.applyOps.ns": of_database}]}
        yield from _raw("the oplog", self._connection["local"]["oplog.rs"], written)
        yield from _raw("the images", self._connection["config"]["image_collection"], {"ts": {"$gt": self._begin}})


def _raw(place: str, collection: Collection[Any], query: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    undecoded = collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    for document in undecoded.find(query):
        yield place, document.raw


@pytest.fixture
def search(mongo_connection, database_name) -> Search:
    """What is written to the test's database from now on, and what it holds in the end."""
    return Search(mongo_connection, database_name)

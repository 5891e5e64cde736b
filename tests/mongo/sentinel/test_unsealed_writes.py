"""No way of writing lets anything unsealed into a sealed field: neither Beanie's, nor the driver's."""

from datetime import UTC, datetime
from itertools import product
from typing import Any, get_origin

import pytest
from beanie import BulkWriter
from beanie.exceptions import StateManagementIsTurnedOff
from beanie.odm.actions import ActionDirections
from beanie.operators import Set
from bson import Binary
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import PyMongoError

from mongostore.errors import PayloadUnreadable
from mongostore.mongo.documents import DOCUMENTS
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed

SECRET = "sentinel-Ü-4711-secret"
VALIDATION_FAILED = "Document failed validation"
SEALED = [(fields, name) for fields in DOCUMENTS for name in fields.sealed_fields]
BEFORE = [ActionDirections.BEFORE]
HIT, MISS = {"_id": "default|hit"}, {"_id": "default|miss"}
UNSEALED: dict[str, Any] = {
    "text": SECRET,
    "long text": SECRET * 10,
    "bytes": SECRET.encode() * 10,
    "binary": Binary(SECRET.encode() * 10),
    "nested": {"inside": [SECRET]},
    "short": b"\x01" + SECRET.encode(),
    "list": [b"\x01" + SECRET.encode() * 10],
}


@pytest.fixture
async def sealed(protector) -> Sealed:
    return await protector.seal(b"payload", Context("default", "grants", "hit", "payload"))


@pytest.fixture
def database(mongo_connection, prepared_database):
    """A prepared database without indexes, so that none is unique."""
    database = mongo_connection[prepared_database]
    for name in database.list_collection_names():
        database[name].drop_indexes()
    return database


def required(fields: Any, sealed: Sealed) -> dict[str, Any]:
    """A value for each field that a document must have: of the sealed ones an envelope."""
    values: dict[Any, Any] = {
        str: "default",
        int: 1,
        bool: True,
        bytes: b"b",
        datetime: datetime(2030, 1, 1, tzinfo=UTC),
    }
    values[Sealed] = sealed
    needed = {name: field.annotation for name, field in fields.model_fields.items() if field.is_required()}
    lists = {annotation: [] for annotation in needed.values() if get_origin(annotation) is list}
    return {name: (values | lists)[annotation] for name, annotation in needed.items() if name != "id"}


async def _bulk(document_class, document):
    async with BulkWriter() as writer:
        await document_class.insert_one(document, bulk_writer=writer)


async def _bulk_update(document_class, change):
    async with BulkWriter() as writer:
        await document_class.find_one(HIT).update(Set(change), bulk_writer=writer)


async def _changed(document, change, write):
    for name, value in change.items():
        setattr(document, name, value)
    await write(document)


# Each gets the Beanie class (c), a new document with the unsealed value (n), a stored and sealed one (h), and the field
# with the value (v).
BEANIE_WRITES = {
    "insert": lambda c, n, h, v: n.insert(),
    "create": lambda c, n, h, v: n.create(),
    "insert without hooks": lambda c, n, h, v: n.insert(skip_actions=BEFORE),
    "insert_one": lambda c, n, h, v: c.insert_one(n),
    "insert_one in bulk": lambda c, n, h, v: _bulk(c, n),
    "insert_many": lambda c, n, h, v: c.insert_many([n]),
    "save, new": lambda c, n, h, v: n.save(),
    "save, new, without hooks": lambda c, n, h, v: n.save(skip_actions=BEFORE),
    "save, stored": lambda c, n, h, v: _changed(h, v, lambda d: d.save()),
    "save, stored, without hooks": lambda c, n, h, v: _changed(h, v, lambda d: d.save(skip_actions=BEFORE)),
    "save_changes": lambda c, n, h, v: _changed(h, v, lambda d: d.save_changes()),
    "replace": lambda c, n, h, v: _changed(h, v, lambda d: d.replace()),
    "replace without hooks": lambda c, n, h, v: _changed(h, v, lambda d: d.replace(skip_actions=BEFORE)),
    "replace_many": lambda c, n, h, v: _changed(h, v, lambda d: c.replace_many([d])),
    "set": lambda c, n, h, v: h.set(v),
    "set without hooks": lambda c, n, h, v: h.set(v, skip_actions=BEFORE),
    "update": lambda c, n, h, v: h.update({"$set": v}),
    "find_one update": lambda c, n, h, v: c.find_one(HIT).update({"$set": v}),
    "find_one set": lambda c, n, h, v: c.find_one(HIT).set(v),
    "find_one update in bulk": lambda c, n, h, v: _bulk_update(c, v),
    "find_one replace_one": lambda c, n, h, v: c.find_one(HIT).replace_one(n.model_copy(update={"id": HIT["_id"]})),
    "find update_many": lambda c, n, h, v: c.find(HIT).update_many({"$set": v}),
    "find set": lambda c, n, h, v: c.find(HIT).set(v),
    "update_all": lambda c, n, h, v: c.update_all({"$set": v}),
    "upsert, hit": lambda c, n, h, v: c.find_one(HIT).upsert({"$set": v}, on_insert=n),
    "upsert, miss": lambda c, n, h, v: c.find_one(MISS).upsert({"$set": {"tenant": "default"}}, on_insert=n),
}


async def test_no_write_of_beanie_stores_what_is_not_sealed(database, sealed, prepared_binding, search):
    """Whichever of Beanie's writes it comes by, an unsealed value is refused: by a hook, or by the database."""
    for fields, name in SEALED:
        database[fields.label].delete_many({})
        document_class = await prepared_binding.document(fields)
        given = required(fields, sealed)
        await document_class(id=HIT["_id"], **given | {name: sealed}).insert()
        for write, value in product(BEANIE_WRITES.values(), UNSEALED.values()):
            stored = await document_class.get(HIT["_id"])
            new = document_class.model_construct(id=MISS["_id"], **given | {name: value})
            await _refused(write(document_class, new, stored, {name: value}))
            assert list(database[fields.label].find({}, [name])) == [{**HIT, name: bytes(sealed)}], fields.label
    assert search.places_of(SECRET) == set()


async def _refused(write: Any) -> None:
    """By our hook, by our type, by the database's validator, or because Beanie was not told to keep track of changes."""
    with pytest.raises((TypeError, PayloadUnreadable, PyMongoError, StateManagementIsTurnedOff)) as caught:
        await write
    match caught.value:
        case TypeError():
            assert "not sealed" in str(caught.value)
        case PyMongoError():
            assert VALIDATION_FAILED in str(getattr(caught.value, "details", caught.value))


# Each gets the driver's collection, a document with the unsealed value, and the field with the value.
DRIVER_WRITES = {
    "insert_one": lambda c, d, v: c.insert_one(d),
    "insert_many": lambda c, d, v: c.insert_many([d]),
    "update_one": lambda c, d, v: c.update_one(HIT, {"$set": v}),
    "update_many": lambda c, d, v: c.update_many({}, {"$set": v}),
    "update_one, upsert": lambda c, d, v: c.update_one(MISS, {"$set": {**d, **MISS}}, upsert=True),
    "update_one, pipeline": lambda c, d, v: c.update_one(HIT, [{"$set": {name: {"$literal": v[name]} for name in v}}]),
    "replace_one": lambda c, d, v: c.replace_one(HIT, {**d, **HIT}),
    "replace_one, upsert": lambda c, d, v: c.replace_one(MISS, d, upsert=True),
    "find_one_and_update": lambda c, d, v: c.find_one_and_update(HIT, {"$set": v}),
    "find_one_and_replace": lambda c, d, v: c.find_one_and_replace(HIT, {**d, **HIT}),
    "bulk_write, insert": lambda c, d, v: c.bulk_write([InsertOne(d)]),
    "bulk_write, update": lambda c, d, v: c.bulk_write([UpdateOne(HIT, {"$set": v})]),
    "bulk_write, replace": lambda c, d, v: c.bulk_write([ReplaceOne(HIT, {**d, **HIT})]),
}


async def test_no_raw_write_stores_what_is_not_sealed(database, sealed, search):
    """A colleague with the driver's shell is refused by the database itself, which lets in what is sealed."""
    for fields, name in SEALED:
        collection, given = database[fields.label], required(fields, sealed)
        collection.delete_many({})
        collection.insert_one({**HIT, **given, name: sealed})
        for write, value in product(DRIVER_WRITES.values(), UNSEALED.values()):
            with pytest.raises(PyMongoError) as caught:
                write(collection, {**MISS, **given, name: value}, {name: value})
            assert VALIDATION_FAILED in str(caught.value.details)
            assert list(collection.find({}, [name])) == [{**HIT, name: bytes(sealed)}], fields.label
    assert search.places_of(SECRET) == set()

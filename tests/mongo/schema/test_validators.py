"""The database itself refuses a payload that is no envelope, by whichever way it comes."""

import re
from datetime import UTC, datetime

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.grants import GrantFields
from mongostore.protection.envelope import MIN_ENVELOPE_BYTES, assemble
from mongostore.schema import apply_schema
from mongostore.schema.desired import validator_of

ENVELOPE = bytes(assemble(b"k" * 16, b"n" * 24, b"t" * 16))
LONG_ENVELOPE = bytes(assemble(b"\xff" * 16, b"\0" * 24, b"c" * 1024 * 1024))
SEALED = [(fields, name) for fields in DOCUMENTS for name in fields.sealed_fields]
NO_ENVELOPES = {
    "text": "plaintext",
    "long text": "\x01" + "plaintext" * 20,
    "empty text": "",
    "json": {"sub": "alice"},
    "plain bytes": b"plaintext",
    "long plain bytes": b"plaintext" * 20,
    "no bytes": b"",
    "one byte short": ENVELOPE[:-1],
    "version 0": b"\0" + ENVELOPE[1:],
    "version 2": b"\x02" + ENVELOPE[1:],
    "version 3": b"\x03" + ENVELOPE[1:],
    "version 129": b"\x81" + ENVELOPE[1:],
    "uuid": Binary(b"\x01" * 16, 4),
    "number 1": 1,
    "number 1, 64 bits": Int64(1),
    "number 1.0": 1.0,
    "decimal": Decimal128("1"),
    "true": True,
    "array of an envelope": [ENVELOPE],
    "array of null": [None],
    "array of null and text": [None, "plaintext"],
    "array of an envelope and text": [ENVELOPE, "plaintext"],
    "object id": ObjectId("01" * 12),
    "instant": datetime.fromtimestamp(1, UTC),
    "pattern": re.compile("x"),
}


def document(fields, key="x", **values):
    sealed = {name: ENVELOPE for name in fields.sealed_fields if fields.model_fields[name].is_required()}
    return {"_id": f"default|{key}", "tenant": "default"} | sealed | values


@pytest.fixture
async def grants(binding, database):
    await apply_schema(binding)
    return database.grants


@pytest.fixture(params=SEALED, ids=[f"{fields.label}.{name}" for fields, name in SEALED])
async def sealed(request, binding, database):
    """A collection with a sealed field, and the field."""
    await apply_schema(binding)
    fields, name = request.param
    database[fields.label].drop_indexes()  # so that unique ones don't matter
    return fields, database[fields.label], name


def refused(write, *arguments, **options):
    """The server refuses the write because of the validator."""
    with pytest.raises(OperationFailure) as raised:
        write(*arguments, **options)
    error = raised.value
    code = error.details["writeErrors"][0]["code"] if isinstance(error, BulkWriteError) else error.code
    assert code == 121, "DocumentValidationFailure"


async def test_every_sealed_field_refuses_what_is_no_envelope(sealed):
    """On each sealed field of each collection, text, plain and damaged bytes, numbers and arrays are refused."""
    fields, collection, name = sealed
    for label, value in NO_ENVELOPES.items():
        refused(collection.insert_one, document(fields, label, **{name: value}))
    assert collection.count_documents({}) == 0


async def test_every_sealed_field_accepts_envelopes(sealed):
    """The shortest envelope and a long one are stored as they are."""
    fields, collection, name = sealed
    assert len(ENVELOPE) == MIN_ENVELOPE_BYTES
    for key, value in (("short", ENVELOPE), ("long", LONG_ENVELOPE)):
        collection.insert_one(document(fields, key, **{name: value}))
        assert collection.find_one({"_id": f"default|{key}"})[name] == value


async def test_only_optional_sealed_fields_may_be_absent(sealed):
    """A required payload has to be there; an optional one may be absent, or null."""
    fields, collection, name = sealed
    without = document(fields)
    without.pop(name, None)
    null = document(fields, "null", **{name: None})
    if fields.model_fields[name].is_required():
        refused(collection.insert_one, without)
        refused(collection.insert_one, null)
    else:
        collection.insert_many([without, null])


@pytest.mark.parametrize("value", ["plaintext", b"plaintext" * 20, 1], ids=["text", "bytes", "number"])
async def test_no_way_of_writing_gets_around_it(grants, value):
    """Inserts, updates, replacements, pipelines, upserts, bulk writes, renames and $merge are all refused."""
    good, bad = document(GrantFields, "good"), document(GrantFields, "bad", payload=value)
    query, plain = {"_id": "default|good"}, {"payload": value}
    grants.insert_one(good)
    replacement = {"tenant": "default"} | plain
    refused(grants.insert_one, bad)
    refused(grants.insert_many, [bad])
    refused(grants.update_one, query, {"$set": plain})
    refused(grants.update_many, {}, {"$set": plain})
    refused(grants.update_one, query, [{"$set": {"payload": {"$literal": value}}}])
    refused(grants.update_one, query, {"$set": {"other": value}, "$unset": {"payload": 1}})
    refused(grants.update_one, query, {"$unset": {"payload": 1}})
    refused(grants.replace_one, query, replacement)
    refused(grants.find_one_and_update, query, {"$set": plain})
    refused(grants.find_one_and_replace, query, replacement)
    refused(grants.update_one, {"_id": "default|new"}, {"$set": replacement}, upsert=True)
    refused(grants.bulk_write, [InsertOne(bad)])
    refused(grants.bulk_write, [UpdateOne(query, {"$set": plain})])
    refused(grants.bulk_write, [ReplaceOne(query, replacement)])
    refused(grants.aggregate, [{"$match": query}, {"$set": plain}, {"$merge": "grants"}])
    grants.update_one(query, {"$set": {"note": value}})
    refused(grants.update_one, query, {"$rename": {"note": "payload"}})
    grants.update_one(query, {"$unset": {"note": 1}})
    assert list(grants.find()) == [good]


async def test_good_updates_go_on(grants):
    """Changing other fields, and replacing one envelope by another, is accepted."""
    grants.insert_one(document(GrantFields))
    grants.update_one({}, {"$set": {"pending": True, "payload": LONG_ENVELOPE, "successor": ENVELOPE}})
    grants.update_one({}, {"$unset": {"successor": 1}})
    assert grants.find_one()["payload"] == LONG_ENVELOPE


async def test_ids_and_tenants_are_text(grants):
    """Every collection demands text for `_id` and tenant."""
    refused(grants.insert_one, document(GrantFields) | {"_id": 1})
    refused(grants.insert_one, document(GrantFields) | {"tenant": 1})
    refused(grants.insert_one, {"_id": "default|x", "payload": ENVELOPE})


def test_the_validator_is_frozen():
    """What deployed databases hold: a change here is a drift on every one of them."""

    def envelope(name):
        return {
            name: {"$bitsAllSet": [0], "$bitsAllClear": [1, 2, 3, 4, 5, 6, 7]},
            "$expr": {
                "$cond": [
                    {"$eq": [{"$type": f"${name}"}, "binData"]},
                    {"$gte": [{"$binarySize": f"${name}"}, 57]},
                    False,
                ]
            },
        }

    assert validator_of(GrantFields) == {
        "$and": [
            {"_id": {"$type": "string"}, "tenant": {"$type": "string"}},
            envelope("payload"),
            {"$or": [{"$expr": {"$in": [{"$type": "$successor"}, ["missing", "null"]]}}, envelope("successor")]},
        ]
    }

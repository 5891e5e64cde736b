"""The search itself: what the tests of this folder rest on."""

import base64

import pytest
from bson import Binary

SECRET = "sentinel-Ü-4711-secret"
OCTETS = bytes(range(180, 212))


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f"before {SECRET} behind",
        SECRET.upper(),
        SECRET.casefold(),
        {"nested": [{"deeper": SECRET}]},
        {SECRET: "as a name"},
        SECRET.encode(),
        SECRET.encode("utf-16-le"),
        f"before{SECRET}".encode().hex(),
        base64.b64encode(b"1" + SECRET.encode()),
        base64.urlsafe_b64encode(b"22" + SECRET.encode()).decode(),
        OCTETS,
        Binary(b"before" + OCTETS, 128),
        [OCTETS.hex().upper()],
        base64.b64encode(OCTETS + b"behind").decode(),
        base64.urlsafe_b64encode(b"1" + OCTETS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_in_any_form_would_be_found(mongo_connection, database_name, search, value):
    """The search finds what it is to find, in documents and in what was deleted since."""
    things = mongo_connection[database_name]["things"]
    things.insert_one({"_id": "x", "value": value})
    assert search.places_of(SECRET, OCTETS) == {"things", "the oplog"}
    things.delete_many({})
    assert search.places_of(SECRET, OCTETS) == {"the oplog"}


def test_what_only_an_image_holds_is_found(mongo_connection, database_name, search):
    """A value that was never written by a command of its own, but kept by the server for a retry, is found as well."""
    things = mongo_connection[database_name]["things"]
    things.insert_one({"_id": "x", "value": SECRET})
    things.find_one_and_delete({"_id": "x"})
    assert search.places_of(SECRET) == {"the oplog", "the images"}


def test_what_is_not_there_is_not_found(mongo_connection, database_name, search):
    """What was not written is found nowhere."""
    mongo_connection[database_name]["things"].insert_one({"_id": "x", "value": SECRET})
    assert search.places_of("another-secret-4712", OCTETS) == set()

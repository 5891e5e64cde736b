"""The type that keeps plaintext out of the database."""

import copy
import pickle

import pytest
from pydantic import BaseModel

from mongostore.errors import PayloadUnreadable
from mongostore.protection.envelope import MIN_ENVELOPE_BYTES, Sealed, assemble

KEY_ID, NONCE, CIPHERTEXT = b"\xaa" * 16, b"\xbb" * 24, b"\xcc" * 40
SECRET = b"\x01plaintext that nobody may see"


class Record(BaseModel):
    payload: Sealed


@pytest.fixture
def sealed() -> Sealed:
    return assemble(KEY_ID, NONCE, CIPHERTEXT)


@pytest.mark.parametrize("arguments", [(), (b"",), (b"\x01" * 57,), ("text", "utf-8")])
def test_calling_the_type_is_refused(arguments):
    """Bytes don't become sealed by being called so."""
    with pytest.raises(TypeError, match=r"seal\(\)"):
        Sealed(*arguments)


def test_parts_are_where_they_belong(sealed):
    """The envelope gives back the parts that it was made of, and is bytes in the documented order."""
    assert (sealed.key_id, sealed.nonce, sealed.ciphertext) == (KEY_ID, NONCE, CIPHERTEXT)
    assert bytes(sealed) == b"\x01" + KEY_ID + NONCE + CIPHERTEXT
    assert isinstance(sealed, bytes)


@pytest.mark.parametrize(
    "parts", [(b"k" * 15, NONCE, CIPHERTEXT), (KEY_ID, b"n" * 12, CIPHERTEXT), (KEY_ID, NONCE, b"c" * 15)]
)
def test_parts_of_wrong_length_are_refused(parts):
    """No envelope comes out of a short key id, nonce or tag."""
    with pytest.raises(ValueError):
        assemble(*parts)


def test_least_envelope_is_57_bytes():
    """An empty plaintext makes the shortest envelope, the length that the database's validators ask for."""
    assert MIN_ENVELOPE_BYTES == 57
    assert len(assemble(KEY_ID, NONCE, bytes(16))) == 57


def test_stored_bytes_are_parsed(sealed):
    """What a database gives back, plain bytes, becomes the same envelope; one that is one already stays itself."""
    read = Sealed.from_stored(bytes(sealed))
    assert read == sealed
    assert type(read) is Sealed
    assert Sealed.from_stored(sealed) is sealed


@pytest.mark.parametrize(
    "raw",
    [None, "text" * 20, 7, bytearray(b"\x01" * 80), b"", b"\x01" * 56, b"\x02" + b"\x01" * 60, b"{" + SECRET * 3],
)
def test_what_is_no_envelope_is_unreadable(raw):
    """Another type, length or version is PayloadUnreadable, and the message doesn't quote it."""
    with pytest.raises(PayloadUnreadable) as caught:
        Sealed.from_stored(raw)
    assert "plaintext" not in str(caught.value)
    assert "texttext" not in str(caught.value)


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, "{0!a}".format])
def test_no_way_of_showing_it_shows_its_bytes(sealed, show):
    """Only length and data key are shown."""
    assert show(sealed) == f"<Sealed 81 bytes, data key {'aa' * 16}>"


def test_copies_are_sealed(sealed):
    """copy, deepcopy and pickle give an envelope again, never plain bytes."""
    for same in (copy.copy(sealed), copy.deepcopy(sealed), pickle.loads(pickle.dumps(sealed))):
        assert type(same) is Sealed
        assert same == sealed


def test_model_takes_envelopes_only(sealed):
    """A pydantic field takes a Sealed or bytes of its form, and dumps it as Sealed."""
    assert Record(payload=sealed).payload is sealed
    assert type(Record(payload=bytes(sealed)).payload) is Sealed
    assert type(Record(payload=sealed).model_dump()["payload"]) is Sealed


@pytest.mark.parametrize("value", ["plaintext that nobody may see", SECRET, SECRET.decode() * 4, None, [SECRET]])
def test_model_refuses_plaintext_without_quoting_it(value):
    """Plaintext in a sealed field raises, and unlike pydantic's own error the message doesn't hold the value."""
    with pytest.raises(PayloadUnreadable) as caught:
        Record(payload=value)
    assert "nobody may see" not in str(caught.value)

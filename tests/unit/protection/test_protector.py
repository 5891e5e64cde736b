"""Sealing and opening: what comes back, and what must not."""

import dataclasses
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongostore.clock import SystemClock
from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.memory.data_keys import MemoryDataKeyStore
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.master_keys import LocalMasterKey
from mongostore.protection.protector import SealingProtector, pack, unpack

PLACE = Context("default", "grants", "5E884898DA28", "data")
PLAINTEXT = b"tplaintext that nobody may see"

identifiers = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


def new_protector() -> SealingProtector:
    return SealingProtector(KeyRing(MemoryDataKeyStore(), LocalMasterKey.generate(), SystemClock()))


@pytest.fixture
def protector(new_node) -> SealingProtector:
    return SealingProtector(new_node())


@given(plaintext=st.binary(max_size=2_000), parts=st.tuples(identifiers, identifiers, identifiers))
@settings(max_examples=50)
async def test_what_was_sealed_opens_in_its_place(plaintext, parts):
    """Any bytes come back, also through the plain bytes that a database returns."""
    protector, place = new_protector(), Context("default", *parts)
    sealed = await protector.seal(plaintext, place)
    assert type(sealed) is Sealed
    assert await protector.open(sealed, place) == plaintext
    assert await protector.open(bytes(sealed), place) == plaintext


async def test_plaintext_is_not_in_the_envelope(protector):
    """The envelope is 57 bytes longer than the plaintext and doesn't hold it."""
    sealed = await protector.seal(PLAINTEXT, PLACE)
    assert len(sealed) == len(PLAINTEXT) + 57
    assert PLAINTEXT[:8] not in bytes(sealed)


async def test_sealing_twice_gives_two_nonces(protector):
    """Equal values can't be told to be equal, and no nonce comes twice."""
    nonces = {(await protector.seal(PLAINTEXT, PLACE)).nonce for _ in range(200)}
    assert len(nonces) == 200


async def test_any_flipped_bit_is_noticed(protector):
    """No byte of the envelope may change: not the version, the key id, the nonce, the ciphertext or the tag."""
    sealed = bytes(await protector.seal(PLAINTEXT, PLACE))
    for position in range(len(sealed)):
        for bit in (0x01, 0x80):
            altered = bytearray(sealed)
            altered[position] ^= bit
            with pytest.raises((PayloadUnreadable, KeyUnavailable)):
                await protector.open(bytes(altered), PLACE)


async def test_any_truncation_or_extension_is_noticed(protector):
    """No prefix of an envelope opens, and none with more at its end."""
    sealed = bytes(await protector.seal(PLAINTEXT, PLACE))
    for length in range(len(sealed)):
        with pytest.raises(PayloadUnreadable):
            await protector.open(sealed[:length], PLACE)
    with pytest.raises(PayloadUnreadable):
        await protector.open(sealed + b"\0", PLACE)


@pytest.mark.parametrize("part", ["collection", "record_id", "field"])
async def test_moved_within_the_tenant_it_does_not_open(protector, part):
    """A ciphertext copied to another collection, record or field is unreadable there."""
    sealed = await protector.seal(PLAINTEXT, PLACE)
    with pytest.raises(PayloadUnreadable):
        await protector.open(sealed, PLACE._replace(**{part: "other"}))


@given(parts=st.tuples(identifiers, identifiers, identifiers))
@settings(max_examples=100)
async def test_it_opens_in_no_other_place(parts):
    """Whatever the other place is called, it does not open there."""
    protector, other = new_protector(), Context("default", *parts)
    sealed = await protector.seal(PLAINTEXT, Context("default", "g", "r", "d"))
    if parts != ("g", "r", "d"):
        with pytest.raises(PayloadUnreadable):
            await protector.open(sealed, other)


async def test_moved_to_another_tenant_it_does_not_open(protector):
    """Another tenant has other keys; even with the ring records copied along, nothing opens."""
    sealed = await protector.seal(PLAINTEXT, PLACE)
    with pytest.raises(KeyUnavailable):
        await protector.open(sealed, PLACE._replace(tenant="acme"))


async def test_ring_record_copied_to_another_tenant_does_not_unwrap(store, new_node):
    """Who can write to the database can't lend one tenant's data key to another."""
    sealed = await SealingProtector(new_node()).seal(PLAINTEXT, PLACE)
    (record,) = await store.load("default")
    await store.insert(dataclasses.replace(record, tenant="acme"))
    with pytest.raises(KeyUnavailable):
        await SealingProtector(new_node()).open(sealed, PLACE._replace(tenant="acme"))


@pytest.mark.parametrize("stored", [PLAINTEXT, PLAINTEXT * 4, b"", "text", None])
async def test_unsealed_payload_is_unreadable(protector, stored):
    """Plaintext that somebody put into the database is never given out as if it had been sealed."""
    with pytest.raises(PayloadUnreadable):
        await protector.open(stored, PLACE)


async def test_error_names_collection_and_field_but_neither_record_nor_payload(protector):
    """Enough to find the fault; the record's id and the payload stay out."""
    sealed = await protector.seal(PLAINTEXT, PLACE)
    for bad in (bytes(sealed[:-1]) + bytes([sealed[-1] ^ 1]), PLAINTEXT):
        with pytest.raises(PayloadUnreadable, match=r"grants\.data") as caught:
            await protector.open(bad, PLACE)
        assert caught.value.collection == "grants"
        assert PLACE.record_id not in str(caught.value)
        assert "nobody" not in str(caught.value)


async def test_with_the_key_at_hand_nothing_suspends(protector, store):
    """Sealing and opening run to their end without giving way to other tasks, and without the store."""
    sealed = await protector.seal(PLAINTEXT, PLACE)
    loads = store.loads
    for coroutine in (protector.seal(PLAINTEXT, PLACE), protector.open(sealed, PLACE)):
        with pytest.raises(StopIteration):
            coroutine.send(None)
    assert store.loads == loads


@given(st.text(st.characters(codec="utf-8")) | st.binary())
def test_packed_data_comes_back_as_what_it_was(data):
    """Text comes back as text and bytes as bytes, bytes that look like packed text included."""
    unpacked = unpack(pack(data))
    assert unpacked == data
    assert type(unpacked) is type(data)


def test_text_that_utf8_cannot_encode_is_refused_without_quoting_it():
    """A lone surrogate could not come back; the error doesn't carry the text, not even as its cause."""
    with pytest.raises(ValueError, match="surrogate") as caught:
        pack("secret\ud800")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("data", [None, 5, ["a"], bytearray(b"a")])
def test_only_text_and_bytes_are_packed(data):
    """Other types are a TypeError at the door."""
    with pytest.raises(TypeError):
        pack(data)


@pytest.mark.parametrize("packed", [b"", b"x", b"T text", b"t\xff", b"\x01"])
def test_what_pack_did_not_make_is_unreadable(packed):
    """An unknown mark, or text that is no UTF-8, is PayloadUnreadable rather than a guess."""
    with pytest.raises(PayloadUnreadable):
        unpack(packed)


async def test_random_envelopes_do_not_open(protector):
    """An envelope with the right key id and random bytes is unreadable."""
    sealed = await protector.seal(PLAINTEXT, PLACE)
    for _ in range(50):
        with pytest.raises(PayloadUnreadable):
            await protector.open(b"\x01" + sealed.key_id + os.urandom(60), PLACE)

"""The plaintext protector for tests: loud, recognisable, and as strict about places as the real one."""

import pytest

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import SealingProtector
from mongostore.protection.unsafe import UnsafePlaintextProtector

PLACE = Context("default", "grants", "id", "data")


@pytest.fixture
def unsafe() -> UnsafePlaintextProtector:
    with pytest.warns(RuntimeWarning, match="in clear"):
        return UnsafePlaintextProtector()


async def test_envelope_is_well_formed_and_says_what_it_is(unsafe):
    """It passes for an envelope, names data key 0, and a person can read mark and plaintext in it."""
    sealed = await unsafe.seal(b"hello", PLACE)
    assert type(sealed) is Sealed
    assert sealed.key_id == bytes(16)
    assert b"UNSAFE PLAINTEXT" in bytes(sealed)
    assert b"hello" in bytes(sealed)
    assert await unsafe.open(bytes(sealed), PLACE) == b"hello"


@pytest.mark.parametrize(
    "other",
    [
        Context("acme", "grants", "id", "data"),
        Context("default", "codes", "id", "data"),
        Context("default", "grants", "id2", "data"),
        Context("default", "grants", "id", "other"),
    ],
)
async def test_moved_payload_does_not_open(unsafe, other):
    """Code that mixes up places fails with this protector too."""
    sealed = await unsafe.seal(b"hello", PLACE)
    with pytest.raises(PayloadUnreadable):
        await unsafe.open(sealed, other)


async def test_neither_opens_what_the_other_made(unsafe, new_node):
    """Data of a test environment doesn't open in a real one, nor the other way round."""
    real = SealingProtector(new_node())
    with pytest.raises(PayloadUnreadable):
        await unsafe.open(await real.seal(b"hello", PLACE), PLACE)
    with pytest.raises(KeyUnavailable):
        await real.open(await unsafe.seal(b"hello", PLACE), PLACE)
    with pytest.raises(PayloadUnreadable):
        await unsafe.open(b"hello", PLACE)

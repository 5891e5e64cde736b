"""The cipher's own edges; that it is XAES-256-GCM is for the vectors to show."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from mongostore.protection.xaes_gcm import XAES256GCM


@given(key=st.binary(min_size=32, max_size=32), nonce=st.binary(min_size=24, max_size=24), text=st.binary())
def test_agrees_with_cmac_and_aes_gcm(key, nonce, text):
    """For any key and nonce it is AES-256-GCM under the key that a general CMAC derives."""
    derived = b""
    for counter in (b"\x00\x01", b"\x00\x02"):
        mac = CMAC(algorithms.AES(key))
        mac.update(counter + b"X\x00" + nonce[:12])
        derived += mac.finalize()
    assert XAES256GCM(key).encrypt(nonce, text, b"place") == AESGCM(derived).encrypt(nonce[12:], text, b"place")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_key_of_another_length_is_refused(length):
    """A key that is not 32 bytes long never becomes a cipher, an AES-128 key least of all."""
    with pytest.raises(ValueError, match="32 bytes"):
        XAES256GCM(bytes(length))


@pytest.mark.parametrize("length", [0, 12, 23, 25])
def test_nonce_of_another_length_is_refused(length):
    """A nonce that is not 24 bytes long is refused in both directions."""
    cipher = XAES256GCM(bytes(32))
    with pytest.raises(ValueError, match="24 bytes"):
        cipher.encrypt(bytes(length), b"", b"")
    with pytest.raises(ValueError, match="24 bytes"):
        cipher.decrypt(bytes(length), bytes(16), b"")


def test_ciphertext_shorter_than_a_tag_is_not_authentic():
    """What can't hold a tag fails like a wrong tag."""
    with pytest.raises(InvalidTag):
        XAES256GCM(bytes(32)).decrypt(bytes(24), bytes(15), b"")


def test_threads_share_an_object():
    """Eight threads over one object never get another's result."""
    cipher = XAES256GCM(os.urandom(32))

    def work(seed):
        for number in range(300):
            nonce, text = os.urandom(24), bytes([seed]) * number
            assert cipher.decrypt(nonce, cipher.encrypt(nonce, text, b""), b"") == text
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))

"""The cipher's own edges; that it is XAES-256-GCM is for the vectors to show."""

import os
from collections import Counter
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


def test_any_number_of_messages_gets_nonces_of_their_own():
    """No nonce comes twice; the key of a message is shared by 4,096 of them and no more."""
    cipher = XAES256GCM(bytes(32))
    nonces = [cipher.new_nonce() for _ in range(10_000)]
    assert len(set(nonces)) == len(nonces)
    shared = Counter(nonce[:12] for nonce in nonces)
    assert list(shared.values()) == [4_096, 4_096, 1_808]


def test_two_ciphers_of_one_key_share_no_message_key():
    """Two nodes with the same data key draw their own."""
    one, other = XAES256GCM(bytes(32)), XAES256GCM(bytes(32))
    assert one.new_nonce()[:12] != other.new_nonce()[:12]
    nonce = one.new_nonce()
    assert other.decrypt(nonce, one.encrypt(nonce, b"text", b"place"), b"place") == b"text"


def test_kept_message_keys_are_bounded():
    """Reading what any number of nodes wrote keeps a few keys, and the order of reading matters to no result."""
    cipher = XAES256GCM(bytes(32))
    written = [(nonce := os.urandom(24), cipher.encrypt(nonce, nonce, b"")) for _ in range(300)]
    assert all(cipher.decrypt(nonce, text, b"") == nonce for nonce, text in [*written, *reversed(written)])
    assert 0 < len(cipher._derived) <= 64


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

"""XAES-256-GCM: AES-256-GCM with a 24-byte nonce, long enough to be drawn at random for any number of messages.

See the C2SP specification, https://c2sp.org/XAES-256-GCM.
"""

import os
import threading
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24

_KDF_NONCE_BYTES: Final = 12
# Deriving a message's key costs more than its encryption, so messages share the nonce's first half, and with it the
# key: so many of them, few enough that the other half, 12 random bytes, meets no equal (2^-73 for each such key).
_MESSAGES_PER_KEY: Final = 4_096
# Derived keys that are kept, 2.6 kB each.
_MAX_DERIVED_KEYS: Final = 64
# KDF in counter mode with CMAC, NIST SP 800-108r1: counter in 2 bytes, label "X", separator 0; then half the nonce.
_M1: Final = b"\x00\x01X\x00"
_M2: Final = b"\x00\x02X\x00"


class XAES256GCM:
    """Authenticated encryption under one 32-byte key. Threads may share an object."""

    __slots__ = ("_block_cipher", "_derived", "_half", "_left", "_m1", "_m2", "_of_thread")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an XAES-256-GCM key has {KEY_BYTES} bytes, not {len(key)}")
        # ECB over single CMAC blocks is the CMAC itself (NIST SP 800-38B with one block), not a mode for messages.
        self._block_cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305
        # Making an AES context costs more than the two blocks that a message needs of it, so each thread keeps one.
        self._of_thread = threading.local()
        k1 = _cmac_subkey(self._encrypt_blocks(bytes(16)))
        self._m1 = int.from_bytes(_M1 + bytes(_KDF_NONCE_BYTES), "big") ^ k1
        self._m2 = int.from_bytes(_M2 + bytes(_KDF_NONCE_BYTES), "big") ^ k1
        self._derived: dict[bytes, AESGCM] = {}
        self._half = b""
        self._left = 0

    def new_nonce(self) -> bytes:
        """Draw the nonce of a message, 24 bytes: any number of messages may be encrypted under this key with them."""
        if self._left <= 0:
            self._half = os.urandom(_KDF_NONCE_BYTES)
            self._left = _MESSAGES_PER_KEY
        self._left -= 1
        return self._half + os.urandom(NONCE_BYTES - _KDF_NONCE_BYTES)

    def encrypt(self, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt and authenticate.

        Args:
            nonce: 24 bytes, never used before with this key: from `new_nonce`.

        Returns:
            The ciphertext, as long as the plaintext, followed by the tag of 16 bytes.
        """
        return self._message_cipher(nonce).encrypt(nonce[_KDF_NONCE_BYTES:], plaintext, associated_data)

    def decrypt(self, nonce: bytes, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Give the plaintext back.

        Raises:
            cryptography.exceptions.InvalidTag: anything differs from what was encrypted.
        """
        return self._message_cipher(nonce).decrypt(nonce[_KDF_NONCE_BYTES:], ciphertext, associated_data)

    def _message_cipher(self, nonce: bytes) -> AESGCM:
        """The cipher of one message, whose key comes from the nonce's first half."""
        cipher = self._derived.get(nonce[:_KDF_NONCE_BYTES])
        if cipher is None or len(nonce) != NONCE_BYTES:
            cipher = self._derive(nonce)
        return cipher

    def _derive(self, nonce: bytes) -> AESGCM:
        """Derive the key of a message: AES over M1 xor K1 and M2 xor K1, both ending in the nonce's first half."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"an XAES-256-GCM nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        first_half = nonce[:_KDF_NONCE_BYTES]
        half = int.from_bytes(first_half, "big")
        blocks = (self._m1 ^ half).to_bytes(16, "big") + (self._m2 ^ half).to_bytes(16, "big")
        cipher = AESGCM(self._encrypt_blocks(blocks))
        if len(self._derived) >= _MAX_DERIVED_KEYS:
            self._derived.clear()
        self._derived[first_half] = cipher
        return cipher

    def _encrypt_blocks(self, blocks: bytes) -> bytes:
        try:
            context = self._of_thread.context
        except AttributeError:
            context = self._of_thread.context = self._block_cipher.encryptor()
        # Whole blocks only: nothing stays behind in the context.
        encrypted: bytes = context.update(blocks)
        return encrypted


def _cmac_subkey(block: bytes) -> int:
    """Double a block in GF(2^128): subkey K1 of CMAC, NIST SP 800-38B §6.1."""
    doubled = int.from_bytes(block, "big") << 1
    if doubled >> 128:
        return doubled ^ (1 << 128) ^ 0x87
    return doubled

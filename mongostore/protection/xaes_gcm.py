"""XAES-256-GCM: AES-256-GCM with a 24-byte nonce, long enough to be drawn at random for any number of messages.

See the C2SP specification, https://c2sp.org/XAES-256-GCM.
"""

import threading
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24

_KDF_NONCE_BYTES: Final = 12
# KDF in counter mode with CMAC, NIST SP 800-108r1: counter in 2 bytes, label "X", separator 0; then half the nonce.
_M1: Final = b"\x00\x01X\x00"
_M2: Final = b"\x00\x02X\x00"


class XAES256GCM:
    """Authenticated encryption under one 32-byte key. Threads may share an object."""

    __slots__ = ("_block_cipher", "_m1", "_m2", "_of_thread")

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

    def encrypt(self, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt and authenticate.

        Args:
            nonce: 24 bytes, never used before with this key; draw it at random.

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
        """Derive the key of one message: AES over M1 xor K1 and M2 xor K1, both ending in the nonce's first half."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"an XAES-256-GCM nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        half = int.from_bytes(nonce[:_KDF_NONCE_BYTES], "big")
        blocks = (self._m1 ^ half).to_bytes(16, "big") + (self._m2 ^ half).to_bytes(16, "big")
        return AESGCM(self._encrypt_blocks(blocks))

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

"""The form in which sealed values are stored: bytes that only a protector makes from plaintext.

The type is the guard: a codec that takes `Sealed` cannot be handed plaintext by mistake. It knows no key.
"""

from typing import Any, Final, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from mongostore.errors import PayloadUnreadable

# Frozen: the database's validators test for this first byte and this least length.
ENVELOPE_VERSION: Final = 1
KEY_ID_BYTES: Final = 16
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
MIN_ENVELOPE_BYTES: Final = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES

_VERSION_BYTE: Final = bytes([ENVELOPE_VERSION])
_NONCE_AT: Final = 1 + KEY_ID_BYTES
_CIPHERTEXT_AT: Final = _NONCE_AT + NONCE_BYTES


class Sealed(bytes):
    """An envelope, stored as it is.

    Layout (frozen), in bytes::

        version 1    1
        data key id  16
        nonce        24
        ciphertext   as long as the plaintext
        tag          16

    It cannot be made by calling it. A protector's `seal` makes one; `from_stored` parses one that was read back.
    As a pydantic field it takes a `Sealed`, or bytes of the right form; everything else raises `PayloadUnreadable`,
    which pydantic passes on as it is, so that no validation error quotes the value.
    """

    __slots__ = ()

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Refuse: bytes become sealed by being encrypted, not by being called so."""
        raise TypeError("a Sealed is made by a protector's seal(), or read back with Sealed.from_stored()")

    @classmethod
    def from_stored(cls, raw: object) -> Self:
        """Parse what a database gave back. It proves the form, not the encryption.

        Raises:
            PayloadUnreadable: it is no envelope.
        """
        if isinstance(raw, cls):
            return raw
        return bytes.__new__(cls, _checked(raw))

    @property
    def key_id(self) -> bytes:
        """The id of the data key that seals it, 16 bytes."""
        return self[1:_NONCE_AT]

    @property
    def nonce(self) -> bytes:
        """The nonce, 24 bytes."""
        return self[_NONCE_AT:_CIPHERTEXT_AT]

    @property
    def ciphertext(self) -> bytes:
        """The ciphertext and, in its last 16 bytes, the tag."""
        return self[_CIPHERTEXT_AT:]

    def __repr__(self) -> str:
        """Name the length and the data key, not the bytes."""
        return f"<Sealed {len(self)} bytes, data key {self.key_id.hex()}>"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copy and deepcopy work, through the same check as reading."""
        return Sealed.from_stored, (bytes(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate with `from_stored`."""
        return core_schema.no_info_plain_validator_function(cls.from_stored)


def assemble(key_id: bytes, nonce: bytes, ciphertext: bytes) -> Sealed:
    """Put an envelope together: for protectors only.

    Args:
        ciphertext: with its tag.

    Raises:
        ValueError: a part has the wrong length.
    """
    if len(key_id) != KEY_ID_BYTES or len(nonce) != NONCE_BYTES or len(ciphertext) < TAG_BYTES:
        raise ValueError("an envelope is a key id of 16 bytes, a nonce of 24, and a ciphertext with a tag of 16")
    return bytes.__new__(Sealed, b"".join((_VERSION_BYTE, key_id, nonce, ciphertext)))


def take_apart(raw: object) -> tuple[bytes, bytes, bytes]:
    """Give the data key id, the nonce and the ciphertext (with its tag) of what a database gave back.

    Raises:
        PayloadUnreadable: it is no envelope.
    """
    envelope = _checked(raw)
    return envelope[1:_NONCE_AT], envelope[_NONCE_AT:_CIPHERTEXT_AT], envelope[_CIPHERTEXT_AT:]


def _checked(raw: object) -> bytes:
    if not isinstance(raw, bytes):
        raise PayloadUnreadable(f"a payload is not sealed: it is {type(raw).__name__}, not bytes")
    if len(raw) < MIN_ENVELOPE_BYTES:
        raise PayloadUnreadable(
            f"a payload is not sealed: it has {len(raw)} bytes, an envelope has at least {MIN_ENVELOPE_BYTES}"
        )
    if raw[0] != ENVELOPE_VERSION:
        raise PayloadUnreadable(f"a payload is not sealed: it does not begin with version {ENVELOPE_VERSION}")
    return raw

"""What stores find by a secret text: codes, message ids, replay handles. Only a hash is kept, so it may be of any length."""

import hashlib

from mongostore.models.identifiers import is_encodable

_LENGTH_BYTES = 4


def check_handle(name: str, value: object) -> str:
    """Give `value` back when something can be stored under it. It is not repeated in a message.

    Args:
        name: what it is, for the message ("device_code").

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, or holds a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    if not _is_plain(value):
        raise ValueError(f"{name} must hold neither a NUL character nor a lone surrogate")
    return value


def is_handle(name: str, value: object) -> bool:
    """True when something can have been stored under `value`.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return bool(value) and _is_plain(value)


def hashed(*texts: str) -> str:
    """The key that is stored for a sequence of texts: different sequences have different keys.

    Layout (frozen): SHA-256, in upper-case hex, over each text's length in bytes (4 bytes, big-endian) and its UTF-8.
    """
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded)
    return digest.hexdigest().upper()


def _is_plain(value: str) -> bool:
    return "\0" not in value and is_encodable(value)

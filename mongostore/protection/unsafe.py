"""For tests only: payloads that a person can read in the database."""

import hashlib
import warnings
from typing import Final

from mongostore.protection.columns import Columns, with_columns
from mongostore.protection.context import Context
from mongostore.protection.envelope import KEY_ID_BYTES, TAG_BYTES, Sealed, assemble
from mongostore.protection.protector import Protector, compared, parse, unreadable

_KEY_ID: Final = bytes(KEY_ID_BYTES)
_MARK: Final = b"UNSAFE PLAINTEXT FORMAT!"


class UnsafePlaintextProtector(Protector):
    """A `Protector` that protects nothing: its envelopes hold the plaintext.

    They have the form of sealed ones, so that validators accept them, with a data key id of zeros, the mark
    "UNSAFE PLAINTEXT FORMAT!" for a nonce, and a checksum of plaintext and place for a tag, so that code that mixes up
    places fails in tests as it would with real ones. Neither protector opens what the other made.
    """

    def __init__(self) -> None:
        warnings.warn(
            "UnsafePlaintextProtector stores payloads in clear: use it in tests only, never with real data",
            RuntimeWarning,
            stacklevel=2,
        )

    async def seal(self, plaintext: bytes, context: Context, columns: Columns | None = None) -> Sealed:
        """Put the plaintext into an envelope, in clear."""
        if columns is not None:
            plaintext = with_columns(plaintext, columns)
        return assemble(_KEY_ID, _MARK, plaintext + _checksum(plaintext, context))

    async def open(self, sealed: bytes, context: Context, columns: Columns | None = None) -> bytes:
        """Take the plaintext out of an envelope that `seal` made for the same place.

        Raises:
            PayloadUnreadable: it is anything else.
        """
        key_id, nonce, ciphertext = parse(sealed, context)
        plaintext, tag = ciphertext[:-TAG_BYTES], ciphertext[-TAG_BYTES:]
        if (key_id, nonce, tag) != (_KEY_ID, _MARK, _checksum(plaintext, context)):
            raise unreadable(context, "UnsafePlaintextProtector did not make it, or made it for another record")
        return plaintext if columns is None else compared(plaintext, context, columns)


def _checksum(plaintext: bytes, context: Context) -> bytes:
    place = context.associated_data()
    return hashlib.sha256(len(place).to_bytes(4, "big") + place + plaintext).digest()[:TAG_BYTES]

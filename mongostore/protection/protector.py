"""Seals values for storage and opens them again: the only way from plaintext to `Sealed` and back.

It knows nothing of what it seals. Stores depend on the `Protector` protocol; which one they get is wired from outside.
"""

import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag

from mongostore.errors import PayloadUnreadable
from mongostore.protection.columns import Columns, Unbound, differing, with_columns, without_columns
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed, assemble, take_apart
from mongostore.protection.key_ring import KeyRing

# Frozen: the first byte of every packed value.
_TEXT: Final = b"t"
_BYTES: Final = b"b"


class Protector(Protocol):
    """Turns plaintext into `Sealed` and back, for one place each time."""

    async def seal(self, plaintext: bytes, context: Context, columns: Columns | None = None) -> Sealed:
        """Seal a value for the place `context`.

        Args:
            plaintext: the value.
            context: the one place where it opens.
            columns: what stands in clear beside it; it goes inside, and `open` compares.

        Raises:
            KeyUnavailable: the tenant's keys were destroyed, or the given master key does not open them.
            StorageUnavailable: a key was needed and the key ring did not answer.
        """

    async def open(self, sealed: bytes, context: Context, columns: Columns | None = None) -> bytes:
        """Give back what was sealed for the place `context`.

        Args:
            sealed: the envelope.
            context: where it was found.
            columns: what stands in clear beside it now. A value that was sealed without columns opens with any. Without
                this argument, nothing is compared, and what was sealed with columns comes with them in front.

        Raises:
            PayloadUnreadable: it is no envelope, was altered, was sealed for another place, or a column was changed.
            KeyUnavailable: its data key is missing or destroyed, or the given master key does not open it.
            StorageUnavailable: a key was needed and the key ring did not answer.
        """


class SealingProtector(Protector):
    """The real one: XAES-256-GCM with a random nonce, under the data keys of the context's tenant.

    With the key in memory, neither method suspends.
    """

    def __init__(self, key_ring: KeyRing, on_tampered: Callable[[Context], None] | None = None) -> None:
        """Seal under the keys of a ring.

        Args:
            key_ring: the data keys of all tenants.
            on_tampered: called with the place of each value that was altered or moved, or whose columns were changed.
        """
        self._key_ring = key_ring
        self._on_tampered = on_tampered

    async def seal(self, plaintext: bytes, context: Context, columns: Columns | None = None) -> Sealed:
        """Seal a value; see `Protector.seal`."""
        if columns is not None:
            plaintext = with_columns(plaintext, columns)
        keys = self._key_ring.for_tenant(context.tenant)
        data_key = keys.cached_sealing_key() or await keys.sealing_key()
        cipher = data_key.cipher
        nonce = cipher.new_nonce()
        return assemble(data_key.key_id, nonce, cipher.encrypt(nonce, plaintext, context.associated_data()))

    async def open(self, sealed: bytes, context: Context, columns: Columns | None = None) -> bytes:
        """Open a value; see `Protector.open`."""
        try:
            key_id, nonce, ciphertext = parse(sealed, context)
            keys = self._key_ring.for_tenant(context.tenant)
            cipher = keys.cached_opening_key(key_id) or await keys.opening_key(key_id)
            try:
                plaintext = cipher.decrypt(nonce, ciphertext, context.associated_data())
            except InvalidTag as error:
                raise unreadable(context, "it was altered, or sealed for another record") from error
            return plaintext if columns is None else compared(plaintext, context, columns)
        except PayloadUnreadable:
            if self._on_tampered is not None:
                self._on_tampered(context)
            raise


def unreadable(context: Context, problem: str) -> PayloadUnreadable:
    """Make the error for a value that does not open. It leaves the record's id out: the id may tell a handle."""
    return PayloadUnreadable(
        f"{context.collection}.{context.field} of tenant {context.tenant} can't be read: {problem}; "
        "the record is left as it is",
        collection=context.collection,
    )


def compared(plaintext: bytes, context: Context, columns: Columns) -> bytes:
    """Take the columns off an opened plaintext when they are those that stand beside it; for protectors.

    What was sealed before columns were bound comes back as `Unbound`.

    Raises:
        PayloadUnreadable: a column beside it was changed.
    """
    inside, plaintext = without_columns(plaintext)
    if inside is None:
        return Unbound(plaintext)
    if changed := differing(inside, columns):
        raise unreadable(context, f"{', '.join(changed)} beside it was changed from outside")
    return plaintext


def parse(sealed: object, context: Context) -> tuple[bytes, bytes, bytes]:
    """Take an envelope apart, for protectors: `take_apart` with an error that tells the place."""
    try:
        return take_apart(sealed)
    except PayloadUnreadable as error:
        raise unreadable(context, str(error)) from error


def pack(data: str | bytes) -> bytes:
    """Make one kind of value, bytes, of text or bytes, so that it comes back as what it was.

    Layout (frozen): one byte, "t" for text or "b" for bytes, then the UTF-8 text or the bytes.

    Raises:
        TypeError: it is neither.
        ValueError: it is text that UTF-8 can't encode (a lone surrogate).
    """
    if isinstance(data, str):
        with contextlib.suppress(UnicodeEncodeError):
            return _TEXT + data.encode()
        # Outside of the handler: that error carries the data along.
        raise ValueError("data must be text that UTF-8 can encode (it has a lone surrogate)")
    if isinstance(data, bytes):
        return _BYTES + data
    raise TypeError(f"data must be str or bytes, not {type(data).__name__}")


def unpack(packed: bytes) -> str | bytes:
    """Give back what `pack` was given.

    Raises:
        PayloadUnreadable: `pack` did not make it.
    """
    kind, data = packed[:1], packed[1:]
    if kind == _BYTES:
        return data
    if kind == _TEXT:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode()
        # Outside of the handler: that error carries the data along.
        raise PayloadUnreadable("an opened payload is marked as text and is no UTF-8")
    raise PayloadUnreadable("an opened payload begins with neither of the marks 't' (text) and 'b' (bytes)")

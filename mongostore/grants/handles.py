"""Handles, and the keys that grants are stored under: the reference's formats.

A handle is 32 random bytes in upper-case hex and the suffix `-1`, the format's version: 66 characters. Its grant key is
SHA-256 of the UTF-8 text `handle:type`, in upper-case hex: 64 characters. Only the key is ever stored.
"""

import hashlib
import secrets

_HANDLE_BYTES = 32
_VERSION_SUFFIX = "-1"


def new_handle() -> str:
    """Make a handle that nobody can guess (RFC 6749 §10.10)."""
    return secrets.token_hex(_HANDLE_BYTES).upper() + _VERSION_SUFFIX


def grant_key(handle: str, grant_type: str) -> str:
    """The key that the grant with this handle is stored under.

    Args:
        handle: as it was given to the client, of any length.
        grant_type: one of `PersistedGrantType`; the same handle under another type is another grant.
    """
    return hashlib.sha256(f"{handle}:{grant_type}".encode(errors="surrogatepass")).hexdigest().upper()


def consent_handle(client_id: str, subject_id: str) -> str:
    """The handle of the consent that a subject gave to a client: `client|subject-1`.

    A `%` or `|` inside an id is percent-encoded first, so that different pairs never share a handle.
    """
    return f"{_encoded(client_id)}|{_encoded(subject_id)}{_VERSION_SUFFIX}"


def _encoded(identifier: str) -> str:
    return identifier.replace("%", "%25").replace("|", "%7C")

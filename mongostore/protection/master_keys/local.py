"""A master key that the operator holds: 32 random bytes, in an environment variable or a file.

Nothing of it leaves this module but its text form, on request, and its public id.
"""

import base64
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final, NoReturn, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from mongostore.errors import ConfigurationError, KeyUnavailable

# Frozen: exported keys begin so, ids stand in stored ring records, and wrapping keys are derived with this label.
_PREFIX: Final = "mongostore-master-1:"
_ID_LABEL: Final = b"mongostore/master-key-id/v1"
_WRAP_LABEL: Final = b"mongostore/local-master-key/v1"

_KEY_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 4
_ENCODED: Final = re.compile(r"[A-Za-z0-9_-]{48}", re.ASCII)
_HOW_TO_MAKE_ONE: Final = (
    "make one with `mongostore keys generate-master` or LocalMasterKey.generate().export(), and keep a copy of it "
    "where the database's backups are not"
)


class LocalMasterKey:
    """Wraps data keys with AES-256 key wrap (RFC 3394), under a key derived for each context.

    Layout of a wrapped data key (frozen), 40 bytes: RFC 3394 AES-256 key wrap of the 32 bytes, under
    HKDF-SHA256(master key, no salt, info = "mongostore/local-master-key/v1" | context, 32 bytes). Key wrap alone binds
    no context; the derived key does.

    Layout of the text form (frozen): "mongostore-master-1:" and 48 characters, base64url of the 32 bytes of the key
    and a checksum of 4, the first of SHA-256("mongostore-master-1:" | key), so that a damaged paste is recognised.
    """

    __slots__ = ("_id", "_key")

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes):
            raise TypeError(f"a master key is bytes, not {type(key).__name__}")
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a master key has {_KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._id = "local:" + hashlib.sha256(_ID_LABEL + key).hexdigest()[:16]

    @classmethod
    def generate(cls) -> Self:
        """Make a new one from the system's random source. Export it before anything is sealed under it."""
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `export` gave; white space around it doesn't matter.

        Raises:
            ConfigurationError: it is something else, or damaged. The message doesn't repeat it.
        """
        return cls(_decode(text, "the master key"))

    @classmethod
    def from_env(cls, name: str) -> Self:
        """Read the text form from an environment variable.

        Raises:
            ConfigurationError: the variable is not set, or holds something else.
        """
        text = os.environ.get(name, "")
        if not text.strip():
            raise ConfigurationError(f"the environment variable {name} holds no master key: {_HOW_TO_MAKE_ONE}")
        return cls(_decode(text, f"the environment variable {name}"))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read the text form from a file that, on POSIX systems, only its owner may touch.

        Raises:
            ConfigurationError: the file can't be read, is open to its group or to others, or holds something else.
        """
        try:
            with Path(path).open("rb") as file:
                # Of the open file, not of the path: the path could be exchanged in between.
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(1024)
        except FileNotFoundError as error:
            raise ConfigurationError(f"there is no master key file {path}: {_HOW_TO_MAKE_ONE}") from error
        except OSError as error:
            raise ConfigurationError(f"the master key file {path} can't be read: {error.strerror}") from error
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(
                f"the master key file {path} is open to its group or to others (mode {mode:04o}): "
                f"run `chmod 600 {path}`, and replace the key if somebody may have read it"
            )
        return cls(_decode(content.decode("ascii", "replace"), f"the master key file {path}"))

    @property
    def id(self) -> str:
        """A public fingerprint: "local:" and 16 hex digits, a hash from which the key can't be found."""
        return self._id

    def export(self) -> str:
        """The text form: a secret, to be put where `from_env` or `from_file` finds it."""
        return _PREFIX + base64.urlsafe_b64encode(self._key + _checksum(self._key)).decode()

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """See `MasterKey.wrap`."""
        return aes_key_wrap(self._wrapping_key(context), data_key)

    async def unwrap(self, wrapped: bytes, context: bytes, master_key_id: str) -> bytes:
        """See `MasterKey.unwrap`."""
        if master_key_id != self._id:
            raise KeyUnavailable(f"wrapped by master key {master_key_id}, not by {self._id}")
        try:
            return aes_key_unwrap(self._wrapping_key(context), wrapped)
        except InvalidUnwrap as error:
            raise KeyUnavailable("the wrapped data key was altered, or moved from another record") from error

    def _wrapping_key(self, context: bytes) -> bytes:
        return HKDF(SHA256(), _KEY_BYTES, salt=None, info=_WRAP_LABEL + context).derive(self._key)

    def __repr__(self) -> str:
        """Show the public id only."""
        return f"<LocalMasterKey {self._id}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: the key would be in the result."""
        raise TypeError("a LocalMasterKey can't be pickled or copied; export() gives its text form")


def _checksum(key: bytes) -> bytes:
    return hashlib.sha256(_PREFIX.encode() + key).digest()[:_CHECKSUM_BYTES]


def _decode(text: str, what: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a master key's text form is a str, not {type(text).__name__}")
    text = text.strip()
    if not text.startswith(_PREFIX):
        raise ConfigurationError(f"{what} does not begin with {_PREFIX!r}: {_HOW_TO_MAKE_ONE}")
    encoded = text.removeprefix(_PREFIX)
    if not _ENCODED.fullmatch(encoded):
        raise ConfigurationError(
            f"{what} is damaged: after {_PREFIX!r} stand 48 characters of base64url (here are {len(encoded)}); "
            "was it cut short when it was copied?"
        )
    decoded = base64.urlsafe_b64decode(encoded)
    key, checksum = decoded[:_KEY_BYTES], decoded[_KEY_BYTES:]
    if checksum != _checksum(key):
        raise ConfigurationError(f"{what} is damaged: its checksum does not match; copy it again")
    return key

"""What a deployment may choose, with the defaults."""

from dataclasses import dataclass
from datetime import timedelta

from mongostore.protection.rotation import KeyRotationPolicy

# Frozen in the names of collections: MongoDB takes these everywhere, and no shell needs to quote them.
_PREFIX_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How a store behaves.

    Attributes:
        operation_timeout: the longest that one operation may take, waiting for a server included.
        server_selection_timeout: the longest wait for a server that can do it.
        consumed_retention: how long a consumed grant is kept, so that a replay can be told from an unknown handle
            (never beyond its own expiration).
        message_lifetime: how long a message or consent message can be read.
        collection_prefix: put before the name of every collection ("idp_" makes "idp_clients").
        key_rotation: when data keys are replaced.
    """

    operation_timeout: timedelta = timedelta(seconds=5)
    server_selection_timeout: timedelta = timedelta(seconds=5)
    consumed_retention: timedelta = timedelta(days=1)
    message_lifetime: timedelta = timedelta(hours=1)
    collection_prefix: str = ""
    key_rotation: KeyRotationPolicy = KeyRotationPolicy()

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            TypeError, ValueError: an option has a wrong type or value; the message names it.
        """
        for name in ("operation_timeout", "server_selection_timeout", "consumed_retention", "message_lifetime"):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
            if value < timedelta(0) or (value == timedelta(0) and name != "consumed_retention"):
                raise ValueError(f"{name} must be positive, not {value}")
        if not isinstance(self.collection_prefix, str):
            raise TypeError(f"collection_prefix must be a str, not {type(self.collection_prefix).__name__}")
        if not _PREFIX_CHARACTERS.issuperset(self.collection_prefix) or self.collection_prefix.startswith("system."):
            raise ValueError(
                "collection_prefix may hold letters, digits, '_', '-' and '.', and not begin with 'system.'"
            )
        if len(self.collection_prefix) > 100:  # noqa: PLR2004 - a namespace has 255 bytes for database and collection
            raise ValueError("collection_prefix must not be longer than 100 characters")
        if not isinstance(self.key_rotation, KeyRotationPolicy):
            raise TypeError(f"key_rotation must be a KeyRotationPolicy, not {type(self.key_rotation).__name__}")

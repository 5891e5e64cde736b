"""What a deployment may choose, with the defaults."""

from dataclasses import dataclass
from datetime import timedelta

from mongostore.caching import CachingOptions
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.signing.options import SigningOptions
from mongostore.tenancy import DatabasePerTenant, Placement, SharedDatabase

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
        session_expiry_grace: how long an expired session is kept, so that its logout can be processed.
        coordinate_client_lifetimes_with_user_session: whether the tokens of a client live no longer than the user's
            session, unless the client says otherwise (`Client.coordinate_lifetime_with_user_session`).
        user_display_name_claim_type: the claim that names a user in the list of sessions, where it lies in clear and can
            be searched for; None: sessions have no name.
        collection_prefix: put before the name of every collection ("idp_" makes "idp_clients").
        tenancy: where tenants' data lie, and who may bring a tenant into being.
        caching: for how long configuration is served from memory; None: never.
        key_rotation: when data keys are replaced.
        signing: how signing keys are made, announced and retired.
    """

    operation_timeout: timedelta = timedelta(seconds=5)
    server_selection_timeout: timedelta = timedelta(seconds=5)
    consumed_retention: timedelta = timedelta(days=1)
    message_lifetime: timedelta = timedelta(hours=1)
    session_expiry_grace: timedelta = timedelta(days=7)
    coordinate_client_lifetimes_with_user_session: bool = False
    user_display_name_claim_type: str | None = None
    collection_prefix: str = ""
    tenancy: Placement = SharedDatabase()
    caching: CachingOptions | None = CachingOptions()
    key_rotation: KeyRotationPolicy = KeyRotationPolicy()
    signing: SigningOptions = SigningOptions()

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            TypeError, ValueError: an option has a wrong type or value; the message names it.
        """
        for name in ("operation_timeout", "server_selection_timeout", "consumed_retention", "message_lifetime",
                     "session_expiry_grace"):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
            if value < timedelta(0) or (value == timedelta(0) and name != "consumed_retention"):
                raise ValueError(f"{name} must be positive, not {value}")
        self._check_sessions()
        if not isinstance(self.collection_prefix, str):
            raise TypeError(f"collection_prefix must be a str, not {type(self.collection_prefix).__name__}")
        if not _PREFIX_CHARACTERS.issuperset(self.collection_prefix) or self.collection_prefix.startswith("system."):
            raise ValueError(
                "collection_prefix may hold letters, digits, '_', '-' and '.', and not begin with 'system.'"
            )
        if len(self.collection_prefix) > 100:  # noqa: PLR2004 - a namespace has 255 bytes for database and collection
            raise ValueError("collection_prefix must not be longer than 100 characters")
        if not isinstance(self.tenancy, SharedDatabase | DatabasePerTenant):
            raise TypeError(f"tenancy must be SharedDatabase or DatabasePerTenant, not {type(self.tenancy).__name__}")
        if not isinstance(self.caching, CachingOptions | None):
            raise TypeError(f"caching must be CachingOptions or None, not {type(self.caching).__name__}")
        if not isinstance(self.key_rotation, KeyRotationPolicy):
            raise TypeError(f"key_rotation must be a KeyRotationPolicy, not {type(self.key_rotation).__name__}")
        if not isinstance(self.signing, SigningOptions):
            raise TypeError(f"signing must be a SigningOptions, not {type(self.signing).__name__}")

    def _check_sessions(self) -> None:
        if not isinstance(self.coordinate_client_lifetimes_with_user_session, bool):
            raise TypeError("coordinate_client_lifetimes_with_user_session must be True or False")
        if not isinstance(self.user_display_name_claim_type, str | None):
            raise TypeError("user_display_name_claim_type must be a str or None")

"""What a deployment may choose, with the defaults."""

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from mongostore.caching import CachingOptions
from mongostore.environment import read_options
from mongostore.events import EventHook
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.signing.options import SigningOptions
from mongostore.telemetry import Telemetry
from mongostore.tenancy import DatabasePerTenant, Placement, SharedDatabase

# Frozen in the names of collections: MongoDB takes these everywhere, and no shell needs to quote them.
_PREFIX_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")

# No instant that a store works with overflows by as much.
_LONGEST = timedelta(days=36_525)

# What MongoDB takes as expireAfterSeconds.
_LONGEST_TTL_DELAY = timedelta(seconds=2**31 - 1)


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
        ttl_delay: how long after their time MongoDB removes grants and device codes by itself: whole seconds, none unless
            a `TokenCleanupService` is to tell of the removal first. It is the schema's, so give the deploy step's
            `mongostore schema apply` the same: `--ttl-delay`, in seconds.
        coordinate_client_lifetimes_with_user_session: whether the tokens of a client live no longer than the user's
            session, unless the client says otherwise (`Client.coordinate_lifetime_with_user_session`).
        user_display_name_claim_type: the claim that names a user in the list of sessions, where it lies in clear and can
            be searched for; None: sessions have no name.
        collection_prefix: put before the name of every collection ("idp_" makes "idp_clients").
        tenancy: where tenants' data lie, and who may bring a tenant into being.
        caching: for how long configuration is served from memory; None: never.
        key_rotation: when data keys are replaced.
        signing: how signing keys are made, announced and retired.
        telemetry: whether there are spans and metrics, through OpenTelemetry where its API is installed; or a `Telemetry`
            of providers of your own.
        on_event: is told what an auditor wants to hear of; see `StoreEvent` and `EventHook`.
    """

    operation_timeout: timedelta = timedelta(seconds=5)
    server_selection_timeout: timedelta = timedelta(seconds=5)
    consumed_retention: timedelta = timedelta(days=1)
    message_lifetime: timedelta = timedelta(hours=1)
    session_expiry_grace: timedelta = timedelta(days=7)
    ttl_delay: timedelta = timedelta(0)
    coordinate_client_lifetimes_with_user_session: bool = False
    user_display_name_claim_type: str | None = None
    collection_prefix: str = ""
    tenancy: Placement = SharedDatabase()
    caching: CachingOptions | None = CachingOptions()
    key_rotation: KeyRotationPolicy = KeyRotationPolicy()
    signing: SigningOptions = SigningOptions()
    telemetry: bool | Telemetry = True
    on_event: EventHook | None = None

    @classmethod
    def from_env(cls, prefix: str = "MONGOSTORE_", environ: Mapping[str, str] | None = None) -> Self:
        """Read the options from the environment: each by its name in upper case, what is not there by its default.

        Durations are written as 500ms, 5s, 10m, 1h or 30d, a number alone is seconds; switches as on or off; lists with
        commas. Nested options have both names: `MONGOSTORE_CACHING_MAX_ENTRIES`; `MONGOSTORE_CACHING=off` caches
        nothing; `MONGOSTORE_TENANCY` is `shared` or `per-tenant:identity_{tenant}`. What can't be written, add by
        `dataclasses.replace(options, on_event=…)`.

        Args:
            prefix: of the variables' names.
            environ: names and values; by default, the process's.

        Raises:
            ConfigurationError: a variable with the prefix is no option, has no effect, or has a value that can't be used;
                the message names it and doesn't repeat the value. The master key, the URI and the database may have
                the prefix too (`MONGOSTORE_MASTER_KEY`, `MONGOSTORE_URI`, `MONGOSTORE_DATABASE`), and are left alone.
        """
        return read_options(cls, prefix, os.environ if environ is None else environ)

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            TypeError, ValueError: an option has a wrong type or value; the message names it.
        """
        self._check_durations()
        self._check_prefix()
        self._check_sessions()
        self._check_observation()
        if not isinstance(self.caching, CachingOptions | None):
            raise TypeError(f"caching must be CachingOptions or None, not {type(self.caching).__name__}")
        for name, kind in (
            ("tenancy", SharedDatabase | DatabasePerTenant),
            ("key_rotation", KeyRotationPolicy),
            ("signing", SigningOptions),
        ):
            if not isinstance(getattr(self, name), kind):
                wanted = str(getattr(kind, "__name__", "SharedDatabase or DatabasePerTenant"))
                raise TypeError(f"{name} must be a {wanted}, not {type(getattr(self, name)).__name__}")

    def _check_durations(self) -> None:
        may_be_zero = ("consumed_retention", "ttl_delay")
        for name in (
            "operation_timeout",
            "server_selection_timeout",
            "message_lifetime",
            "session_expiry_grace",
            *may_be_zero,
        ):
            value = getattr(self, name)
            if not isinstance(value, timedelta):
                raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
            if value < timedelta(0) or (value == timedelta(0) and name not in may_be_zero):
                wanted = "not be negative" if name in may_be_zero else "be positive"
                raise ValueError(f"{name} must {wanted}: it is {value}")
            if value > _LONGEST:
                raise ValueError(f"{name} must not be longer than a century: it is {value}")
        if self.ttl_delay % timedelta(seconds=1) or self.ttl_delay > _LONGEST_TTL_DELAY:
            raise ValueError(f"ttl_delay must be whole seconds, at most {_LONGEST_TTL_DELAY}, not {self.ttl_delay}")

    def _check_prefix(self) -> None:
        if not isinstance(self.collection_prefix, str):
            raise TypeError(f"collection_prefix must be a str, not {type(self.collection_prefix).__name__}")
        if not _PREFIX_CHARACTERS.issuperset(self.collection_prefix) or self.collection_prefix.startswith("system."):
            raise ValueError(
                "collection_prefix may hold letters, digits, '_', '-' and '.', and not begin with 'system.'"
            )
        if len(self.collection_prefix) > 100:  # noqa: PLR2004 - a namespace has 255 bytes for database and collection
            raise ValueError("collection_prefix must not be longer than 100 characters")

    def _check_sessions(self) -> None:
        if not isinstance(self.coordinate_client_lifetimes_with_user_session, bool):
            raise TypeError("coordinate_client_lifetimes_with_user_session must be True or False")
        if not isinstance(self.user_display_name_claim_type, str | None):
            raise TypeError("user_display_name_claim_type must be a str or None")

    def _check_observation(self) -> None:
        if not isinstance(self.telemetry, bool | Telemetry):
            raise TypeError(f"telemetry must be True, False or a Telemetry, not {type(self.telemetry).__name__}")
        if self.on_event is not None and not callable(self.on_event):
            raise TypeError(f"on_event must be a function of a StoreEvent, not {type(self.on_event).__name__}")
        if inspect.iscoroutinefunction(self.on_event) or inspect.iscoroutinefunction(
            getattr(self.on_event, "__call__", None)  # noqa: B004 - whether it is a coroutine, not whether it is there
        ):
            raise TypeError(
                "on_event must not be a coroutine function: nothing waits for it. Put the event into a queue"
            )

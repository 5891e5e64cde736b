"""What a deployment may choose about its signing keys, with the reference's defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

# RFC 7518 §3.1, as far as they are asymmetric and the reference has them.
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
EC_ALGORITHMS = ("ES256", "ES384", "ES512")

_POSITIVE = ("rotation_interval", "propagation_time", "retention_duration")
_NOT_NEGATIVE = (
    "key_cache_duration",
    "initialization_duration",
    "initialization_synchronization_delay",
    "initialization_key_cache_duration",
)
SMALLEST_RSA_KEY = 2048  # RFC 7518 §3.3
_LARGEST_RSA_KEY = 16_384
# Far more than makes sense, and little enough to be added to any instant of this time.
_LONGEST = timedelta(days=36_500)


@dataclass(frozen=True, kw_only=True)
class SigningOptions:
    """How signing keys are made, announced and retired.

    A key is published as soon as it is made, signs from `propagation_time` after that until `rotation_interval` after it
    was made, and is published for another `retention_duration`. When it is published no more is decided by the database
    server's time, and one that was made before it was stored is published as if it were made then.

    Attributes:
        enabled: False when the server keeps its signing keys elsewhere: no key is read, made or published.
        signing_algorithms: for each one a key is kept; the first is the default.
        certificate_algorithms: those of them whose keys are wrapped in a self-signed X.509 certificate; RSA only.
        rsa_key_size: in bits.
        rotation_interval: how old a key gets before it stops signing.
        propagation_time: how long a key is published before it signs, so that everybody who caches keys has it.
        retention_duration: how long a key is published after it stopped signing. No token may live longer.
        key_cache_duration: for how long a node uses keys without reading them again; at most half of
            `propagation_time`, so that every node has a key before it signs. Also the time until every node has
            forgotten a key that was deleted.
        initialization_duration: keys younger than this count as being set up: they are read again sooner.
        initialization_synchronization_delay: accepted so that the reference's settings can be carried over. Nothing
            waits: nodes that start together elect one key.
        initialization_key_cache_duration: `key_cache_duration` while all keys are being set up, or one can't be read.
        delete_retired_keys: whether keys that are not published any more are deleted.
    """

    enabled: bool = True
    signing_algorithms: Sequence[str] = ("RS256",)
    certificate_algorithms: Sequence[str] = ()
    rsa_key_size: int = 2048
    rotation_interval: timedelta = timedelta(days=90)
    propagation_time: timedelta = timedelta(days=14)
    retention_duration: timedelta = timedelta(days=14)
    key_cache_duration: timedelta = timedelta(hours=24)
    initialization_duration: timedelta = timedelta(minutes=5)
    initialization_synchronization_delay: timedelta = timedelta(seconds=5)
    initialization_key_cache_duration: timedelta = timedelta(minutes=1)
    delete_retired_keys: bool = True

    def __post_init__(self) -> None:
        """Refuse what can't work.

        Raises:
            TypeError, ValueError: an option has a wrong type or value; the message names it.
        """
        for name in ("enabled", "delete_retired_keys"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, not {type(getattr(self, name)).__name__}")
        for name in (*_POSITIVE, *_NOT_NEGATIVE):
            _check_duration(name, getattr(self, name), zero_allowed=name in _NOT_NEGATIVE)
        if self.rotation_interval <= self.propagation_time:
            raise ValueError("rotation_interval must be longer than propagation_time: a new key is announced before")
        self._check_algorithms()
        if isinstance(self.rsa_key_size, bool) or not isinstance(self.rsa_key_size, int):
            raise TypeError(f"rsa_key_size must be an int, not {type(self.rsa_key_size).__name__}")
        if not SMALLEST_RSA_KEY <= self.rsa_key_size <= _LARGEST_RSA_KEY:
            raise ValueError(f"rsa_key_size must be {SMALLEST_RSA_KEY} to {_LARGEST_RSA_KEY}, not {self.rsa_key_size}")

    def _check_algorithms(self) -> None:
        for name in ("signing_algorithms", "certificate_algorithms"):
            object.__setattr__(self, name, _algorithm_names(name, getattr(self, name)))
        if not self.signing_algorithms:
            raise ValueError("signing_algorithms must name at least one algorithm; to have no keys, set enabled=False")
        for name in self.certificate_algorithms:
            if name not in self.signing_algorithms or name not in RSA_ALGORITHMS:
                raise ValueError(f"certificate_algorithms may hold RSA algorithms of signing_algorithms, not {name}")

    @property
    def retirement_age(self) -> timedelta:
        """How old a key is when it is published no more."""
        return self.rotation_interval + self.retention_duration


def _check_duration(name: str, value: object, *, zero_allowed: bool) -> None:
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a timedelta, not {type(value).__name__}")
    if value < timedelta(0) or (value == timedelta(0) and not zero_allowed):
        raise ValueError(f"{name} must {'not be negative' if zero_allowed else 'be positive'}, but is {value}")
    if value > _LONGEST:
        raise ValueError(f"{name} must not exceed {_LONGEST.days} days, but is {value.days} days")


def _algorithm_names(option: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{option} must be a sequence of names, not {type(names).__name__}")
    for name in names:
        if name not in (*RSA_ALGORITHMS, *EC_ALGORITHMS):
            raise ValueError(
                f"{option} may hold {', '.join((*RSA_ALGORITHMS, *EC_ALGORITHMS))}, not {str(name)[:40]!r}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{option} names an algorithm twice")
    return tuple(names)

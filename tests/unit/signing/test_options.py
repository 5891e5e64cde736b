"""What a deployment may choose, and what it is told when it can't be."""

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

from mongostore.options import StoreOptions
from mongostore.signing.options import EC_ALGORITHMS, RSA_ALGORITHMS, SigningOptions

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def test_defaults_are_the_references():
    """Who sets nothing gets what the reference's documentation says."""
    options = StoreOptions().signing
    assert options == SigningOptions(
        enabled=True,
        signing_algorithms=["RS256"],
        certificate_algorithms=[],
        rsa_key_size=2048,
        rotation_interval=90 * DAY,
        propagation_time=14 * DAY,
        retention_duration=14 * DAY,
        key_cache_duration=DAY,
        initialization_duration=timedelta(minutes=5),
        initialization_synchronization_delay=timedelta(seconds=5),
        initialization_key_cache_duration=timedelta(minutes=1),
        delete_retired_keys=True,
    )
    assert options.retirement_age == 104 * DAY


def test_options_are_frozen():
    """What was checked stays as it was, the caller's list included."""
    names = ["ES256"]
    options = SigningOptions(signing_algorithms=names)
    names.append("none")
    assert options.signing_algorithms == ("ES256",)
    with pytest.raises(FrozenInstanceError):
        options.enabled = False


def test_all_algorithms_are_allowed():
    """RS, PS and ES with 256, 384 and 512 bits; certificates for those of RSA."""
    assert len({*RSA_ALGORITHMS, *EC_ALGORITHMS}) == 9
    SigningOptions(signing_algorithms=(*RSA_ALGORITHMS, *EC_ALGORITHMS), certificate_algorithms=RSA_ALGORITHMS)


@pytest.mark.parametrize("name", ["rotation_interval", "propagation_time", "retention_duration"])
@pytest.mark.parametrize("value", [timedelta(0), -DAY])
def test_a_period_must_be_positive(name, value):
    """A key must have a time to be announced, to sign, and to validate."""
    with pytest.raises(ValueError, match=name):
        SigningOptions(**{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "key_cache_duration",
        "initialization_duration",
        "initialization_synchronization_delay",
        "initialization_key_cache_duration",
    ],
)
def test_other_durations_must_not_be_negative(name):
    """Zero switches the thing off; less means nothing."""
    SigningOptions(**{name: timedelta(0)})
    with pytest.raises(ValueError, match=name):
        SigningOptions(**{name: -TICK})


def test_rotation_must_be_longer_than_propagation():
    """Otherwise a successor could not be announced before it is needed."""
    SigningOptions(rotation_interval=14 * DAY + TICK)
    with pytest.raises(ValueError, match="rotation_interval"):
        SigningOptions(rotation_interval=14 * DAY)


@pytest.mark.parametrize(
    "names", [[], ["HS256"], ["none"], ["rs256"], ["EdDSA"], [None], ["RS256", "ES256", "RS256"]], ids=str
)
def test_algorithms_must_be_known_and_different(names):
    """An algorithm that is no asymmetric one of RFC 7518, or is named twice, is refused."""
    with pytest.raises(ValueError, match="signing_algorithms"):
        SigningOptions(signing_algorithms=names)


@pytest.mark.parametrize("names", [["ES256"], ["PS256"], ["RS256", "RS256"]], ids=str)
def test_certificates_are_for_configured_rsa_algorithms(names):
    """The reference forbids certificates for elliptic curves."""
    with pytest.raises(ValueError, match="certificate_algorithms"):
        SigningOptions(signing_algorithms=["RS256", "ES256"], certificate_algorithms=names)


@pytest.mark.parametrize("size", [0, 1024, 2047, 16_385])
def test_rsa_keys_have_at_least_2048_bits(size):
    """RFC 7518 §3.3."""
    with pytest.raises(ValueError, match="rsa_key_size"):
        SigningOptions(rsa_key_size=size)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", "no"),
        ("delete_retired_keys", None),
        ("signing_algorithms", "RS256"),
        ("signing_algorithms", None),
        ("certificate_algorithms", "RS256"),
        ("rsa_key_size", "2048"),
        ("rsa_key_size", True),
        ("rotation_interval", 90),
        ("key_cache_duration", None),
    ],
)
def test_wrong_types_are_told(name, value):
    """The message names the option."""
    with pytest.raises(TypeError, match=name):
        SigningOptions(**{name: value})


def test_the_store_takes_nothing_else():
    """A dictionary would not have been checked."""
    with pytest.raises(TypeError, match="signing"):
        StoreOptions(signing={})

"""Options from the environment: each by its name, and nothing without effect."""

import os
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from mongostore import ConfigurationError, StoreOptions
from mongostore.caching import CachingOptions
from mongostore.environment import option_names
from mongostore.protection.rotation import KeyRotationPolicy
from mongostore.signing.options import SigningOptions
from mongostore.telemetry import Telemetry
from mongostore.tenancy import DatabasePerTenant, SharedDatabase

PASSWORD = "hunter2"
# What no text can give.
ONLY_IN_CODE = {"on_event"}
# Any text will do; or the option's own check quotes what is not among the names that there are.
NOT_REFUSED = {"USER_DISPLAY_NAME_CLAIM_TYPE"}
QUOTED = {"SIGNING_SIGNING_ALGORITHMS", "SIGNING_CERTIFICATE_ALGORITHMS"}


def from_env(**environ: str) -> StoreOptions:
    return StoreOptions.from_env(environ=environ)


def test_an_empty_environment_gives_the_defaults():
    """What is not given has its default; an empty variable is not given, and other people's are nothing to us."""
    assert from_env() == StoreOptions()
    assert from_env(MONGOSTORE_OPERATION_TIMEOUT="", MONGOSTORE_CACHING=" ", PATH="/bin", OTHER="x") == StoreOptions()


def test_the_process_s_environment_is_the_default(monkeypatch):
    """Without `environ`, what the process was given counts, when it is asked for."""
    for name in [each for each in os.environ if each.startswith("MONGOSTORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MONGOSTORE_MESSAGE_LIFETIME", "2h")
    assert StoreOptions.from_env().message_lifetime == timedelta(hours=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", timedelta(seconds=5)),
        ("0.5", timedelta(milliseconds=500)),
        ("500ms", timedelta(milliseconds=500)),
        ("5s", timedelta(seconds=5)),
        (" 10 m ", timedelta(minutes=10)),
        ("1h", timedelta(hours=1)),
        ("30d", timedelta(days=30)),
    ],
)
def test_durations(text, expected):
    """A number of seconds, or a number and its unit."""
    assert from_env(MONGOSTORE_OPERATION_TIMEOUT=text).operation_timeout == expected


@pytest.mark.parametrize("text", ["5 minutes", "-5s", "PT5S", "00:00:05", "1h30m", "s", "1e3", "\u0665", "9" * 400])
def test_no_duration(text):
    """Anything else is refused, and not repeated."""
    with pytest.raises(ConfigurationError, match="MONGOSTORE_OPERATION_TIMEOUT must be a duration") as caught:
        from_env(MONGOSTORE_OPERATION_TIMEOUT=text)
    assert f" {text} " not in str(caught.value)


def test_nested_options_have_both_names():
    """Of a nested class, what is not given has its default too."""
    options = from_env(
        MONGOSTORE_CACHING_CLIENT_STORE_EXPIRATION="1m",
        MONGOSTORE_CACHING_MAX_ENTRIES="7",
        MONGOSTORE_KEY_ROTATION_ROTATION_INTERVAL="30d",
        MONGOSTORE_SIGNING_SIGNING_ALGORITHMS="ES256, RS256",
        MONGOSTORE_SIGNING_DELETE_RETIRED_KEYS="off",
        MONGOSTORE_COLLECTION_PREFIX="idp_",
    )
    assert options == StoreOptions(
        caching=CachingOptions(client_store_expiration=timedelta(minutes=1), max_entries=7),
        key_rotation=KeyRotationPolicy(rotation_interval=timedelta(days=30)),
        signing=SigningOptions(signing_algorithms=("ES256", "RS256"), delete_retired_keys=False),
        collection_prefix="idp_",
    )


@pytest.mark.parametrize("off", ["off", "OFF", "false", "0", "no"])
def test_caching_is_switched_off(off):
    """Nothing is cached; what would be cached for how long is then refused."""
    assert from_env(MONGOSTORE_CACHING=off).caching is None
    assert from_env(MONGOSTORE_CACHING="on").caching == CachingOptions()
    with pytest.raises(ConfigurationError, match="MONGOSTORE_CACHING_MAX_ENTRIES has no effect"):
        from_env(MONGOSTORE_CACHING=off, MONGOSTORE_CACHING_MAX_ENTRIES="7")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"": "shared"}, SharedDatabase()),
        ({"": "shared", "_TENANTS": "registered"}, SharedDatabase(tenants="registered")),
        ({"_TENANTS": "registered"}, SharedDatabase(tenants="registered")),
        ({"": "per-tenant"}, DatabasePerTenant()),
        ({"": "per-tenant:id_{tenant}"}, DatabasePerTenant(pattern="id_{tenant}")),
        ({"": "per-tenant:{tenant}", "_MAX_OPEN": "7"}, DatabasePerTenant(pattern="{tenant}", max_open=7)),
    ],
)
def test_where_tenants_lie(environ, expected):
    """One database for all, or one for each by a pattern."""
    assert from_env(**{f"MONGOSTORE_TENANCY{name}": value for name, value in environ.items()}).tenancy == expected


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MONGOSTORE_TENANCY": "own"}, "MONGOSTORE_TENANCY must be 'shared', 'per-tenant'"),
        ({"MONGOSTORE_TENANCY": "shared:x_{tenant}"}, "MONGOSTORE_TENANCY must be"),
        ({"MONGOSTORE_TENANCY": "per-tenant:x"}, "MONGOSTORE_TENANCY_… can't be used: the pattern 'x' must hold"),
        ({"MONGOSTORE_TENANCY_MAX_OPEN": "7"}, "MONGOSTORE_TENANCY_MAX_OPEN has no effect"),
        ({"MONGOSTORE_TENANCY_PATTERN": "x_{tenant}"}, "MONGOSTORE_TENANCY_PATTERN is no option"),
        ({"MONGOSTORE_OPERATION_TIMOUT": "5"}, "the nearest is MONGOSTORE_OPERATION_TIMEOUT"),
        ({"MONGOSTORE_CACHE_MAX_ENTRIES": "5"}, "the nearest is MONGOSTORE_CACHING_MAX_ENTRIES"),
        ({"MONGOSTORE_MASTERKEY": "5"}, "the nearest is MONGOSTORE_MASTER_KEY"),
        ({"MONGOSTORE_PORT_27017_TCP": "5"}, "is no option. Correct or remove it, or read the options by another"),
        ({"MONGOSTORE_ON_EVENT": "print"}, "MONGOSTORE_ON_EVENT can't be given in the environment: give it in code"),
        ({"MONGOSTORE_CACHING_MAX_ENTRIES": "many"}, "MONGOSTORE_CACHING_MAX_ENTRIES must be a whole number"),
        ({"MONGOSTORE_CACHING_MAX_ENTRIES": "0"}, "MONGOSTORE_CACHING_… can't be used: max_entries must be at least 1"),
        ({"MONGOSTORE_TENANCY_TENANTS": "x"}, "MONGOSTORE_TENANCY_TENANTS must be 'open' or 'registered'"),
        ({"MONGOSTORE_TELEMETRY": "maybe"}, "MONGOSTORE_TELEMETRY must be 'on' or 'off'"),
        ({"MONGOSTORE_OPERATION_TIMEOUT": "0"}, "MONGOSTORE_… can't be used: operation_timeout must be positive"),
    ],
)
def test_what_can_t_be_used_is_refused(environ, message):
    """The error names the variable and what it may hold."""
    with pytest.raises(ConfigurationError) as caught:
        from_env(**environ)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", sorted({*option_names(StoreOptions), "UNKNOWN"} - NOT_REFUSED - QUOTED))
def test_no_value_is_repeated(name):
    """A password that was put into the wrong variable is not in the message, whichever it is."""
    environ = {f"MONGOSTORE_{name}": f"mongodb://user:{PASSWORD}@host/"}
    with pytest.raises(ConfigurationError) as caught:
        from_env(**environ)
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in repr(error)
        error = error.__cause__


def test_what_is_no_option_is_left_alone():
    """The master key, the URI, the database and what the tests read may have the prefix as well."""
    others = {"MASTER_KEY": PASSWORD, "URI": "mongodb://", "DATABASE": "identity", "TEST_URI": "mongodb://"}
    others["TEST_WORKERS"] = "0"
    assert from_env(**{f"MONGOSTORE_{name}": value for name, value in others.items()}) == StoreOptions()


def test_another_prefix():
    """Only variables with the prefix are read, and it is in the messages."""
    environ = {"IDP_MESSAGE_LIFETIME": "5m", "MONGOSTORE_NONSENSE": "x"}
    assert StoreOptions.from_env("IDP_", environ).message_lifetime == timedelta(minutes=5)
    with pytest.raises(ConfigurationError, match="IDP_MESAGE_LIFETIME is no option; the nearest is IDP_MESSAGE_"):
        StoreOptions.from_env("IDP_", {"IDP_MESAGE_LIFETIME": "5m"})


def test_every_option_can_be_given():
    """A new option is read from the environment, or is known to be for code alone."""
    names = set(option_names(StoreOptions))
    for field in fields(StoreOptions):
        name = field.name.upper()
        given = name in names or any(each.startswith(f"{name}_") for each in names)
        assert given != (field.name in ONLY_IN_CODE), f"{field.name}: teach mongostore.environment to read it"


def test_what_can_t_be_written_is_added_in_code():
    """The hook is given to the options that were read."""
    heard: list[Any] = []
    assert replace(from_env(MONGOSTORE_TELEMETRY="off"), on_event=heard.append) == StoreOptions(
        telemetry=False, on_event=heard.append
    )


def test_telemetry_and_hook_are_checked_at_the_door():
    """A hook that nobody would wait for loses every event, so it is refused."""

    async def coroutine(event: Any) -> None:
        """Would never be awaited."""

    class Asynchronous:
        async def __call__(self, event: Any) -> None:
            """Neither would this."""

    assert isinstance(StoreOptions(telemetry=Telemetry()).telemetry, Telemetry)
    for wrong in (coroutine, Asynchronous()):
        with pytest.raises(TypeError, match="must not be a coroutine function"):
            StoreOptions(on_event=wrong)
    with pytest.raises(TypeError, match="on_event must be a function of a StoreEvent, not str"):
        StoreOptions(on_event="print")
    with pytest.raises(TypeError, match="telemetry must be True, False or a Telemetry, not str"):
        StoreOptions(telemetry="on")


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("operation_timeout", timedelta(0), "must be positive"),
        ("message_lifetime", timedelta(seconds=-1), "must be positive"),
        ("consumed_retention", timedelta(seconds=-1), "must not be negative"),
        ("ttl_delay", timedelta(seconds=-1), "must not be negative"),
    ],
)
def test_an_impossible_duration_is_told_what_is_possible(option, value, rule):
    """Some may be nothing at all, some not; the message says which."""
    with pytest.raises(ValueError, match=f"{option} {rule}"):
        StoreOptions(**{option: value})
    if rule == "must not be negative":
        assert getattr(StoreOptions(**{option: timedelta(0)}), option) == timedelta(0)

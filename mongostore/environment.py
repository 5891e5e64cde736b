"""Options from environment variables: every field of the options' classes by its name, nothing said twice.

A field `operation_timeout` is `MONGOSTORE_OPERATION_TIMEOUT`; a field of a nested class is named by both:
`MONGOSTORE_CACHING_MAX_ENTRIES`. An empty variable is an unset one. No value is repeated in a message of this module: a
password may have been put into the wrong variable. (The options' own checks quote names of algorithms and patterns.)
"""

import difflib
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mongostore.errors import ConfigurationError
from mongostore.telemetry import Telemetry
from mongostore.tenancy import DatabasePerTenant, Placement, SharedDatabase

T = TypeVar("T")

# What else the commands, the tests and the documentation read from the environment.
NOT_OPTIONS = frozenset({"MASTER_KEY", "URI", "DATABASE", "TEST_URI", "TEST_WORKERS"})

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.ASCII)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_SWITCH = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}
_PLACEMENTS: Mapping[str, type[SharedDatabase] | type[DatabasePerTenant]] = {
    "shared": SharedDatabase,
    "per-tenant": DatabasePerTenant,
}


def read_options(kind: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    """Make options of what the environment gives; what it doesn't give has its default.

    Args:
        kind: the class of the options.
        prefix: of the variables that are meant.
        environ: names and values.

    Raises:
        ConfigurationError: a variable with the prefix is no option, has no effect, or has a value that can't be used.
    """
    given = {
        name.removeprefix(prefix): value.strip()
        for name, value in environ.items()
        if name.startswith(prefix) and value.strip()
    }
    reader = _Reader(prefix, given)
    options = reader.options(kind, "")
    reader.check_all_read(frozenset(option_names(kind)))
    return options


def option_names(kind: type[Any], path: str = "") -> Iterator[str]:
    """The names that can be given for a class of options, without the prefix."""
    for name, hint in _hints(kind):
        nested = _classes(hint)
        if _reader_of(hint) is not None or (nested and hint is not nested[0]):
            yield path + name
        for each in nested:
            yield from (found for found in option_names(each, f"{path}{name}_") if found not in _GIVEN_WITH_CHOICE)


# `MONGOSTORE_TENANCY=per-tenant:identity_{tenant}` gives it.
_GIVEN_WITH_CHOICE = frozenset({"TENANCY_PATTERN"})


class _Reader:
    def __init__(self, prefix: str, given: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._given = given
        self._read: set[str] = set()

    def options(self, kind: type[T], path: str, **chosen: Any) -> T:
        """Read a class of options whose fields are named under `path`."""
        values = {
            name.lower(): value for name, hint in _hints(kind) for value in self._values(hint, path + name)
        } | chosen
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the environment variables {self._prefix}{path}… can't be used: {error}"
            ) from error

    def check_all_read(self, known: frozenset[str]) -> None:
        """Refuse what would be silently without effect."""
        for name in sorted(self._given.keys() - self._read - NOT_OPTIONS):
            if name in known:
                raise ConfigurationError(
                    f"the environment variable {self._prefix}{name} has no effect beside the others: "
                    "what it belongs to is switched off, or of another kind. Remove it"
                )
            nearest = difflib.get_close_matches(name, known | NOT_OPTIONS, 1)
            hint = f"; the nearest is {self._prefix}{nearest[0]}" if nearest else ""
            raise ConfigurationError(
                f"the environment variable {self._prefix}{name} is no option{hint}. "
                "Correct or remove it, or read the options by another prefix: StoreOptions.from_env(prefix=…)"
            )

    def _values(self, hint: Any, name: str) -> Iterator[Any]:
        """The value that is given for a field; none when it has its default."""
        if hint == Placement:
            yield from self._placement(name)
        elif nested := _classes(hint):
            yield from self._nested(nested[0], name, optional=type(None) in get_args(hint))
        elif (text := self._take(name)) is not None:
            reader = _reader_of(hint)
            if reader is None:
                raise ConfigurationError(f"{self._prefix}{name} can't be given in the environment: give it in code")
            yield self._parsed(name, text, reader)

    def _nested(self, kind: type[Any], name: str, *, optional: bool) -> Iterator[Any]:
        text = self._take(name) if optional else None
        is_on = text is None or self._parsed(name, text, _switch)
        if not is_on:
            yield None
        elif text is not None or any(each in self._given for each in option_names(kind, f"{name}_")):
            yield self.options(kind, f"{name}_")

    def _placement(self, name: str) -> Iterator[Any]:
        text = self._take(name)
        choice, _, pattern = (text or "shared").partition(":")
        kind = _PLACEMENTS.get(choice)
        if kind is None or (pattern and kind is SharedDatabase):
            raise ConfigurationError(
                f"{self._prefix}{name} must be 'shared', 'per-tenant', or 'per-tenant:' and a pattern such as "
                "identity_{tenant}"
            )
        if text is not None or any(each in self._given for each in option_names(kind, f"{name}_")):
            yield self.options(kind, f"{name}_", **({"pattern": pattern} if pattern else {}))

    def _parsed(self, name: str, text: str, reader: Callable[[str], Any]) -> Any:
        try:
            return reader(text)
        except ValueError as error:
            wanted = str(error)
        # Outside of the handler: that error, or its cause, may repeat the value.
        raise ConfigurationError(f"the environment variable {self._prefix}{name} must be {wanted}")

    def _take(self, name: str) -> str | None:
        self._read.add(name)
        return self._given.get(name)


def _hints(kind: type[Any]) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(field.name.upper(), hints[field.name]) for field in fields(kind)]


def _classes(hint: Any) -> list[type[Any]]:
    """The classes of options that a field may hold."""
    return [each for each in (get_args(hint) or (hint,)) if isinstance(each, type) and is_dataclass(each)]


def _reader_of(hint: Any) -> Callable[[str], Any] | None:
    """What reads a field's value from text; None when text can't give it."""
    if get_origin(hint) in (Union, types.UnionType):
        # What is no text's to give (None, providers of telemetry) is given in code.
        plain = [each for each in get_args(hint) if each not in (type(None), Telemetry)]
        return _reader_of(plain[0]) if len(plain) == 1 else None
    if get_origin(hint) is Literal:
        return lambda text: _choice(text, get_args(hint))
    return _READERS.get(hint)


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("a duration such as 500ms, 5s, 10m, 1h or 30d; a number alone is seconds")
    try:
        return float(found[1]) * _UNITS[found[2] or "s"]
    except OverflowError:
        raise ValueError("a duration of at most some million years") from None


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError("'on' or 'off'")
    return _SWITCH[text.lower()]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _choice(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise ValueError(" or ".join(map(repr, choices)))
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_READERS: Mapping[Any, Callable[[str], Any]] = {
    timedelta: _duration,
    bool: _switch,
    int: _integer,
    str: str,
    Sequence[str]: _names,
}

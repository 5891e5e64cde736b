"""Tenants: who shares a deployment and must never see one another's data, and where the data of each lies."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NewType

from mongostore.models.identifiers import is_encodable

Tenant = NewType("Tenant", str)

DEFAULT_TENANT = Tenant("default")

# Frozen: the slug is the part of every `_id` before the first `|`, which no slug can hold.
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MAX_DATABASE_NAME_BYTES = 63
_NOT_IN_DATABASE_NAMES = frozenset('/\\. "$*<>:|?\0')
# MongoDB keeps its users, its sharding and its replication in these.
_MONGODBS_OWN = ("admin", "config", "local")

Admission = Literal["open", "registered"]


def tenant(slug: str) -> Tenant:
    """Check a tenant's slug: 1 to 63 characters of a-z, 0-9 and `-`, not beginning with `-`.

    Raises:
        TypeError, ValueError: it is no text, or has another form.
    """
    if not isinstance(slug, str):
        raise TypeError(f"a tenant is named by a str, not {type(slug).__name__}")
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            f"{slug[:80]!r} is no tenant: use 1 to 63 characters of a-z, 0-9 and '-', not beginning with '-'"
        )
    return Tenant(slug)


def database_name(name: str) -> str:
    """Check the name of a database: at most 63 bytes, none of the characters that MongoDB refuses.

    Raises:
        TypeError, ValueError: it is no text, or MongoDB would not take it.
    """
    if not isinstance(name, str):
        raise TypeError(f"a database is named by a str, not {type(name).__name__}")
    if "://" in name or "@" in name:
        # A URI in its place, or a part of one, may hold a password.
        raise ValueError("a database is given by its name alone; what was given looks like a URI, and is not repeated")
    if not name or not _NOT_IN_DATABASE_NAMES.isdisjoint(name) or not is_encodable(name):
        raise ValueError(
            f'{name[:80]!r} is no name of a database: it must hold none of / \\ . " $ * < > : | ? space NUL'
        )
    if len(name.encode()) > _MAX_DATABASE_NAME_BYTES:
        raise ValueError(
            f"{name[:80]!r} is no name of a database: it has {len(name.encode())} bytes, and MongoDB takes 63. "
            "Use a shorter pattern or slug"
        )
    return name


@dataclass(frozen=True, kw_only=True)
class SharedDatabase:
    """All tenants in one database, told apart in every `_id`, filter and associated data.

    Attributes:
        tenants: who may bring a tenant into being: "open": its first write does; "registered": only
            `store.tenants.create`, and what is written for another one raises `NotFound`.
    """

    tenants: Admission = "open"

    def __post_init__(self) -> None:
        """Refuse an unknown admission."""
        _check_admission(self.tenants)

    def database(self, main: str, tenant: Tenant) -> str:  # noqa: ARG002 - the same for all
        """The database that holds a tenant's data."""
        return main


@dataclass(frozen=True, kw_only=True)
class DatabasePerTenant:
    """Each tenant's data in a database of its own; registry, key ring and leases stay in the store's database.

    Attributes:
        pattern: the database's name, with `{tenant}` in it.
        tenants: as in `SharedDatabase`.
        max_open: for how many tenants the prepared documents are kept in memory.
    """

    pattern: str = "identity_{tenant}"
    tenants: Admission = "open"
    max_open: int = 200

    def __post_init__(self) -> None:
        """Refuse a pattern that two tenants would share.

        Raises:
            TypeError, ValueError: the pattern, the admission or the bound can't be used.
        """
        _check_admission(self.tenants)
        if not isinstance(self.pattern, str):
            raise TypeError(f"pattern must be a str, not {type(self.pattern).__name__}")
        if self.pattern.count("{tenant}") != 1 or set(self.pattern.replace("{tenant}", "")) & set("{}"):
            raise ValueError(f"the pattern {self.pattern!r} must hold {{tenant}} once, and no other braces")
        database_name(self.pattern.replace("{tenant}", "a"))
        if not isinstance(self.max_open, int) or self.max_open < 1:
            raise ValueError("max_open must be at least 1")

    def database(self, main: str, tenant: Tenant) -> str:  # noqa: ARG002 - the pattern says all
        """The database that holds a tenant's data.

        Raises:
            ValueError: its name would be longer than MongoDB's 63 bytes, or be that of a database of MongoDB's own.
        """
        name = database_name(self.pattern.replace("{tenant}", tenant))
        refuse_taken_name(tenant, name, dict.fromkeys(_MONGODBS_OWN, "a database of MongoDB's own"))
        return name


def refuse_taken_name(tenant: Tenant, name: str, taken: Mapping[str, str]) -> None:
    """Refuse to put a tenant into a database that has another purpose: its records and those would mix.

    Args:
        tenant: the slug.
        name: the tenant's database.
        taken: what other databases are for, by their names. Case makes no difference: MongoDB has no two databases whose
            names differ by case alone.

    Raises:
        ValueError: the name is taken; the message says by what.
    """
    for other, purpose in taken.items():
        if other.casefold() == name.casefold():
            raise ValueError(
                f"the tenant {tenant!r} can't have the database {name!r}: {other!r} is {purpose}. "
                "Use another slug or another pattern"
            )


Placement = SharedDatabase | DatabasePerTenant


def _check_admission(tenants: str) -> None:
    if tenants not in ("open", "registered"):
        raise ValueError(f'tenants must be "open" or "registered", not {tenants!r}')

"""Tenants: who shares a deployment and must never see one another's data."""

import re
from typing import NewType

Tenant = NewType("Tenant", str)

DEFAULT_TENANT = Tenant("default")

# Frozen: the slug is the part of every `_id` before the first `|`, which no slug can hold.
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def tenant(slug: str) -> Tenant:
    """Check a tenant's slug: 1 to 63 characters of a-z, 0-9 and `-`, not beginning with `-`.

    Raises:
        ValueError: the slug has another form.
    """
    if not isinstance(slug, str):
        raise TypeError(f"a tenant is named by a str, not {type(slug).__name__}")
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            f"{slug[:80]!r} is no tenant: use 1 to 63 characters of a-z, 0-9 and '-', not beginning with '-'"
        )
    return Tenant(slug)

"""Families: a code or token and all that comes from it, which a replay removes as a whole (RFC 6749 §4.1.2)."""

import secrets

from mongostore.errors import NotFound
from mongostore.models import PersistedGrant
from mongostore.models.identifiers import check_identifier
from mongostore.stores.grant_records import GrantRecord, GrantRecordStore

_CODE_FAMILY_BYTES = 16


def new_code_family() -> str:
    """Name what a code and all that is issued from it have in common: `code-` and 32 lower-case hex digits."""
    return f"code-{secrets.token_hex(_CODE_FAMILY_BYTES)}"


async def insert_into_family(records: GrantRecordStore, grant: PersistedGrant, family: str | None) -> None:
    """Add a grant to a family, or to one of its own that is named after it.

    Raises:
        NotFound: the family was revoked, or what it is named after is gone; nothing was added.
        TypeError, ValueError: it can't be the name of a family.
    """
    if family is None:
        await records.insert(GrantRecord(grant, family=grant.key))
    elif not await records.insert_into_family(GrantRecord(grant, family=check_identifier("family", family))):
        raise NotFound(
            "the family takes nothing in: it was revoked, as when its code is replayed, or the code was redeemed too long "
            "ago. Nothing was stored; the user must sign in again"
        )

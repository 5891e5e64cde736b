"""Families: a code and all that is issued from it, which a replay of the code removes as a whole (RFC 6749 §4.1.2)."""

import re
import secrets

from mongostore.errors import NotFound
from mongostore.models import PersistedGrant
from mongostore.models.identifiers import check_identifier
from mongostore.stores.grant_records import GrantRecord, GrantRecordStore

_CODE_FAMILY_BYTES = 16
_CODE_FAMILY = re.compile(r"[0-9a-f]{32}")


def new_code_family() -> str:
    """Name what a code and all that is issued from it have in common: 32 lower-case hex digits that nobody uses again."""
    return secrets.token_hex(_CODE_FAMILY_BYTES)


async def insert_into_family(records: GrantRecordStore, grant: PersistedGrant, family: str | None) -> None:
    """Add a grant to a family, or to one of its own.

    Raises:
        NotFound: it is a code's family, and was removed; nothing was added.
        TypeError, ValueError: it can't be the name of a family.
    """
    record = GrantRecord(grant, family=grant.key if family is None else check_identifier("family", family))
    if not _is_a_code_s(record.family):
        await records.insert(record)
    elif not await records.insert_into_family(record):
        raise NotFound("the family was revoked, as when its code is replayed: nothing is issued into it any more")


async def remove_family(records: GrantRecordStore, family: str) -> int:
    """Remove what is in a family, and what is being issued into it at this moment; give the number of records removed.

    A code's family is closed, so that nothing comes into it any more. A caller may use its own names again.
    """
    removed = await records.remove_family(family)
    if removed and _is_a_code_s(family):
        await records.close_family(family)
        removed += await records.remove_family(family)
    return removed


def _is_a_code_s(family: str | None) -> bool:
    return isinstance(family, str) and _CODE_FAMILY.fullmatch(family) is not None

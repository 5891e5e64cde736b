"""How grants lie in MongoDB: codes, tokens, consents and backchannel requests, all in one collection."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pymongo import IndexModel

from mongostore.errors import PayloadUnreadable
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.models.grants import stored_grant
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.documents.base import (
    StoredFields,
    expiry_index,
    index,
    natural_key,
    record_id,
)
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector, pack, unpack
from mongostore.stores.grant_records import GrantRecord, purge_time
from mongostore.tenancy import Tenant


class GrantFields(StoredFields):
    """One grant; `_id` is `tenant|grant key`.

    Attributes:
        purge_at: from when on the record serves nobody; absent: never.
        family: what this grant and all that was issued from it have in common.
        pending: true while a successor is not yet live, and on the mark of a closed family: invisible to everything but
            removal.
        predecessor: grant key of the token that this one replaced.
        successor_key: grant key of the token that replaced this one.
        successor: that token's handle, so that a retry can be given the same.
        completed: true once what the grant asked for has been answered.
        payload: the grant's data.
    """

    label: ClassVar[str] = "grants"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload", "successor")
    # Together they serve all 15 shapes of a filter without looking at a document that does not match.
    indexes: ClassVar[tuple[IndexModel, ...]] = (
        index("by_subject", "tenant", "subject_id", "client_id", "type", "session_id"),
        index("by_session", "tenant", "session_id", "client_id", "type"),
        index("by_client", "tenant", "client_id", "type"),
        # Partial, so that it is small and never a candidate for a filter by type alone.
        index("by_family", "tenant", "family", partialFilterExpression={"family": {"$exists": True}}),
        expiry_index(),
    )

    type: str
    client_id: str
    subject_id: str | None = None
    session_id: str | None = None
    description: str | None = None
    creation_time: datetime
    expiration: datetime | None = None
    consumed_time: datetime | None = None
    purge_at: datetime | None = None
    family: str | None = None
    pending: bool | None = None
    predecessor: str | None = None
    successor_key: str | None = None
    completed: bool | None = None
    payload: Sealed
    successor: Sealed | None = None


_MAY_BECOME_ABSENT = {
    "subject_id",
    "session_id",
    "description",
    "expiration",
    "consumed_time",
    "purge_at",
    "completed",
}


class GrantCodec:
    """Turns grants of one tenant into documents and back: the only place where their payloads are sealed and opened."""

    def __init__(self, tenant: Tenant, protector: Protector, consumed_retention: timedelta) -> None:
        """Args: whose grants, what seals them, and how long consumed ones are kept."""
        self.tenant = tenant
        self._protector = protector
        self.consumed_retention = consumed_retention

    def id(self, key: str) -> str:
        """The `_id` of the grant with this key."""
        return record_id(self.tenant, key)

    def closed_family_id(self, family: str) -> str:
        """The `_id` of the mark that a family is closed: no grant's key has a NUL. Frozen."""
        return self.id(_closed(family))

    async def closed_family(self, family: str, until: datetime) -> dict[str, Any]:
        """The mark that a family is closed, without its `_id`: it is invisible as a pending grant is, and as sealed."""
        payload = await self._protector.seal(pack(b""), self._context(_closed(family), "payload"))
        return {"tenant": self.tenant, "pending": True, "purge_at": until, "payload": payload}

    async def document(
        self,
        grant: PersistedGrant,
        *,
        family: str | None = None,
        predecessor: str | None = None,
        completed: bool = False,
        pending_until: datetime | None = None,
    ) -> dict[str, Any]:
        """What is stored for a grant, and for what only the typed stores know of it; absent is what is None."""
        document = {
            "_id": self.id(grant.key),
            "tenant": self.tenant,
            "type": grant.type,
            "client_id": grant.client_id,
            "creation_time": grant.creation_time,
            "payload": await self._protector.seal(pack(grant.data), self._context(grant.key, "payload")),
        }
        optional = (
            ("subject_id", grant.subject_id),
            ("session_id", grant.session_id),
            ("description", grant.description),
            ("expiration", grant.expiration),
            ("consumed_time", grant.consumed_time),
            # From when on the record serves nobody.
            ("purge_at", pending_until or purge_time(grant.expiration, grant.consumed_time, self.consumed_retention)),
            ("family", family),
            ("predecessor", predecessor),
            ("completed", completed or None),
            ("pending", True if pending_until else None),
        )
        return document | {name: value for name, value in optional if value is not None}

    async def change(self, grant: PersistedGrant, *, completed: bool) -> dict[str, Any]:
        """The update that makes a stored grant say what this one says; its family and its place in it stay."""
        document = await self.document(grant, completed=completed)
        del document["_id"], document["tenant"]
        absent = dict.fromkeys(_MAY_BECOME_ABSENT - document.keys(), "")
        return {"$set": document, "$unset": absent} if absent else {"$set": document}

    async def sealed_successor(self, key: str, handle: str) -> Sealed:
        """A successor's handle, sealed to its predecessor's record."""
        return await self._protector.seal(handle.encode(), self._context(key, "successor"))

    async def grant(self, document: dict[str, Any]) -> PersistedGrant:
        """The grant that a stored document holds.

        Raises:
            PayloadUnreadable: it is damaged, or its payload belongs elsewhere.
            KeyUnavailable: the data key that sealed it is missing.
        """
        key = natural_key(document["_id"])
        payload = await self._protector.open(document.get("payload", b""), self._context(key, "payload"))
        try:
            purge_at = document.get("purge_at")
            if purge_at is not None and not isinstance(purge_at, datetime):
                raise TypeError("purge_at of a stored grant is no instant")  # noqa: TRY301 - told as the others below
            return stored_grant(
                {
                    "key": key,
                    "type": document["type"],
                    "subject_id": document.get("subject_id"),
                    "session_id": document.get("session_id"),
                    "client_id": document["client_id"],
                    "description": document.get("description"),
                    "creation_time": document["creation_time"],
                    "expiration": document.get("expiration"),
                    "consumed_time": document.get("consumed_time"),
                    "data": unpack(payload),
                }
            )
        except (KeyError, TypeError) as error:
            raise PayloadUnreadable(
                "a stored grant lacks what every grant has, or holds it in another form; it was changed from outside. "
                "Remove the record or restore it from a backup",
                collection=GrantFields.label,
            ) from error

    async def record(self, document: dict[str, Any]) -> GrantRecord:
        """The grant that a stored document holds, with all that is known of it. Raises as `grant` does."""
        grant = await self.grant(document)
        successor = document.get("successor")
        handle = None
        if successor is not None:
            handle = await self._protector.open(successor, self._context(grant.key, "successor"))
        return GrantRecord(
            grant,
            family=document.get("family"),
            predecessor=document.get("predecessor"),
            successor_key=document.get("successor_key"),
            successor_handle=handle.decode() if handle is not None else None,
            completed=document.get("completed", False),
        )

    def query(self, filter: PersistedGrantFilter) -> dict[str, Any] | None:  # noqa: A002 - the reference's name
        """The query of a filter, or None when it can match nothing."""
        query: dict[str, Any] = {"tenant": self.tenant}
        for field, wanted in (
            ("subject_id", filter.subject_id),
            ("session_id", filter.session_id),
        ):
            if wanted is not None:
                if not is_identifier(wanted):
                    return None
                query[field] = wanted
        for field, any_of in (("client_id", filter.effective_client_ids), ("type", filter.effective_types)):
            if any_of is not None:
                possible = sorted(value for value in any_of if is_identifier(value))
                if not possible:
                    return None
                query[field] = possible[0] if len(possible) == 1 else {"$in": possible}
        return query

    def _context(self, key: str, field: str) -> Context:
        return Context(self.tenant, GrantFields.label, key, field)


def _closed(family: str) -> str:
    return f"\0closed family\0{family}"


def is_present(document: dict[str, Any], now: datetime) -> bool:
    """Whether readers may see a stored grant: live, neither expired nor due to be purged."""
    purge_at = document.get("purge_at")
    # What is no instant was put there by somebody else: the codec says so to whoever reads it.
    return not document.get("pending") and (not isinstance(purge_at, datetime) or purge_at > now)

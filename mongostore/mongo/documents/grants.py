"""How grants lie in MongoDB: codes, tokens, consents and backchannel requests, all in one collection."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from pymongo import IndexModel

from mongostore.errors import PayloadUnreadable
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.models.grants import stored_grant
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.documents.base import (
    StoredFields,
    columns,
    expiry_index,
    index,
    natural_key,
    record_id,
)
from mongostore.protection.columns import Unbound
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector, pack, unpack
from mongostore.stores.grant_records import (
    CODE,
    CODE_KEPT,
    REFRESH,
    GrantRecord,
    is_issuing,
    is_kept_in_use,
    later,
    purge_time,
)
from mongostore.tenancy import Tenant


class GrantFields(StoredFields):
    """One grant; `_id` is `tenant|grant key`.

    Attributes:
        purge_at: from when on the record serves nobody; absent: never.
        family: what this grant and all that was issued from it have in common.
        pending: true while a successor is not yet live, and on the mark of a closed family: invisible to everything but
            removal.
        anchor: true while tokens may be issued into the family because of this one (a redeemed code; a refresh token that
            founded it, or was made by a rotation); false once it is closed, since it is being removed; absent otherwise.
        predecessor: grant key of the token that this one replaced.
        successor_key: grant key of the token that replaced this one.
        successor_expiration: when that token expires.
        successor: that token's handle, so that a retry can be given the same; bound to the two before, and to the moment
            of the first use, so that nobody begins the grace again.
        retries: how often this token was presented again within its grace.
        completed: true once what the grant asked for has been answered.
        payload: the grant's data, bound to what `BOUND` lists.
    """

    label: ClassVar[str] = "grants"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload", "successor")
    # Together they serve all 15 shapes of a filter without looking at a document that does not match.
    indexes: ClassVar[tuple[IndexModel, ...]] = (
        index("by_subject", "tenant", "subject_id", "client_id", "type", "session_id"),
        index("by_session", "tenant", "session_id", "client_id", "type"),
        index("by_client", "tenant", "client_id", "type"),
        # Partial, so that it is small and never a candidate for a filter by type alone.
        index("by_family", "tenant", "family", "anchor", partialFilterExpression={"family": {"$exists": True}}),
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
    anchor: bool | None = None
    predecessor: str | None = None
    successor_key: str | None = None
    successor_expiration: datetime | None = None
    retries: int | None = None
    completed: bool | None = None
    payload: Sealed
    successor: Sealed | None = None


# What a grant's payload is bound to. When it was consumed, and from when on it is purged, is written by transitions that
# seal nothing: to take that back is to put an older record in the place of a newer one, which no seal prevents.
BOUND: Final = (
    "type",
    "client_id",
    "subject_id",
    "session_id",
    "description",
    "creation_time",
    "expiration",
    "family",
    "completed",
)
_BOUND_TO_SUCCESSOR: Final = ("successor_key", "successor_expiration", "consumed_time")

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
        optional = (
            ("subject_id", grant.subject_id),
            ("session_id", grant.session_id),
            ("description", grant.description),
            ("expiration", grant.expiration),
            ("consumed_time", grant.consumed_time),
            ("purge_at", pending_until or purge_time(grant, self.consumed_retention)),
            ("family", family),
            ("predecessor", predecessor),
            ("completed", completed or None),
            ("pending", True if pending_until else None),
            # A pending one becomes an anchor when it is made live.
            ("anchor", True if is_issuing(grant, family) and not pending_until else None),
        )
        document: dict[str, Any] = {
            "_id": self.id(grant.key),
            "tenant": self.tenant,
            "type": grant.type,
            "client_id": grant.client_id,
            "creation_time": grant.creation_time,
            **{name: value for name, value in optional if value is not None},
        }
        document["payload"] = await self._protector.seal(
            pack(grant.data), self._context(grant.key, "payload"), columns(document, BOUND)
        )
        return document

    async def change(self, grant: PersistedGrant, *, family: str | None, completed: bool) -> dict[str, Any]:
        """The update that makes a stored grant of this family say what this one says; its place in the family stays."""
        document = await self.document(grant, family=family, completed=completed)
        for name in ("_id", "tenant", "family"):
            document.pop(name, None)
        # A refresh token that is kept in use is an anchor from its first update on; no update comes to one that is closed.
        document.pop("anchor", None)
        if is_kept_in_use(grant, family):
            document["anchor"] = True
        absent = dict.fromkeys(_MAY_BECOME_ABSENT - document.keys(), "")
        if grant.consumed_time is not None:
            absent["anchor"] = ""
        return {"$set": document, "$unset": absent} if absent else {"$set": document}

    async def link(
        self, record: GrantRecord, successor: PersistedGrant, handle: str, now: datetime, grace: timedelta
    ) -> dict[str, Any]:
        """The update that uses a grant up for a successor, whose handle is sealed to the grant's record."""
        linked: dict[str, Any] = {"successor_key": successor.key, "consumed_time": now}
        if successor.expiration is not None:
            linked["successor_expiration"] = successor.expiration
        place = self._context(record.grant.key, "successor")
        linked["successor"] = await self._protector.seal(handle.encode(), place, columns(linked, _BOUND_TO_SUCCESSOR))
        if record.grant.expiration is not None:
            linked["purge_at"] = max(record.grant.expiration, later(now, grace))
        # It stays an anchor: between this and the moment when its successor is live, the family must not be without one.
        return {"$set": linked}

    def consumption(self, now: datetime) -> list[dict[str, Any]]:
        """The update that consumes a grant; see `purge_time` for how long it is kept."""
        retained = {"$min": ["$purge_at", later(now, self.consumed_retention)]}
        is_code = {"$eq": ["$type", CODE]}
        kept = {
            "$switch": {
                "branches": [
                    {"case": {"$eq": ["$type", REFRESH]}, "then": {"$ifNull": ["$purge_at", retained]}},
                    {"case": is_code, "then": {"$max": [retained, later(now, CODE_KEPT)]}},
                ],
                "default": retained,
            }
        }
        # A code that was closed before stays so.
        is_open = {"$ne": ["$anchor", False]}
        anchor = {"$cond": [is_code, is_open, "$$REMOVE"]}
        return [{"$set": {"consumed_time": now, "purge_at": kept, "anchor": anchor}}]

    async def grant(self, document: dict[str, Any]) -> PersistedGrant:
        """The grant that a stored document holds.

        Raises:
            PayloadUnreadable: it is damaged, its payload belongs elsewhere, or what stands beside it was changed.
            KeyUnavailable: the data key that sealed it is missing.
        """
        return self._grant(document, await self._payload(document))

    async def _payload(self, document: dict[str, Any]) -> bytes:
        place = self._context(natural_key(document["_id"]), "payload")
        return await self._protector.open(document.get("payload", b""), place, columns(document, BOUND))

    def _grant(self, document: dict[str, Any], payload: bytes) -> PersistedGrant:
        key = natural_key(document["_id"])
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
        payload = await self._payload(document)
        grant = self._grant(document, payload)
        successor = document.get("successor")
        handle = None
        if successor is not None:
            handle = await self._protector.open(
                successor, self._context(grant.key, "successor"), columns(document, _BOUND_TO_SUCCESSOR)
            )
        return GrantRecord(
            grant,
            family=document.get("family"),
            predecessor=document.get("predecessor"),
            successor_key=document.get("successor_key"),
            successor_handle=handle.decode() if handle is not None else None,
            successor_expiration=document.get("successor_expiration"),
            completed=document.get("completed", False),
            is_bound=not isinstance(payload, Unbound),
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
    expiration = document.get("expiration")
    return is_kept(document, now) and (not isinstance(expiration, datetime) or expiration > now)


def is_kept(document: dict[str, Any], now: datetime) -> bool:
    """Whether a stored grant is there for those who ask what became of it: consumed ones are, for a while."""
    purge_at = document.get("purge_at")
    # What is no instant was put there by somebody else: the codec says so to whoever reads it.
    return not document.get("pending") and (not isinstance(purge_at, datetime) or purge_at > now)

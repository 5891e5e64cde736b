"""How server-side sessions lie in MongoDB: what they are found and ordered by in clear, key and ticket sealed."""

import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from bson import Binary
from pymongo import IndexModel

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import ServerSideSession
from mongostore.mongo.documents.base import (
    StoredFields,
    expiry_index,
    index,
    natural_key,
    record_id,
    without_nulls,
)
from mongostore.protection.context import Context
from mongostore.protection.envelope import Sealed
from mongostore.protection.protector import Protector, pack, unpack
from mongostore.stores.sessions import folded_name, hashed_session_key
from mongostore.tenancy import Tenant

_log = logging.getLogger("mongostore")

_LENGTH_BYTES = 4


class SessionFields(StoredFields):
    """One session; `_id` is `tenant|hashed key`.

    An expired session whose key was taken by a new one, before it was processed, lies aside: its `_id` is
    `tenant|hashed key|SHA-256 of its payload`.

    Attributes:
        folded_name: the display name, case-folded; empty for none, so that every session has a place in the order.
        due_at: from when on it can be claimed: `expires`, and then the end of each claim's lease.
        claim: a random name of the claim that it is, or was last, under.
        purge_at: the end of its grace, and of another one after each claim's lease.
        superseded: the hashed key, when it lies aside.
        payload: key and ticket.
    """

    label: ClassVar[str] = "sessions"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    # The trailing fields only spare the look at documents that an entry shows to be expired, or of somebody else.
    indexes: ClassVar[tuple[IndexModel, ...]] = (
        index("by_name", "tenant", "folded_name", "_id", "expires", "subject_id", "session_id"),
        index("by_subject", "tenant", "subject_id", "folded_name", "_id"),
        index("by_session", "tenant", "session_id", "folded_name", "_id", "subject_id"),
        index("by_due", "tenant", "due_at"),
        # Partial: there are few, if any.
        index("by_superseded", "tenant", "superseded", partialFilterExpression={"superseded": {"$exists": True}}),
        expiry_index(),
    )

    scheme: str
    subject_id: str
    session_id: str
    display_name: str | None = None
    folded_name: str
    created: datetime
    renewed: datetime
    expires: datetime | None = None
    due_at: datetime | None = None
    claim: str | None = None
    purge_at: datetime | None = None
    superseded: str | None = None
    payload: Sealed

    @classmethod
    def sealed_to(cls, stored_id: str) -> str:
        """See `StoredFields.sealed_to`: to the hashed key, so that a session can be laid aside as it is."""
        return natural_key(stored_id).partition("|")[0]


class SessionCodec:
    """Turns sessions of one tenant into documents and back: the only place where their payloads are sealed and opened."""

    def __init__(self, tenant: Tenant, protector: Protector, expiry_grace: timedelta) -> None:
        """Args: whose sessions, what seals them, and how long expired ones are kept to be processed."""
        self.tenant = tenant
        self.expiry_grace = expiry_grace
        self._protector = protector

    def id(self, key: str) -> str:
        """The `_id` of the session with this key."""
        return record_id(self.tenant, hashed_session_key(key))

    async def document(self, session: ServerSideSession) -> dict[str, Any]:
        """What is stored for a session."""
        fields = {"_id": self.id(session.key), "tenant": self.tenant, **self.columns(session)}
        return without_nulls(fields | {"payload": await self.sealed_payload(session)})

    def columns(self, session: ServerSideSession) -> dict[str, Any]:
        """The fields in clear."""
        return {
            "scheme": session.scheme,
            "subject_id": session.subject_id,
            "session_id": session.session_id,
            "display_name": session.display_name,
            "folded_name": folded_name(session.display_name),
            "created": session.created,
            "renewed": session.renewed,
            "expires": session.expires,
            "due_at": session.expires,
            "purge_at": session.expires and session.expires + self.expiry_grace,
        }

    async def sealed_payload(self, session: ServerSideSession) -> Binary:
        """Key and ticket, sealed to the session's record.

        Layout (frozen), in bytes::

            length of the key, big-endian     4
            key                               n, UTF-8
            ticket                            as `pack` writes it
        """
        key = session.key.encode()
        plaintext = len(key).to_bytes(_LENGTH_BYTES, "big") + key + pack(session.ticket)
        return Binary(await self._protector.seal(plaintext, self._context(self.id(session.key))))

    async def session(self, document: dict[str, Any]) -> ServerSideSession:
        """What a stored document says.

        Raises:
            PayloadUnreadable: it is damaged, or its payload belongs elsewhere.
            KeyUnavailable: the data key that sealed it is missing.
        """
        plaintext = await self._protector.open(document.get("payload", b""), self._context(document["_id"]))
        key_ends = _LENGTH_BYTES + int.from_bytes(plaintext[:_LENGTH_BYTES], "big")
        try:
            return ServerSideSession(
                key=plaintext[_LENGTH_BYTES:key_ends].decode(),
                scheme=document["scheme"],
                subject_id=document["subject_id"],
                session_id=document["session_id"],
                display_name=document.get("display_name"),
                created=document["created"],
                renewed=document["renewed"],
                expires=document.get("expires"),
                ticket=unpack(plaintext[key_ends:]),
            )
        except (KeyError, ValueError) as error:
            raise PayloadUnreadable(
                "a stored session lacks what every session has, or holds it in another form; it was changed from "
                "outside. Remove the record or restore it from a backup",
                collection=SessionFields.label,
            ) from error

    async def readable(self, documents: Iterable[dict[str, Any]]) -> list[tuple[dict[str, Any], ServerSideSession]]:
        """The documents that can be read, each with what it says; the others are logged.

        Raises:
            PayloadUnreadable, KeyUnavailable: there are some, and not one can be read.
        """
        found: list[tuple[dict[str, Any], ServerSideSession]] = []
        damage: list[PayloadUnreadable | KeyUnavailable] = []
        for document in documents:
            try:
                found.append((document, await self.session(document)))
            except (PayloadUnreadable, KeyUnavailable) as error:
                damage.append(error)
        if damage:
            total = len(found) + len(damage)
            _log.error("%d of %d sessions can't be read and are left out: %s", len(damage), total, damage[0])
            if not found:
                raise damage[0]
        return found

    async def sessions(self, documents: Iterable[dict[str, Any]]) -> list[ServerSideSession]:
        """What the readable ones of some documents say; see `readable`."""
        return [session for _, session in await self.readable(documents)]

    def aside(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document of an expired session, as it lies aside. The same session always lies at the same place."""
        digest = hashlib.sha256(document["payload"]).hexdigest().upper()
        return document | {"_id": f"{document['_id']}|{digest}", "superseded": hashed_key(document)}

    def _context(self, stored_id: str) -> Context:
        return Context(self.tenant, SessionFields.label, SessionFields.sealed_to(stored_id), "payload")


def hashed_key(document: dict[str, Any]) -> str:
    """The hashed key of a stored session, wherever it lies."""
    return SessionFields.sealed_to(document["_id"])


def not_expired(now: datetime) -> dict[str, Any]:
    """The condition of everything that sees live sessions only."""
    return {"expires": {"$not": {"$lte": now}}}


def is_live(document: dict[str, Any], now: datetime) -> bool:
    """The same, of a document that was read."""
    expires = document.get("expires")
    return expires is None or expires > now

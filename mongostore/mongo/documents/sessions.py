"""How server-side sessions lie in MongoDB: what they are found and ordered by in clear, key and ticket sealed.

What stands in clear and says whose a session is, since when and until when, and whether it has ended, also lies in the
sealed payload, and is compared at every read. Whoever can write to the database but has no key can delete a session and
hide it (`folded_name`, `due_at`, `claim` and `purge_at` are not compared: they decide where it is listed, when its logout
is processed, and when MongoDB removes it; nor is `begun`: it decides whether a pending logout takes the session for one of
before or of after), and put a record back as it was at an earlier moment, as a whole. Nobody without
a key can prolong a session, give it to somebody else, take its end back beyond such a moment, or change who is told of it.
Records of an older form, without columns inside, are read as they are until they are written again.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from bson import Binary
from pymongo import IndexModel

from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import ServerSideSession
from mongostore.models.base import from_payload, to_payload
from mongostore.models.instants import cut_to_milliseconds
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
from mongostore.stores.session_logouts import LogoutState
from mongostore.stores.sessions import folded_name, hashed_session_key
from mongostore.tenancy import Tenant

_log = logging.getLogger("mongostore")

_LENGTH_BYTES: Final = 4
# Frozen: begins the state of a logout, where a ticket as `pack` writes it begins with "t" or "b".
_STATE_MARK: Final = b"s"
# What an ended session has in the place of `expires`: long past for any clock. When it would have expired is sealed.
ENDED_EXPIRES: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Frozen, in this order: what lies in the payload as well.
_BOUND: Final = ("scheme", "subject_id", "session_id", "display_name", "created", "renewed", "expires", "ended")


class SessionFields(StoredFields):
    """One session; `_id` is `tenant|hashed key`.

    A session that is over and whose key was taken by a new one, before it was processed, lies aside: it has ended, and its
    `_id` is `tenant|hashed key|SHA-256 of the payload that it had before`.

    Attributes:
        folded_name: the display name, case-folded; empty for none, so that every session has a place in the order.
        expires: when it expires; long ago once it has ended, so that no query that looks for live sessions finds it,
            whatever the clock that it goes by.
        begun: when it was stored first, by the store's clock: `created` is what the server says.
        ended: when it was ended before its time, or laid aside.
        due_at: from when on it can be claimed: `expires` or `ended`, then the end of each claim's lease, or the next
            attempt to tell a client.
        claim: a random name of the claim that it is, or was last, under.
        purge_at: the end of its grace, and of another one after each claim's lease.
        superseded: the hashed key, when it lies aside.
        payload: key, ticket and, once clients were to be told, how far that has come.
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
    begun: datetime | None = None
    ended: datetime | None = None
    due_at: datetime | None = None
    claim: str | None = None
    purge_at: datetime | None = None
    superseded: str | None = None
    payload: Sealed

    @classmethod
    def sealed_to(cls, stored_id: str) -> str:
        """See `StoredFields.sealed_to`: to the hashed key, so that a session can be laid aside as it is."""
        return natural_key(stored_id).partition("|")[0]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a stored document says.

    Attributes:
        session: with the expiry that it was given.
        state: of its logout.
        over_at: when it was ended, or else expires; None: never.
    """

    session: ServerSideSession
    state: LogoutState
    over_at: datetime | None


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

    async def document(self, session: ServerSideSession, *, begun: datetime | None = None) -> dict[str, Any]:
        """What is stored for a session that begins."""
        columns = self.columns(session)
        fields = {"_id": self.id(session.key), "tenant": self.tenant, **columns, "begun": begun}
        return without_nulls(fields | {"payload": await self.sealed_payload(session, columns)})

    async def change(self, session: ServerSideSession) -> dict[str, Any]:
        """The update that makes a live record say what this session says.

        A claim can be on a live session where the claimer's clock is ahead; it ends when the session goes on.
        """
        columns = self.columns(session)
        payload = {"payload": await self.sealed_payload(session, columns)}
        absent = [name for name, value in columns.items() if value is None]
        return {"$set": without_nulls(columns) | payload, "$unset": dict.fromkeys([*absent, "claim"], "")}

    def columns(self, session: ServerSideSession) -> dict[str, Any]:
        """The fields in clear of a session that is not ended."""
        expires = session.expires and cut_to_milliseconds(session.expires)
        return {
            "scheme": session.scheme,
            "subject_id": session.subject_id,
            "session_id": session.session_id,
            "display_name": session.display_name,
            "folded_name": folded_name(session.display_name),
            "created": cut_to_milliseconds(session.created),
            "renewed": cut_to_milliseconds(session.renewed),
            "expires": expires,
            "due_at": expires,
            "purge_at": expires and expires + self.expiry_grace,
        }

    async def ended(self, session: ServerSideSession, ended: datetime, state: LogoutState) -> dict[str, Any]:
        """What a record is changed to when its session ends: `expires` goes into the sealed state."""
        marks = {"ended": cut_to_milliseconds(ended), "expires": ENDED_EXPIRES}
        state = state.model_copy(update={"expires": session.expires})
        return marks | {"payload": await self.sealed_payload(session, self.columns(session) | marks, state)}

    async def sealed_payload(
        self, session: ServerSideSession, columns: dict[str, Any], state: LogoutState | None = None
    ) -> Binary:
        """Key, ticket and the state of the logout, sealed to the session's record and the columns in clear.

        Layout (frozen), in bytes, behind the columns::

            length of the key, big-endian     4
            key                               n, UTF-8
            only where there is a state:
                "s"                           1
                length of the state           4
                state                         n, JSON
            ticket                            as `pack` writes it
        """
        key, said = session.key.encode(), b""
        if state is not None:
            written = to_payload(state)
            said = _STATE_MARK + len(written).to_bytes(_LENGTH_BYTES, "big") + written
        plaintext = len(key).to_bytes(_LENGTH_BYTES, "big") + key + said + pack(session.ticket)
        return Binary(await self._protector.seal(plaintext, self._context(self.id(session.key)), _bound(columns)))

    async def session(self, document: dict[str, Any]) -> ServerSideSession:
        """What a stored document says; see `record`."""
        return (await self.record(document)).session

    async def record(self, document: dict[str, Any]) -> SessionRecord:
        """What a stored document says, with the state of the logout.

        Raises:
            PayloadUnreadable: it is damaged, its payload belongs elsewhere, or a column was changed from outside.
            KeyUnavailable: the data key that sealed it is missing.
        """
        plaintext = await self._protector.open(
            document.get("payload", b""), self._context(document["_id"]), _bound(document)
        )
        key_ends = _LENGTH_BYTES + int.from_bytes(plaintext[:_LENGTH_BYTES], "big")
        key, packed, state = plaintext[_LENGTH_BYTES:key_ends], plaintext[key_ends:], LogoutState()
        # Outside of a handler it is told that something is wrong: errors of reading keep what they were given.
        with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
            if packed.startswith(_STATE_MARK):
                state_begins = len(_STATE_MARK) + _LENGTH_BYTES
                state_ends = state_begins + int.from_bytes(packed[len(_STATE_MARK) : state_begins], "big")
                state, packed = from_payload(LogoutState, packed[state_begins:state_ends]), packed[state_ends:]
            ended = document.get("ended")
            session = ServerSideSession(
                key=key.decode(),
                scheme=document["scheme"],
                subject_id=document["subject_id"],
                session_id=document["session_id"],
                display_name=document.get("display_name"),
                created=document["created"],
                renewed=document["renewed"],
                expires=document.get("expires") if ended is None else state.expires,
                ticket=unpack(packed),
            )
            over_at = session.expires if ended is None else cut_to_milliseconds(ended)
            return SessionRecord(session, state, over_at)
        raise PayloadUnreadable(
            "a stored session lacks what every session has, or holds it in another form; it was changed from "
            "outside. Remove the record or restore it from a backup",
            collection=SessionFields.label,
        )

    async def readable(self, documents: Iterable[dict[str, Any]]) -> list[tuple[dict[str, Any], ServerSideSession]]:
        """The documents that can be read, each with what it says; see `records`."""
        return [(document, record.session) for document, record in await self.records(documents)]

    async def records(self, documents: Iterable[dict[str, Any]]) -> list[tuple[dict[str, Any], SessionRecord]]:
        """The same, with the state of the logouts; the documents that can't be read are logged.

        Raises:
            PayloadUnreadable, KeyUnavailable: there are some, and not one can be read.
        """
        found: list[tuple[dict[str, Any], SessionRecord]] = []
        damage: list[PayloadUnreadable | KeyUnavailable] = []
        for document in documents:
            try:
                found.append((document, await self.record(document)))
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

    def aside_id(self, stored_id: str, payload: bytes) -> str:
        """The `_id` under which a session lies aside: the same session always lies at the same place."""
        return f"{stored_id}|{hashlib.sha256(payload).hexdigest().upper()}"

    async def aside(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document of a session that is over, as it lies aside: ended, so that no slow clock takes it for alive."""
        aside = document | {
            "_id": self.aside_id(document["_id"], document["payload"]),
            "superseded": hashed_key(document),
        }
        if "ended" in document:
            return aside
        try:
            record = await self.record(document)
        except (PayloadUnreadable, KeyUnavailable) as error:
            _log.error("A session that has expired can't be read, and its clients will not be told: %s", error)
            return aside
        return aside | await self.ended(record.session, document["expires"], record.state)

    def _context(self, stored_id: str) -> Context:
        return Context(self.tenant, SessionFields.label, SessionFields.sealed_to(stored_id), "payload")


def _bound(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: columns.get(name) for name in _BOUND}


def hashed_key(document: dict[str, Any]) -> str:
    """The hashed key of a stored session, wherever it lies."""
    return SessionFields.sealed_to(document["_id"])


def not_expired(now: datetime) -> dict[str, Any]:
    """The condition of everything that sees live sessions only."""
    return {"expires": {"$not": {"$lte": now}}}


def is_live(document: dict[str, Any], now: datetime) -> bool:
    """The same, of a document that was read. What is no instant is not believed when the document is opened."""
    expires = document.get("expires")
    return not isinstance(expires, datetime) or expires > now


def is_kept(document: dict[str, Any], now: datetime) -> bool:
    """Whether the grace of a session that is over has not passed."""
    purge_at = document.get("purge_at")
    return not isinstance(purge_at, datetime) or purge_at > now


def over_at(document: dict[str, Any]) -> datetime:
    """When a session that is over ended or expired."""
    ended = document.get("ended")
    at: datetime = ended if isinstance(ended, datetime) else document["expires"]
    return at


def begun_at(document: dict[str, Any]) -> datetime:
    """When a session was stored first; where that was not noted, long ago."""
    begun = document.get("begun")
    return begun if isinstance(begun, datetime) else ENDED_EXPIRES

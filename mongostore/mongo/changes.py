"""Hears of every change to the configuration, from whichever node it came: one change stream a connection."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from contextvars import Context
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import StoredFields, natural_key
from mongostore.mongo.documents.clients import ClientFields
from mongostore.mongo.documents.identity_providers import IdentityProviderFields
from mongostore.mongo.documents.resources import ApiResourceFields, ScopeFields

_log = logging.getLogger("mongostore")

_WATCHED: tuple[type[StoredFields], ...] = (ClientFields, ScopeFields, ApiResourceFields, IdentityProviderFields)
_ON_RECORDS = frozenset({"insert", "update", "replace", "delete"})

# With no event for this long, the server answers all the same, and the point to resume from moves on.
_MAX_AWAIT_MS = 1_000
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0

# The oplog does not reach back to the token any more, or the token is of another deployment.
_CANNOT_RESUME = frozenset({136, 222, 260, 280, 286})


class ConfigurationListener(Protocol):
    """What wants to hear of changes."""

    def client_changed(self, tenant: str, client_id: str) -> None:
        """A client was saved or deleted."""

    def resource_changed(self, tenant: str) -> None:
        """An identity resource, API scope or API resource was saved or deleted."""

    def identity_provider_changed(self, tenant: str, scheme: str) -> None:
        """An identity provider was saved or deleted."""

    def clear(self) -> None:
        """Changes may have been missed: believe nothing that was read before."""


class ChangeFeed:
    """The change stream of a store's configuration, kept up until it is stopped.

    Attributes:
        is_listening: whether changes are heard of at this moment.
    """

    def __init__(self, binding: Binding, listener: ConfigurationListener, *, databases: str | None = None) -> None:
        """Make a feed; it begins with `start`.

        Args:
            binding: the database with the configuration, and its collections' prefix.
            listener: who is told.
            databases: a regular expression of databases to be watched instead, where tenants have their own.
        """
        self._binding = binding
        self._listener = listener
        self._databases = databases
        self._labels = {binding.prefix + fields.label: fields for fields in _WATCHED}
        self._task: asyncio.Task[None] | None = None
        self._token: Mapping[str, Any] | None = None
        self._is_stopping = False
        self.is_listening = False

    def start(self) -> None:
        """Begin to listen, in the background."""
        self._is_stopping = False
        # It outlives whoever opens the store, and what he has around that: a time limit, a session that he bound.
        self._task = asyncio.create_task(self._listen(), context=Context())

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            # The driver can lose a cancellation; then the next answer of the stream, a second later, ends the loop.
            self._is_stopping = True
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listen(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        is_told = False
        while not self._is_stopping:
            try:
                async with await self._stream() as stream:
                    if self._token is None:
                        # What was read before the stream began may be outdated, and nobody will say so.
                        self._listener.clear()
                    self.is_listening = True
                    is_told = False
                    while stream.alive and not self._is_stopping:
                        event = await stream.try_next()
                        if event is not None:
                            self._tell(event)
                        self._token = stream.resume_token
                        pause = _FIRST_PAUSE_SECONDS
            except PyMongoError as error:
                code = getattr(error, "code", None)
                if code in _CANNOT_RESUME:
                    self._token = None
                if not is_told:
                    # Once, however long it lasts.
                    is_told = True
                    _log.warning(
                        "The change stream was cut (%s, code %s) and is taken up again; until then, other nodes' changes "
                        "are seen when what is cached expires",
                        type(error).__name__,
                        code,
                    )
            else:
                # Dropping the database or renaming a collection ends a stream for good.
                self._token = None
            finally:
                self.is_listening = False
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _stream(self) -> Any:
        watched: dict[str, Any] = {
            "$or": [
                {"ns.coll": {"$in": list(self._labels)}},
                {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
            ]
        }
        # A key is all that is needed; what a client says need not travel to every node.
        if self._databases is None:
            source: Any = self._binding.database
        else:
            source = self._binding.connection.client
            watched = {"$and": [{"ns.db": {"$regex": self._databases}}, watched]}
        pipeline = [{"$match": watched}, {"$project": {"operationType": 1, "ns": 1, "documentKey": 1}}]
        return await source.watch(pipeline, resume_after=self._token, max_await_time_ms=_MAX_AWAIT_MS)

    def _tell(self, event: Mapping[str, Any]) -> None:
        fields = self._labels.get(event.get("ns", {}).get("coll"))
        stored_id = event.get("documentKey", {}).get("_id")
        if event["operationType"] not in _ON_RECORDS or fields is None or not isinstance(stored_id, str):
            self._listener.clear()
            return
        tenant, key = stored_id.partition("|")[0], natural_key(stored_id)
        if fields is ClientFields:
            self._listener.client_changed(tenant, key)
        elif fields is IdentityProviderFields:
            self._listener.identity_provider_changed(tenant, key)
        else:
            self._listener.resource_changed(tenant)

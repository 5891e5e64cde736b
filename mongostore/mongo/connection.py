"""One connection to MongoDB: made from a URI, or handed in by the server that owns it."""

import re
from contextlib import AbstractContextManager
from datetime import UTC, timedelta
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.driver_info import DriverInfo
from pymongo.errors import PyMongoError

from mongostore.errors import ConfigurationError
from mongostore.mongo.driver_errors import DriverCall
from mongostore.mongo.motor_bridge import bridged, is_motor_client

_CODEC_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
# A grant that was acknowledged must survive the loss of the primary: majority, on disk.
_WRITE_CONCERN = WriteConcern(w="majority", j=True)


class Connection:
    """A MongoDB deployment that answers within a known time.

    A connection made from a URI belongs to us: `open` makes it and `close` ends it. One that was handed in stays open.

    Attributes:
        operation_seconds: the time limit of an operation.
        has_replica_set: whether the server has one, known once it is open.
        idle_sessions: the driver's sessions that no call uses at the moment.
    """

    def __init__(
        self,
        source: object,
        *,
        operation_timeout: timedelta,
        server_selection_timeout: timedelta,
    ) -> None:
        """Args: a URI, PyMongo `AsyncMongoClient` or Motor `AsyncIOMotorClient`. Does no I/O.

        Raises:
            TypeError: `source` is none of these.
        """
        self._uri = source if isinstance(source, str) else None
        self._client: AsyncMongoClient[dict[str, Any]] | None = None
        self.operation_seconds = operation_timeout.total_seconds()
        self._server_selection_timeout = server_selection_timeout
        self._is_motor = is_motor_client(source)
        if self._is_motor:
            self._client = bridged(source)
        elif isinstance(source, AsyncMongoClient):
            self._client = source
        elif self._uri is None:
            raise TypeError(
                f"a store is made from a URI, an AsyncMongoClient or an AsyncIOMotorClient, not {type(source).__name__}"
            )
        self.has_replica_set = False
        self.idle_sessions: list[AsyncClientSession] = []

    @property
    def client(self) -> AsyncMongoClient[dict[str, Any]]:
        """The driver's client.

        Raises:
            ConfigurationError: the store is not open.
        """
        if self._client is None:
            raise ConfigurationError("the store is not open: use 'async with store:' or 'await store.open()' first")
        return self._client

    async def open(self) -> None:
        """Reach the server once and learn what it is.

        Raises:
            ConfigurationError: the URI is malformed.
            StorageUnavailable: no server answered in time.
        """
        if self._client is None and self._uri is not None:
            self._client = self._client_of(self._uri)
        try:
            with self.call("open the store", self._server_selection_timeout) as own:
                hello = await self.client.admin.command("hello", session=own)
        except BaseException:
            await self.close()
            raise
        # A router (mongos) speaks for replica sets as well.
        self.has_replica_set = "setName" in hello or hello.get("msg") == "isdbgrid"

    async def close(self) -> None:
        """Close what `open` made; leave alone what was handed in."""
        # A new list: what is still in use belongs to the client of before.
        idle, self.idle_sessions = self.idle_sessions, []
        for session in idle:
            await session.end_session()
        if self._uri is not None and self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def database(self, name: str) -> AsyncDatabase[dict[str, Any]]:
        """A database that reads from the primary, writes to a majority, and gives aware datetimes."""
        return self.client.get_database(
            name, codec_options=_CODEC_OPTIONS, write_concern=_WRITE_CONCERN, read_preference=ReadPreference.PRIMARY
        )

    def call(self, action: str, limit: timedelta) -> DriverCall:
        """What a call of the driver that has a limit of its own is made in: `with connection.call("…", limit): …`."""
        return DriverCall(action, limit.total_seconds(), self)

    def within(self, seconds: float) -> AbstractContextManager[object]:
        """Limit the time of all calls in a block together; the limit of each stays."""
        return pymongo.timeout(seconds)

    def new_session(self) -> AsyncClientSession | None:
        """Make a session of the driver, without the wish to read one's own writes elsewhere: reads are the primary's.

        None for Motor, whose sessions are made by a coroutine.
        """
        return None if self._is_motor else self.client.start_session(causal_consistency=False)

    def _client_of(self, uri: str) -> AsyncMongoClient[dict[str, Any]]:
        try:
            return AsyncMongoClient(
                uri,
                serverSelectionTimeoutMS=int(self._server_selection_timeout.total_seconds() * 1000),
                driver=DriverInfo("mongostore"),
            )
        except (PyMongoError, ValueError, TypeError) as error:
            kind = type(error).__name__
        # Raised out here: the driver's message may repeat a piece of the password, and would go along as the context.
        raise ConfigurationError(
            f"the MongoDB URI can't be used ({kind}): it must be like "
            "mongodb://user:password@host:27017/?replicaSet=rs0, with special characters percent-encoded"
        )

    def hosts(self) -> str:
        """What names the servers in a message; no credentials."""
        if self._uri is not None:
            return re.sub(r"^[a-z+]+://|[^/]*@|/.*$", "", self._uri) or "the given URI"
        servers = self.client.topology_description.server_descriptions() if self._client else {}
        return ", ".join(f"{host}:{port}" for host, port in sorted(servers)) or "the given connection"

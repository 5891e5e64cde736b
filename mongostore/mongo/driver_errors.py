"""The one place where the driver's errors become ours, and where a call of the driver gets its time limit."""

import asyncio
from types import TracebackType
from typing import Protocol

import pymongo
from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from mongostore.errors import ConfigurationError, MongostoreError, StorageUnavailable

UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18


class Caller(Protocol):
    """What a call of the driver is made through: a connection.

    Attributes:
        idle_sessions: the driver's sessions that no call uses at the moment.
    """

    idle_sessions: list[AsyncClientSession]

    def new_session(self) -> AsyncClientSession | None:
        """Make one more; None where the driver is to make one for each command."""

    def hosts(self) -> str:
        """What names the servers in a message; no credentials."""


class DriverCall:
    """Around one call of the driver: limits its time, lends it a session, and turns its errors into ours.

    The limit is the driver's own: cancelled from outside while it waits for a server, it can lose its topology's lock.

    `with … as own:` gives one of the driver's sessions, this call's alone until its end, or None. A command that is
    given it as `session=own` costs a thirtieth less than one for which the driver makes a session, and keeps out of a
    session that the caller has bound (`AsyncClientSession.bind`), with whose transaction it would be undone.

    Duplicate keys pass through as they are: the stores know what they mean.
    """

    __slots__ = ("_action", "_caller", "_cancellations", "_idle", "_seconds", "_session", "_task", "_timeout")

    def __init__(self, action: str, seconds: float, caller: Caller) -> None:
        """Args: the action ("list grants"), its time limit in seconds, and the connection."""
        self._action = action
        self._seconds = seconds
        self._caller = caller

    def __enter__(self) -> AsyncClientSession | None:
        """Start the time."""
        idle = self._idle = self._caller.idle_sessions
        self._session = idle.pop() if idle else self._caller.new_session()
        self._task: asyncio.Task[object] = asyncio.current_task()  # type: ignore[assignment]  # whoever awaits is one
        self._cancellations = self._task.cancelling()
        self._timeout = pymongo.timeout(self._seconds)
        self._timeout.__enter__()
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the time; raise our error for the driver's."""
        self._timeout.__exit__(kind, error, trace)
        # After anything else, the server may still be at work in that session.
        if self._session is not None and (error is None or isinstance(error, OperationFailure | MongostoreError)):
            self._idle.append(self._session)
        if error is None:
            # The driver can take a cancellation for its own and go on; who cancelled the task would wait for ever.
            if self._task.cancelling() > self._cancellations:
                raise asyncio.CancelledError
        elif isinstance(error, (PyMongoError, BSONError)) and not isinstance(error, DuplicateKeyError):
            raise _translated(error, self._action, self._seconds, self._caller.hosts()) from error


def _translated(error: Exception, action: str, seconds: float, hosts: str) -> MongostoreError:
    if isinstance(error, InvalidOperation):
        return ConfigurationError(
            f"could not {action}: the connection to MongoDB at {hosts} is closed; "
            "open the store, or hand in a connection that is open"
        )
    if isinstance(error, DriverConfigurationError):
        return ConfigurationError(
            f"could not {action}: the driver can't use the connection to {hosts} as it is set up; "
            "check the URI's options, and for mongodb+srv the host's DNS records"
        )
    if isinstance(error, WriteConcernError):
        return StorageUnavailable(
            f"could not {action} safely: MongoDB at {hosts} wrote it, but a majority did not confirm; it may be lost. "
            "Check the replica set's members, then try again"
        )
    if isinstance(error, NotPrimaryError):
        return StorageUnavailable(
            f"could not {action}: the primary of MongoDB at {hosts} has stepped down, and another is being elected. "
            "Try again"
        )
    if isinstance(error, ConnectionFailure | ExecutionTimeout) or (isinstance(error, PyMongoError) and error.timeout):
        return StorageUnavailable(
            f"could not {action}: MongoDB at {hosts} gave no answer within {seconds:g} s. "
            "Check that it runs, can be reached from here and has a primary"
        )
    if isinstance(error, OperationFailure):
        return _refusal(error, action, hosts)
    if isinstance(error, DocumentTooLarge):
        return StorageUnavailable(f"could not {action}: the record is larger than the 16 MiB that MongoDB takes")
    return StorageUnavailable(f"could not {action} at {hosts}: {type(error).__name__}")


def _refusal(error: OperationFailure, action: str, hosts: str) -> StorageUnavailable:
    if error.code == UNAUTHORIZED:
        return StorageUnavailable(
            f"could not {action}: MongoDB at {hosts} does not allow it to this user. "
            "Give the user the role readWrite on the database"
        )
    if error.code == _AUTHENTICATION_FAILED:
        return StorageUnavailable(f"could not {action}: MongoDB at {hosts} refused the user or the password")
    return StorageUnavailable(f"could not {action}: MongoDB at {hosts} answered with error {error.code}")

"""The one place where the driver's errors become ours, and where a call of the driver gets its time limit."""

import asyncio
from collections.abc import Callable
from types import TracebackType

import pymongo
from bson.errors import BSONError
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from mongostore.errors import ConfigurationError, MongostoreError, StorageUnavailable

_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18


class DriverCall:
    """Around one call of the driver: limits its time and turns its errors into ours.

    The limit is the driver's own: cancelled from outside while it waits for a server, it can lose its topology's lock.

    Duplicate keys pass through as they are: the stores know what they mean.
    """

    __slots__ = ("_action", "_cancellations", "_hosts", "_seconds", "_task", "_timeout")

    def __init__(self, action: str, seconds: float, hosts: Callable[[], str]) -> None:
        """Args: the action ("list grants"), its time limit in seconds, and what names the servers for a message."""
        self._action = action
        self._seconds = seconds
        self._hosts = hosts

    def __enter__(self) -> None:
        """Start the time."""
        self._task: asyncio.Task[object] = asyncio.current_task()  # type: ignore[assignment]  # whoever awaits is one
        self._cancellations = self._task.cancelling()
        self._timeout = pymongo.timeout(self._seconds)
        self._timeout.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the time; raise our error for the driver's."""
        self._timeout.__exit__(kind, error, trace)
        if error is None:
            # The driver can take a cancellation for its own and go on; who cancelled the task would wait for ever.
            if self._task.cancelling() > self._cancellations:
                raise asyncio.CancelledError
        elif isinstance(error, (PyMongoError, BSONError)) and not isinstance(error, DuplicateKeyError):
            raise _translated(error, self._action, self._seconds, self._hosts()) from error


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
    if error.code == _UNAUTHORIZED:
        return StorageUnavailable(
            f"could not {action}: MongoDB at {hosts} does not allow it to this user. "
            "Give the user the role readWrite on the database"
        )
    if error.code == _AUTHENTICATION_FAILED:
        return StorageUnavailable(f"could not {action}: MongoDB at {hosts} refused the user or the password")
    return StorageUnavailable(f"could not {action}: MongoDB at {hosts} answered with error {error.code}")

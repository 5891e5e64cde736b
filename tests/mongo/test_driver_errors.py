"""What is said of the driver's errors: what happened, where, and what to do; the driver's own is the cause."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
)
from pymongo.errors import (
    ConfigurationError as DriverConfigurationError,
)

from mongostore import ConfigurationError, StorageUnavailable

SAID = [
    (AutoReconnect("lost"), StorageUnavailable, "gave no answer within 30 s. Check that it runs"),
    (ExecutionTimeout("late", 50), StorageUnavailable, "gave no answer within 30 s"),
    (NotPrimaryError("not primary"), StorageUnavailable, "stepped down, and another is being elected. Try again"),
    (WriteConcernError("waiting", 64), StorageUnavailable, "a majority did not confirm; it may be lost"),
    (OperationFailure("no", 13), StorageUnavailable, "Give the user the role readWrite"),
    (OperationFailure("no", 18), StorageUnavailable, "refused the user or the password"),
    (OperationFailure("no", 4711), StorageUnavailable, "answered with error 4711"),
    (DocumentTooLarge("huge"), StorageUnavailable, "larger than the 16 MiB"),
    (InvalidOperation("closed"), ConfigurationError, "is closed; open the store"),
    (DriverConfigurationError("srv"), ConfigurationError, "check the URI's options"),
]


@pytest.mark.parametrize(("error", "kind", "said"), SAID, ids=[type(error).__name__ for error, _, _ in SAID])
async def test_an_error_of_the_driver_is_told_as_ours(prepared_binding, error, kind, said):
    """It names the action and the server, and says what to do."""
    with pytest.raises(kind, match="could not try it") as caught, prepared_binding.call("try it"):
        raise error
    assert said in str(caught.value)
    if kind is StorageUnavailable and not isinstance(error, DocumentTooLarge):
        assert "127.0.0.1" in str(caught.value)
    assert caught.value.__cause__ is error

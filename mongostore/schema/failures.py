"""What the server can have against a change of the schema, said in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure

from mongostore.errors import ConfigurationError, StorageUnavailable
from mongostore.mongo.binding import Binding

# Error codes of MongoDB.
_UNAUTHORIZED = 13
_CONFLICTS = frozenset({85, 86})  # IndexOptionsConflict, IndexKeySpecsConflict


@contextmanager
def schema_call(binding: Binding, action: str, limit: timedelta | None = None) -> Iterator[AsyncClientSession | None]:
    """Around one call of the driver; gives the session that the connection lends it.

    Args:
        action: what is done ("create the indexes of grants").
        limit: how long it may take, where that is not the operation time-out.

    Raises:
        ConfigurationError: the data or another index is in the way.
        StorageUnavailable: MongoDB did not answer, or does not allow it.
    """
    with binding.call(action) if limit is None else binding.connection.call(action, limit) as own:
        try:
            yield own
        except DuplicateKeyError as error:
            raise ConfigurationError(
                f"could not {action}: there are records that a unique index does not allow side by side. "
                "Remove the duplicates, then try again"
            ) from error
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                raise StorageUnavailable(
                    f"could not {action}: MongoDB does not allow it to this user. "
                    f"Give the user the roles readWrite and dbAdmin on the database {binding.database_name}"
                ) from error
            if error.code in _CONFLICTS:
                raise ConfigurationError(
                    f"could not {action}: another index has the same keys or the same name, and was made meanwhile. "
                    "See it with the command 'plan'"
                ) from error
            raise

"""Which MongoDB the tests and the demo use, in one order of choice.

A URI that was given; else `MONGOSTORE_TEST_URI`; else the embedded mongod; else a replica set at 127.0.0.1:27017.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from mongostore.errors import ConfigurationError, StorageUnavailable
from mongostore.testing.embedded import EmbeddedMongo, hello

VARIABLE = "MONGOSTORE_TEST_URI"
LOCAL_HOST = "127.0.0.1:27017"
LOCAL_WAIT_MS = 1000
GIVEN_WAIT_MS = 5000


@dataclass(frozen=True)
class Server:
    """A replica set that answers.

    Attributes:
        uri: its connection string. It may hold a password, so it is not in the repr.
        embedded: the server as one that can be killed and stepped down, or None when it is not ours.
    """

    uri: str = field(repr=False)
    embedded: EmbeddedMongo | None = None

    @property
    def ours(self) -> bool:
        """Whether it may be killed and stepped down."""
        return self.embedded is not None


@contextmanager
def server(uri: str | None = None) -> Iterator[Server]:
    """The server to use; one that was started here stops at the end of the block.

    Args:
        uri: wins over everything else.

    Raises:
        ConfigurationError: the chosen server does not answer, or there is none; the message says what to type.
    """
    given = uri or os.environ.get(VARIABLE)
    with ExitStack() as stack:
        yield _given_server(given, "the given URI" if uri else VARIABLE) if given else _own_or_local_server(stack)


def _given_server(uri: str, origin: str) -> Server:
    try:
        hello(uri, GIVEN_WAIT_MS)
    except StorageUnavailable as error:
        raise ConfigurationError(f"The MongoDB of {origin} does not answer: start it, or correct the URI.") from error
    return Server(uri)


def _own_or_local_server(stack: ExitStack) -> Server:
    try:
        embedded = stack.enter_context(EmbeddedMongo())
    except ConfigurationError as error:
        local = _local_server()
        if local is None:
            raise ConfigurationError(
                f"{error}\nNo replica set answers at {LOCAL_HOST} either. With Docker, type:\n"
                "  docker compose up -d --wait\n"
                f"  {VARIABLE}='mongodb://{LOCAL_HOST}/?replicaSet=rs0' scripts/test"
            ) from error
        return local
    return Server(embedded.uri, embedded)


def _local_server() -> Server | None:
    try:
        answer = hello(f"mongodb://{LOCAL_HOST}/?directConnection=true", LOCAL_WAIT_MS)
    except StorageUnavailable:
        return None
    return Server(f"mongodb://{LOCAL_HOST}/?replicaSet={answer['setName']}") if "setName" in answer else None

"""What every test may ask for: a real MongoDB, and a database of its own in it."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from pymongo import MongoClient

from mongostore.testing import EmbeddedMongo
from mongostore.testing.servers import Server, server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked slow, which take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes long: run it with scripts/test --all"))


def servers_of(owner: int) -> list[str]:
    """The command lines of what still runs of the servers that an EmbeddedMongo of this process started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue  # It ended meanwhile.
        if f"mongostore-{owner}-" in command:
            found.append(command)
    return found


@pytest.fixture(scope="session")
def list_servers() -> Callable[[int], list[str]]:
    """The servers that a process started and that still run, by its id."""
    return servers_of


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail the run when it leaves a server behind."""
    yield
    assert servers_of(os.getpid()) == []


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[Server]:
    """The MongoDB of this run; `.embedded` where tests may kill it."""
    with server() as chosen:
        yield chosen


@pytest.fixture(scope="session")
def mongo_uri(mongo_server: Server) -> str:
    return mongo_server.uri


@pytest.fixture(scope="session")
def mongo_connection(mongo_uri: str) -> Iterator[MongoClient]:
    """A synchronous connection, for preparing and for looking behind the stores' back."""
    with MongoClient(mongo_uri) as connection:
        yield connection


@pytest.fixture
def database_name(mongo_connection: MongoClient) -> Iterator[str]:
    """A name that no other test has; databases whose names start with it (one per tenant) are dropped with it."""
    name = f"test_{uuid4().hex[:16]}"
    yield name
    for database in mongo_connection.list_database_names():
        if database.startswith(name):
            mongo_connection.drop_database(database)


@pytest.fixture
def needs_own_server(mongo_server: Server) -> EmbeddedMongo:
    """The server as one that may be killed; the test skips where it is somebody else's."""
    if mongo_server.embedded is None:
        pytest.skip("kills or steps down the server, and this one was not started by the tests")
    return mongo_server.embedded


# What no log line of the run may hold, whichever test it comes from: a handle as the stores make it, the text form of a
# master key, a private part of a JWK, and what the factories put into codes.
_SECRET = re.compile(
    r"[0-9A-F]{64}-1|mongostore-master-1:[A-Za-z0-9_-]{48}|\"d\": ?\"|n-0S6_WzA2Mj|E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw"
)


class _SecretWatch(logging.Handler):
    """Notes log records of the stores that hold a secret."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{self.format(record)} {record.__dict__!r}"
        if _SECRET.search(text):
            self.found.append(f"{record.name}, {record.pathname}:{record.lineno}")


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_log() -> Iterator[None]:
    """Fail the run when a log record of the stores held a secret; `test_log_secrets.py` shows that it would be seen."""
    watch, stores = _SecretWatch(), logging.getLogger("mongostore")
    level = stores.level
    stores.addHandler(watch)
    stores.setLevel(logging.DEBUG)
    yield
    stores.setLevel(level)
    stores.removeHandler(watch)
    assert watch.found == []


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_span() -> Iterator[None]:
    """Fail the run when a span of a store that exports to the process's provider held a secret."""
    found: list[str] = []

    class Watch(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if span.name.startswith("mongostore.") and _SECRET.search(span.to_json()):
                found.append(span.name)

    provider = TracerProvider()
    provider.add_span_processor(Watch())
    trace.set_tracer_provider(provider)
    yield
    assert found == []

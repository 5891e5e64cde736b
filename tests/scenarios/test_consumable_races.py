"""Two processes race for what may be had once: in every round, one of 50 consumers gets it.

Run as a script, this file is one of the two processes: it reads a round from each line of its input, and answers with how
many of its consumers won.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mongostore
from mongostore import LocalMasterKey, MongoStore
from mongostore.grants.handles import grant_key
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_backchannel_request, a_pushed_request, an_answered_device_code

PROCESSES = 2
CONSUMERS_OF_A_PROCESS = 25
LIMIT = timedelta(seconds=30)


async def _store_device_code(store: Any, number: int) -> str:
    await store.device_flow.store_device_authorization(f"d{number}", f"u{number}", an_answered_device_code())
    return f"d{number}"


async def _store_pushed_request(store: Any, number: int) -> str:
    await store.pushed_authorization_requests.store(a_pushed_request(str(number)))
    return str(number)


async def _store_backchannel_request(store: Any, _: int) -> str:
    request = a_backchannel_request(is_complete=True)
    return grant_key(await store.backchannel_authentication_requests.create_request(request), "ciba")


async def _remember_nothing(_: Any, number: int) -> str:
    return str(number)


async def _remember_what_is_over(store: Any, number: int) -> str:
    # The preparing store's clock is behind, so this is physically there, and over for the consumers.
    await store.replay_cache.add("over", str(number), store.clock.now() + timedelta(minutes=1))
    return str(number)


def _in_a_minute() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


# For each noun: how a round is prepared, and what its consumers do.
NOUNS: dict[str, tuple[Callable[[Any, int], Awaitable[str]], Callable[[Any, str], Awaitable[Any]]]] = {
    "device code": (_store_device_code, lambda s, key: s.device_flow.consume_by_device_code(key)),
    "pushed request": (_store_pushed_request, lambda s, key: s.pushed_authorization_requests.consume_by_hash(key)),
    "backchannel request": (
        _store_backchannel_request,
        lambda s, key: s.backchannel_authentication_requests.consume_by_internal_id(key),
    ),
    "replay entry": (_remember_nothing, lambda s, key: s.replay_cache.add("new", key, _in_a_minute())),
    "replay entry over another": (
        _remember_what_is_over,
        lambda s, key: s.replay_cache.add("over", key, _in_a_minute()),
    ),
}


def _answer(answer: object) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


async def consume(uri: str, database: str, master_key: str) -> None:
    """What one of the two processes does."""
    async with MongoStore(uri, database=database, master_key=LocalMasterKey.from_text(master_key)) as store:
        _answer("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            noun, key = json.loads(line)
            taken = await asyncio.gather(*(NOUNS[noun][1](store, key) for _ in range(CONSUMERS_OF_A_PROCESS)))
            _answer(sum(bool(each) for each in taken))


@pytest.fixture
async def store(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[MongoStore, list[str]]]:
    """A store on a prepared database, and what another process opens the same with."""
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    await apply_schema(Binding(connection, database_name))
    await connection.close()
    master_key, clock = LocalMasterKey.generate(), FakeClock(datetime.now(UTC) - timedelta(hours=1))
    async with MongoStore(mongo_uri, database=database_name, master_key=master_key, clock=clock) as opened:
        yield opened, [mongo_uri, database_name, master_key.export()]


@pytest.fixture
async def consumers(store: tuple[MongoStore, list[str]]) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """The two processes, with their stores open."""
    environment = {**os.environ, "PYTHONPATH": str(Path(mongostore.__file__).parents[1])}
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            *store[1],
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert await process.stdout.readline() == b"ready\n"
        yield processes
    finally:
        for process in processes:
            process.stdin.close()
        for process in processes:
            await process.wait()


@pytest.mark.parametrize("rounds", [20, pytest.param(100, marks=pytest.mark.slow)])
async def test_of_fifty_consumers_in_two_processes_one_wins(store, consumers, rounds):
    """Device codes, pushed and backchannel requests are consumed once in every round, and handles are new once."""
    opened, _ = store
    winners = {noun: [] for noun in NOUNS}
    wins_of_first = 0
    for number in range(rounds):
        for noun, (prepare, _) in NOUNS.items():
            line = json.dumps([noun, await prepare(opened, number)]).encode() + b"\n"
            for process in consumers:
                process.stdin.write(line)
            wins = [int(await process.stdout.readline()) for process in consumers]
            winners[noun].append(sum(wins))
            wins_of_first += wins[0]
    assert winners == {noun: [1] * rounds for noun in NOUNS}
    # Otherwise one process was done before the other began, and nothing was raced for.
    assert 0 < wins_of_first < rounds * len(NOUNS)


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:]))

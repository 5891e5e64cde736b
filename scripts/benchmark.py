#!/usr/bin/env python3
"""Measures the hot operations beside the same operations written by hand on PyMongo's async driver, without encryption.

Both run in turns, in one process, against one server, with the same number of commands and the same write concern; so
the ratios say what mongostore itself costs, and the absolute figures only what this machine does.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Binary
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, WriteConcern

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.models.base import to_payload
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing.factories import a_client, a_grant, a_refresh_token, an_authorization_code
from mongostore.testing.servers import server

PAYLOAD = "x" * 600
MAJORITY = WriteConcern(w="majority", j=True)
GRACE = timedelta(seconds=30)
Operation = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True)
class Side:
    """What one side achieved in all its turns.

    Attributes:
        operations_per_second, p50_ms, p99_ms: as the caller sees it.
        cpu_us: this process's processor time, microseconds an operation.
    """

    operations_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True)
class Result:
    """One operation at one concurrency, both sides, and the ratio of their processor time."""

    operation: str
    concurrency: int
    mongostore: Side
    by_hand: Side
    cpu_ratio: float


@dataclass(frozen=True)
class Case:
    """One operation on both sides; `prepare` makes what a turn of so many operations works on."""

    name: str
    prepare: Callable[[int], Awaitable[list[Any]]]
    ours: Operation
    by_hand: Operation


class ByHand:
    """The same operations as somebody would write them who needs them once."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], database: str) -> None:
        """Args: a connection, and a database with mongostore's schema, so that both sides maintain the same indexes."""
        options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
        db = client.get_database(database, codec_options=options, write_concern=MAJORITY)
        self.grants = db["hand_grants"]
        self.clients = db["clients"]

    async def prepare(self) -> None:
        """Give the grants the same indexes."""
        await self.grants.create_index(["tenant", "subject_id", "client_id", "type", "session_id"])
        await self.grants.create_index(["tenant", "session_id", "client_id", "type"])
        await self.grants.create_index(["tenant", "client_id", "type"])
        await self.grants.create_index(["tenant", "family"], partialFilterExpression={"family": {"$exists": True}})
        await self.grants.create_index("purge_at", expireAfterSeconds=0)

    def document(self, key: str, data: str | bytes, subject_id: str = "alice", **fields: Any) -> dict[str, Any]:
        """A grant as one would store it in clear."""
        now = datetime.now(UTC)
        return {
            "_id": key,
            "tenant": "default",
            "type": "refresh_token",
            "subject_id": subject_id,
            "session_id": "s1",
            "client_id": "web",
            "description": "Alice's laptop",
            "creation_time": now,
            "expiration": now + timedelta(hours=1),
            "purge_at": now + timedelta(hours=1),
            "payload": Binary(data.encode() if isinstance(data, str) else data),
            **fields,
        }

    async def take(self, key: str) -> dict[str, Any] | None:
        """Consume a grant."""
        now = datetime.now(UTC)
        return await self.grants.find_one_and_update(
            {"_id": key, "consumed_time": None, "purge_at": {"$gt": now}},
            {"$set": {"consumed_time": now}, "$min": {"purge_at": now + timedelta(days=1)}},
            hint={"_id": 1},
        )

    async def redeem(self, key: str) -> object:
        """Redeem a code."""
        found = await self.take(key)
        return None if found is None else json.loads(found["payload"])

    async def rotate(self, key: str) -> object:
        """Rotate a token in the same four commands."""
        old = await self.grants.find_one({"_id": key})
        if old is None:
            return None
        json.loads(old["payload"])
        now = datetime.now(UTC)
        new_key = secrets.token_hex(32).upper()
        payload = to_payload(a_refresh_token())
        await self.grants.insert_one(self.document(new_key, payload, pending=True, family="f", predecessor=key))
        used = await self.grants.update_one(
            {"_id": key, "consumed_time": None, "pending": None},
            {"$set": {"consumed_time": now, "successor_key": new_key, "successor": Binary(b"x" * 120)}},
            hint={"_id": 1},
        )
        if used.matched_count:
            await self.grants.update_one({"_id": new_key}, {"$unset": {"pending": ""}}, hint={"_id": 1})
        return new_key

    async def revoke(self, subject_id: str) -> object:
        """Remove a subject's grants, in the two passes that mongostore makes."""
        query = {"tenant": "default", "subject_id": subject_id}
        await self.grants.delete_many(query)
        return await self.grants.delete_many(query | {"predecessor": {"$exists": True}})


def cases(store: MongoStore, caching: MongoStore, hand: ByHand) -> list[Case]:  # noqa: C901 - a list of small functions
    """Every operation that is measured."""
    grant = a_grant("k", data=PAYLOAD)

    async def names(count: int) -> list[Any]:
        return [secrets.token_hex(32).upper() for _ in range(count)]

    async def stored(count: int) -> list[Any]:
        keys = await names(count)
        for key in keys:
            await store.persisted_grants.store(grant.model_copy(update={"key": key}))
        await hand.grants.insert_many([hand.document(key, PAYLOAD) for key in keys])
        return keys

    async def one_stored(count: int) -> list[Any]:
        return (await stored(1)) * count

    async def listed(count: int) -> list[Any]:
        subject = secrets.token_hex(8)
        for key in await names(20):
            await store.persisted_grants.store(grant.model_copy(update={"key": key, "subject_id": subject}))
        await hand.grants.insert_many([hand.document(key, PAYLOAD, subject) for key in await names(20)])
        return [subject] * count

    async def to_revoke(count: int) -> list[Any]:
        subjects = [secrets.token_hex(8) for _ in range(count)]
        for subject in subjects:
            for key in await names(4):
                await store.persisted_grants.store(grant.model_copy(update={"key": key, "subject_id": subject}))
            await hand.grants.insert_many([hand.document(key, PAYLOAD, subject) for key in await names(4)])
        return subjects

    async def codes(count: int) -> list[Any]:
        code = an_authorization_code()
        handles = [await store.authorization_codes.store_authorization_code(code) for _ in range(count)]
        await hand.grants.insert_many([hand.document(handle, to_payload(code)) for handle in handles])
        return handles

    async def tokens(count: int) -> list[Any]:
        token = a_refresh_token()
        handles = [await store.refresh_tokens.store_refresh_token(token) for _ in range(count)]
        await hand.grants.insert_many([hand.document(handle, to_payload(token)) for handle in handles])
        return handles

    async def client(count: int) -> list[Any]:
        await store.clients.save_client(a_client())
        return ["web"] * count

    async def nothing(count: int) -> list[Any]:
        return [None] * count

    async def grants(count: int) -> list[Any]:
        return [a_grant(key, data=PAYLOAD) for key in await names(count)]

    async def hand_store(each: PersistedGrant) -> object:
        document = {
            "_id": each.key,
            "tenant": "default",
            "type": each.type,
            "subject_id": each.subject_id,
            "session_id": each.session_id,
            "client_id": each.client_id,
            "description": each.description,
            "creation_time": each.creation_time,
            "expiration": each.expiration,
            "purge_at": each.expiration,
            "payload": Binary(each.data.encode() if isinstance(each.data, str) else each.data),
        }
        return await hand.grants.replace_one({"_id": each.key}, document, upsert=True)

    return [
        Case(
            "store",
            grants,
            store.persisted_grants.store,
            hand_store,
        ),
        Case("get", one_stored, store.persisted_grants.get, lambda key: hand.grants.find_one({"_id": key})),
        Case("consume", stored, store.persisted_grants.consume, hand.take),
        Case("redeem", codes, store.authorization_codes.redeem_authorization_code, hand.redeem),
        Case(
            "rotate",
            tokens,
            lambda handle: store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE),
            hand.rotate,
        ),
        Case(
            "list 20",
            listed,
            lambda subject: store.persisted_grants.get_all(PersistedGrantFilter(subject_id=subject)),
            lambda subject: hand.grants.find({"tenant": "default", "subject_id": subject}).to_list(),
        ),
        Case(
            "revoke 4",
            to_revoke,
            lambda subject: store.persisted_grants.remove_all(PersistedGrantFilter(subject_id=subject)),
            hand.revoke,
        ),
        Case(
            "client lookup",
            client,
            store.clients.find_client_by_id,
            lambda client_id: hand.clients.find_one({"_id": f"default|{client_id}"}),
        ),
        Case(
            "cached lookup",
            client,
            caching.clients.find_client_by_id,
            lambda client_id: hand.clients.find_one({"_id": f"default|{client_id}"}),
        ),
        Case(
            "health",
            nothing,
            lambda _: store.health(),
            lambda _: hand.clients.database.command("ping"),
        ),
    ]


async def measured(case: Case, concurrency: int, turns: int, operations: int) -> Result:
    """Run both sides in turns."""
    sides: dict[str, list[tuple[float, float]]] = {"ours": [], "by_hand": []}
    latencies: dict[str, list[float]] = {"ours": [], "by_hand": []}
    for turn in range(turns):
        # What is prepared serves both sides: they work on collections of their own.
        targets = await case.prepare(operations)
        order = ("ours", "by_hand") if turn % 2 else ("by_hand", "ours")
        for side in order:
            sides[side].append(await _turn(getattr(case, side), targets, concurrency, latencies[side]))
    ours, by_hand = (_side(sides[side], latencies[side], operations) for side in ("ours", "by_hand"))
    return Result(case.name, concurrency, ours, by_hand, round(ours.cpu_us / by_hand.cpu_us, 3))


async def _turn(
    operation: Operation, targets: list[Any], concurrency: int, latencies: list[float]
) -> tuple[float, float]:
    waiting = iter(targets)

    async def worker() -> None:
        for target in waiting:
            begun = time.perf_counter()
            await operation(target)
            latencies.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return time.perf_counter() - begun, time.process_time() - cpu


def _side(turns: list[tuple[float, float]], latencies: list[float], operations: int) -> Side:
    ordered = sorted(latencies)
    return Side(
        operations_per_second=round(operations / statistics.median(wall for wall, _ in turns), 1),
        p50_ms=round(ordered[len(ordered) // 2] * 1e3, 3),
        p99_ms=round(ordered[len(ordered) * 99 // 100] * 1e3, 3),
        cpu_us=round(statistics.median(cpu for _, cpu in turns) / operations * 1e6, 1),
    )


async def run(uri: str, arguments: argparse.Namespace) -> list[Result]:
    """Measure everything that was asked for, in a database of its own that is dropped afterwards."""
    database = f"benchmark_{secrets.token_hex(4)}"
    bare, cached = StoreOptions(caching=None, telemetry=False), StoreOptions(telemetry=False)
    master_key = LocalMasterKey.generate()
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        connection = Connection(
            client, operation_timeout=timedelta(minutes=1), server_selection_timeout=timedelta(seconds=5)
        )
        await connection.open()
        await apply_schema(Binding(connection, database))
        try:
            async with (
                MongoStore(client, database=database, master_key=master_key, options=bare) as store,
                MongoStore(client, database=database, master_key=master_key, options=cached) as caching,
            ):
                hand = ByHand(client, database)
                await hand.prepare()
                results = []
                wanted = [
                    case for case in cases(store, caching, hand) if not arguments.only or case.name in arguments.only
                ]
                for case in wanted:
                    for concurrency in arguments.concurrency:
                        print(f"{case.name} at {concurrency} …", file=sys.stderr, flush=True)
                        results.append(await measured(case, concurrency, arguments.turns, arguments.operations))
                        if not arguments.json:
                            print(_line(results[-1]), flush=True)
                return results
        finally:
            await client.drop_database(database)


def _line(result: Result) -> str:
    def side(name: str, side: Side) -> str:
        return (
            f"{name} {side.operations_per_second:>8,.0f} op/s  p50 {side.p50_ms:>7.2f}  p99 {side.p99_ms:>7.2f} ms"
            f"  {side.cpu_us:>6.0f} µs CPU"
        )

    sides = f"{side('mongostore', result.mongostore)}   {side('by hand', result.by_hand)}"
    return f"{result.operation:<14}@{result.concurrency:<3} {sides}   ratio {result.cpu_ratio:.2f}"


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", help="measure against this server instead of the embedded one")
    parser.add_argument("--json", action="store_true", help="print the results for machines")
    parser.add_argument("--turns", type=int, default=7, help="turns of each side")
    parser.add_argument("--operations", type=int, default=400, help="operations in a turn")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--only", nargs="+", help="operations, such as get store")
    arguments = parser.parse_args()
    with server(arguments.uri) as chosen:
        results = asyncio.run(run(chosen.uri, arguments))
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))


if __name__ == "__main__":
    main()
